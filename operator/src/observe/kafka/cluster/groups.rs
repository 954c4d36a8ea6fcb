//! What answers about groups change: commits, members, and commits for groups that have none.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::super::admin::{DescribedGroup, Failure, GroupOffset, Named};
use super::super::super::source::{GroupState, Unknown};
use super::super::offsets::{EmptyGroup, due};
use super::merge::{described_group, unknown};
use super::{Cluster, EMPTY_FOR, Offset, RETRY, Wish};

/// What the operator is not allowed to do is tried again so often.
const FORBIDDEN_PERIOD: Duration = Duration::from_secs(60);
/// Groups with members keep their own offsets; after so long it is looked again whether they still have some.
const MEMBERS_PERIOD: Duration = Duration::from_secs(600);
/// Kafka forgets offsets of a group without members after a week; renewals are spread over the second half of a day.
const RENEWAL_PERIOD: Duration = Duration::from_secs(12 * 3600);

impl Cluster {
    pub(super) fn committed(&mut self, id: u64, answer: Result<Vec<GroupOffset>, Failure>, now: Duration) {
        let Some(reader) = self.readers.get_mut(&id) else { return };
        let Some(topic) = self.topics.get(&reader.topic) else { return };
        reader.committed = Wish::No;
        reader.committed_at = now;
        let found = match answer {
            Ok(found) => found,
            Err(failure) => {
                let unknown = unknown(failure.code);
                if unknown == Unknown::GroupUnauthorized {
                    reader.committed_not_before = now + FORBIDDEN_PERIOD;
                }
                let offset = Offset { committed: Err(unknown), beyond_end: false };
                reader.changed |= reader.offsets.iter().any(|before| *before != offset);
                reader.offsets.fill(offset);
                reader.empty_at = None;
                return;
            }
        };
        reader.take_commits(&found, topic.id.map(|id| id.0));
        let empty_at = reader.empty_at.take().filter(|at| now <= *at + EMPTY_FOR);
        if empty_at.is_some() && reader.has_no_members() && !reader.recreated {
            let log: Vec<_> = topic.partitions.iter().map(|one| (one.start.ok(), one.end.ok())).collect();
            let renewal_due = now >= reader.renew_at;
            let group = EmptyGroup { initial: reader.initial, committed: &found, log: &log, renewal_due };
            let commits = due(&group);
            if commits.is_empty() {
                reader.keep_not_before = now + RETRY;
            } else {
                self.commits.push((id, commits));
            }
        }
    }

    pub(super) fn groups_described(
        &mut self,
        ids: &[u64],
        answer: Result<Named<DescribedGroup>, Failure>,
        now: Duration,
    ) {
        let answer = answer.map(|described| described.into_iter().collect::<BTreeMap<_, _>>());
        for id in ids {
            let Some(reader) = self.readers.get_mut(id) else { continue };
            reader.describing = false;
            reader.described_at = Some(now);
            let described = match &answer {
                Ok(described) => described.get(&*reader.group).map(Result::as_ref),
                Err(_) => None,
            };
            let topic = self.topics.get(&reader.topic).map_or("", |topic| &*topic.name);
            let (state, members) = described_group(described, topic);
            if state == GroupState::Unauthorized {
                reader.describe_not_before = now + FORBIDDEN_PERIOD;
            }
            reader.changed |= reader.state != state || reader.members != members;
            (reader.state, reader.members) = (state, members);
            if !reader.members.is_empty() {
                reader.keep_not_before = now + MEMBERS_PERIOD;
            } else if reader.has_no_members()
                && self.rules.keep_offsets
                && now >= reader.keep_not_before
                && reader.has_due_offsets(now)
                && !reader.recreated
            {
                reader.empty_at = Some(now);
                reader.committed = Wish::Wanted.unless_asked(reader.committed);
            }
        }
    }

    pub(super) fn commit_answered(&mut self, id: u64, answer: Result<(), Failure>, now: Duration) {
        let Some(reader) = self.readers.get_mut(&id) else { return };
        match answer {
            Ok(()) => {
                let spread = id.wrapping_mul(0x9E37_79B9_7F4A_7C15) % RENEWAL_PERIOD.as_secs();
                reader.renew_at = now + RENEWAL_PERIOD + Duration::from_secs(spread);
                reader.committed = Wish::Wanted.unless_asked(reader.committed);
            }
            Err(failure) => {
                let rest = match unknown(failure.code) {
                    Unknown::GroupUnauthorized | Unknown::TopicUnauthorized => MEMBERS_PERIOD,
                    Unknown::NotAsked
                    | Unknown::NoAnswer
                    | Unknown::Absent
                    | Unknown::Missing
                    | Unknown::NoLeader
                    | Unknown::NoCoordinator
                    | Unknown::Error(_) => RETRY,
                };
                reader.keep_not_before = now + rest;
            }
        }
    }
}
