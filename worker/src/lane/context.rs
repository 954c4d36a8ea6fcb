//! What a lane is given: settings of its pipeline, and the parts of the worker that lanes share.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use plaudit_crds::{Format, OnError, Unlisted};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::halt::Halt;
use super::shared::{LaneShared, LaneState, StopReason};
use super::start::StartRules;
use crate::budget::MemoryBudget;
use crate::merge::Policies;
use crate::metrics::Metrics;
use crate::mutation::Mutation;
use crate::player::Layout;

/// How a batch is cut on its way into the store. Smaller ones let a simulated run meet every cut with few players.
#[derive(Clone, Copy, Debug)]
pub struct Cuts {
    /// Players of one script: Lua's stack and the server's patience bound it.
    pub script_players: usize,
    /// Keys of one MGET.
    pub page_keys: usize,
    /// Players that one round loads, merges and writes: what a lane holds besides its batch is in proportion.
    pub round_players: usize,
    /// Bytes that one round loads, roughly: what a lane holds besides its batch is a few times this.
    pub round_bytes: usize,
    /// A first guess that players are new needs so many in a row that the store did not know.
    pub newcomers_row: u32,
}

impl Default for Cuts {
    fn default() -> Self {
        Self {
            script_players: 256,
            page_keys: 256,
            round_players: 256,
            round_bytes: 1 << 20,
            newcomers_row: 512,
        }
    }
}

/// One lane's surroundings.
#[derive(Debug)]
pub struct LaneContext {
    pub shared: Arc<LaneShared>,
    pub metrics: Arc<Metrics>,
    pub budget: MemoryBudget,
    /// A batch that fills a script grows no further than to so many bytes: whoever came first would leave nothing to the
    /// other lanes, and only some of them would work.
    pub share_bytes: usize,
    pub stop: CancellationToken,
    pub layout: Layout,
    pub policies: Policies,
    pub group: String,
    pub start: StartRules,
    pub format: Format,
    pub unlisted: Unlisted,
    pub on_error: OnError,
    /// Whether there is a topic of unlocks. Without one, pending unlocks of an earlier configuration stay as they are.
    pub announces: bool,
    pub max_clock_skew_ms: i64,
    pub max_records: usize,
    pub max_bytes: usize,
    pub max_delay: Duration,
    pub max_value_bytes: usize,
    pub cuts: Cuts,
    pub cache_bytes: usize,
    /// Milliseconds since 1970.
    pub now_ms: fn() -> i64,
    /// When the worker started: the clock of [`LaneShared::last_step`].
    pub epoch: Instant,
    /// How long a parked lane waits before it looks again.
    pub parked: Duration,
    pub mutation: Mutation,
}

impl LaneContext {
    /// Tells the watchdog that the lane is alive.
    pub fn step(&self) {
        let millis = u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.shared.last_step.store(millis, Ordering::Relaxed);
    }

    /// What the lane waited for is there.
    pub(super) fn running(&self) {
        if self.shared.state() == LaneState::Waiting {
            tracing::info!(partition = self.shared.partition, "lane goes on");
            self.shared.set_state(LaneState::Running);
        }
    }

    pub(super) fn waiting(&self, reason: StopReason, message: String) {
        if self.stop.is_cancelled() {
            return;
        }
        if self.shared.state() != LaneState::Waiting {
            tracing::warn!(
                partition = self.shared.partition,
                reason = reason.as_str(),
                because = message,
                "lane waits"
            );
        }
        self.shared.set_state_because(LaneState::Waiting, reason, message);
    }

    /// Sleeps, unless the lane is told to stop.
    pub(super) async fn pause(&self, delay: Duration) -> Result<(), Halt> {
        self.step();
        tokio::select! {
            // In this order, so that a simulated run is a function of its seed.
            biased;
            () = self.stop.cancelled() => Err(Halt::Stopped),
            () = tokio::time::sleep(delay) => Ok(()),
        }
    }
}
