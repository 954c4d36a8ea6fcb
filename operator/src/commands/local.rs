//! `plaudit local`: a pipeline on this machine.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use plaudit_worker::security::Directory;

use super::{Mistake, pipeline_file};
use crate::local::{Options, default_state_dir};
use crate::screen;
use crate::snapshot::Snapshot;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The pipeline, as `kubectl apply` takes it; - reads standard input.
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    file: PathBuf,
    /// Kafka brokers instead of the pipeline's.
    #[arg(long, value_name = "HOST:PORT,…")]
    bootstrap_servers: Option<String>,
    /// Redis or Valkey instead of the pipeline's.
    #[arg(long, value_name = "HOST:PORT")]
    store_address: Option<String>,
    #[command(flatten)]
    secrets: pipeline_file::SecretsDirectory,
    /// The worker; without it: `plaudit-worker` beside this program, or in PATH.
    #[arg(long, value_name = "FILE")]
    worker_binary: Option<PathBuf>,
    /// Where configurations, addresses and logs of the workers lie.
    #[arg(long, value_name = "DIRECTORY")]
    state_dir: Option<PathBuf>,
    /// Write each look at the pipeline to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    status_file: Option<PathBuf>,
    /// What to print: auto is screen on a terminal, else lines.
    #[arg(long, value_enum, default_value_t = Output::Auto)]
    output: Output,
    /// Seconds between two looks at lag and workers.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = super::seconds)]
    poll_seconds: f64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Auto,
    Screen,
    Lines,
    None,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let mut object = pipeline_file::object(&args.file)?;
    if let Some(servers) = &args.bootstrap_servers {
        object.spec.source.bootstrap_servers.clone_from(servers);
    }
    if let Some(address) = &args.store_address {
        object.spec.store.addresses = vec![address.clone()];
    }
    let pipeline = pipeline_file::checked(&object)?;
    let worker_binary = match &args.worker_binary {
        Some(path) if path.is_file() => path.clone(),
        Some(path) => {
            return Err(Mistake(anyhow::anyhow!(
                "{} is no file; give the worker to --worker-binary",
                path.display()
            ))
            .into());
        }
        None => find_worker().map_err(Mistake)?,
    };
    let state_dir = args.state_dir.clone();
    let state_dir = state_dir.unwrap_or_else(|| default_state_dir(&pipeline.namespace, &pipeline.name));
    let output = match args.output {
        Output::Auto if std::io::stdout().is_terminal() => Output::Screen,
        Output::Auto => Output::Lines,
        output @ (Output::Screen | Output::Lines | Output::None) => output,
    };
    log(output, &state_dir)?;
    let options = Options {
        object,
        pipeline,
        worker_binary,
        state_dir,
        status_file: args.status_file.clone(),
        secrets: Directory(args.secrets.absolute()),
        period: Duration::from_secs_f64(args.poll_seconds),
    };
    Ok(crate::local::run(options, &mut printer(output))?)
}

/// Beside this program, where both were built or installed together; else wherever the shell would find it.
fn find_worker() -> anyhow::Result<PathBuf> {
    const NAME: &str = "plaudit-worker";
    let beside = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.join(NAME)));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let elsewhere = std::env::split_paths(&path).map(|directory| directory.join(NAME));
    beside
        .into_iter()
        .chain(elsewhere)
        .find(|path| path.is_file())
        .with_context(|| format!("found no {NAME} beside this program or in PATH; give --worker-binary"))
}

/// A screen that is drawn again and again has no room for log lines: they go to a file beside the workers' logs.
fn log(output: Output, state_dir: &Path) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    let format = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    match output {
        Output::Screen => {
            let path = state_dir.join("local.log");
            let file = std::fs::create_dir_all(state_dir).and_then(|()| std::fs::File::create(&path));
            let file = file
                .with_context(|| format!("could not write {}; give another --state-dir", path.display()))?;
            format.with_ansi(false).with_writer(file).init();
        }
        Output::Auto | Output::Lines | Output::None => {
            format.with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr).init();
        }
    }
    Ok(())
}

/// A line that says nothing new is printed again after so many seconds, as a sign of life.
const QUIET_SECONDS: u64 = 30;

fn printer(output: Output) -> impl FnMut(&Snapshot) {
    let (mut last, mut last_age) = (String::new(), 0);
    move |snapshot| {
        let age = snapshot.age_seconds;
        let (news, text) = match output {
            Output::None => return,
            Output::Auto | Output::Lines => {
                let news = screen::line(&Snapshot { age_seconds: 0, ..snapshot.clone() });
                (news, format!("{}\n", screen::line(snapshot)))
            }
            Output::Screen => {
                let hint = "Ctrl-C drains the workers and stops.".to_owned();
                let text = redrawn(&screen::render(snapshot, &[hint]));
                (text.clone(), text)
            }
        };
        if news != last || age >= last_age + QUIET_SECONDS {
            // Nobody reads any more: the workers go on.
            let mut out = std::io::stdout().lock();
            let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            (last, last_age) = (news, age);
        }
    }
}

/// Drawn over the screen before: home, each line to its end, then everything below, so that nothing flickers.
fn redrawn(text: &str) -> String {
    let lines: String = text.lines().map(|line| format!("{line}\x1b[K\r\n")).collect();
    format!("\x1b[H{lines}\x1b[J")
}
