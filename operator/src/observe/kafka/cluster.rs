//! What is known of the topics and groups of one Kafka cluster, and what to ask next. Pure: time is an argument (since any fixed
//! point), answers are values.
//!
//! An idle pipeline costs a place in the question for all log ends, and nothing else: its group is asked again only after its topic
//! has moved, or while something is left to do.

mod answers;
mod ask;
mod groups;
mod merge;
mod parts;
mod view;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use plaudit_crds::InitialOffset;

use super::super::admin::NewCommit;
use super::super::source::GroupState;
use super::counts::Kind;
use parts::{Found, Mark, Offset, Partition, Reader, Topic, Wish};

/// Everything about one cluster.
#[derive(Debug)]
pub(super) struct Cluster {
    rules: Rules,
    topics: BTreeMap<u32, Topic>,
    names: HashMap<Arc<str>, u32>,
    readers: BTreeMap<u64, Reader>,
    /// Keys of topics are not used again, so that a late answer cannot reach another topic.
    next_topic: u32,
    next_tick: Duration,
    /// Counts the polls: which share of the partitions of an idle topic is asked for.
    round: u32,
    /// Brokers that have not yet answered for the log ends of their partitions, and how many answers they owe.
    asked_leaders: BTreeMap<i32, u32>,
    /// Questions about commits that are on their way.
    asked_groups: u32,
    commits: Vec<(u64, Vec<NewCommit>)>,
}

/// How often and what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Between two questions for the log ends.
    pub(super) period: Duration,
    /// Between two questions for a topic that gives no trouble.
    pub(super) metadata_period: Duration,
    /// Groups without members get their first offsets, and keep them.
    pub(super) keep_offsets: bool,
}

/// A pipeline's consumer group, which reads one topic.
#[derive(Clone, Debug)]
pub(super) struct ReaderSpec {
    pub(super) topic: String,
    pub(super) group: String,
    pub(super) initial: InitialOffset,
}

/// A question for Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// IDs and partitions of topics.
    Topics(Vec<u32>),
    /// Log ends of partitions that one broker leads.
    Ends { leader: i32, partitions: Vec<(u32, i32)> },
    /// Log starts of partitions that one broker leads.
    Starts { partitions: Vec<(u32, i32)> },
    /// What a reader's group has committed.
    Committed(u64),
    /// State and members of readers' groups.
    Groups(Vec<u64>),
    /// A commit for a reader's group, which has no members.
    Commit(u64, Vec<NewCommit>),
}

/// A topic that is missing or unreachable is looked for again so often.
const RETRY: Duration = Duration::from_secs(5);
/// A group that was found without members so long ago may have some now: its offsets are left alone.
const EMPTY_FOR: Duration = Duration::from_secs(10);

impl Cluster {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            topics: BTreeMap::new(),
            names: HashMap::new(),
            readers: BTreeMap::new(),
            next_topic: 0,
            next_tick: Duration::ZERO,
            round: 0,
            asked_leaders: BTreeMap::new(),
            asked_groups: 0,
            commits: Vec::new(),
        }
    }

    /// Begins to watch a group; `id` is the caller's and never used twice.
    pub(super) fn add(&mut self, id: u64, spec: &ReaderSpec, now: Duration) {
        let topic = self.topic_of(&spec.topic, now);
        let topic_state = self.topics.get_mut(&topic).expect("it was just found or made");
        topic_state.readers.insert(id);
        // Another reader's look may be old, or the topic may have been missing for a while.
        topic_state.describe_at = now;
        let reader = Reader {
            topic,
            group: spec.group.as_str().into(),
            initial: spec.initial,
            first_id: topic_state.id,
            recreated: false,
            offsets: vec![Offset::UNKNOWN; topic_state.partitions.len()],
            committed: if topic_state.partitions.is_empty() { Wish::No } else { Wish::Wanted },
            committed_at: Duration::ZERO,
            committed_not_before: Duration::ZERO,
            describing: false,
            described_at: None,
            describe_not_before: Duration::ZERO,
            state: GroupState::Unknown,
            members: Vec::new(),
            empty_at: None,
            keep_not_before: Duration::ZERO,
            // When it was last renewed is not known after a restart.
            renew_at: now,
            watched_until: Duration::ZERO,
            confirmed: now,
            changed: false,
        };
        self.readers.insert(id, reader);
    }

    fn topic_of(&mut self, name: &str, now: Duration) -> u32 {
        if let Some(key) = self.names.get(name) {
            return *key;
        }
        let (key, name) = (self.next_topic, Arc::<str>::from(name));
        self.next_topic += 1;
        self.names.insert(Arc::clone(&name), key);
        let topic = Topic {
            name,
            readers: BTreeSet::new(),
            id: None,
            found: Found::NotAsked,
            describe: Wish::No,
            describe_at: now,
            rested_at: now,
            ends_wanted: false,
            asked_in_part: false,
            idle_at: now,
            starts_wanted: false,
            starts_asked: 0,
            partitions: Vec::new(),
        };
        self.topics.insert(key, topic);
        key
    }

    /// Ends to watch a group.
    pub(super) fn remove(&mut self, id: u64) {
        let Some(reader) = self.readers.remove(&id) else { return };
        let Some(topic) = self.topics.get_mut(&reader.topic) else { return };
        topic.readers.remove(&id);
        if topic.readers.is_empty() {
            self.names.remove(&topic.name);
            self.topics.remove(&reader.topic);
        }
    }

    /// Describes a group for a while even though nothing is left to do: somebody has changed its workers.
    pub(super) fn look_closer(&mut self, id: u64, until: Duration) {
        if let Some(reader) = self.readers.get_mut(&id) {
            reader.watched_until = until;
        }
    }

    /// Every reader with the time of the answer that its state comes from.
    pub(super) fn confirmed(&self) -> impl Iterator<Item = (u64, Duration)> {
        self.readers.iter().map(|(id, reader)| (*id, reader.confirmed))
    }

    /// A topic's name, as long as it is watched.
    pub(super) fn topic_name(&self, key: u32) -> Option<&str> {
        self.topics.get(&key).map(|topic| &*topic.name)
    }

    /// Group, topic and number of partitions of a reader.
    pub(super) fn reader(&self, id: u64) -> Option<(&str, &str, usize)> {
        let reader = self.readers.get(&id)?;
        let topic = self.topics.get(&reader.topic)?;
        Some((&reader.group, &topic.name, topic.partitions.len()))
    }
}

impl Question {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Topics(_) => Kind::Topics,
            Self::Ends { .. } => Kind::LogEnds,
            Self::Starts { .. } => Kind::LogStarts,
            Self::Committed(_) => Kind::Committed,
            Self::Groups(_) => Kind::Groups,
            Self::Commit(..) => Kind::Commit,
        }
    }
}

#[cfg(test)]
mod tests;
