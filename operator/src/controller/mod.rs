//! The controller: watches pipelines and their children, and has each pipeline looked at when something about it may have changed.
//!
//! `watch` fills the stores and wakes, `queue` works off what was woken, `reconcile` looks at one pipeline (parse → observe → plan →
//! apply), `apply` writes what differs, `again` says when the next look is due.
//! What decides has no client: `rivals`, `workers`, `workload`, `removal`, `facts`, `questions`, and the crate's `children`, `scaling`,
//! `status`.

mod again;
mod apply;
mod context;
mod facts;
mod lag;
mod memory;
mod pod_index;
mod questions;
mod queue;
mod reconcile;
mod removal;
mod rivals;
mod secrets;
mod shown;
mod standing;
mod watch;
mod workers;
mod workload;

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::admin::Health;
use crate::children::Settings;
use crate::metrics::Metrics;
use crate::observe::Counts;
use context::{Context, Guarded};

/// Between two readings of what the lag monitors counted.
const COUNT_EVERY: Duration = Duration::from_secs(2);

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
///
/// `health` has a heart of the controller from when the API server has said what there is, until the end.
pub async fn run(
    client: kube::Client,
    options: Options,
    metrics: Metrics,
    health: &Health,
    stop: CancellationToken,
) {
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
    let look = |object, context| Box::pin(reconcile::reconcile(object, context));
    queue::work_off(woken, pipelines, context, (look, again::after_error), (health, stop)).await;
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
