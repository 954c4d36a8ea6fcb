//! What answers change, and what they make worth asking.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::super::admin::{Answer, DescribedTopic, Failure, FoundOffset, Named};
use super::super::super::source::Unknown;
use super::merge::{marks, unknown};
use super::{Cluster, Found, Offset, Partition, Question, RETRY, Wish};

/// A topic that has not moved for so long, and of which nothing is left to do, is idle.
const IDLE_AFTER: Duration = Duration::from_secs(30);

impl Cluster {
    /// Takes the answer to a question that was asked at `asked`.
    pub(in super::super) fn answer(
        &mut self,
        question: Question,
        answer: Answer,
        asked: Duration,
        now: Duration,
    ) {
        match (question, answer) {
            (Question::Topics(keys), Answer::Topics(answer)) => {
                self.topics_described(&keys, answer, asked, now);
            }
            (Question::Ends { leader, partitions }, Answer::Offsets(answer)) => {
                self.leader_answered(leader);
                self.ended(&partitions, &answer, asked, now);
            }
            (Question::Starts { partitions }, Answer::Offsets(answer)) => self.started(&partitions, &answer),
            (Question::Committed(id), Answer::Committed(answer)) => {
                self.asked_groups = self.asked_groups.saturating_sub(1);
                self.committed(id, answer, now);
            }
            (Question::Groups(ids), Answer::Groups(answer)) => self.groups_described(&ids, answer, now),
            (Question::Commit(id, _), Answer::Commit(answer)) => self.commit_answered(id, answer, now),
            // An answer has the kind of its question: both come from one token.
            (question, _) => debug_assert!(false, "an answer of another kind than {question:?}"),
        }
    }

    fn topics_described(
        &mut self,
        keys: &[u32],
        answer: Result<Named<DescribedTopic>, Failure>,
        asked: Duration,
        now: Duration,
    ) {
        let mut answer = answer.map(|described| described.into_iter().collect::<BTreeMap<_, _>>());
        for key in keys {
            let Some(topic) = self.topics.get_mut(key) else { continue };
            topic.describe = Wish::No;
            topic.rested_at = now + RETRY;
            match &mut answer {
                Ok(described) => match described.remove(&*topic.name) {
                    Some(Ok(described)) => self.topic_found(*key, &described, now),
                    Some(Err(code)) => {
                        let unknown = unknown(code);
                        self.topic_lost(*key, unknown, unknown.to_string(), now);
                    }
                    None => self.topic_lost(*key, Unknown::Absent, Unknown::Absent.to_string(), now),
                },
                // Of a topic that was found before, its log ends say more than this.
                Err(_) if topic.found == Found::Yes => topic.describe_at = now + self.rules.period,
                Err(failure) => {
                    let text = failure.text.clone();
                    self.topic_lost(*key, Unknown::NoAnswer, text, now);
                    // To wait for an answer was rest enough: slow brokers would be asked half of the time only.
                    if let Some(topic) = self.topics.get_mut(key) {
                        topic.describe_at = now.max(asked + RETRY);
                    }
                }
            }
        }
    }

    fn topic_found(&mut self, key: u32, described: &DescribedTopic, now: Duration) {
        let Some(topic) = self.topics.get_mut(&key) else { return };
        topic.describe_at = now + self.rules.metadata_period;
        let is_other = matches!((topic.id, described.id), (Some(one), Some(other)) if one != other);
        topic.id = described.id.or(topic.id);
        if is_other {
            topic.partitions.clear();
        }
        let (before, count) = (topic.partitions.len(), described.leaders.len());
        topic.partitions.resize(count, Partition::new(-1));
        for (partition, leader) in topic.partitions.iter_mut().zip(&described.leaders) {
            partition.leader = *leader;
        }
        let news = topic.found != Found::Yes || before != count;
        topic.found = Found::Yes;
        topic.ends_wanted |= news;
        topic.starts_wanted |= news;
        for id in &topic.readers {
            let Some(reader) = self.readers.get_mut(id) else { continue };
            if is_other {
                reader.offsets.clear();
            }
            if matches!((reader.first_id, topic.id), (Some(first), Some(now)) if first != now) {
                reader.changed |= !reader.recreated;
                reader.recreated = true;
            }
            reader.first_id = reader.first_id.or(topic.id);
            if news {
                reader.offsets.resize(count, Offset::UNKNOWN);
                reader.committed = Wish::Wanted.unless_asked(reader.committed);
                reader.changed = true;
            }
        }
    }

