//! Where a lane starts, decided from its fence, the group's commit and the log. Pure.

use plaudit_crds::{InitialOffset, OnRetentionLoss, OnStoreLoss, OnTopicRecreated};

use super::ports::Committed;
use super::shared::StopReason;
use crate::proto::Fence;

/// What is known when a lane starts.
#[derive(Clone, Debug)]
pub struct Known<'a> {
    pub partition: i32,
    pub fence: Option<&'a Fence>,
    pub committed: Option<&'a Committed>,
    /// The lane's own committable, when it starts again.
    pub own: Option<i64>,
    /// First offset in the log, and the offset after the last.
    pub log: (i64, i64),
    /// Empty where the broker does not tell.
    pub topic_id: &'a [u8],
    /// Partitions of the topic when the group began, where it did.
    pub partitions_at_first: Option<u32>,
    pub group: &'a str,
    pub rules: StartRules,
}

/// What the pipeline says about starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartRules {
    pub initial: InitialOffset,
    pub on_topic_recreated: OnTopicRecreated,
    pub on_retention_loss: OnRetentionLoss,
    pub on_store_loss: OnStoreLoss,
}

/// What the lane does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// Take the fence and read from here.
    Take { from: i64 },
    /// Create the fence and read from here: whatever was there before, of the topic or of the fence, is over.
    Create { from: i64, incarnation: u32 },
    /// Write nothing.
    Stop { reason: StopReason, message: String },
}

/// A start, and what is lost by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub start: Start,
    /// Offsets that were due and are not in the log any more: the first, and the one after the last.
    pub skipped: Option<(i64, i64)>,
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
        let topic_id = topic_id(parts.next()?)?;
        let incarnation = parts.next()?.parse().ok()?;
        let first = parts.next()?.parse().ok()?;
        // The next topic of this name takes the next incarnation, and no offset lies below zero.
        (incarnation < u32::MAX && first >= 0 && parts.next().is_none()).then_some(Self {
            topic_id,
            incarnation,
            first,
        })
    }
}

/// Two hexadecimal digits for each byte, at most the 16 of Kafka's.
fn topic_id(text: &str) -> Option<Vec<u8>> {
    let is_hex = text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if !is_hex || text.len() % 2 == 1 || text.len() > 32 {
        return None;
    }
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).ok()).collect()
}

/// The lane start table.
pub fn decide(known: &Known<'_>) -> Decision {
    let start = match (known.fence, known.committed) {
        (Some(fence), _) if fence.owner != known.group => stop(
            StopReason::StoreInUse,
            format!(
                "the keys with this prefix belong to consumer group {}; give this pipeline another store.keyPrefix",
                fence.owner
            ),
        ),
        (Some(fence), _) if is_other(&fence.topic_id, known.topic_id) => return recreated(known, fence),
        (Some(fence), committed) => {
            let confirmed = known.own.or(committed.map(|committed| committed.offset));
            Start::Take { from: confirmed.map_or(fence.settled, |offset| offset.min(fence.settled)) }
        }
        (None, Some(committed)) => match CommitMetadata::decode(&committed.metadata) {
            Some(metadata) => return store_lost(known, committed, &metadata),
            None => Start::Create { from: committed.offset, incarnation: 0 },
        },
        (None, None) => Start::Create { from: first_offset(known), incarnation: 0 },
    };
    inside_log(start, known)
}

/// Where a partition begins that the group has never read.
fn first_offset(known: &Known<'_>) -> i64 {
    let added_later = known.partitions_at_first.is_some_and(|count| known.partition.unsigned_abs() >= count);
    match known.rules.initial {
        InitialOffset::Latest if !added_later => known.log.1,
        InitialOffset::Latest | InitialOffset::Earliest => known.log.0,
    }
}

/// The fence is of a topic that had this name before.
fn recreated(known: &Known<'_>, fence: &Fence) -> Decision {
    let start = match known.rules.on_topic_recreated {
        OnTopicRecreated::Continue => {
            Start::Create { from: known.log.0, incarnation: fence.incarnation.saturating_add(1) }
        }
        OnTopicRecreated::Stop => stop(
            StopReason::TopicRecreated,
            "the topic was deleted and created again; set source.onTopicRecreated to continue to read the new one \
             from its beginning, on top of what is stored"
                .to_owned(),
        ),
    };
    Decision { start, skipped: None }
}

