//! What is seen of a line from outside.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use plaudit::snapshot::{Snapshot, WorkerView};

use super::line::WORKERS;

pub(super) fn is(seen: &Snapshot, wanted: &str, status: &str, reason: Option<&str>) -> bool {
    let conditions = seen.pipeline.status.iter().flat_map(|status| &status.conditions);
    let mut found = conditions.filter(|found: &&Condition| found.type_ == wanted);
    found.any(|found| found.status == status && reason.is_none_or(|reason| found.reason == reason))
}

pub(super) fn is_complete(seen: &Snapshot) -> bool {
    let is_ready = |worker: &WorkerView| worker.ready && worker.state == "running";
    seen.workers.len() == WORKERS && seen.workers.iter().all(is_ready)
}

pub(super) fn pids(seen: &Snapshot) -> BTreeSet<u32> {
    seen.workers.iter().filter_map(|worker| worker.pid).collect()
}
