//! What a lane does after a halt.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::halt::Halt;
use super::ports::{Outbox, Source};
use super::shared::{LaneState, StopReason, UNKNOWN};
use super::{FLUSH, Lane};
use crate::store::Store;

/// More takes of a fence than this within [`CONTENTION`] are a fight for it.
const TAKES: usize = 2;
const CONTENTION: Duration = Duration::from_secs(60);

impl<S: Store, Q: Source, O: Outbox> Lane<S, Q, O> {
    /// Returns when the lane may start again; an error ends it.
    pub(super) async fn recover(&mut self, halt: Halt, own: Option<i64>) -> Result<(), Halt> {
        let lane = self.context.clone();
        let partition = lane.shared.partition;
        lane.shared.set_idle_fence(None);
        match halt {
            Halt::Stopped => return Err(Halt::Stopped),
            Halt::Restart { message } => {
                tracing::warn!(partition, because = message, "lane starts again");
                let delay = self.backoff.next_delay();
                lane.pause(delay).await?;
            }
            Halt::Park { reason, message } => {
                tracing::error!(
                    partition,
                    reason = reason.as_str(),
                    because = message,
                    "lane stopped; it needs attention"
                );
                lane.shared.set_state_because(LaneState::Stopped, reason, message);
                let until = Instant::now() + lane.parked;
                while Instant::now() < until {
                    lane.pause(FLUSH.min(lane.parked)).await?;
                }
            }
            Halt::FenceLost => {
                lane.metrics.fence_mismatches.inc();
                tracing::warn!(partition, "another worker took the lane's fence, or the store lost writes");
                self.calm_down().await?;
                self.confirm(own).await?;
            }
        }
        Ok(())
    }

    /// A third take within a minute waits: an owner and a zombie must not take the fence from each other for ever.
    async fn calm_down(&mut self) -> Result<(), Halt> {
        let now = Instant::now();
        self.takes.retain(|take| now.duration_since(*take) < CONTENTION);
        self.takes.push(now);
        if self.takes.len() > TAKES {
            let message = format!("taken {} times within a minute", self.takes.len());
            self.context.waiting(StopReason::FenceContention, message);
            let jitter = fastrand::Rng::with_seed(self.context.shared.nonce ^ self.takes.len() as u64).f64();
            self.context.pause(Duration::from_secs(1).mul_f64(1.0 + 4.0 * jitter)).await?;
        }
        Ok(())
    }

    /// Waits until the group accepts a commit from this worker: only the partition's owner starts again.
    async fn confirm(&mut self, own: Option<i64>) -> Result<(), Halt> {
        let lane = self.context.clone();
        let Some(offset) = own else { return Ok(()) };
        let metadata = lane.shared.commit_metadata();
        loop {
            let confirmed = self.reader.source.confirm(offset, &metadata).await;
            // The group may hold this offset now, whatever was answered: what it held before has to be committed again.
            lane.shared.committed.store(UNKNOWN, Ordering::Relaxed);
            let Err(error) = confirmed else { return Ok(()) };
            lane.waiting(StopReason::KafkaUnavailable, format!("the assignment is not confirmed: {error}"));
            let delay = self.backoff.next_delay();
            lane.pause(delay).await?;
        }
    }
}
