//! Where a lane starts, decided from its fence, the group's commit and the log. Pure.

use plaudit_crds::InitialOffset;

use super::ports::Committed;
use super::shared::StopReason;
use crate::proto::Fence;

/// What is known when a lane starts.
#[derive(Clone, Debug)]
pub struct Known<'a> {
    pub fence: Option<&'a Fence>,
    pub committed: Option<&'a Committed>,
    /// The lane's own committable, when it starts again.
    pub own: Option<i64>,
    /// First offset in the log, and the offset after the last.
    pub log: (i64, i64),
    pub group: &'a str,
    pub initial: InitialOffset,
}

/// What the lane does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// Take the fence and read from here.
    Take { from: i64 },
    /// Create the fence and read from here.
    Create { from: i64 },
    /// Write nothing.
    Stop { reason: StopReason, message: String },
}

/// Metadata of Plaudit's own commits: format, topic ID (hex, may be empty), incarnation, first offset ever due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitMetadata {
    pub topic_id: Vec<u8>,
    pub incarnation: u32,
    pub first: i64,
}

impl CommitMetadata {
    pub fn of(fence: &Fence) -> Self {
        Self { topic_id: fence.topic_id.clone(), incarnation: fence.incarnation, first: fence.first }
    }

    pub fn encode(&self) -> String {
        let topic: String = self.topic_id.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("plaudit/1:{topic}:{}:{}", self.incarnation, self.first)
    }

    /// `None` for a commit of somebody else.
    pub fn decode(metadata: &[u8]) -> Option<Self> {
        let rest = std::str::from_utf8(metadata).ok()?.strip_prefix("plaudit/1:")?;
        let mut parts = rest.split(':');
        let topic = parts.next()?;
        let topic_id = (0..topic.len() / 2)
            .map(|at| u8::from_str_radix(topic.get(at * 2..at * 2 + 2)?, 16).ok())
            .collect::<Option<_>>()?;
        Some(Self { topic_id, incarnation: parts.next()?.parse().ok()?, first: parts.next()?.parse().ok()? })
    }
}

/// The lane start table.
pub fn decide(known: &Known<'_>) -> Start {
    let stop = |reason, message| Start::Stop { reason, message };
    let start = match (known.fence, known.committed) {
        (Some(fence), _) if fence.owner != known.group => {
            return stop(
                StopReason::StoreInUse,
                format!(
                    "the keys with this prefix belong to consumer group {}; give this pipeline another store.keyPrefix",
                    fence.owner
                ),
            );
        }
        (Some(fence), committed) => {
            let confirmed = known.own.or(committed.map(|committed| committed.offset));
            Start::Take { from: confirmed.map_or(fence.settled, |offset| offset.min(fence.settled)) }
        }
        (None, Some(committed)) if CommitMetadata::decode(&committed.metadata).is_some() => {
            return stop(
                StopReason::StoreLost,
                format!(
                    "the group has committed offset {} but the store has no fence: it was emptied or is another store; \
                     bring its data back, or delete the consumer group to read everything again",
                    committed.offset
                ),
            );
        }
        (None, Some(committed)) => Start::Create { from: committed.offset },
        (None, None) => Start::Create {
            from: match known.initial {
                InitialOffset::Earliest => known.log.0,
                InitialOffset::Latest => known.log.1,
            },
        },
    };
    inside_log(start, known.log)
}

fn inside_log(start: Start, (low, high): (i64, i64)) -> Start {
    match start {
        Start::Take { from } | Start::Create { from } if from < low => Start::Stop {
            reason: StopReason::RetentionLoss,
            message: format!(
                "offsets {from} to {} are due but no longer in the log: retention overtook the group",
                low - 1
            ),
        },
        Start::Take { from } | Start::Create { from } if from > high => Start::Stop {
            reason: StopReason::TopicRecreated,
            message: format!("offset {from} is due but the log ends at {high}: the topic was created again"),
        },
        start => start,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fence(settled: i64) -> Fence {
        Fence { settled, position: settled + 5, owner: "g".into(), ..Fence::default() }
    }

    fn ours(offset: i64) -> Committed {
        let metadata =
            CommitMetadata { topic_id: vec![1, 255], incarnation: 0, first: 0 }.encode().into_bytes();
        Committed { offset, metadata }
    }

    fn foreign(offset: i64) -> Committed {
        Committed { offset, metadata: vec![0xff] }
    }

    fn known<'a>(fence: Option<&'a Fence>, committed: Option<&'a Committed>) -> Known<'a> {
        Known { fence, committed, own: None, log: (10, 100), group: "g", initial: InitialOffset::Earliest }
    }

    fn reason(start: &Start) -> Option<StopReason> {
        match start {
            Start::Stop { reason, .. } => Some(*reason),
            Start::Take { .. } | Start::Create { .. } => None,
        }
    }

    #[test]
    fn the_table() {
        assert_eq!(decide(&known(Some(&fence(50)), Some(&ours(40)))), Start::Take { from: 40 });
        assert_eq!(decide(&known(Some(&fence(50)), Some(&ours(60)))), Start::Take { from: 50 });
        assert_eq!(decide(&known(Some(&fence(50)), None)), Start::Take { from: 50 });
        assert_eq!(decide(&known(None, None)), Start::Create { from: 10 });
        assert_eq!(
            decide(&Known { initial: InitialOffset::Latest, ..known(None, None) }),
            Start::Create { from: 100 }
        );
        assert_eq!(decide(&known(None, Some(&foreign(33)))), Start::Create { from: 33 });
        assert_eq!(reason(&decide(&known(None, Some(&ours(33))))), Some(StopReason::StoreLost));
        let other = Fence { owner: "other".into(), ..fence(50) };
        assert_eq!(reason(&decide(&known(Some(&other), Some(&ours(40))))), Some(StopReason::StoreInUse));
        assert_eq!(
            reason(&decide(&known(Some(&fence(9)), Some(&ours(40))))),
            Some(StopReason::RetentionLoss)
        );
        assert_eq!(reason(&decide(&known(Some(&fence(101)), None))), Some(StopReason::TopicRecreated));
    }

    #[test]
    fn a_lane_that_starts_again_begins_at_its_own_committable_not_at_the_position() {
        let fence = fence(50);
        let committed = ours(90);
        let known = known(Some(&fence), Some(&committed));
        assert_eq!(decide(&Known { own: Some(45), ..known.clone() }), Start::Take { from: 45 });
        assert_eq!(decide(&Known { own: Some(55), ..known }), Start::Take { from: 50 });
    }

    #[test]
    fn metadata_reads_back_and_knows_strangers() {
        let metadata = CommitMetadata { topic_id: vec![0xab, 0x01], incarnation: 2, first: 17 };
        assert_eq!(CommitMetadata::decode(metadata.encode().as_bytes()), Some(metadata));
        assert_eq!(CommitMetadata::decode(b""), None);
        assert_eq!(CommitMetadata::decode(b"plaudit/1:zz:0:0"), None);
    }
}
