//! What is known of a pipeline's topic and group: asked for once, and told by what watches them.

use kube::runtime::reflector::ObjectRef;

use super::context::{Context, Guarded};
use super::memory::Memory;
use crate::observe::{self, SourceState};
use crate::pipeline::Pipeline;

/// The last answer about the topic; begins to watch it when it is new, and wakes the pipeline with each answer that differs.
pub(super) fn lag(
    context: &Context,
    memory: &mut Memory,
    pipeline: &Pipeline,
    reference: &ObjectRef<Guarded>,
) -> SourceState {
    let source = &pipeline.source;
    let key = format!("{} {} {}", source.bootstrap_servers, source.topic, source.consumer_group);
    if memory.lag.as_ref().is_none_or(|(watched, _)| *watched != key) {
        let watch = context.monitors.watch(pipeline);
        let (mut answers, wake, reference) = (watch.answers(), context.wake.clone(), reference.clone());
        tokio::spawn(async move {
            // Ends with the watch, and with the controller.
            while answers.changed().await.is_ok() && wake.send(reference.clone()).is_ok() {}
        });
        memory.lag = Some((key, watch));
    }
    match &memory.lag {
        Some((_, watch)) => {
            let (state, age) = watch.last();
            observe::fresh(state, age, context.options.period)
        }
        None => SourceState::NotAsked,
    }
}
