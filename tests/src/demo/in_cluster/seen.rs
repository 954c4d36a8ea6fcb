//! What is seen of a pipeline in a cluster: its status, its pods, what they say of their lanes, and the group's offsets.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::future::join_all;
use http::Request;
use k8s_openapi::api::core::v1::Pod;
use kube::{Client, ResourceExt as _};
use plaudit::children::WORKER_PORT;
use plaudit::observe::{
    Committed, LanesReport, Observed, PartitionOffsets, SourceState, WorkerState, ask_for_lanes,
};
use plaudit::pipeline::{self, Pipeline};
use plaudit::snapshot::{Rate, Snapshot, Totals, WorkerView, partitions};
use plaudit_crds::AchievementPipeline;

use crate::scene::Log;

/// A node that has gone does not answer at all, and a look waits for every pod.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// How workers are asked for their lanes.
pub(super) enum Way {
    /// At the address of the pod; the number of its process lies in this folder.
    Direct(PathBuf),
    /// By the API server, which reaches pods where this machine does not.
    ThroughApiServer,
}

/// A pod with what its worker says.
pub(super) struct Worker {
    view: WorkerView,
    /// One start of its container.
    life: String,
    report: Option<LanesReport>,
}

impl Worker {
    fn new(pod: &Pod, pid: Option<u32>, address: Option<String>, report: Option<LanesReport>) -> Self {
        let view = view(pod, pid, address);
        let life = format!("{}/{}", pod.uid().unwrap_or_default(), view.restarts);
        Self { view, life, report }
    }
}

/// What is remembered from one look to the next.
pub(super) struct Memory {
    begin: Instant,
    pipeline: Pipeline,
    rate: Rate,
    totals: Totals,
    /// Those that have ever been; the place of each is its number in the totals.
    lives: Vec<String>,
    living: BTreeSet<u32>,
}

impl Memory {
    pub(super) fn new(object: &AchievementPipeline) -> Result<Self> {
        Ok(Self {
            begin: Instant::now(),
            pipeline: pipeline::parse(object).context("the pipeline is refused")?,
            rate: Rate::default(),
            totals: Totals::default(),
            lives: Vec::new(),
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
        pods: &[Worker],
        offsets: Option<Vec<PartitionOffsets>>,
    ) -> Option<Snapshot> {
        let decision = object.status.as_ref()?.last_decision.clone()?;
        let state =
            |pod: &Worker| WorkerState { ready: pod.view.ready, trouble: None, report: pod.report.clone() };
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

    fn count(&mut self, pods: &[Worker]) {
        let present: BTreeSet<u32> = pods.iter().map(|pod| self.number(&pod.life)).collect();
        self.living.difference(&present).for_each(|life| self.totals.gone(*life));
        for pod in pods {
            if let Some(report) = &pod.report {
                let number = self.number(&pod.life);
                self.totals.report(number, report);
            }
        }
        self.living = present;
    }

    fn number(&mut self, life: &str) -> u32 {
        let known = self.lives.iter().position(|known| known == life);
        let number = known.unwrap_or_else(|| {
            self.lives.push(life.to_owned());
            self.lives.len() - 1
        });
        u32::try_from(number).expect("a demo starts few containers")
    }
}

/// Asks all pods at once.
pub(super) async fn ask(pods: Vec<Pod>, client: &Client, way: &Way) -> Vec<Worker> {
    join_all(pods.iter().map(async |pod| {
        let address = pod.status.as_ref().and_then(|status| status.pod_ip.clone());
        let address = address.map(|ip| format!("{ip}:{WORKER_PORT}"));
        let (pid, report) = match (way, &address) {
            (_, None) => (None, None),
            (Way::Direct(directory), Some(address)) => {
                let pid = std::fs::read_to_string(directory.join(format!("{}.pid", pod.name_any())));
                (pid.ok().and_then(|pid| pid.trim().parse().ok()), ask_for_lanes(address).await)
            }
            (Way::ThroughApiServer, Some(_)) => (None, lanes_through_api_server(client, pod).await),
        };
        Worker::new(pod, pid, address, report)
    }))
    .await
}

/// `None` while it does not answer.
async fn lanes_through_api_server(client: &Client, pod: &Pod) -> Option<LanesReport> {
    let (namespace, name) = (pod.namespace()?, pod.name_any());
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}:{WORKER_PORT}/proxy/lanes");
    let answer = client.request(Request::get(path).body(Vec::new()).ok()?);
    tokio::time::timeout(ANSWER_LIMIT, answer).await.ok()?.ok()
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

#[cfg(test)]
mod tests {
    use plaudit::snapshot::Counters;
    use serde_json::json;

    use super::*;
    use crate::example;

    fn worker(pod: &str, restarts: u32, conflicts: u64) -> Worker {
        let status = json!({"restartCount": restarts, "state": {"running": {}}, "name": "worker", "image": "", "imageID": "", "ready": true});
        let pod = json!({"metadata": {"name": pod, "uid": pod}, "status": {"containerStatuses": [status]}});
        let pod: Pod = serde_json::from_value(pod).expect("a pod");
        let report = LanesReport { conflicts, resident_bytes: 10, ..LanesReport::default() };
        Worker::new(&pod, None, None, Some(report))
    }

    #[test]
    fn what_a_container_has_counted_stays_when_it_is_gone_or_has_started_again() {
        let mut memory = Memory::new(&example::pipeline().expect("the example")).expect("it is good");

        memory.count(&[worker("a", 0, 1), worker("b", 0, 10)]);
        memory.count(&[worker("a", 0, 2), worker("b", 0, 20)]);
        memory.count(&[worker("a", 1, 100)]);

        let expected = Counters { conflicts: 122, cpu_seconds: 0.0, resident_bytes: 10 };
        assert_eq!(memory.totals.sum(), expected);
    }
}
