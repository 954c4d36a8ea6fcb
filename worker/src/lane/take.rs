//! Starting: the lane takes its partition's fence and places the reader.

use std::sync::atomic::Ordering;

use plaudit_crds::InitialOffset;
use prost::Message;

use super::halt::Halt;
use super::ports::{Outbox, Source, SourceError, TopicFacts};
use super::shared::{StopReason, lock};
use super::start::{CommitMetadata, Decision, Known, Start, decide};
use super::{Lane, LaneState};
use crate::player::FORMAT;
use crate::proto::Fence;
use crate::store::{FenceError, FenceState, Store, StoreError, read_fence};

/// A try that is worth another: why, for whoever looks at the lane.
struct Again(StopReason, String);

impl From<SourceError> for Again {
    fn from(error: SourceError) -> Self {
        Self(StopReason::KafkaUnavailable, error.to_string())
    }
}

impl From<StoreError> for Again {
    fn from(error: StoreError) -> Self {
        Self(StopReason::StoreUnavailable, error.sentence())
    }
}

/// How a try to take the fence failed.
enum TakeError {
    Again(Again),
    Halt(Halt),
}

impl<E: Into<Again>> From<E> for TakeError {
    fn from(error: E) -> Self {
        Self::Again(error.into())
    }
}

impl<S: Store, Q: Source, O: Outbox> Lane<S, Q, O> {
    /// Takes the fence and positions the reader. `own` is the lane's committable when it starts again.
    pub(super) async fn start(&mut self, own: Option<i64>) -> Result<(), Halt> {
        let lane = self.context.clone();
        lane.shared.set_idle_fence(None);
        let (fence, from) = loop {
            match self.try_take(own).await {
                Ok(taken) => break taken,
                Err(TakeError::Halt(halt)) => return Err(halt),
                Err(TakeError::Again(Again(reason, message))) => {
                    lane.waiting(reason, message);
                    let delay = self.backoff.next_delay();
                    lane.pause(delay).await?;
                }
            }
        };
        *lock(&lane.shared.commit_metadata) = CommitMetadata::of(&fence).encode();
        tracing::debug!(partition = lane.shared.partition, from, position = fence.position, "fence taken");
        self.writer.hold(&lane, FenceState::new(fence), from);
        while let Err(error) = self.reader.start_at(from).await {
            // The client refuses to seek for a moment after it assigned the partition.
            tracing::debug!(partition = lane.shared.partition, %error, "not placed yet");
            let delay = self.backoff.next_delay();
            lane.pause(delay).await?;
        }
        self.backoff.reset();
        lane.shared.position.store(from, Ordering::Relaxed);
        if !lane.stop.is_cancelled() {
            lane.shared.set_state(LaneState::Running);
        }
        Ok(())
    }

    /// One try to take or create the fence.
    async fn try_take(&mut self, own: Option<i64>) -> Result<(Fence, i64), TakeError> {
        let lane = self.context.clone();
        lane.step();
        let topic = self.reader.source.topic().await?;
        lane.shared.placement.set_partitions(topic.partitions);
        let committed = self.reader.source.committed().await?;
        let log = self.reader.source.log_bounds().await?;
        let key = lane.layout.fence_key(lane.shared.partition);
        let value = self.writer.store.fence(&key).await?;
        let found = decode_fence(value.as_deref()).map_err(TakeError::Halt)?;
        // Partition 0 tells how many there were; it is asked only where the answer matters.
        let partitions_at_first = match (&found, &committed) {
            (None, None) if lane.start.initial == InitialOffset::Latest => {
                let first = self.writer.store.fence(&lane.layout.fence_key(0)).await?;
                let first = decode_fence(first.as_deref()).map_err(TakeError::Halt)?;
                first.map(|fence| fence.partitions).filter(|count| *count > 0)
            }
            _ => None,
        };
        let Decision { start, skipped } = decide(&Known {
            partition: lane.shared.partition,
            fence: found.as_ref(),
            committed: committed.as_ref(),
            own,
            log,
            topic_id: &topic.id,
            partitions_at_first,
            group: &lane.group,
            rules: lane.start,
        });
        let (mut fence, from) = match start {
            Start::Stop { reason, message } => return Err(TakeError::Halt(Halt::Park { reason, message })),
            Start::Take { from } => (found.unwrap_or_default(), from),
            Start::Create { from, incarnation } => (new_fence(&lane.group, from, incarnation, &topic), from),
        };
        let id = self.writer.ids().attempt().ok;
        (fence.id_high, fence.id_low) = (id.high, id.low);
        if fence.topic_id.is_empty() {
            fence.topic_id = topic.id;
        }
        if self.writer.store.replace_fence(&key, value.as_deref(), &fence.encode_to_vec()).await? {
            if let Some((first, end)) = skipped {
                let partition = lane.shared.partition;
                let lost = end.abs_diff(first);
                tracing::error!(partition, first, last = end - 1, lost, "records skipped: the log lost them");
                lane.metrics.lost_records.inc_by(lost);
            }
            return Ok((fence, from));
        }
        let message = "the fence changed while it was taken".to_owned();
        Err(TakeError::Again(Again(StopReason::FenceContention, message)))
    }
}

fn decode_fence(value: Option<&[u8]>) -> Result<Option<Fence>, Halt> {
    let fence = value.map(read_fence).transpose();
    fence.map_err(|error| {
        let reason = match &error {
            FenceError::Damaged(_) => StopReason::DamagedRecord,
            FenceError::NewerFormat => StopReason::NewerFormat,
        };
        Halt::Park { reason, message: error.to_string() }
    })
}

fn new_fence(group: &str, from: i64, incarnation: u32, topic: &TopicFacts) -> Fence {
    Fence {
        format: FORMAT,
        position: from,
        settled: from,
        owner: group.to_owned(),
        topic_id: topic.id.clone(),
        incarnation,
        first: from,
        partitions: topic.partitions,
        ..Fence::default()
    }
}
