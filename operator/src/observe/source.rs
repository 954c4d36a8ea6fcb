//! The state of a pipeline's topic and consumer group, as far as Kafka told it: every part may be unknown, with a reason.

use std::fmt;
use std::time::Duration;

use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

/// What is known of the topic.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum SourceState {
    /// Nothing was asked yet.
    #[default]
    NotAsked,
    /// Kafka did not answer, or its answer was an error.
    Failed {
        /// One word for machines.
        reason: &'static str,
        /// What failed, for people.
        message: String,
    },
    /// The topic exists.
    Found(Topic),
}

/// A topic and the consumer group that reads it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Topic {
    /// Its ID; `None` where the broker tells none.
    pub id: Option<TopicId>,
    /// Its partitions, in order.
    pub partitions: Vec<PartitionOffsets>,
    /// What the group's coordinator last said.
    pub group: Group,
    /// It was deleted and created again since the group began, and the group has not committed for the new one everywhere.
    pub recreated: bool,
}

/// The ID that Kafka gave to a topic: another one with the same name is another topic.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TopicId(pub [u8; 16]);

/// Offsets of one partition; `None` is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PartitionOffsets {
    /// The partition.
    pub partition: i32,
    /// What the consumer group committed.
    pub committed: Committed,
    /// The oldest offset that still exists.
    pub log_start: Option<i64>,
    /// The offset after the newest record that is not part of an open transaction.
    pub log_end: Option<i64>,
    /// Why something of it is unknown.
    pub unknown: Option<Unknown>,
    /// The commit lies above the log end that was read after it: the log has lost records, or somebody set the offset by hand.
    pub beyond_end: bool,
}

/// What a consumer group committed for a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Committed {
    /// The group's coordinator did not say.
    #[default]
    Unknown,
    /// It has none.
    Nothing,
    /// The offset of the next record.
    Offset(i64),
    /// What it has belongs to a topic that had this name before: of this one nothing was read.
    Obsolete,
}

/// Why a value of a partition is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// It was not asked for yet.
    NotAsked,
    /// No broker answered in time.
    NoAnswer,
    /// The answer does not name the partition.
    Absent,
    /// The broker does not know the partition, or not yet.
    Missing,
    /// The partition has no leader, or a new one that is not known yet.
    NoLeader,
    /// The client may not describe the topic.
    TopicUnauthorized,
    /// The client may not read the group.
    GroupUnauthorized,
    /// The group's coordinator is loading or moving.
    NoCoordinator,
    /// Another error, by Kafka's number.
    Error(i16),
}

/// A consumer group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    /// Its state when it was last described.
    pub state: GroupState,
    /// Its members then.
    pub members: Vec<Member>,
}

/// The state of a consumer group. A group is described only while that matters, so it may be old; offsets never are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupState {
    /// It was not described, or is in a state that the client has no name for.
    #[default]
    Unknown,
    /// The client may not describe it.
    Unauthorized,
    /// Its coordinator knows nothing of it.
    Dead,
    /// It has offsets and no members.
    Empty,
    /// Its members own their partitions.
    Stable,
    /// Members are joining or leaving.
    PreparingRebalance,
    /// Partitions are being handed out.
    CompletingRebalance,
}

/// A member of a consumer group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// What the client calls itself.
    pub client_id: String,
    /// Where it connects from.
    pub host: String,
    /// The partitions of this topic that it owns, in order.
    pub partitions: Vec<i32>,
}

impl PartitionOffsets {
    /// Records not yet processed.
    ///
    /// Records that retention deleted are gone, so the count begins at the log start at the least. Without a commit it begins where
    /// the first worker will: at the log start for `earliest`; for `latest` that place is not decided before a worker has
    /// taken the partition or the group's first offsets were committed for it, so it is the lane's position, or unknown.
    #[must_use]
    pub fn lag(&self, starts_at_log_start: bool, position: Option<i64>) -> Option<u64> {
        let (log_start, log_end) = (self.log_start?, self.log_end?);
        let begin = match self.committed {
            Committed::Unknown => return None,
            Committed::Offset(offset) => offset.max(log_start),
            Committed::Nothing if starts_at_log_start => log_start,
            Committed::Nothing => position?.max(log_start),
            // Once somebody lets the lanes go on, they begin there.
            Committed::Obsolete => log_start,
        };
        // A commit above the log end belongs to a topic that was made again: nothing is due.
        u64::try_from(log_end.saturating_sub(begin).max(0)).ok()
    }

