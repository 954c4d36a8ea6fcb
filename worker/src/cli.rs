//! The command line of a worker: reads the configuration, starts, and stops in an orderly way on a signal.

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use plaudit_crds::worker::WorkerConfig;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::mutation::Mutation;
use crate::process;
use crate::security::{Directory, KafkaCredentials, SecurityError};
use crate::server;
use crate::worker::{Running, Worker};

/// Plaudit's worker: merges achievement reports from Kafka into one record per player in Redis.
#[derive(Debug, Parser)]
#[command(name = "plaudit-worker", version)]
struct Args {
    /// The worker's configuration (YAML), as the operator or `plaudit local` writes it.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// What this worker calls itself in its consumer group: the pod's name.
    #[arg(long, value_name = "NAME", env = "PLAUDIT_WORKER_NAME")]
    name: Option<String>,
    /// How log lines look.
    #[arg(long, value_enum, default_value_t = LogFormat::Text, env = "PLAUDIT_LOG_FORMAT")]
    log_format: LogFormat,
    /// Write the address of the HTTP endpoints to this file once they listen.
    #[arg(long, value_name = "PATH")]
    address_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// After a signal, leaving the group may take the drain deadline and this much.
const LEAVING: Duration = Duration::from_secs(10);
/// How often Secrets are looked at that cannot be used yet.
const SECRETS: Duration = Duration::from_secs(2);
/// Exit code for a configuration that cannot be used: starting again does not help.
const BAD_CONFIG: u8 = 2;

/// Runs a worker with the arguments of this process; `mutation` is for the tests.
pub fn main(mutation: Mutation) -> ExitCode {
    process::share_heaps();
    process::hide_memory();
    let args = Args::parse();
    init_logs(args.log_format);
    let config = match read_config(&args.config) {
        Ok(config) => config,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "configuration refused");
            return ExitCode::from(BAD_CONFIG);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = runtime.context("cannot start the runtime").and_then(|runtime| {
        let ended = runtime.block_on(run(args, config, mutation));
        // Blocking calls to a broker that is gone must not hold up the end.
        runtime.shutdown_background();
        ended
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            match error.chain().find_map(|cause| cause.downcast_ref::<SecurityError>()) {
                Some(SecurityError { reason, message }) => {
                    tracing::error!(reason, because = message, "worker failed");
                }
                None => tracing::error!(error = format!("{error:#}"), "worker failed"),
            }
            ExitCode::FAILURE
        }
    }
}

fn init_logs(format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("PLAUDIT_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => logs.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => logs.json().flatten_event(true).init(),
    }
}

fn read_config(path: &PathBuf) -> anyhow::Result<WorkerConfig> {
    let text = File::open(path).and_then(plaudit_crds::read_text);
    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
    WorkerConfig::from_yaml(&text).with_context(|| path.display().to_string())
}

async fn run(args: Args, config: WorkerConfig, mutation: Mutation) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let deadline = Duration::from_secs(u64::from(config.drain_deadline_seconds)) + LEAVING;
    let address = config.http.address.clone();
    let listener = TcpListener::bind(&address)
        .await
        .with_context(|| format!("http.address: cannot listen on {address}"))?;
    let bound = listener.local_addr().context("http.address")?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (listener, early) = twice(listener).context("http.address")?;
    let waiting =
        tokio::spawn(server::serve(early, crate::http::waiting_router(), server::Limits::default()));
    tokio::select! {
        () = await_secrets(&config) => waiting.abort(),
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    }
    let Running { worker, mut ended } =
        Worker::start(config, args.name.as_deref(), mutation, stop.clone()).await?;
    if let Some(path) = &args.address_file {
        write_address(path, &bound.to_string())?;
    }
    tracing::info!(pipeline = worker.config.pipeline, http = %bound, "worker started");
    let router = crate::http::router(worker);
    tokio::spawn(server::serve(listener, router, server::Limits::default()));

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = stop.cancelled() => {}
        result = &mut ended => return result.context("the poll thread is gone")?.context("kafka"),
    }
    tracing::info!("stopping: finishing batches, committing, leaving the group");
    stop.cancel();
    tokio::select! {
        result = ended => result.context("the poll thread is gone")?.context("kafka"),
        _ = terminate.recv() => anyhow::bail!("second signal: stopped at once"),
        _ = interrupt.recv() => anyhow::bail!("second signal: stopped at once"),
        () = tokio::time::sleep(deadline) => anyhow::bail!("not done within {} s: stopped", deadline.as_secs()),
    }
}

/// The same socket for two servers, of which the first one ends before the second one begins.
fn twice(listener: TcpListener) -> std::io::Result<(TcpListener, TcpListener)> {
    let one = listener.into_std()?;
    let other = one.try_clone()?;
    Ok((TcpListener::from_std(one)?, TcpListener::from_std(other)?))
}

/// Waits until what `source.security` names can be used: a Secret may come after its pod, and a pod that ended instead would be started
/// again ever later.
async fn await_secrets(config: &WorkerConfig) {
    let secrets = Directory(config.secrets_directory.clone().into());
    let mut told = None;
    while let Err(error) = KafkaCredentials::read(&config.source.security, &secrets) {
        if told.as_ref() != Some(&error) {
            let SecurityError { reason, message } = &error;
            tracing::warn!(reason, because = message, "worker waits for its Secrets");
            told = Some(error);
        }
        tokio::time::sleep(SECRETS).await;
    }
}

/// Writes whole or not at all, so that nobody reads half an address.
fn write_address(path: &PathBuf, address: &str) -> anyhow::Result<()> {
    let part = path.with_extension("part");
    std::fs::write(&part, address)
        .and_then(|()| std::fs::rename(&part, path))
        .with_context(|| format!("cannot write {}", path.display()))
}
