//! What is known of one topic, one partition, one group.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use plaudit_crds::InitialOffset;

use super::super::super::source::{Committed, GroupState, Member, TopicId, Unknown};

#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: Arc<str>,
    pub(super) readers: BTreeSet<u64>,
    pub(super) id: Option<TopicId>,
    pub(super) found: Found,
    pub(super) describe: Wish,
    pub(super) describe_at: Duration,
    /// Not before that, even if something points at a change.
    pub(super) rested_at: Duration,
    /// Its log ends are wanted before the next tick.
    pub(super) ends_wanted: bool,
    /// The last poll asked for some of them only.
    pub(super) asked_in_part: bool,
    /// From then on it counts as idle.
    pub(super) idle_at: Duration,
    pub(super) starts_wanted: bool,
    /// Questions for its log starts that are on their way.
    pub(super) starts_asked: u32,
    pub(super) partitions: Vec<Partition>,
}

/// Whether a topic is there.
#[derive(Debug, PartialEq)]
pub(super) enum Found {
    NotAsked,
    Yes,
    No(Unknown, String),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Partition {
    pub(super) leader: i32,
    pub(super) start: Mark,
    pub(super) end: Mark,
}

/// An offset, or why it is unknown.
pub(super) type Mark = Result<i64, Unknown>;

/// Something that is asked for at most once at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Wish {
    #[default]
    No,
    Wanted,
    Asked,
}

#[derive(Debug)]
pub(super) struct Reader {
    pub(super) topic: u32,
    pub(super) group: Arc<str>,
    pub(super) initial: InitialOffset,
    /// The topic's ID when the group began, as far as is known.
    pub(super) first_id: Option<TopicId>,
    pub(super) recreated: bool,
    pub(super) offsets: Vec<Offset>,
    pub(super) committed: Wish,
    /// When the coordinator answered last.
    pub(super) committed_at: Duration,
    pub(super) committed_not_before: Duration,
    pub(super) describing: bool,
    pub(super) described_at: Option<Duration>,
    pub(super) describe_not_before: Duration,
    pub(super) state: GroupState,
    pub(super) members: Vec<Member>,
    /// Its commits are read once more, to commit what is due while it is certain to have no members.
    pub(super) empty_at: Option<Duration>,
    /// Its offsets are not looked after before that.
    pub(super) keep_not_before: Duration,
    pub(super) renew_at: Duration,
    pub(super) watched_until: Duration,
    /// When its topic's log ends were last answered for.
    pub(super) confirmed: Duration,
    pub(super) changed: bool,
}

/// What a group committed for one partition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Offset {
    pub(super) committed: Result<Committed, Unknown>,
    pub(super) beyond_end: bool,
}

impl Offset {
    pub(super) const UNKNOWN: Self = Self { committed: Err(Unknown::NotAsked), beyond_end: false };
}

impl Partition {
    pub(super) fn new(leader: i32) -> Self {
        Self { leader, start: Err(Unknown::NotAsked), end: Err(Unknown::NotAsked) }
    }

    /// True when a group that committed this has nothing left to do, or nothing could be told from asking it again.
    pub(super) fn is_settled(&self, committed: Result<Committed, Unknown>) -> bool {
        let Ok(end) = self.end else { return true };
        match committed {
            Ok(Committed::Offset(offset)) => offset >= end,
            Ok(Committed::Nothing | Committed::Obsolete) => self.start == Ok(end),
            Ok(Committed::Unknown) | Err(_) => false,
        }
    }
}
