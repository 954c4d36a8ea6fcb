//! `plaudit operator`: looks after the pipelines of a cluster.

use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Mistake;
use crate::children::Settings;
use crate::controller;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Look after one namespace only; without it: all.
    #[arg(long, env = "PLAUDIT_NAMESPACE", value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Look after pipelines with these labels only.
    #[arg(long, env = "PLAUDIT_SELECTOR", value_name = "LABEL=VALUE,…")]
    selector: Option<String>,
    #[command(flatten)]
    workers: WorkerArgs,
    /// Seconds between two polls of Kafka.
    #[arg(long, env = "PLAUDIT_POLL_SECONDS", value_name = "SECONDS", default_value_t = 2.0, value_parser = super::seconds)]
    poll_seconds: f64,
    /// How log lines look.
    #[arg(long, value_enum, default_value_t = LogFormat::Text, env = "PLAUDIT_LOG_FORMAT")]
    log_format: LogFormat,
}

/// What the workers' pods need that no pipeline says.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct WorkerArgs {
    /// The workers' image.
    #[arg(long, env = "PLAUDIT_WORKER_IMAGE", value_name = "IMAGE", default_value = concat!("plaudit-worker:", env!("CARGO_PKG_VERSION")))]
    worker_image: String,
    /// When the image is pulled: Always, IfNotPresent or Never; without it Kubernetes' own default.
    #[arg(long, env = "PLAUDIT_IMAGE_PULL_POLICY", value_name = "POLICY", value_parser = ["Always", "IfNotPresent", "Never"])]
    image_pull_policy: Option<String>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

impl WorkerArgs {
    pub(super) fn settings(&self) -> Settings {
        Settings {
            worker_image: self.worker_image.clone(),
            image_pull_policy: self.image_pull_policy.clone(),
        }
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    log(args.log_format);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("could not start a runtime")?;
    runtime.block_on(operate(args))
}

async fn operate(args: &Args) -> anyhow::Result<()> {
    let client = kube::Client::try_default()
        .await
        .context("no API server is configured; run in a cluster, or point KUBECONFIG at one")
        .map_err(Mistake)?;
    let stop = CancellationToken::new();
    let options = controller::Options {
        namespace: args.namespace.clone(),
        selector: args.selector.clone(),
        period: Duration::from_secs_f64(args.poll_seconds),
        settings: args.workers.settings(),
        instance: instance(),
    };
    stop_on_signal(stop.clone())?;
    controller::run(client, options, stop).await;
    tracing::info!("stopped");
    Ok(())
}

/// The pod's name, which is its host's.
fn instance() -> String {
    std::env::var("HOSTNAME")
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| format!("plaudit-{}", std::process::id()))
}

/// The first signal ends in order, the second at once.
fn stop_on_signal(stop: CancellationToken) -> anyhow::Result<()> {
    let listen = |kind| signal(kind).context("could not listen to signals");
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if stop.is_cancelled() {
                std::process::exit(1);
            }
            tracing::info!("stopping; a second signal ends at once");
            stop.cancel();
        }
    });
    Ok(())
}

fn log(format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("PLAUDIT_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let logs =
        tracing_subscriber::fmt().with_env_filter(filter).with_target(false).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => logs.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => logs.json().flatten_event(true).init(),
    }
}
