//! The fence of one source partition, as its lane knows it.
//!
//! Store and position cannot disagree, because the script that writes a batch writes the fence too. The lane compares
//! the fence's ID exactly, and an unknown outcome is never guessed: the set of IDs that the lane may find is the last
//! one acknowledged and those that its own unanswered scripts may have left on top of it.

use prost::Message;

use crate::ids::{Attempt, WriteId};
use crate::player::FORMAT;
use crate::proto;

/// Bytes of a fence value that hold its ID: a script compares exactly these.
pub const FENCE_ID: std::ops::Range<usize> = 5..23;

/// A fence that a worker writes takes 350 bytes at most, 255 of them its owner.
const MAX_FENCE_BYTES: usize = 4_096;
/// Kafka's topic IDs have 16.
const MAX_TOPIC_ID_BYTES: usize = 16;

/// Why the value of a fence key cannot be used.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum FenceError {
    #[error("the fence of the partition {0}")]
    Damaged(&'static str),
    #[error("the fence of the partition was written by a newer version")]
    NewerFormat,
}

/// Decodes the value of a fence key.
///
/// # Errors
/// [`FenceError`] for everything that no worker writes. What it holds may be shown.
pub fn read_fence(value: &[u8]) -> Result<proto::Fence, FenceError> {
    let damaged = |why| Err(FenceError::Damaged(why));
    if value.len() > MAX_FENCE_BYTES {
        return damaged("is too long");
    }
    let Ok(fence) = proto::Fence::decode(value) else { return damaged("does not decode") };
    let is_group = |owner: &str| {
        owner.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
    };
    match fence.format {
        FORMAT => {}
        0 => return damaged("has no format"),
        _ => return Err(FenceError::NewerFormat),
    }
    if fence.position < 0 || fence.settled < 0 || fence.first < 0 {
        return damaged("has an offset below zero");
    }
    // The next topic of this name takes the next one.
    if fence.incarnation == u32::MAX {
        return damaged("has the last incarnation there is");
    }
    if !is_group(&fence.owner) || fence.topic_id.len() > MAX_TOPIC_ID_BYTES {
        return damaged("names no group, or no topic");
    }
    Ok(fence)
}

/// Own scripts whose outcome is unknown, by the ID that they compare.
#[derive(Clone, Copy, Debug)]
struct Unanswered {
    expects: WriteId,
    attempt: Attempt,
}

/// What the lane last knew of its fence.
#[derive(Clone, Debug)]
pub struct FenceState {
    fence: proto::Fence,
    unanswered: Vec<Unanswered>,
}

/// What a fence read from the store means to the lane that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knowledge {
    /// It is the lane's own, as acknowledged or as one of its unanswered scripts left it.
    Mine,
    /// Somebody else wrote it, or the store lost writes.
    Foreign,
}

impl FenceState {
    /// Holds `fence`, which was just taken or created under its ID.
    pub fn new(fence: proto::Fence) -> Self {
        Self { fence, unanswered: Vec::new() }
    }

    pub fn id(&self) -> WriteId {
        WriteId { high: self.fence.id_high, low: self.fence.id_low }
    }

    /// Every record below is stored, dead-lettered, or proven already applied.
    pub fn position(&self) -> i64 {
        self.fence.position
    }

    /// Below this offset, whatever had to be sent is sent too.
    pub fn settled(&self) -> i64 {
        self.fence.settled
    }

    pub fn incarnation(&self) -> u32 {
        self.fence.incarnation
    }

    /// The value that a script leaves under `id`.
    pub fn value(&self, id: WriteId, position: i64, settled: i64) -> Vec<u8> {
        proto::Fence { id_high: id.high, id_low: id.low, position, settled, ..self.fence.clone() }
            .encode_to_vec()
    }

    /// The bytes that a script compares for this ID.
    pub fn id_bytes(id: WriteId) -> Vec<u8> {
        let value =
            proto::Fence { format: FORMAT, id_high: id.high, id_low: id.low, ..proto::Fence::default() }
                .encode_to_vec();
        value[FENCE_ID].to_vec()
    }

    /// A script that compares `expects` was sent and not answered.
    pub fn unanswered(&mut self, expects: WriteId, attempt: Attempt) {
        self.unanswered.push(Unanswered { expects, attempt });
    }

    /// Scripts whose outcome is unknown.
    pub fn unanswered_count(&self) -> usize {
        self.unanswered.len()
    }

    /// A script answered: the fence now has this ID, position and settled. What came before is settled with it.
    pub fn acknowledge(&mut self, id: WriteId, position: i64, settled: i64) {
        self.fence.id_high = id.high;
        self.fence.id_low = id.low;
        self.fence.position = position;
        self.fence.settled = settled;
        self.prune();
    }

    /// Takes over what the store holds if it is the lane's own.
    pub fn adopt(&mut self, found: Option<&[u8]>) -> Knowledge {
        let Some(found) = found.and_then(|value| read_fence(value).ok()) else {
            return Knowledge::Foreign;
        };
        let id = WriteId { high: found.id_high, low: found.id_low };
        if id == self.id() {
            return Knowledge::Mine;
        }
        if !self.may_be_left(id) {
            return Knowledge::Foreign;
        }
        self.fence = found;
        self.prune();
        Knowledge::Mine
    }