    /// A topic that does not exist, or that nobody answers for.
    fn topic_lost(&mut self, key: u32, unknown: Unknown, detail: String, now: Duration) {
        let Some(topic) = self.topics.get_mut(&key) else { return };
        let found = Found::No(unknown, detail);
        let changed = topic.found != found;
        topic.found = found;
        topic.describe_at = now + RETRY;
        topic.partitions.clear();
        (topic.ends_wanted, topic.starts_wanted) = (false, false);
        for id in &topic.readers {
            let Some(reader) = self.readers.get_mut(id) else { continue };
            reader.offsets.clear();
            reader.confirmed = now;
            reader.changed |= changed;
        }
    }

    fn leader_answered(&mut self, leader: i32) {
        if let Some(owed) = self.asked_leaders.get_mut(&leader) {
            *owed = owed.saturating_sub(1);
            if *owed == 0 {
                self.asked_leaders.remove(&leader);
            }
        }
    }

    fn ended(
        &mut self,
        partitions: &[(u32, i32)],
        answer: &Result<Vec<FoundOffset>, Failure>,
        asked: Duration,
        now: Duration,
    ) {
        let mut touched: BTreeMap<u32, Moved> = BTreeMap::new();
        for ((key, number), mark) in partitions.iter().zip(marks(partitions.len(), answer)) {
            let moved = touched.entry(*key).or_default();
            let Some(partition) = self.partition(*key, *number) else { continue };
            moved.changed |= partition.end != mark;
            moved.back |= matches!((partition.end, mark), (Ok(before), Ok(after)) if after < before);
            moved.doubtful |= matches!(
                mark,
                Err(Unknown::Missing | Unknown::NoLeader | Unknown::Absent | Unknown::NoAnswer)
            );
            partition.end = mark;
        }
        for (key, moved) in touched {
            let Some(topic) = self.topics.get_mut(&key) else { continue };
            if moved.back || moved.doubtful {
                // Perhaps it was created again, or has moved to another broker.
                topic.describe_at = topic.describe_at.min(topic.rested_at.max(now));
            }
            topic.starts_wanted |= moved.changed;
            // What its other partitions did meanwhile belongs to the same news.
            topic.ends_wanted |= moved.changed && topic.asked_in_part;
            let mut busy = moved.changed;
            for id in &topic.readers {
                let Some(reader) = self.readers.get_mut(id) else { continue };
                reader.confirmed = now;
                reader.changed |= moved.changed | reader.look_beyond(&topic.partitions, asked);
                let offsets = topic.partitions.iter().zip(&reader.offsets);
                let settled = offsets.clone().all(|(one, offset)| one.is_settled(offset.committed));
                topic.starts_wanted |= !settled;
                busy |= !settled;
                if !settled && now >= reader.committed_not_before {
                    reader.committed = Wish::Wanted.unless_asked(reader.committed);
                }
            }
            if busy {
                topic.idle_at = now + IDLE_AFTER;
                topic.asked_in_part = false;
            }
        }
    }

    fn started(&mut self, partitions: &[(u32, i32)], answer: &Result<Vec<FoundOffset>, Failure>) {
        let mut changed: BTreeMap<u32, bool> = BTreeMap::new();
        for ((key, number), mark) in partitions.iter().zip(marks(partitions.len(), answer)) {
            let changed = changed.entry(*key).or_default();
            let Some(partition) = self.partition(*key, *number) else { continue };
            *changed |= partition.start != mark;
            partition.start = mark;
        }
        for (key, changed) in changed {
            let Some(topic) = self.topics.get_mut(&key) else { continue };
            topic.starts_asked = topic.starts_asked.saturating_sub(1);
            for id in &topic.readers {
                self.readers.entry(*id).and_modify(|reader| reader.changed |= changed);
            }
        }
    }

    fn partition(&mut self, topic: u32, number: i32) -> Option<&mut Partition> {
        self.topics.get_mut(&topic)?.partitions.get_mut(usize::try_from(number).ok()?)
    }
}

/// What the log ends of one topic did.
#[derive(Default)]
struct Moved {
    changed: bool,
    back: bool,
    doubtful: bool,
}