    /// Offsets that were due and that retention has deleted: the first, and the one after the last.
    #[must_use]
    pub fn overtaken(&self) -> Option<(i64, i64)> {
        let (committed, log_start) = (self.committed.offset()?, self.log_start?);
        (committed < log_start).then_some((committed, log_start))
    }
}

impl Committed {
    /// The offset, where there is one.
    #[must_use]
    pub fn offset(self) -> Option<i64> {
        match self {
            Self::Offset(offset) => Some(offset),
            Self::Unknown | Self::Nothing | Self::Obsolete => None,
        }
    }
}

impl Topic {
    /// What is wrong with a topic that exists: one word for machines, and a sentence for people.
    #[must_use]
    pub fn trouble(&self) -> Option<(&'static str, String)> {
        if self.recreated {
            let message = "the topic was deleted and created again since the group read it";
            return Some(("TopicRecreated", message.to_owned()));
        }
        let unknown = self.partitions.iter().find_map(|offsets| Some((offsets.partition, offsets.unknown?)));
        if let Some((partition, unknown)) = unknown {
            return Some((unknown.reason(), format!("partition {partition}: {unknown}")));
        }
        let beyond = self.partitions.iter().find(|offsets| offsets.beyond_end)?;
        let (committed, end) = (beyond.committed.offset()?, beyond.log_end?);
        let message = format!(
            "partition {}: the group has committed offset {committed}, but the log ends at {end}: it has lost records, or somebody set the \
             offset; the workers stop there and say how to go on",
            beyond.partition
        );
        Some(("CommitBeyondEnd", message))
    }
}

impl From<Vec<PartitionOffsets>> for Topic {
    fn from(partitions: Vec<PartitionOffsets>) -> Self {
        Self { partitions, ..Self::default() }
    }
}

impl GroupState {
    /// Kafka's own name of the state.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Unauthorized => "Unauthorized",
            Self::Dead => "Dead",
            Self::Empty => "Empty",
            Self::Stable => "Stable",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
        }
    }
}

impl Topic {
    /// True when some broker does not answer.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.partitions.iter().any(|partition| partition.unknown == Some(Unknown::NoAnswer))
    }
}

