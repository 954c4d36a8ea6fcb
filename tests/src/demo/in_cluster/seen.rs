//! What is seen of a pipeline in a cluster: its status, its pods, what they say of their lanes, and the group's offsets.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use plaudit::children::WORKER_PORT;
use plaudit::observe::{
    Asked, Committed, LanesReport, Observed, PartitionOffsets, SourceState, WorkerState, ask as ask_worker,
};
use plaudit::pipeline::{self, Pipeline};
use plaudit::snapshot::{Rate, Snapshot, Totals, WorkerView, partitions};
use plaudit_crds::AchievementPipeline;

use crate::scene::Log;

/// A pod with what its process says.
pub(super) struct Played {
    view: WorkerView,
    report: Option<LanesReport>,
}

/// What is remembered from one look to the next.
pub(super) struct Memory {
    begin: Instant,
    pipeline: Pipeline,
    rate: Rate,
    totals: Totals,
    living: BTreeSet<u32>,
}

impl Memory {
    pub(super) fn new(object: &AchievementPipeline) -> Result<Self> {
        Ok(Self {
            begin: Instant::now(),
            pipeline: pipeline::parse(object).context("the pipeline is refused")?,
            rate: Rate::default(),
            totals: Totals::default(),
            living: BTreeSet::new(),
        })
    }

    pub(super) fn group(&self) -> &str {
        &self.pipeline.source.consumer_group
    }

    /// `None` until the operator has decided for the first time. Without offsets, no partition is shown.
    pub(super) fn take(
        &mut self,
        object: AchievementPipeline,
        pods: &[Played],
        offsets: Option<Vec<PartitionOffsets>>,
    ) -> Option<Snapshot> {
        let decision = object.status.as_ref()?.last_decision.clone()?;
        let state =
            |pod: &Played| WorkerState { ready: pod.view.ready, trouble: None, report: pod.report.clone() };
        let observed = Observed {
            source: offsets.map_or(SourceState::NotAsked, |offsets| SourceState::Found(offsets.into())),
            workers: pods.iter().map(|pod| (pod.view.name.clone(), state(pod))).collect(),
            ..Observed::default()
        };
        self.count(pods);
        let (now, totals) = (self.begin.elapsed(), self.totals.sum());
        Some(Snapshot {
            pipeline: object,
            decision,
            age_seconds: now.as_secs(),
            workers: pods.iter().map(|pod| pod.view.clone()).collect(),
            partitions: partitions(&observed, self.pipeline.starts_at_log_start()),
            rate: self.rate.look(&observed, now),
            conflicts: totals.conflicts,
            cpu_seconds: totals.cpu_seconds,
            resident_bytes: totals.resident_bytes,
            peak_resident_bytes: self.totals.peak_resident_bytes(),
        })
    }

    fn count(&mut self, pods: &[Played]) {
        let present: BTreeSet<u32> = pods.iter().filter_map(|pod| pod.view.pid).collect();
        self.living.difference(&present).for_each(|pid| self.totals.gone(*pid));
        for pod in pods {
            if let (Some(pid), Some(report)) = (pod.view.pid, &pod.report) {
                self.totals.report(pid, report);
            }
        }
        self.living = present;
    }
}

/// Asks all pods at once; their processes' numbers lie in `directory`.
pub(super) async fn ask(pods: Vec<Pod>, directory: &Path) -> Vec<Played> {
    join_all(pods.into_iter().map(|pod| async move {
        let address = pod.status.as_ref().and_then(|status| status.pod_ip.clone());
        let address = address.map(|ip| format!("{ip}:{WORKER_PORT}"));
        let asked = match &address {
            Some(address) => ask_worker(address).await,
            None => Asked::default(),
        };
        let pid = std::fs::read_to_string(directory.join(format!("{}.pid", pod.name_any())));
        let pid = pid.ok().and_then(|pid| pid.trim().parse().ok());
        Played { view: view(&pod, pid, address), report: asked.report }
    }))
    .await
}

fn view(pod: &Pod, pid: Option<u32>, address: Option<String>) -> WorkerView {
    let status = pod.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let ready = conditions.iter().any(|found| found.type_ == "Ready" && found.status == "True");
    let container = status.and_then(|status| status.container_statuses.as_ref()?.first());
    let runs = container.and_then(|container| container.state.as_ref()).is_some_and(|s| s.running.is_some());
    let state = match (pod.metadata.deletion_timestamp.is_some(), runs, ready) {
        (true, ..) => "draining",
        (false, true, true) => "running",
        (false, true, false) => "starting",
        (false, false, _) => "waiting",
    };
    WorkerView {
        name: pod.name_any(),
        pid: pid.filter(|_| runs),
        ready: state == "running",
        restarts: container.map_or(0, |container| container.restart_count.unsigned_abs()),
        address,
        state: state.to_owned(),
    }
}

/// The group's commits and the ends of the partitions. The commits are read first, so that none lies above its end.
pub(super) fn offsets(log: &Log, group: &str) -> Result<Vec<PartitionOffsets>> {
    let committed: BTreeMap<i32, i64> = log.committed(group)?;
    let ends = log.ends()?.into_iter();
    Ok(ends
        .map(|(partition, end)| PartitionOffsets {
            partition,
            committed: committed.get(&partition).map_or(Committed::Nothing, |at| Committed::Offset(*at)),
            log_start: Some(0),
            log_end: Some(end),
            ..PartitionOffsets::default()
        })
        .collect())
}
