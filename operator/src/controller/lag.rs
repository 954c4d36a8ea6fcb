//! What is known of a pipeline's topic and group: asked for once, and told by what watches them.

use kube::runtime::reflector::ObjectRef;

use super::context::{Context, Guarded};
use super::memory::Memory;
use super::workload::Workload;
use crate::observe::{LagWatch, SourceState, Trouble};
use crate::pipeline::Pipeline;
use crate::security::{self, Credentials};

/// The last answer about the topic, and what is wrong with new credentials; begins to watch what is new, and wakes the pipeline with
/// each answer that differs.
pub(super) fn lag(
    context: &Context,
    memory: &mut Memory,
    pipeline: &Pipeline,
    credentials: &Credentials,
    reference: &ObjectRef<Guarded>,
) -> (SourceState, Option<Trouble>) {
    LagWatch::look(&mut memory.lag, &context.monitors, pipeline, &credentials.source, |watch| {
        let (mut answers, wake, reference) = (watch.answers(), context.wake.clone(), reference.clone());
        tokio::spawn(async move {
            // Ends with the watch, and with the controller.
            while answers.changed().await.is_ok() && wake.send(reference.clone()).is_ok() {}
        });
    })
}

/// The certificates that workers have to have: new ones only once they have worked, so that they replace no worker in vain, not even by
/// an operator that has just started.
pub(super) fn certificates(memory: &Memory, workload: Option<&Workload>) -> Option<String> {
    match &memory.lag {
        Some(watch) if watch.is_proven() || workload.is_none() => security::certificates(watch.credentials()),
        // Nothing that works was found yet: what runs stays.
        Some(_) | None => workload.and_then(|workload| workload.certificates.clone()),
    }
}