    /// Goes on with whatever the store holds: what the fence is there to prevent, for the mutation that shows it.
    pub(crate) fn take_for_own(&mut self, found: Option<&[u8]>) {
        if let Some(found) = found.and_then(|value| proto::Fence::decode(value).ok()) {
            self.fence = found;
        }
    }

    /// Whether an unanswered script may have left `id` on top of the last acknowledged one.
    pub fn may_be_left(&self, id: WriteId) -> bool {
        self.reachable().contains(&id)
    }

    fn reachable(&self) -> Vec<WriteId> {
        let mut ids = vec![self.id()];
        let mut at = 0;
        while let Some(id) = ids.get(at).copied() {
            for script in self.unanswered.iter().filter(|script| script.expects == id) {
                ids.extend([script.attempt.ok, script.attempt.part]);
            }
            at += 1;
        }
        ids
    }

    /// Forgets scripts that can no longer run on the present fence.
    fn prune(&mut self) {
        let reachable = self.reachable();
        self.unanswered.retain(|script| reachable.contains(&script.expects));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::WriteIds;

    fn fence(id: WriteId) -> proto::Fence {
        proto::Fence {
            format: FORMAT,
            id_high: id.high,
            id_low: id.low,
            position: 10,
            ..proto::Fence::default()
        }
    }

    #[test]
    fn what_no_worker_writes_is_damaged() {
        let good = proto::Fence {
            owner: "games.p".into(),
            topic_id: vec![7; 16],
            ..fence(WriteId { high: 1, low: 2 })
        };
        let read = |fence: &proto::Fence| read_fence(&fence.encode_to_vec());
        let cases = [
            (proto::Fence { format: 0, ..good.clone() }, "has no format"),
            (proto::Fence { owner: "g".repeat(5_000), ..good.clone() }, "is too long"),
            (proto::Fence { settled: -1, ..good.clone() }, "has an offset below zero"),
            (proto::Fence { incarnation: u32::MAX, ..good.clone() }, "has the last incarnation there is"),
            (proto::Fence { owner: "a\nb".into(), ..good.clone() }, "names no group, or no topic"),
            (proto::Fence { topic_id: vec![7; 17], ..good.clone() }, "names no group, or no topic"),
        ];

        let told: Vec<_> = cases.iter().map(|(fence, _)| read(fence)).collect();

        let expected: Vec<_> = cases.iter().map(|(_, why)| Err(FenceError::Damaged(why))).collect();
        assert_eq!((told, read(&good)), (expected, Ok(good.clone())));
        assert_eq!(read(&proto::Fence { format: 2, ..good }), Err(FenceError::NewerFormat));
    }

    #[test]
    fn the_id_lies_where_the_scripts_compare_it() {
        let id = WriteId { high: 0x1122_3344_5566_7788, low: 0x99aa_bbcc_ddee_ff00 };
        let state = FenceState::new(fence(id));
        assert_eq!(state.value(id, 77, 5)[FENCE_ID], FenceState::id_bytes(id));
    }

    #[test]
    fn own_scripts_with_unknown_outcome_are_recognised_through_each_other() {
        let mut ids = WriteIds::new(4);
        let (taken, first, second, other) = (ids.attempt().ok, ids.attempt(), ids.attempt(), ids.attempt());
        let mut state = FenceState::new(fence(taken));
        state.unanswered(taken, first);
        state.unanswered(first.ok, second);
        assert_eq!(state.clone().adopt(Some(&fence(second.part).encode_to_vec())), Knowledge::Mine);
        assert_eq!(state.clone().adopt(Some(&fence(other.ok).encode_to_vec())), Knowledge::Foreign);
        assert_eq!(state.clone().adopt(None), Knowledge::Foreign);
    }

    #[test]
    fn an_acknowledgement_forgets_what_can_no_longer_run() {
        // The trace: an unknown script stays expected after a later one is acknowledged; a failover brings it back.
        let mut ids = WriteIds::new(4);
        let (taken, lost, later) = (ids.attempt().ok, ids.attempt(), ids.attempt());
        let mut state = FenceState::new(fence(taken));
        state.unanswered(taken, lost);
        state.acknowledge(later.ok, 20, 10);
        assert_eq!(state.adopt(Some(&fence(lost.ok).encode_to_vec())), Knowledge::Foreign);
        assert_eq!(state.adopt(Some(&fence(taken).encode_to_vec())), Knowledge::Foreign);
    }

    #[test]
    fn adopting_takes_the_position_that_the_store_has() {
        let mut ids = WriteIds::new(4);
        let (taken, script) = (ids.attempt().ok, ids.attempt());
        let mut state = FenceState::new(fence(taken));
        state.unanswered(taken, script);
        let left = state.value(script.ok, 42, 10);
        assert_eq!((state.adopt(Some(&left)), state.position()), (Knowledge::Mine, 42));
    }
}
