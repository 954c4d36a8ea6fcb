//! What a worker process says about itself.

use std::path::Path;

use crate::observe::{Asked, LanesReport, ask};

/// What a worker said at the last look.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    pub(super) pid: u32,
    pub(super) address: Option<String>,
    pub(super) ready: bool,
    pub(super) report: Option<LanesReport>,
}

/// Asks a process for its readiness and its lanes; what it does not say stays unknown.
pub(super) async fn ask_worker(pid: u32, address_file: &Path) -> Answer {
    let Ok(address) = tokio::fs::read_to_string(address_file).await else {
        return Answer { pid, ..Answer::default() };
    };
    let address = address.trim().to_owned();
    let Asked { ready, report } = ask(&address).await;
    Answer { pid, address: Some(address), ready, report }
}

/// A worker that was ready and now waits for nothing but its new partitions is as ready as before: they change hands in a moment.
pub(super) fn rebalances(before: &Answer, now: &Answer) -> bool {
    let moves = |state: &str| matches!(state, "starting" | "running" | "draining");
    let report = now.report.as_ref();
    before.ready
        && before.pid == now.pid
        && report.is_some_and(|report| report.lanes.iter().all(|lane| moves(&lane.state)))
}
