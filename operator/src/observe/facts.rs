//! What happened to a topic between two looks at it: facts for events, each told once. Pure.

use std::fmt;

use super::source::{SourceState, Topic};

/// Something that happened to the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// It has more partitions.
    PartitionsAdded {
        /// How many it had.
        from: usize,
        /// How many it has.
        to: usize,
    },
    /// It was deleted and created again.
    TopicRecreated,
    /// Retention deleted records that the group had not read.
    RetentionOvertook {
        /// The partition.
        partition: i32,
        /// The first offset that was due.
        from: i64,
        /// The oldest offset that still exists.
        to: i64,
    },
}

/// Compares two looks; what cannot be told from them did not happen.
#[must_use]
pub fn facts(before: &SourceState, after: &SourceState) -> Vec<Fact> {
    let (SourceState::Found(before), SourceState::Found(after)) = (before, after) else { return Vec::new() };
    let mut facts = Vec::new();
    let recreated = is_other(before, after) || (after.recreated && !before.recreated);
    if recreated {
        facts.push(Fact::TopicRecreated);
        return facts;
    }
    let (from, to) = (before.partitions.len(), after.partitions.len());
    if from > 0 && from < to {
        facts.push(Fact::PartitionsAdded { from, to });
    }
    let overtaken = before.partitions.iter().zip(&after.partitions).filter_map(|(before, after)| {
        let (from, to) = after.overtaken()?;
        before.overtaken().is_none().then_some(Fact::RetentionOvertook {
            partition: after.partition,
            from,
            to,
        })
    });
    facts.extend(overtaken);
    facts
}

fn is_other(before: &Topic, after: &Topic) -> bool {
    matches!((before.id, after.id), (Some(before), Some(after)) if before != after)
}

impl Fact {
    /// One word for machines.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::PartitionsAdded { .. } => "PartitionsAdded",
            Self::TopicRecreated => "TopicRecreated",
            Self::RetentionOvertook { .. } => "RetentionOvertook",
        }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PartitionsAdded { from, to } => {
                write!(f, "the topic has {to} partitions, {} more than before", to - from)
            }
            Self::TopicRecreated => f.write_str("the topic was deleted and created again"),
            Self::RetentionOvertook { partition, from, to } => write!(
                f,
                "partition {partition}: offsets {from} to {} are due but no longer in the log",
                to - 1
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::{Committed, PartitionOffsets, TopicId};
    use super::*;

    fn topic(id: u8, log_starts: &[i64]) -> Topic {
        let offsets = log_starts.iter().zip(0..).map(|(log_start, partition)| PartitionOffsets {
            partition,
            committed: Committed::Offset(10),
            log_start: Some(*log_start),
            log_end: Some(100),
            ..PartitionOffsets::default()
        });
        Topic { id: Some(TopicId([id; 16])), ..Topic::from(offsets.collect::<Vec<_>>()) }
    }

    #[test]
    fn each_fact_is_told_once() {
        let looks = [
            SourceState::NotAsked,
            SourceState::Found(topic(1, &[0, 0])),
            SourceState::Found(topic(1, &[0, 0, 0])),
            SourceState::Found(topic(1, &[0, 30, 0])),
            SourceState::Found(topic(1, &[0, 40, 0])),
            SourceState::Failed { reason: "TopicMissing", message: String::new() },
            SourceState::Found(topic(2, &[0, 0])),
            SourceState::Found(Topic { recreated: true, ..topic(2, &[0, 0]) }),
            SourceState::Found(topic(3, &[0, 0])),
        ];

        let told: Vec<Vec<String>> = looks
            .windows(2)
            .map(|two| facts(&two[0], &two[1]).iter().map(ToString::to_string).collect())
            .collect();

        assert_eq!(
            told,
            [
                vec![],
                vec!["the topic has 3 partitions, 1 more than before"],
                vec!["partition 1: offsets 10 to 29 are due but no longer in the log"],
                vec![],
                vec![],
                vec![],
                vec!["the topic was deleted and created again"],
                vec!["the topic was deleted and created again"],
            ]
        );
    }
}
