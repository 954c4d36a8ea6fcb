//! The controller: watches pipelines and their children, and has each pipeline looked at when something about it may have changed.
//!
//! `watch` fills the stores and wakes, `reconcile` looks at one pipeline (parse → observe → plan → apply), `apply` writes what differs.
//! What decides has no client: `rivals`, `workers`, `removal`, `facts`, `questions`, and the crate's `children`, `scaling`, `status`.

mod apply;
mod context;
mod facts;
mod memory;
mod questions;
mod reconcile;
mod removal;
mod rivals;
mod watch;
mod workers;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use kube::runtime::controller::{Action, Config};
use kube::runtime::{applier, reflector::ObjectRef};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::children::Settings;
use crate::metrics::Metrics;
use crate::observe::Counts;
use context::{Context, Guarded};

/// Events that come together are one look.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// Between two readings of what the lag monitors counted.
const COUNT_EVERY: Duration = Duration::from_secs(2);
/// Pipelines looked at at one time: their writes share one connection to the API server.
const CONCURRENCY: u16 = 16;

/// What the controller looks after, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// One namespace; none: all.
    pub namespace: Option<String>,
    /// A label selector for pipelines; none: all.
    pub selector: Option<String>,
    /// Between two polls of Kafka.
    pub period: Duration,
    /// What children need.
    pub settings: Settings,
    /// The name of this process in events.
    pub instance: String,
}

/// Looks after pipelines until `stop`; looks under way are finished. Never ends otherwise.
pub async fn run(client: kube::Client, options: Options, metrics: Metrics, stop: CancellationToken) {
    let (wake, woken) = mpsc::unbounded_channel::<ObjectRef<Guarded>>();
    let known = Arc::new(context::Known::new(metrics));
    let stores = watch::start(&client, &options, &known, &wake, &stop);
    tokio::select! {
        () = stores.ready() => {}
        () = stop.cancelled() => return,
    }
    tracing::info!(pipelines = stores.pipelines.len(), "controller started");
    let pipelines = stores.pipelines.clone();
    let context = Arc::new(Context::new(client, options, (stores, known), wake));
    tokio::spawn(stop.clone().run_until_cancelled_owned(count_questions(context.clone())));
    let queue = futures::stream::unfold(woken, |mut woken| async move { Some((woken.recv().await?, woken)) })
        .map(Ok::<_, std::convert::Infallible>)
        .take_until(stop.clone().cancelled_owned());
    applier(
        |object, context| Box::pin(reconcile::reconcile(object, context)),
        reconcile::after_error,
        context,
        pipelines,
        Box::pin(queue),
        Config::default().debounce(DEBOUNCE).concurrency(CONCURRENCY),
    )
    .for_each(|looked: Result<(ObjectRef<Guarded>, Action), _>| {
        if let Err(error) = looked {
            tracing::debug!(error = &error as &dyn std::error::Error, "a look did not end well");
        }
        std::future::ready(())
    })
    .await;
}

/// Carries what the lag monitors counted over to the metrics.
async fn count_questions(context: Arc<Context>) {
    let mut before = Counts::default();
    loop {
        tokio::time::sleep(COUNT_EVERY).await;
        let now = context.monitors.counts();
        let metrics = &context.known.metrics;
        for (kind, count) in &now.requests {
            metrics.kafka_requests(kind, count - before.requests.get(kind).copied().unwrap_or(0));
        }
        for (kind, now) in &now.questions {
            let before = before.questions.get(kind).copied().unwrap_or_default();
            let took = now.took.saturating_sub(before.took);
            metrics.lag_queries(kind.name(), now.answers - before.answers, now.errors - before.errors, took);
        }
        metrics.pipelines(context.stores.pipelines.len());
        before = now;
    }
}
