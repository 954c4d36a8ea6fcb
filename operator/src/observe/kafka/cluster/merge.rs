//! Answers turned into what is known: every value or a reason.

use std::collections::HashMap;
use std::time::Duration;

use plaudit_worker::lane::CommitMetadata;

use super::super::super::admin::{Code, DescribedGroup, Failure, FoundOffset, GroupOffset};
use super::super::super::source::{Committed, GroupState, Member, Unknown};
use super::{Mark, Offset, Partition, Reader, Wish};

/// The offsets of an answer about `count` partitions of one broker, in order.
pub(super) fn marks(
    count: usize,
    answer: &Result<Vec<FoundOffset>, Failure>,
) -> impl Iterator<Item = Mark> + '_ {
    let silent = answer.as_ref().is_ok_and(|found| found.iter().all(|one| *one == FoundOffset::Absent));
    (0..count).map(move |at| match answer {
        // The client tells a broker's silence so.
        Ok(_) if silent => Err(Unknown::NoAnswer),
        Ok(found) => match found.get(at) {
            Some(FoundOffset::At(offset)) => Ok(*offset),
            Some(FoundOffset::Error(code)) => Err(unknown(*code)),
            Some(FoundOffset::Absent) | None => Err(Unknown::Absent),
        },
        Err(failure) => Err(unknown(failure.code)),
    })
}

/// What an error means for the value that was asked for. Numbers as in the Kafka protocol's table of errors; the client's own are
/// negative.
pub(super) fn unknown(code: Code) -> Unknown {
    match code {
        // UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID, and the same by the client itself
        3 | 100 | -188 | -190 => Unknown::Missing,
        // LEADER_NOT_AVAILABLE, NOT_LEADER_OR_FOLLOWER, REPLICA_NOT_AVAILABLE, KAFKA_STORAGE_ERROR, FENCED_LEADER_EPOCH,
        // UNKNOWN_LEADER_EPOCH, OFFSET_NOT_AVAILABLE, and "no leaders found" by the client
        5 | 6 | 9 | 56 | 74 | 75 | 78 | -156 => Unknown::NoLeader,
        29 => Unknown::TopicUnauthorized,
        30 => Unknown::GroupUnauthorized,
        // COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR
        14..=16 => Unknown::NoCoordinator,
        ..0 => Unknown::NoAnswer,
        _ => i16::try_from(code).map_or(Unknown::NoAnswer, Unknown::Error),
    }
}

/// State and members of a group with the partitions of one topic; `None`: the answer does not name it.
pub(super) fn described_group(
    described: Option<Result<&DescribedGroup, &Code>>,
    topic: &str,
) -> (GroupState, Vec<Member>) {
    const GROUP_ID_NOT_FOUND: Code = 69;
    match described {
        Some(Ok(group)) => {
            let members = group.members.iter().map(|(member, partitions)| {
                let own = partitions.iter().filter(|(name, _)| name == topic);
                let mut own: Vec<i32> = own.map(|(_, partition)| *partition).collect();
                own.sort_unstable();
                Member { partitions: own, ..member.clone() }
            });
            let mut members: Vec<Member> = members.collect();
            // The coordinator lists them in any order, and an order that changes is no news.
            members.sort_unstable_by(|one, other| one.partitions.cmp(&other.partitions));
            (group.state, members)
        }
        Some(Err(&GROUP_ID_NOT_FOUND)) => (GroupState::Dead, Vec::new()),
        Some(Err(code)) if unknown(*code) == Unknown::GroupUnauthorized => {
            (GroupState::Unauthorized, Vec::new())
        }
        Some(Err(_)) | None => (GroupState::Unknown, Vec::new()),
    }
}

impl Reader {
    /// Takes what the coordinator says; the IDs in the lanes' metadata tell whether it is about this topic.
    pub(super) fn take_commits(&mut self, found: &[GroupOffset], topic_id: Option<[u8; 16]>) {
        let found: HashMap<i32, &GroupOffset> = found.iter().map(|one| (one.partition, one)).collect();
        let (mut of_this, mut of_other) = (false, false);
        let mut offsets = Vec::with_capacity(self.offsets.len());
        for partition in (0..).take(self.offsets.len()) {
            let committed = match found.get(&partition).map(|one| (&one.offset, &one.metadata)) {
                None => Err(Unknown::Absent),
                Some((Err(code), _)) => Err(unknown(*code)),
                Some((Ok(None), _)) => Ok(Committed::Nothing),
                Some((Ok(Some(offset)), metadata)) => match (topic_id, lane_topic(metadata)) {
                    (Some(now), Some(then)) if now[..] != then[..] => {
                        of_other = true;
                        Ok(Committed::Obsolete)
                    }
                    (_, Some(_)) => {
                        of_this = true;
                        Ok(Committed::Offset(*offset))
                    }
                    (_, None) => Ok(Committed::Offset(*offset)),
                },
            };
            offsets.push(Offset { committed, beyond_end: false });
        }
        let recreated = of_other || (self.recreated && !of_this);
        if recreated {
            // Nothing is left of the group's commits, or what is left has no metadata: it is not about this topic.
            for offset in offsets.iter_mut().filter(|offset| offset.committed.is_ok()) {
                if !of_this {
                    offset.committed = Ok(Committed::Obsolete);
                }
            }
        } else {
            self.first_id = topic_id.map(super::super::super::source::TopicId).or(self.first_id);
        }
        for (after, before) in offsets.iter_mut().zip(&self.offsets) {
            after.beyond_end = before.beyond_end && before.committed == after.committed;
        }
        self.changed |= self.offsets != offsets || self.recreated != recreated;
        (self.offsets, self.recreated) = (offsets, recreated);
    }

    /// Compares commits with log ends that were asked for later. True when that says something new.
    pub(super) fn look_beyond(&mut self, partitions: &[Partition], asked: Duration) -> bool {
        // A commit that was read after the log end may be above it: the topic goes on.
        if asked < self.committed_at {
            return false;
        }
        let mut news = false;
        for (offset, partition) in self.offsets.iter_mut().zip(partitions) {
            let beyond = match (offset.committed, partition.end) {
                (Ok(Committed::Offset(committed)), Ok(end)) => committed > end,
                (Ok(Committed::Unknown | Committed::Nothing | Committed::Obsolete) | Err(_), _)
                | (Ok(Committed::Offset(_)), Err(_)) => false,
            };
            news |= offset.beyond_end != beyond;
            offset.beyond_end = beyond;
        }
        news
    }
}

/// The ID of the topic in the metadata of a lane's commit.
fn lane_topic(metadata: &[u8]) -> Option<Vec<u8>> {
    let metadata = CommitMetadata::decode(metadata)?;
    (!metadata.topic_id.is_empty()).then_some(metadata.topic_id)
}

impl Wish {
    /// Wanted, unless the answer is on its way.
    pub(super) fn unless_asked(self, before: Self) -> Self {
        match before {
            Self::Asked => Self::Asked,
            Self::No | Self::Wanted => self,
        }
    }
}
