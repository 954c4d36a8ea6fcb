//! When a pipeline is looked at again if nothing wakes it before.

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::controller::Action;
use kube::{Resource as _, ResourceExt as _};

use super::apply::ApplyError;
use super::context::{Context, Guarded, lock};
use super::secrets;
use crate::observe::{Observed, SourceState};
use crate::pipeline::Pipeline;

/// A pipeline in which nothing moves is looked at anyway: an event may have been missed.
pub(super) const QUIET: Duration = Duration::from_secs(60);
/// The first wait after a look that failed; each further one doubles it.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// After a look at its source and workers. `decision`: when another number of workers may be due; `period`: between two polls of Kafka.
pub(super) fn after_look(
    pipeline: &Pipeline,
    observed: &Observed,
    decision: Duration,
    period: Duration,
) -> Duration {
    let Observed { source, workers, rolls_out, .. } = observed;
    let moves = *rolls_out
        || workers.values().any(|worker| !worker.ready || worker.complains())
        || !matches!(source, SourceState::Found(_))
        || observed.source_trouble.is_some();
    let longest = if pipeline.names_secrets() { secrets::EVERY } else { QUIET };
    if moves { period } else { decision.clamp(period, longest) }
}

/// After a look that failed.
#[allow(clippy::needless_pass_by_value)] // the signature is the runtime's
pub(super) fn after_error(object: Arc<Guarded>, error: &ApplyError, context: Arc<Context>) -> Action {
    let uid = object.meta().uid.as_deref().unwrap_or_default();
    if !context.known.remembers(uid) {
        return Action::await_change();
    }
    let memory = context.known.memory(uid);
    let mut memory = lock(&memory);
    let wait = FIRST_RETRY.saturating_mul(1 << memory.failures.min(10)).min(LONGEST_RETRY);
    memory.failures += 1;
    let (namespace, name) = (object.namespace(), object.name_any());
    let (error, failures) = (error as &dyn std::error::Error, memory.failures);
    tracing::warn!(namespace, name, error, failures, "pipeline not reconciled, tried again");
    Action::requeue(wait.mul_f64(0.75 + fastrand::f64() / 2.0))
}
