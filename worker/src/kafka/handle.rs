//! Lanes from outside: what the group holds of each, and how they are ended.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::lane::{LaneShared, LaneState};

/// Lanes that were aborted are given this long, all together.
const ABORT_TIMEOUT: Duration = Duration::from_secs(5);

/// A running lane, from outside.
#[derive(Debug)]
pub struct LaneHandle {
    pub shared: Arc<LaneShared>,
    pub(super) stop: CancellationToken,
    pub(super) task: AbortHandle,
    /// Disconnected when the lane is gone.
    pub(super) gone: Receiver<()>,
    pub(super) stray: Arc<AtomicBool>,
    /// When the partition was assigned; taken once its lane reads.
    pub(super) assigned: Option<Instant>,
}

impl LaneHandle {
    fn is_gone_by(&self, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        self.gone.recv_timeout(left) != Err(RecvTimeoutError::Timeout)
    }
}

/// Tells lanes to stop and waits until each is gone, aborting those that miss the deadline. Without a deadline none
/// gets the time: nothing that a lane of a lost partition still finishes can be committed.
pub(super) fn drain(lanes: &[LaneHandle], deadline: Option<Duration>) {
    for lane in lanes {
        lane.shared.set_state(LaneState::Draining);
        lane.stop.cancel();
    }
    let until = Instant::now() + deadline.unwrap_or_default();
    let late: Vec<&LaneHandle> = lanes.iter().filter(|lane| !lane.is_gone_by(until)).collect();
    for lane in &late {
        let partition = lane.shared.partition;
        match deadline {
            Some(_) => {
                tracing::warn!(partition, "lane did not finish in time; its batch is done again elsewhere");
            }
            None => tracing::debug!(partition, "lane of a lost partition aborted"),
        }
        lane.task.abort();
    }
    // Aborting drops a lane at its next await, and nothing in it blocks.
    let until = Instant::now() + ABORT_TIMEOUT;
    for lane in late.iter().filter(|lane| !lane.is_gone_by(until)) {
        tracing::error!(
            partition = lane.shared.partition,
            "lane does not end; its partition may be read by nobody until the worker is started again"
        );
    }
}
