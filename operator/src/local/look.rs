//! One look at a local fleet: what was found, decided and is shown, without any I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use plaudit_crds::{AchievementPipeline, AchievementPipelineStatus};

use super::ask::Answer;
use super::fleet::{Fleet, Slot, State, worker_name};
use crate::observe::{LanesReport, Observed, SourceState, Trouble, WorkerState};
use crate::pipeline::Pipeline;
use crate::scaling::{Learnt, Sample, Scaler};
use crate::snapshot::{Rate, Snapshot, Totals, WorkerView, partitions};
use crate::status::status;

/// What was found outside of this machine.
#[derive(Debug)]
pub(super) struct Sources {
    /// The topic and its group, and what is wrong with new credentials.
    pub(super) source: (SourceState, Option<Trouble>),
    /// What is wrong with the store's credentials.
    pub(super) store_trouble: Option<Trouble>,
}

/// What is remembered from one look to the next.
#[derive(Debug)]
pub(super) struct Look {
    object: AchievementPipeline,
    pipeline: Pipeline,
    scaler: Scaler,
    replicas: Option<u32>,
    rate: Rate,
    totals: Totals,
}

impl Look {
    pub(super) fn new(object: AchievementPipeline, pipeline: Pipeline) -> Self {
        let capacity = object.status.as_ref().and_then(|status| status.worker_capacity);
        let learnt = capacity.map(|capacity| Learnt { worker_capacity: capacity.unsigned_abs() });
        Self {
            object,
            pipeline,
            scaler: Scaler::new(learnt),
            replicas: None,
            rate: Rate::default(),
            totals: Totals::default(),
        }
    }

    /// What runs.
    pub(super) fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// Workers that should run.
    pub(super) fn wanted(&self) -> u32 {
        self.replicas.unwrap_or(0)
    }

    /// A process said something about itself.
    pub(super) fn report(&mut self, pid: u32, report: &LanesReport) {
        self.totals.report(pid, report);
    }

    /// A process ended.
    pub(super) fn gone(&mut self, pid: u32) {
        self.totals.gone(pid);
    }

    /// Decides, and gives everything there is to show.
    pub(super) fn take(
        &mut self,
        Sources { source: (source, source_trouble), store_trouble }: Sources,
        fleet: &Fleet,
        answers: &BTreeMap<u32, Answer>,
        now: Duration,
    ) -> Snapshot {
        let workers =
            fleet.slots().map(|(index, slot)| (worker_name(index), worker_state(slot, answers.get(&index))));
        let observed = Observed {
            source,
            source_trouble,
            store_trouble,
            workers: workers.collect(),
            ..Observed::default()
        };
        let starts_at_log_start = self.pipeline.starts_at_log_start();
        let sample = Sample::of(&observed, starts_at_log_start, self.replicas);
        let plan = self.scaler.decide(&self.pipeline.scaling, &sample, now);
        if self.replicas != Some(plan.replicas) {
            tracing::info!(
                from = self.replicas,
                to = plan.replicas,
                reason = plan.record.reason,
                because = plan.record.message,
                "replicas changed"
            );
        }
        self.replicas = Some(plan.replicas);
        let status = status(&self.pipeline, &observed, &plan, self.object.status.as_ref(), Timestamp::now());
        announce(self.object.status.as_ref(), &status);
        self.object.status = Some(status);
        let totals = self.totals.sum();
        Snapshot {
            pipeline: self.object.clone(),
            decision: plan.record,
            age_seconds: now.as_secs(),
            workers: fleet.slots().map(|(index, slot)| view(index, slot, answers.get(&index))).collect(),
            partitions: partitions(&observed, starts_at_log_start),
            rate: self.rate.look(&observed, now),
            conflicts: totals.conflicts,
            cpu_seconds: totals.cpu_seconds,
            resident_bytes: totals.resident_bytes,
            peak_resident_bytes: self.totals.peak_resident_bytes(),
        }
    }
}

/// Says in full what a line among many has no room for, once, when it begins.
fn announce(before: Option<&AchievementPipelineStatus>, after: &AchievementPipelineStatus) {
    let ready = |status: &AchievementPipelineStatus| {
        status.conditions.iter().find(|condition| condition.type_ == "Ready").cloned()
    };
    let Some(Condition { status, reason, message, .. }) = ready(after) else { return };
    if before.and_then(ready).is_some_and(|before| before.status == status && before.reason == reason) {
        return;
    }
    match (status.as_str(), reason.as_str()) {
        ("True", _) => tracing::info!(because = message, "pipeline ready"),
        // passing by itself
        (_, "Starting" | "NotYetObserved") => {
            tracing::info!(reason, because = message, "pipeline not ready yet");
        }
        _ => tracing::warn!(reason, because = message, "pipeline not ready"),
    }
}

fn worker_state(slot: &Slot, answer: Option<&Answer>) -> WorkerState {
    let report = answer.and_then(|answer| answer.report.clone());
    let trouble = || {
        let message = slot.trouble.clone()?;
        Some(Trouble { reason: "Restarting".to_owned(), message })
    };
    match slot.state {
        State::Running { .. } => {
            WorkerState { ready: answer.is_some_and(|answer| answer.ready), trouble: trouble(), report }
        }
        State::Waiting { .. } => WorkerState { ready: false, trouble: trouble(), report: None },
        // It still owns partitions, but it is not one of those that should run.
        State::Draining { .. } => WorkerState { ready: false, trouble: None, report },
    }
}

fn view(index: u32, slot: &Slot, answer: Option<&Answer>) -> WorkerView {
    let ready = answer.is_some_and(|answer| answer.ready);
    let state = match slot.state {
        State::Waiting { .. } => "waiting",
        State::Running { .. } if ready => "running",
        State::Running { .. } => "starting",
        State::Draining { .. } => "draining",
    };
    WorkerView {
        name: worker_name(index),
        pid: slot.pid(),
        ready: ready && state == "running",
        restarts: slot.restarts,
        address: answer.and_then(|answer| answer.address.clone()),
        state: state.to_owned(),
    }
}
