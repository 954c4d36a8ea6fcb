//! A Kafka made of plain values.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::super::super::admin::{
    Answer, DescribedGroup, DescribedTopic, Failure, FoundOffset, GroupOffset, Named,
};
use super::super::super::super::source::{GroupState, Member, TopicId};
use super::super::{Cluster, Question};

/// What brokers know, and how they fail.
#[derive(Clone, Default)]
pub(super) struct Kafka {
    pub(super) topics: BTreeMap<&'static str, FakeTopic>,
    pub(super) groups: BTreeMap<&'static str, FakeGroup>,
    pub(super) down: bool,
    pub(super) silent_leader: Option<i32>,
}

#[derive(Clone, Default)]
pub(super) struct FakeTopic {
    pub(super) id: u8,
    /// Leader, log start and log end.
    pub(super) logs: Vec<(i32, i64, i64)>,
    pub(super) error: i32,
}

#[derive(Clone, Default)]
pub(super) struct FakeGroup {
    pub(super) offsets: BTreeMap<i32, (i64, Vec<u8>)>,
    pub(super) error: i32,
    pub(super) members: Vec<&'static str>,
}

/// Name, ID and, of each partition, leader, log start and log end.
type GivenTopic<'a> = (&'static str, u8, &'a [(i32, i64, i64)]);

impl Kafka {
    pub(super) fn with(topics: &[GivenTopic<'_>]) -> Self {
        let topic = |logs: &[(i32, i64, i64)], id| FakeTopic { id, logs: logs.to_vec(), error: 0 };
        let topics = topics.iter().map(|(name, id, logs)| (*name, topic(logs, *id)));
        Self { topics: topics.collect(), ..Self::default() }
    }

    pub(super) fn commit(&mut self, group: &'static str, partition: i32, offset: i64) {
        self.groups.entry(group).or_default().offsets.insert(partition, (offset, Vec::new()));
    }

    pub(super) fn answer(&mut self, cluster: &Cluster, question: &Question) -> Answer {
        let down = || Failure { code: -185, text: "timed out".to_owned() };
        match question {
            Question::Topics(_) if self.down => Answer::Topics(Err(down())),
            Question::Ends { .. } | Question::Starts { .. } if self.down => Answer::Offsets(Err(down())),
            Question::Committed(_) if self.down => Answer::Committed(Err(down())),
            Question::Topics(keys) => Answer::Topics(Ok(self.topics(cluster, keys))),
            Question::Ends { partitions, .. } => Answer::Offsets(Ok(self.logs(cluster, partitions, false))),
            Question::Starts { partitions } => Answer::Offsets(Ok(self.logs(cluster, partitions, true))),
            Question::Committed(id) => self.committed(cluster, *id),
            Question::Groups(ids) => Answer::Groups(Ok(self.described(cluster, ids))),
            Question::Commit(id, commits) => {
                let (name, ..) = cluster.reader(*id).expect("it is watched");
                let (_, group) =
                    self.groups.iter_mut().find(|(group, _)| **group == name).expect("it exists");
                if !group.members.is_empty() {
                    return Answer::Commit(Err(Failure { code: 25, text: "UNKNOWN_MEMBER_ID".to_owned() }));
                }
                for commit in commits {
                    group.offsets.insert(commit.partition, (commit.offset, commit.metadata.clone()));
                }
                Answer::Commit(Ok(()))
            }
        }
    }

    fn topics(&self, cluster: &Cluster, keys: &[u32]) -> Named<DescribedTopic> {
        let names = keys.iter().filter_map(|key| cluster.topic_name(*key));
        let described = names.map(|name| {
            let described = match self.topics.get(name) {
                None => Err(3),
                Some(topic) if topic.error != 0 => Err(topic.error),
                Some(topic) => Ok(DescribedTopic {
                    id: Some(TopicId([topic.id; 16])),
                    leaders: topic.logs.iter().map(|(leader, ..)| *leader).collect(),
                }),
            };
            (name.to_owned(), described)
        });
        described.collect()
    }

    fn logs(&self, cluster: &Cluster, partitions: &[(u32, i32)], start: bool) -> Vec<FoundOffset> {
        let log = |(key, partition): &(u32, i32)| {
            let topic = self.topics.get(cluster.topic_name(*key)?)?;
            topic.logs.get(usize::try_from(*partition).ok()?)
        };
        let found = partitions.iter().map(|one| match log(one) {
            None => FoundOffset::Error(3),
            Some((leader, ..)) if self.silent_leader == Some(*leader) => FoundOffset::Absent,
            Some((_, log_start, log_end)) => FoundOffset::At(if start { *log_start } else { *log_end }),
        });
        found.collect()
    }

    fn committed(&self, cluster: &Cluster, id: u64) -> Answer {
        let (group, _, count) = cluster.reader(id).expect("it is watched");
        let group = self.groups.get(group).cloned().unwrap_or_default();
        if group.error != 0 {
            return Answer::Committed(Err(Failure { code: group.error, text: String::new() }));
        }
        let offset = |partition| {
            let (offset, metadata) = group.offsets.get(&partition).cloned().unzip();
            GroupOffset { partition, offset: Ok(offset), metadata: metadata.unwrap_or_default() }
        };
        Answer::Committed(Ok((0..i32::try_from(count).expect("few")).map(offset).collect()))
    }

    fn described(&self, cluster: &Cluster, ids: &[u64]) -> Named<DescribedGroup> {
        let described = ids.iter().map(|id| {
            let (name, topic, _) = cluster.reader(*id).expect("it is watched");
            let members = self.groups.get(name).map(|group| group.members.clone()).unwrap_or_default();
            let state = if members.is_empty() { GroupState::Empty } else { GroupState::Stable };
            let member = |id: &&str| {
                let member = Member { client_id: (*id).to_owned(), ..Member::default() };
                (member, vec![(topic.to_owned(), 1), (topic.to_owned(), 0), ("other".to_owned(), 7)])
            };
            let members = members.iter().map(member).collect();
            (name.to_owned(), Ok(DescribedGroup { state, members }))
        });
        described.collect()
    }

    /// Answers everything that is asked at `now`, and what that leads to. Gives the questions in short.
    pub(super) fn settle(&mut self, cluster: &mut Cluster, now: Duration) -> Vec<String> {
        let mut told = Vec::new();
        loop {
            let questions = cluster.questions(now);
            if questions.is_empty() {
                return told;
            }
            for question in questions {
                told.push(short(cluster, &question));
                let answer = self.answer(cluster, &question);
                cluster.answer(question, answer, now, now);
            }
        }
    }
}

/// A question in short.
pub(super) fn short(cluster: &Cluster, question: &Question) -> String {
    let group = |id: &u64| cluster.reader(*id).map_or("gone", |(group, ..)| group);
    match question {
        Question::Topics(keys) => format!("topics {}", keys.len()),
        Question::Ends { leader, partitions } => format!("ends of {} at {leader}", partitions.len()),
        Question::Starts { partitions } => format!("starts of {}", partitions.len()),
        Question::Committed(id) => format!("committed {}", group(id)),
        Question::Groups(ids) => format!("groups {}", ids.iter().map(group).collect::<Vec<_>>().join(" ")),
        Question::Commit(id, commits) => {
            let offsets = commits.iter().map(|commit| format!("{}@{}", commit.partition, commit.offset));
            format!("commit {} {}", group(id), offsets.collect::<Vec<_>>().join(" "))
        }
    }
}