/// The group has read this partition, but the store knows nothing of it.
fn store_lost(known: &Known<'_>, committed: &Committed, metadata: &CommitMetadata) -> Decision {
    let (low, offset) = (known.log.0, committed.offset);
    if known.rules.on_store_loss == OnStoreLoss::Stop {
        let message = format!(
            "the group has committed offset {offset} but the store has no fence: it was emptied or is another store; \
             bring its data back, or set store.onStoreLoss to replay to read again what is still in the log"
        );
        return Decision { start: stop(StopReason::StoreLost, message), skipped: None };
    }
    // A topic made anew has nothing to do with the offsets of the one before.
    let is_same = !is_other(&metadata.topic_id, known.topic_id);
    let first = if is_same { metadata.first } else { low };
    let skipped = (first < low).then_some((first, low));
    let incarnation = metadata.incarnation.saturating_add(u32::from(!is_same));
    // Whoever may commit for the group may have written anything.
    let Decision { start, .. } = inside_log(Start::Create { from: first.max(low), incarnation }, known);
    Decision { start, skipped }
}

/// Whether two topic IDs are known and differ.
fn is_other(one: &[u8], other: &[u8]) -> bool {
    !one.is_empty() && !other.is_empty() && one != other
}

fn stop(reason: StopReason, message: String) -> Start {
    Start::Stop { reason, message }
}

