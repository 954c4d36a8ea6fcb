//! Dead letters and unlocks: which are due, and sending them until they are acknowledged.

use super::{Job, Owed, Writer};
use crate::lane::LaneContext;
use crate::lane::halt::Halt;
use crate::lane::ports::{DeadLetter, Outbox, Refused, Unlock};
use crate::lane::shared::StopReason;
use crate::merge::{self, MAX_ACHIEVEMENTS, Why};
use crate::player::{PlayerId, PlayerState};
use crate::proto::{PendingDeadLetter, PendingUnlock};
use crate::report::Reason;
use crate::store::Store;

/// Outbox under way at once: each may be as large as a record.
const WINDOW: usize = 256;

impl<S: Store, O: Outbox> Writer<S, O> {
    /// Sends dead letters and waits for all; retries until they are acknowledged or the lane is told to stop.
    pub async fn send_letters(&mut self, lane: &LaneContext, letters: &[DeadLetter]) -> Result<(), Halt> {
        for window in letters.chunks(WINDOW) {
            let mut rest = window;
            while let Err((acknowledged, error)) = self.outbox.send(rest).await {
                rest = &rest[acknowledged..];
                lane.waiting(StopReason::DeadLetterUnavailable, error.to_string());
                let delay = self.backoff.next_delay();
                lane.pause(delay).await?;
            }
            self.calm(lane);
            lane.step();
            for letter in window {
                lane.metrics.dead_letters.with_label_values(&[letter.reason.as_str()]).inc();
                tracing::debug!(
                    partition = letter.partition,
                    offset = letter.offset,
                    reason = letter.reason.as_str(),
                    detail = letter.detail,
                    "dead letter sent"
                );
            }
        }
        Ok(())
    }

    /// Sends the letters of verdicts that no earlier one covers. The others' records were applied, or their letters
    /// acknowledged, before the watermark moved over them.
    pub(super) async fn send_judged(
        &mut self,
        lane: &LaneContext,
        job: &mut Job<'_>,
        due: &[i64],
    ) -> Result<(), Halt> {
        if due.is_empty() {
            return Ok(());
        }
        let (due, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut job.judged).into_iter().partition(|letter| due.contains(&letter.offset));
        job.judged = rest;
        self.send_letters(lane, &due).await
    }

    /// Sends the dead letters of refused records, whose payloads are read from the topic again.
    pub(super) async fn send_owed(
        &mut self,
        lane: &LaneContext,
        mut owed: Vec<merge::Refused>,
    ) -> Result<(), Halt> {
        owed.retain(|record| !self.sent.contains(&record.offset));
        owed.sort_unstable_by_key(|record| record.offset);
        owed.dedup();
        for window in owed.chunks(WINDOW) {
            let refused: Vec<Refused> = window.iter().map(refused).collect();
            let mut rest = &refused[..];
            while !rest.is_empty() {
                lane.step();
                match self.outbox.fetch(lane.shared.partition, rest).await {
                    Ok(letters) => {
                        self.send_letters(lane, &letters).await?;
                        rest = &rest[letters.len().min(rest.len())..];
                    }
                    Err(error) => {
                        lane.waiting(StopReason::KafkaUnavailable, error.to_string());
                        let delay = self.backoff.next_delay();
                        lane.pause(delay).await?;
                    }
                }
            }
            self.sent.extend(window.iter().map(|record| record.offset));
        }
        Ok(())
    }

    /// Removes pending dead letters of this partition that are known to be sent.
    pub(super) fn clear_sent(&self, state: &mut PlayerState) -> bool {
        let before = state.pending.len();
        state.pending.retain(|pending| !self.is_mine(pending) || !self.is_sent(pending.offset));
        state.pending.len() < before
    }

    /// What a state, once stored, still has to send for this partition.
    pub(super) fn owed(&self, lane: &LaneContext, id: &PlayerId, state: &PlayerState) -> Owed {
        let due = |pending: &&PendingDeadLetter| self.is_mine(pending) && !self.is_sent(pending.offset);
        let unlocks = state.unlocks.iter().filter(|_| lane.announces);
        Owed {
            letters: state.pending.iter().filter(due).map(merge::Refused::of).collect(),
            unlocks: unlocks.map(|pending| unlock(id, pending)).collect(),
        }
    }

    /// Announces unlocks and waits for all; retries until they are acknowledged or the lane is told to stop.
    pub(super) async fn announce(&mut self, lane: &LaneContext, unlocks: &[Unlock]) -> Result<(), Halt> {
        for window in unlocks.chunks(WINDOW) {
            let mut rest = window;
            while let Err((acknowledged, error)) = self.outbox.announce(rest).await {
                rest = &rest[acknowledged..];
                lane.waiting(StopReason::UnlockUnavailable, error.to_string());
                let delay = self.backoff.next_delay();
                lane.pause(delay).await?;
            }
            self.calm(lane);
            lane.step();
            lane.metrics.unlocks.inc_by(window.len() as u64);
        }
        Ok(())
    }

    /// Whether this lane, or one before it on the same partition, is known to have announced a pending unlock.
    pub(super) fn is_announced(&self, pending: &PendingUnlock) -> bool {
        (pending.partition, pending.incarnation) == (self.source.partition, self.source.incarnation)
            && pending.offset < self.processed
    }

    fn is_mine(&self, pending: &PendingDeadLetter) -> bool {
        pending.partition == self.source.partition && pending.incarnation == self.source.incarnation
    }

    fn is_sent(&self, offset: i64) -> bool {
        offset < self.processed || self.sent.contains(&offset)
    }
}

/// A refused record as its letter says it.
fn refused(record: &merge::Refused) -> Refused {
    let merge::Refused { offset, why, kind } = *record;
    let (reason, detail) = match why {
        Why::SumOverflow => {
            (Reason::SumOverflow, format!("the sum of type {kind} would leave the range of int64"))
        }
        Why::PlayerFull => (
            Reason::PlayerFull,
            format!("the player has {MAX_ACHIEVEMENTS} achievements, and none of type {kind}"),
        ),
    };
    Refused { offset, reason, detail }
}

/// A pending unlock as it is sent.
pub(super) fn unlock(id: &PlayerId, pending: &PendingUnlock) -> Unlock {
    Unlock {
        player: id.clone(),
        incarnation: pending.incarnation,
        kind: pending.r#type,
        tier: pending.tier,
        value: pending.value,
        timestamp: pending.timestamp,
    }
}
