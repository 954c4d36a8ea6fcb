//! A lane's start: whatever fence and commit say, it begins inside the log or stops.

use plaudit_crds::{InitialOffset, OnRetentionLoss, OnStoreLoss, OnTopicRecreated};
use plaudit_worker::lane::ports::Committed;
use plaudit_worker::lane::{CommitMetadata, Known, Start, StartRules, decide};
use plaudit_worker::store::read_fence;

use super::memory::within;
use super::parts;

/// Parts of the input: the fence's value, the commit's metadata, and numbers: the commit's offset, the lane's own, the log.
pub fn lane(input: &[u8]) {
    let parts = parts::of(input);
    let part = |at: usize| parts.get(at).copied();
    let value = part(0).filter(|value| !value.is_empty());
    let Ok(fence) = value.map(|value| within(8_192, || read_fence(value))).transpose() else { return };
    let mut numbers = parts::numbers(part(2).unwrap_or_default());
    let mut number = || numbers.next().unwrap_or_default();
    let choices = number();
    let chosen = |bit: u32| choices >> bit & 1 == 1;
    let metadata = part(1).unwrap_or_default();
    if let Some(metadata) = CommitMetadata::decode(metadata) {
        let again = CommitMetadata::decode(metadata.encode().as_bytes());
        assert_eq!(again, Some(metadata), "written again, a commit says another thing");
    }
    let committed = chosen(0).then(|| Committed { offset: number(), metadata: metadata.to_vec() });
    let own = chosen(1).then(&mut number);
    let start = number().max(0);
    let log = (start, start.saturating_add(number().max(0)));
    let rules = StartRules {
        initial: if chosen(2) { InitialOffset::Latest } else { InitialOffset::Earliest },
        on_topic_recreated: if chosen(3) { OnTopicRecreated::Continue } else { OnTopicRecreated::Stop },
        on_retention_loss: if chosen(4) { OnRetentionLoss::Skip } else { OnRetentionLoss::Stop },
        on_store_loss: if chosen(5) { OnStoreLoss::Replay } else { OnStoreLoss::Stop },
    };
    let owner = fence.as_ref().filter(|_| !chosen(6)).map_or("group", |fence| fence.owner.as_str());
    let known = Known {
        partition: 3,
        fence: fence.as_ref(),
        committed: committed.as_ref(),
        own,
        log,
        topic_id: if chosen(7) { b"0123456789abcdef" } else { b"" },
        partitions_at_first: chosen(8).then_some(2),
        group: owner,
        rules,
    };
    let decision = decide(&known);
    match decision.start {
        Start::Take { from } | Start::Create { from, .. } => {
            assert!((log.0..=log.1).contains(&from), "{from} is outside of the log {log:?}");
        }
        Start::Stop { message, .. } => {
            assert!(message.len() < 1_024 && !message.chars().any(char::is_control), "{message:?}");
        }
    }
    if let Some((first, end)) = decision.skipped {
        assert!(first < end && end == log.0, "skipped {first} to {end} of {log:?}");
    }
}
