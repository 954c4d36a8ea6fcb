//! Answers to questions: plain values, with every error kept.

use super::super::source::{GroupState, Member, TopicId};

/// Kafka's number of an error; the client's own errors are negative, 0 is none.
pub(in super::super) type Code = i32;

/// What was found about each of several names, or why not.
pub(in super::super) type Named<T> = Vec<(String, Result<T, Code>)>;

/// A question as a whole failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Failure {
    pub(in super::super) code: Code,
    /// For people.
    pub(in super::super) text: String,
}

/// The answer to one question.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) enum Answer {
    /// In no particular order.
    Topics(Result<Named<DescribedTopic>, Failure>),
    /// In the order of the question.
    Offsets(Result<Vec<FoundOffset>, Failure>),
    /// In no particular order; what is missing was not answered.
    Committed(Result<Vec<GroupOffset>, Failure>),
    /// In no particular order.
    Groups(Result<Named<DescribedGroup>, Failure>),
    /// The first error of a partition; `Ok` when all are committed.
    Commit(Result<(), Failure>),
}

/// ID and leaders of a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct DescribedTopic {
    pub(in super::super) id: Option<TopicId>,
    /// By partition; -1 where there is none.
    pub(in super::super) leaders: Vec<i32>,
}

/// An end of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum FoundOffset {
    At(i64),
    Error(Code),
    /// The answer has nothing for the partition.
    Absent,
}

/// What a group committed for a partition; `None`: nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct GroupOffset {
    pub(in super::super) partition: i32,
    pub(in super::super) offset: Result<Option<i64>, Code>,
    pub(in super::super) metadata: Vec<u8>,
}

/// State of a group, and its members with the partitions of every topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct DescribedGroup {
    pub(in super::super) state: GroupState,
    pub(in super::super) members: Vec<(Member, Vec<(String, i32)>)>,
}

impl Answer {
    /// Why the question as a whole has no answer.
    pub(in super::super) fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Topics(answer) => answer.as_ref().err(),
            Self::Offsets(answer) => answer.as_ref().err(),
            Self::Committed(answer) => answer.as_ref().err(),
            Self::Groups(answer) => answer.as_ref().err(),
            Self::Commit(answer) => answer.as_ref().err(),
        }
    }
}
