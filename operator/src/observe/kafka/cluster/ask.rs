//! What to ask next.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::super::source::{Committed, GroupState};
use super::{Cluster, EMPTY_FOR, Found, Question, Reader, Topic, Wish};

/// Topics in one question: the answer names every partition with its replicas.
const TOPICS_AT_ONCE: usize = 1_000;
/// Partitions in one question for offsets: the client's cost grows with the square of it (see `admin`), some 30 ms of CPU for these.
const PARTITIONS_AT_ONCE: usize = 2_560;
/// Of a broker that leads more of the partitions that are watched, every poll asks for a share of those of each idle topic.
const ALWAYS_ALL: usize = 1_024;
/// That share is a third: all would cost nine times as much, and it is two polls until all were asked for.
const SHARES: usize = 3;
/// Topics whose turn is so near are described with one whose turn it is, in the same request: this part of the time between two turns.
const TURNS_TOGETHER: u32 = 4;
/// Groups in one question; the client makes a request of each anyway.
const GROUPS_AT_ONCE: usize = 50;
/// Questions about single groups that may be on their way: enough to keep a coordinator busy, without a storm at a start.
const GROUPS_IN_FLIGHT: u32 = 64;
/// A group is not described more often, however much is left to do.
const DESCRIBE_PERIOD: Duration = Duration::from_secs(6);

impl Cluster {
    /// Everything that is due, each marked as asked: the caller answers every one ([`Cluster::answer`]).
    pub(in super::super) fn questions(&mut self, now: Duration) -> Vec<Question> {
        let mut questions = Vec::new();
        let tick = now >= self.next_tick;
        if tick {
            self.next_tick = now + self.rules.period;
        }
        self.ask_topics(now, &mut questions);
        self.ask_ends(tick, now, &mut questions);
        self.ask_starts(&mut questions);
        self.ask_committed(&mut questions);
        self.ask_groups(now, &mut questions);
        for (id, commits) in std::mem::take(&mut self.commits) {
            questions.push(Question::Commit(id, commits));
        }
        questions
    }

    /// When [`Cluster::questions`] has something new by time alone, at the latest.
    pub(in super::super) fn next_tick(&self) -> Duration {
        self.next_tick
    }

    fn ask_topics(&mut self, now: Duration, questions: &mut Vec<Question>) {
        let near = now + self.rules.metadata_period / TURNS_TOGETHER;
        let any_due = self.topics.values().any(|topic| topic.is_due(now));
        let due = self.topics.iter_mut().filter_map(|(key, topic)| {
            let due = topic.is_due(now) || (any_due && topic.found == Found::Yes && topic.is_due(near));
            due.then(|| {
                topic.describe = Wish::Asked;
                *key
            })
        });
        let due: Vec<u32> = due.collect();
        questions.extend(due.chunks(TOPICS_AT_ONCE).map(|topics| Question::Topics(topics.to_vec())));
    }

    /// All at a tick, else only topics that are new or have just moved. A broker that has not answered yet is left alone.
    fn ask_ends(&mut self, tick: bool, now: Duration, questions: &mut Vec<Question>) {
        let large = if tick { self.large_leaders() } else { BTreeSet::new() };
        self.round = self.round.wrapping_add(u32::from(tick));
        let mut by_leader: BTreeMap<i32, Vec<(u32, i32)>> = BTreeMap::new();
        for (key, topic) in &mut self.topics {
            if !(tick || topic.ends_wanted) || topic.found != Found::Yes {
                continue;
            }
            let busy = |leader| self.asked_leaders.contains_key(&leader);
            let idle = !topic.ends_wanted && now >= topic.idle_at;
            // Of each topic every poll asks for something.
            let shares = if idle { topic.partitions.len().clamp(1, SHARES) } else { 1 };
            topic.ends_wanted = topic.ends_wanted && topic.partitions.iter().any(|one| busy(one.leader));
            topic.asked_in_part = false;
            for (partition, leader) in topic.leaders().collect::<Vec<_>>() {
                let at = partition.unsigned_abs().wrapping_add(*key).wrapping_add(self.round);
                if !(at as usize).is_multiple_of(shares) && large.contains(&leader) {
                    topic.asked_in_part = true;
                } else if !busy(leader) {
                    by_leader.entry(leader).or_default().push((*key, partition));
                }
            }
        }
        for (leader, partitions) in by_leader {
            for chunk in even_chunks(&partitions) {
                *self.asked_leaders.entry(leader).or_default() += 1;
                questions.push(Question::Ends { leader, partitions: chunk.to_vec() });
            }
        }
    }

