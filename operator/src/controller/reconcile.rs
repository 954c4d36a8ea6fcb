//! One look at one pipeline: parse → observe → plan → apply.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource as _, ResourceExt as _};
use plaudit_crds::{AchievementPipeline, AchievementPipelineStatus};

use super::again;
use super::apply::{ApplyError, apply_children, apply_status, mark_pods, publish};
use super::context::{Context, Guarded, lock};
use super::facts::{facts, overtaken};
use super::lag::{certificates, lag};
use super::memory::Memory;
use super::questions::{self, Question};
use super::removal::costs;
use super::rivals::Claim;
use super::standing::Standing;
use super::workers::workers;
use super::workload::Workload;
use crate::children::{child_name, children, selector_text};
use crate::metrics::ReconcileResult;
use crate::observe::{Observed, SourceState, Trouble};
use crate::pipeline::{Pipeline, parse};
use crate::scaling::{self, Decision, Learnt, Sample, Scaler};
use crate::security::Credentials;
use crate::status;

/// Looks at one pipeline.
pub(super) async fn reconcile(object: Arc<Guarded>, context: Arc<Context>) -> Result<Action, ApplyError> {
    let meta = object.meta();
    let uid = meta.uid.clone().unwrap_or_default();
    if meta.deletion_timestamp.is_some() {
        // Its children go with it (ownerReferences); its workers drain when they are asked to stop.
        return Ok(Action::await_change());
    }
    let memory = context.known.memory(&uid);
    let (begin, metrics) = (context.now(), &context.known.metrics);
    {
        let mut memory = lock(&memory);
        memory.object =
            Some((meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default()));
        if let Some(due) = memory.due.take() {
            metrics.late(begin.saturating_sub(due));
        }
    }
    let look = Look { context: &context, memory: &memory };
    let ended = match &object.0 {
        Ok(object) => look.take(object).await,
        Err(invalid) => look.undecodable(meta, &invalid.error).await,
    };
    let result = ended.as_ref().map_or(ReconcileResult::Error, |(result, _)| *result);
    metrics.reconciled(result, context.now().saturating_sub(begin));
    if !context.known.remembers(&uid) {
        // It went meanwhile, and so did what was told of it.
        metrics.forget(&meta.namespace.clone().unwrap_or_default(), &meta.name.clone().unwrap_or_default());
    }
    let (_, again) = ended?;
    let mut memory = lock(&memory);
    memory.failures = 0;
    memory.due = again.map(|again| context.now() + again);
    Ok(again.map_or_else(Action::await_change, Action::requeue))
}

/// How a look ended, and when the next one is due; none: when something changes.
type Looked = (ReconcileResult, Option<Duration>);

struct Look<'a> {
    context: &'a Context,
    memory: &'a Arc<Mutex<Memory>>,
}

