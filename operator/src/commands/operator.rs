//! `plaudit operator`: looks after the pipelines of a cluster.

use std::time::Duration;

use anyhow::Context as _;
use plaudit_worker::{process, server};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Mistake;
use crate::admin::{self, Health};
use crate::children::Settings;
use crate::leader::{self, Elector, KubeLeases, Leadership, Term, Times};
use crate::metrics::Metrics;
use crate::{api, controller, rbac};

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
    #[command(flatten)]
    election: ElectionArgs,
    /// Where /livez, /readyz and /metrics are served; without it: port 8080 of every address. Port 0 takes a free one.
    #[arg(long, env = "PLAUDIT_ADMIN_ADDRESS", value_name = "HOST:PORT")]
    admin_address: Option<String>,
    /// How log lines look.
    #[arg(long, value_enum, default_value_t = LogFormat::Text, env = "PLAUDIT_LOG_FORMAT")]
    log_format: LogFormat,
}

/// How operators agree on who acts.
#[derive(Clone, Debug, clap::Args)]
struct ElectionArgs {
    /// Act without an election: only where no other operator looks after the same pipelines.
    #[arg(long, env = "PLAUDIT_NO_LEADER_ELECTION")]
    no_leader_election: bool,
    /// The Lease that operators elect their leader on.
    #[arg(long, env = "PLAUDIT_LEASE", value_name = "NAME", default_value = rbac::LEASE)]
    lease: String,
    /// Where the Lease is; without it: in the operator's own namespace.
    #[arg(long, env = "PLAUDIT_LEASE_NAMESPACE", value_name = "NAMESPACE")]
    lease_namespace: Option<String>,
}

/// What the workers' pods need that no pipeline says.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct WorkerArgs {
    /// The workers' image.
    #[arg(long, env = "PLAUDIT_WORKER_IMAGE", value_name = "IMAGE", default_value = concat!("plaudit/worker:", env!("CARGO_PKG_VERSION")))]
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
    // Before threads start.
    process::share_heaps();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("could not start a runtime")?;
    let ended = runtime.block_on(operate(args));
    // Whoever lost the lead ends now, not when the last blocking call has.
    runtime.shutdown_background();
    ended
}

async fn operate(args: &Args) -> anyhow::Result<()> {
    let config = kube::Config::infer()
        .await
        .context("no API server is configured; run in a cluster, or point KUBECONFIG at one")
        .map_err(Mistake)?;
    let (metrics, health) = (Metrics::new()?, Health::default());
    serve_admin(args.admin_address.as_deref(), &health, &metrics).await?;
    let stop = CancellationToken::new();
    let options = controller::Options {
        namespace: args.namespace.clone(),
        selector: args.selector.clone(),
        period: Duration::from_secs_f64(args.poll_seconds),
        settings: args.workers.settings(),
        instance: instance(),
    };
    stop_on_signal(stop.clone())?;
    health.started();
    let work = async |term: Term| {
        let client = api::client(config.clone(), metrics.clone(), Some(term))?;
        controller::run(client, options, metrics.clone(), &health, stop.clone()).await;
        anyhow::Ok(())
    };
    let ended = if args.election.no_leader_election {
        let version = api::client(config.clone(), metrics.clone(), None)?.apiserver_version().await;
        version.context("the API server does not answer")?;
        health.reached_api_server();
        metrics.leads(true);
        Some(work(Term::endless()).await)
    } else {
        let elector = elector(&args.election, &config, &metrics)?;
        let watched = |now: &Leadership| {
            if !matches!(now, Leadership::Starting) {
                health.reached_api_server();
            }
            metrics.leads(matches!(now, Leadership::Leading(_)));
        };
        leader::lead(elector, &stop, watched, work).await.context("this operator does not lead any more")?
    };
    ended.unwrap_or(Ok(()))?;
    tracing::info!("stopped");
    Ok(())
}

fn elector(
    args: &ElectionArgs,
    config: &kube::Config,
    metrics: &Metrics,
) -> anyhow::Result<Elector<KubeLeases>> {
    let namespace = args.lease_namespace.as_deref().unwrap_or(&config.default_namespace);
    let client = api::client(config.clone(), metrics.clone(), None)?;
    let identity = leader::identity(&instance(), fastrand::u64(..));
    Ok(Elector::new(KubeLeases::new(client, namespace, &args.lease), &args.lease, identity, Times::default()))
}

async fn serve_admin(address: Option<&str>, health: &Health, metrics: &Metrics) -> anyhow::Result<()> {
    let listener = admin::listen(address).await;
    let listener = listener.with_context(|| match address {
        Some(address) => format!("--admin-address: cannot listen on {address}"),
        None => "cannot listen on port 8080; give another --admin-address".to_owned(),
    });
    let listener = listener.map_err(Mistake)?;
    tracing::info!(address = %listener.local_addr()?, "admin endpoints");
    let router = admin::router(health.clone(), metrics.clone());
    tokio::spawn(health.clone().beat());
    tokio::spawn(server::serve(listener, router, server::Limits::default()));
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