impl Unknown {
    /// One word for conditions.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotAsked => "NotYetObserved",
            Self::NoAnswer => "KafkaUnreachable",
            Self::Absent | Self::Missing | Self::NoLeader => "PartitionUnknown",
            Self::TopicUnauthorized => "TopicUnauthorized",
            Self::GroupUnauthorized => "GroupUnauthorized",
            Self::NoCoordinator => "CoordinatorUnavailable",
            Self::Error(_) => "KafkaError",
        }
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked => f.write_str("its offsets were not asked for yet"),
            Self::NoAnswer => f.write_str("no broker answered in time; look at the brokers"),
            Self::Absent => f.write_str("Kafka's answer does not name it"),
            Self::Missing => f.write_str("its broker does not know it; look at the brokers"),
            Self::NoLeader => f.write_str("it has no leader; look at the brokers that have its replicas"),
            Self::TopicUnauthorized => f.write_str(
                "the operator may not describe the topic; allow its Kafka user the operation Read",
            ),
            Self::GroupUnauthorized => f.write_str(
                "the operator may not read the consumer group; allow its Kafka user the operation Read on it",
            ),
            Self::NoCoordinator => {
                f.write_str("the coordinator of the consumer group is not available; look at the brokers")
            }
            Self::Error(code) => match RDKafkaRespErr::try_from(i32::from(*code)) {
                Ok(known) => write!(f, "Kafka answers with error {code}, {}", RDKafkaErrorCode::from(known)),
                Err(_) => write!(f, "Kafka answers with error {code}"),
            },
        }
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The last answer, unless it is older than three polls: then the topic's state is unknown again.
#[must_use]
pub fn fresh(state: SourceState, age: Duration, period: Duration) -> SourceState {
    if age <= period.saturating_mul(3) + super::kafka::DEADLINE {
        state
    } else {
        SourceState::Failed {
            reason: "KafkaUnreachable",
            message: "Kafka has not answered for a while".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(
        committed: Committed,
        log_start: impl Into<Option<i64>>,
        log_end: impl Into<Option<i64>>,
    ) -> PartitionOffsets {
        PartitionOffsets {
            committed,
            log_start: log_start.into(),
            log_end: log_end.into(),
            ..PartitionOffsets::default()
        }
    }

    #[test]
    fn lag_counts_what_is_left_to_do_and_unknown_is_never_zero() {
        let (earliest, latest) = (true, false);
        let cases = [
            ("committed", offsets(Committed::Offset(70), 0, 100), earliest, None, Some(30)),
            ("drained", offsets(Committed::Offset(100), 0, 100), earliest, None, Some(0)),
            ("deleted by retention", offsets(Committed::Offset(10), 60, 100), earliest, None, Some(40)),
            ("topic made again", offsets(Committed::Offset(500), 0, 100), earliest, None, Some(0)),
            ("known to be made again", offsets(Committed::Obsolete, 10, 100), latest, None, Some(90)),
            ("no commit, earliest", offsets(Committed::Nothing, 20, 100), earliest, None, Some(80)),
            ("no commit, latest, no lane", offsets(Committed::Nothing, 20, 100), latest, None, None),
            ("no commit, latest, a lane", offsets(Committed::Nothing, 20, 100), latest, Some(95), Some(5)),
            ("coordinator silent", offsets(Committed::Unknown, 0, 100), earliest, Some(95), None),
            ("log start unknown", offsets(Committed::Offset(70), None, 100), earliest, None, None),
            ("log end unknown", offsets(Committed::Offset(70), 0, None), earliest, None, None),
            ("empty", offsets(Committed::Nothing, 0, 0), earliest, None, Some(0)),
        ];

        let lags =
            cases.map(|(name, offsets, earliest, position, _)| (name, offsets.lag(earliest, position)));

        assert_eq!(lags, cases.map(|(name, _, _, _, lag)| (name, lag)));
    }

    #[test]
    fn an_old_answer_is_no_answer() {
        let (period, state) = (Duration::from_secs(1), SourceState::Found(Topic::default()));

        let states = [3, 60].map(|age| fresh(state.clone(), Duration::from_secs(age), period));

        assert!(matches!(
            &states,
            [SourceState::Found(_), SourceState::Failed { reason: "KafkaUnreachable", .. }]
        ));
    }

    #[test]
    fn what_is_wrong_with_a_topic_has_a_reason_of_its_own() {
        let good = offsets(Committed::Offset(70), 0, 100);
        let unknown = |unknown| PartitionOffsets { partition: 1, unknown: Some(unknown), ..good };
        let beyond = PartitionOffsets { beyond_end: true, ..offsets(Committed::Offset(70), 0, 60) };
        let topics = [
            Topic::from(vec![good, good]),
            Topic { recreated: true, ..Topic::from(vec![good]) },
            Topic::from(vec![good, unknown(Unknown::Absent)]),
            Topic::from(vec![good, unknown(Unknown::NoLeader)]),
            Topic::from(vec![good, unknown(Unknown::GroupUnauthorized)]),
            Topic::from(vec![good, unknown(Unknown::Error(56))]),
            Topic::from(vec![beyond]),
        ];

        let troubles = topics.map(|topic| topic.trouble());

        let said = troubles.map(|trouble| trouble.map(|(reason, message)| format!("{reason}: {message}")));
        let expected = [
            None,
            Some("TopicRecreated: the topic was deleted and created again since the group read it"),
            Some("PartitionUnknown: partition 1: Kafka's answer does not name it"),
            Some(
                "PartitionUnknown: partition 1: it has no leader; look at the brokers that have its replicas",
            ),
            Some(
                "GroupUnauthorized: partition 1: the operator may not read the consumer group; allow its Kafka user the operation Read on it",
            ),
            Some(
                "KafkaError: partition 1: Kafka answers with error 56, KafkaStorageError (Broker: Disk error when trying to access log file on disk)",
            ),
            Some(
                "CommitBeyondEnd: partition 0: the group has committed offset 70, but the log ends at 60: it has lost records, or somebody \
                 set the offset; the workers stop there and say how to go on",
            ),
        ];
        assert_eq!(said, expected.map(|text| text.map(str::to_owned)));
    }

    #[test]
    fn retention_overtakes_only_what_was_not_read() {
        let overtaken = [
            offsets(Committed::Offset(10), 60, 100),
            offsets(Committed::Offset(60), 60, 100),
            offsets(Committed::Nothing, 60, 100),
        ]
        .map(|offsets| offsets.overtaken());

        assert_eq!(overtaken, [Some((10, 60)), None, None]);
    }
}