impl Look<'_> {
    async fn take(&self, object: &AchievementPipeline) -> Result<Looked, ApplyError> {
        let pipeline = match parse(object) {
            Ok(pipeline) => pipeline,
            Err(rejection) => {
                let previous = self.previous(object);
                let generation = object.metadata.generation;
                let status = status::rejected(&rejection, generation, previous.as_ref(), Timestamp::now());
                self.write_status(object, previous.as_ref(), status).await?;
                return Ok((ReconcileResult::Rejected, Some(again::QUIET)));
            }
        };
        let period = self.context.options.period;
        let reference = ObjectRef::<Guarded>::new(&pipeline.name).within(&pipeline.namespace);
        let secrets = self.context.secrets.of(&self.context.client, &pipeline, self.context.now()).await;
        let credentials = Credentials::read(&pipeline, &secrets);
        let mut observed = self.observe(object, &pipeline, &credentials, &reference);
        let plan = self.decide(&pipeline, object, &observed);
        self.mark(&pipeline, &reference, &observed, &plan).await?;
        let refusal = self.apply(object, &pipeline, &plan).await?;
        observed.trouble = refusal.or(observed.trouble);
        let previous = self.previous(object);
        if status::stands(&pipeline, &observed, previous.as_ref()) {
            return Ok((
                ReconcileResult::Ok,
                Some(again::after_look(&pipeline, &observed, plan.look_again, period)),
            ));
        }
        let mut status = status::status(&pipeline, &observed, &plan, previous.as_ref(), Timestamp::now());
        status.selector = Some(selector_text(&pipeline));
        self.write_status(object, previous.as_ref(), status).await?;
        let before = std::mem::replace(&mut lock(self.memory).source, observed.source.clone());
        publish(self.context, object, &overtaken(&before, &observed.source)).await;
        let result =
            if observed.conflict.is_some() { ReconcileResult::Conflict } else { ReconcileResult::Ok };
        Ok((result, Some(again::after_look(&pipeline, &observed, plan.look_again, period))))
    }

    /// What is known now, from stores and from what others have fetched meanwhile; asks for what is due.
    fn observe(
        &self,
        object: &AchievementPipeline,
        pipeline: &Pipeline,
        credentials: &Credentials,
        reference: &ObjectRef<Guarded>,
    ) -> Observed {
        let Context { stores, known, asker, .. } = self.context;
        let claim = Claim::of(object);
        let conflict = lock(&known.claims).conflict(&claim).map(|conflict| conflict.message);
        let pods = stores.pods.of(reference);
        let workload = self.workload(pipeline);
        let now = self.context.now();
        let mut memory = lock(self.memory);
        let (source, source_trouble) = lag(self.context, &mut memory, pipeline, credentials, reference);
        memory.talks.retain(|name, _| pods.iter().any(|pod| pod.name == *name));
        let due = questions::due(&pods, &memory.talks, pipeline.names_secrets(), now);
        for pod in &due {
            let question = Question { at: now, ready: pod.ready, is_open: true };
            memory.talks.entry(pod.name.clone()).or_default().asked = Some(question);
        }
        asker.ask(reference, self.memory, due);
        if memory.replicas.is_none() {
            // What was decided before a restart stands in the cluster.
            memory.replicas = workload.as_ref().and_then(|found| found.replicas);
        }
        Observed {
            source,
            workers: workers(&pods, |name| memory.talks.get(name)?.report.as_deref().cloned()),
            rolls_out: workload.as_ref().is_some_and(|found| found.rolls_out),
            trouble: workload.and_then(|found| found.trouble.map(|trouble| *trouble)),
            conflict,
            source_trouble,
            store_trouble: credentials.store_trouble(),
        }
    }

    fn decide(&self, pipeline: &Pipeline, object: &AchievementPipeline, observed: &Observed) -> Decision {
        let mut memory = lock(self.memory);
        let status = object.status.as_ref();
        let replicas = memory.replicas.or_else(|| Some(status?.replicas?.unsigned_abs()));
        let sample = Sample::of(observed, pipeline.starts_at_log_start(), replicas);
        let decision = match &observed.conflict {
            Some(conflict) => scaling::no_worker(&pipeline.scaling, &sample, "Conflict", conflict),
            None => {
                let learnt = || {
                    let capacity = status?.worker_capacity?;
                    Some(Learnt { worker_capacity: capacity.unsigned_abs() })
                };
                let scaler = memory.scaler.get_or_insert_with(|| Scaler::new(learnt()));
                scaler.decide(&pipeline.scaling, &sample, self.context.now())
            }
        };
        if memory.replicas != Some(decision.replicas)
            && let Some(watch) = &memory.lag
        {
            watch.look_closer();
        }
        memory.replicas = Some(decision.replicas);
        let (metrics, Pipeline { namespace, name, .. }) = (&self.context.known.metrics, pipeline);
        metrics.decided(namespace, name, &decision.record);
        metrics.workers(namespace, name, decision.replicas, observed.ready_workers());
        metrics.lag(namespace, name, observed.lag(pipeline.starts_at_log_start()));
        decision
    }

    /// Before workers are removed: marks which of them goes first.
    async fn mark(
        &self,
        pipeline: &Pipeline,
        reference: &ObjectRef<Guarded>,
        observed: &Observed,
        plan: &Decision,
    ) -> Result<(), ApplyError> {
        let running = u32::try_from(observed.workers.len()).unwrap_or(u32::MAX);
        let SourceState::Found(topic) = &observed.source else { return Ok(()) };
        if plan.replicas == 0 || plan.replicas >= running || observed.rolls_out {
            return Ok(());
        }
        let pods = self.context.stores.pods.of(reference);
        let costs = costs(topic, pipeline.starts_at_log_start(), &pods);
        mark_pods(&self.context.client, &pipeline.namespace, &costs).await
    }

    /// Writes the children; gives why the API server refused one of them.
    async fn apply(
        &self,
        object: &AchievementPipeline,
        pipeline: &Pipeline,
        plan: &Decision,
    ) -> Result<Option<Trouble>, ApplyError> {
        let certificates = certificates(&lock(self.memory), self.workload(pipeline).as_ref());
        let certificates = certificates.as_deref();
        let standing = Standing::now(&self.context.stores, pipeline, plan.replicas, certificates);
        if standing.stands(lock(self.memory).standing.as_ref()) {
            return Ok(None);
        }
        let owner = object.controller_owner_ref(&());
        let settings = &self.context.options.settings;
        let wanted = children(pipeline, owner.as_ref(), settings, plan.replicas, certificates);
        let mut synced = lock(self.memory).synced.clone();
        let applied = apply_children(self.context, &wanted, &mut synced).await;
        lock(self.memory).synced = synced;
        match applied {
            Ok(()) => {
                lock(self.memory).standing = Some(standing);
                Ok(None)
            }
            Err(error @ ApplyError::Refused { .. }) => {
                Ok(Some(Trouble { reason: "ApplyRefused".to_owned(), message: error.to_string() }))
            }
            Err(error) => Err(error),
        }
    }

    fn workload(&self, pipeline: &Pipeline) -> Option<Workload> {
        let reference = ObjectRef::new(&child_name(&pipeline.name)).within(&pipeline.namespace);
        Some(self.context.stores.deployments.get(&reference)?.facts.clone())
    }

    fn previous(&self, object: &AchievementPipeline) -> Option<AchievementPipelineStatus> {
        let version = object.resource_version().unwrap_or_default();
        lock(self.memory).previous(&version, object.status.as_ref())
    }

    async fn write_status(
        &self,
        object: &AchievementPipeline,
        previous: Option<&AchievementPipelineStatus>,
        status: AchievementPipelineStatus,
    ) -> Result<(), ApplyError> {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        self.context.known.metrics.told(&namespace, &name, &status);
        if previous == Some(&status) {
            return Ok(());
        }
        apply_status(&self.context.client, (&namespace, &name), &status).await?;
        let facts = facts(previous, &status);
        for fact in &facts {
            tracing::info!(namespace, name, reason = fact.reason, because = fact.note, "pipeline changed");
        }
        lock(self.memory).status = Some((object.resource_version().unwrap_or_default(), status));
        publish(self.context, object, &facts).await;
        Ok(())
    }

    /// An object that this version cannot read: told in its status, and nothing of it is touched.
    async fn undecodable(&self, meta: &kube::core::ObjectMeta, error: &str) -> Result<Looked, ApplyError> {
        let (namespace, name) =
            (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default());
        let version = meta.resource_version.clone().unwrap_or_default();
        let previous = lock(self.memory).previous(&version, None);
        let status = status::undecodable(error, meta.generation, previous.as_ref(), Timestamp::now());
        self.context.known.metrics.told(&namespace, &name, &status);
        if previous.as_ref() != Some(&status) {
            apply_status(&self.context.client, (&namespace, &name), &status).await?;
            lock(self.memory).status = Some((version, status));
        }
        Ok((ReconcileResult::Rejected, None))
    }
}