    /// Brokers that lead so many partitions that not all are asked for at each poll.
    fn large_leaders(&self) -> BTreeSet<i32> {
        let mut counts: BTreeMap<i32, usize> = BTreeMap::new();
        for (_, leader) in self.topics.values().flat_map(Topic::leaders) {
            *counts.entry(leader).or_default() += 1;
        }
        counts.into_iter().filter(|(_, count)| *count > ALWAYS_ALL).map(|(leader, _)| leader).collect()
    }

    /// Only where the log end was answered: elsewhere nobody would answer for the start either.
    fn ask_starts(&mut self, questions: &mut Vec<Question>) {
        let mut by_leader: BTreeMap<i32, Vec<(u32, i32)>> = BTreeMap::new();
        for (key, topic) in &mut self.topics {
            if !topic.starts_wanted || topic.starts_asked > 0 || topic.found != Found::Yes {
                continue;
            }
            topic.starts_wanted = false;
            for (partition, leader) in topic.leaders() {
                let number = usize::try_from(partition).unwrap_or(usize::MAX);
                if topic.partitions.get(number).is_some_and(|one| one.end.is_ok()) {
                    by_leader.entry(leader).or_default().push((*key, partition));
                }
            }
        }
        for partitions in by_leader.into_values() {
            for chunk in even_chunks(&partitions) {
                let keys: BTreeSet<u32> = chunk.iter().map(|(key, _)| *key).collect();
                for key in keys {
                    self.topics.entry(key).and_modify(|topic| topic.starts_asked += 1);
                }
                questions.push(Question::Starts { partitions: chunk.to_vec() });
            }
        }
    }

    fn ask_committed(&mut self, questions: &mut Vec<Question>) {
        for (id, reader) in &mut self.readers {
            if self.asked_groups >= GROUPS_IN_FLIGHT {
                break;
            }
            if reader.committed == Wish::Wanted {
                reader.committed = Wish::Asked;
                self.asked_groups += 1;
                questions.push(Question::Committed(*id));
            }
        }
    }

    fn ask_groups(&mut self, now: Duration, questions: &mut Vec<Question>) {
        let mut due = Vec::new();
        for (id, reader) in &mut self.readers {
            let Some(topic) = self.topics.get(&reader.topic).filter(|topic| topic.found == Found::Yes) else {
                continue;
            };
            let matters = now < reader.watched_until
                || (reader.is_known() && !reader.is_settled(topic))
                || (self.rules.keep_offsets && reader.needs_keeping(now));
            let rested = reader.described_at.is_none_or(|at| now >= at + DESCRIBE_PERIOD);
            // What was found empty is about to be committed for.
            let busy = reader.empty_at.is_some_and(|at| now < at + EMPTY_FOR);
            let allowed = now >= reader.describe_not_before && !busy;
            if !reader.describing && matters && rested && allowed {
                reader.describing = true;
                due.push(*id);
            }
        }
        questions.extend(due.chunks(GROUPS_AT_ONCE).map(|readers| Question::Groups(readers.to_vec())));
    }
}

/// As few questions as the limit allows, of about the same size.
fn even_chunks(partitions: &[(u32, i32)]) -> impl Iterator<Item = &[(u32, i32)]> {
    let questions = partitions.len().div_ceil(PARTITIONS_AT_ONCE).max(1);
    partitions.chunks(partitions.len().div_ceil(questions).max(1))
}

impl Topic {
    fn is_due(&self, now: Duration) -> bool {
        self.describe != Wish::Asked && now >= self.describe_at
    }

    /// Each partition with its leader.
    fn leaders(&self) -> impl Iterator<Item = (i32, i32)> {
        (0..).zip(&self.partitions).map(|(number, partition)| (number, partition.leader))
    }
}

impl Reader {
    /// Every commit was answered for.
    pub(super) fn is_known(&self) -> bool {
        !self.offsets.is_empty() && self.offsets.iter().all(|offset| offset.committed.is_ok())
    }

    /// Nothing is left to do in its topic, as far as is known.
    pub(super) fn is_settled(&self, topic: &Topic) -> bool {
        topic.partitions.iter().zip(&self.offsets).all(|(one, offset)| one.is_settled(offset.committed))
    }

    /// It has to be found out whether it has members: if not, something has to be committed for it.
    fn needs_keeping(&self, now: Duration) -> bool {
        now >= self.keep_not_before && self.is_known() && !self.recreated && self.has_due_offsets(now)
    }

    /// A partition has no commit, or all of them were not renewed for long.
    pub(super) fn has_due_offsets(&self, now: Duration) -> bool {
        now >= self.renew_at || self.offsets.iter().any(|offset| offset.committed == Ok(Committed::Nothing))
    }

    pub(super) fn has_no_members(&self) -> bool {
        matches!(self.state, GroupState::Empty | GroupState::Dead) && self.members.is_empty()
    }
}