fn inside_log(start: Start, known: &Known<'_>) -> Decision {
    let (low, high) = known.log;
    let from = match start {
        Start::Take { from } | Start::Create { from, .. } => from,
        Start::Stop { .. } => return Decision { start, skipped: None },
    };
    if from > high {
        let message = format!(
            "offset {from} is due but the log ends at {high}: the topic was created again, or lost records in an \
             unclean leader election"
        );
        return Decision { start: stop(StopReason::TopicRecreated, message), skipped: None };
    }
    if from >= low {
        return Decision { start, skipped: None };
    }
    match known.rules.on_retention_loss {
        OnRetentionLoss::Stop => {
            let message = format!(
                "offsets {from} to {} are due but no longer in the log: retention overtook the group; set \
                 source.onRetentionLoss to skip to go on without them",
                low - 1
            );
            Decision { start: stop(StopReason::RetentionLoss, message), skipped: None }
        }
        OnRetentionLoss::Skip => {
            let start = match start {
                Start::Create { incarnation, .. } => Start::Create { from: low, incarnation },
                Start::Take { .. } | Start::Stop { .. } => Start::Take { from: low },
            };
            Decision { start, skipped: Some((from, low)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fence(settled: i64) -> Fence {
        Fence { settled, position: settled + 5, owner: "g".into(), ..Fence::default() }
    }

    fn ours(offset: i64) -> Committed {
        ours_from(offset, 0)
    }

    fn ours_from(offset: i64, first: i64) -> Committed {
        let metadata = CommitMetadata { topic_id: vec![1, 255], incarnation: 0, first }.encode().into_bytes();
        Committed { offset, metadata }
    }

    fn foreign(offset: i64) -> Committed {
        Committed { offset, metadata: vec![0xff] }
    }

    const STOP: StartRules = StartRules {
        initial: InitialOffset::Earliest,
        on_topic_recreated: OnTopicRecreated::Stop,
        on_retention_loss: OnRetentionLoss::Stop,
        on_store_loss: OnStoreLoss::Stop,
    };
    const GO_ON: StartRules = StartRules {
        initial: InitialOffset::Earliest,
        on_topic_recreated: OnTopicRecreated::Continue,
        on_retention_loss: OnRetentionLoss::Skip,
        on_store_loss: OnStoreLoss::Replay,
    };

    fn known<'a>(fence: Option<&'a Fence>, committed: Option<&'a Committed>) -> Known<'a> {
        let (log, group, topic_id) = ((10, 100), "g", &[1, 255][..]);
        Known {
            partition: 3,
            fence,
            committed,
            own: None,
            log,
            topic_id,
            partitions_at_first: None,
            group,
            rules: STOP,
        }
    }

    fn take(from: i64) -> Decision {
        Decision { start: Start::Take { from }, skipped: None }
    }

    fn create(from: i64, incarnation: u32) -> Decision {
        Decision { start: Start::Create { from, incarnation }, skipped: None }
    }

    fn reason(decision: &Decision) -> Option<StopReason> {
        match &decision.start {
            Start::Stop { reason, .. } => Some(*reason),
            Start::Take { .. } | Start::Create { .. } => None,
        }
    }

    #[test]
    fn fence_and_commit_are_followed_to_the_lesser() {
        assert_eq!(decide(&known(Some(&fence(50)), Some(&ours(40)))), take(40));
        assert_eq!(decide(&known(Some(&fence(50)), Some(&ours(60)))), take(50));
        // The group was idle for so long that its offsets expired.
        assert_eq!(decide(&known(Some(&fence(50)), None)), take(50));
        assert_eq!(decide(&known(None, Some(&foreign(33)))), create(33, 0));
    }

    #[test]
    fn a_first_start_begins_where_the_pipeline_says_and_an_added_partition_at_its_beginning() {
        let latest = StartRules { initial: InitialOffset::Latest, ..STOP };
        let start =
            |rules, partitions_at_first| decide(&Known { rules, partitions_at_first, ..known(None, None) });
        assert_eq!([start(STOP, None), start(STOP, Some(2))], [create(10, 0), create(10, 0)]);
        assert_eq!([start(latest, None), start(latest, Some(4))], [create(100, 0), create(100, 0)]);
        assert_eq!(start(latest, Some(3)), create(10, 0));
    }

    #[test]
    fn another_group_keeps_its_store() {
        let other = Fence { owner: "other".into(), ..fence(50) };
        for rules in [STOP, GO_ON] {
            let decision = decide(&Known { rules, ..known(Some(&other), Some(&ours(40))) });
            assert_eq!(reason(&decision), Some(StopReason::StoreInUse));
        }
    }

    #[test]
    fn an_emptied_store_stops_the_lane_or_is_filled_again() {
        let (committed, kept) = (ours(33), ours_from(33, 20));
        let lost = known(None, Some(&committed));
        assert_eq!(reason(&decide(&lost)), Some(StopReason::StoreLost));
        let replay = Known { rules: GO_ON, ..lost };
        // The metadata says that offset 0 was the first; the log begins at 10.
        assert_eq!(decide(&replay), Decision { skipped: Some((0, 10)), ..create(10, 0) });
        assert_eq!(decide(&Known { committed: Some(&kept), ..replay.clone() }), create(20, 0));
        assert_eq!(decide(&Known { topic_id: &[9], ..replay.clone() }), create(10, 1));
        let beyond = ours_from(33, 101);
        let beyond = decide(&Known { committed: Some(&beyond), ..replay });
        assert_eq!((reason(&beyond), beyond.skipped), (Some(StopReason::TopicRecreated), None));
    }

    #[test]
    fn a_topic_created_again_stops_the_lane_or_begins_a_new_incarnation() {
        let old = Fence { topic_id: vec![7], incarnation: 4, ..fence(50) };
        let known = known(Some(&old), None);
        assert_eq!(reason(&decide(&known)), Some(StopReason::TopicRecreated));
        assert_eq!(decide(&Known { rules: GO_ON, ..known.clone() }), create(10, 5));
        // Nobody knows the ID: only offsets can tell.
        assert_eq!(decide(&Known { topic_id: &[], ..known.clone() }), take(50));
        let beyond = Fence { topic_id: vec![], ..fence(101) };
        let beyond = decide(&Known { fence: Some(&beyond), rules: GO_ON, ..known });
        assert_eq!(reason(&beyond), Some(StopReason::TopicRecreated));
    }

    #[test]
    fn what_retention_took_stops_the_lane_or_is_skipped_and_named() {
        let (early, committed) = (fence(4), ours(40));
        let known = known(Some(&early), Some(&committed));
        let Decision { start: Start::Stop { reason, message }, .. } = decide(&known) else { panic!() };
        assert_eq!(reason, StopReason::RetentionLoss);
        assert!(message.starts_with("offsets 4 to 9 are due but no longer in the log"), "{message}");
        let skip = Known { rules: GO_ON, ..known };
        assert_eq!(decide(&skip), Decision { skipped: Some((4, 10)), ..take(10) });
        let foreign = foreign(3);
        let foreign = decide(&Known { fence: None, committed: Some(&foreign), ..skip });
        assert_eq!(foreign, Decision { skipped: Some((3, 10)), ..create(10, 0) });
    }

    #[test]
    fn a_lane_that_starts_again_begins_at_its_own_committable_not_at_the_position() {
        let fence = fence(50);
        let committed = ours(90);
        let known = known(Some(&fence), Some(&committed));
        assert_eq!(decide(&Known { own: Some(45), ..known.clone() }), take(45));
        assert_eq!(decide(&Known { own: Some(55), ..known }), take(50));
    }

    #[test]
    fn metadata_reads_back_and_knows_strangers() {
        let metadata = CommitMetadata { topic_id: vec![0xab, 0x01], incarnation: 2, first: 17 };
        assert_eq!(CommitMetadata::decode(metadata.encode().as_bytes()), Some(metadata));
        let strangers: [&[u8]; 8] = [
            b"",
            b"plaudit/1:zz:0:0",
            b"plaudit/1:+f:0:0",
            b"plaudit/1:abc:0:0",
            b"plaudit/1:0123456789abcdef0123456789abcdef01:0:0",
            b"plaudit/1::4294967295:0",
            b"plaudit/1::0:-1",
            b"plaudit/1::0:0:0",
        ];
        assert_eq!(strangers.map(CommitMetadata::decode), [const { None }; 8]);
    }
}
