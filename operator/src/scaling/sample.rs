//! A sample is what a decision is made from, beside the rules and the time.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::observe::{GroupState, Observed, SourceState};

/// One look at a pipeline. Unknown is `None`, never 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// The topic's partitions, ascending; `None` while the topic could not be read.
    pub partitions: Option<Vec<PartitionSample>>,
    /// Workers that should run so far; `None` before the first decision.
    pub replicas: Option<u32>,
    /// Workers that are ready; `None` while unknown.
    pub ready: Option<u32>,
    /// Partitions change their workers, or workers are replaced: a rebalance or a rollout.
    pub moving: bool,
    /// Workers wait for the store, so that what they take says nothing about them.
    pub store_waiting: bool,
}

/// One partition.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PartitionSample {
    /// Its number.
    pub partition: i32,
    /// Records not yet processed. What retention deleted is no lag.
    pub lag: Option<u64>,
    /// The offset after the newest record.
    pub log_end: Option<i64>,
    /// What the group committed; `None` also before its first commit.
    pub committed: Option<i64>,
    /// The worker that consumes it: any number that stays the same while the worker lives.
    pub owner: Option<u64>,
}

impl Sample {
    /// The sample of what was found, for `replicas` workers that should run so far.
    #[must_use]
    pub fn of(observed: &Observed, starts_at_log_start: bool, replicas: Option<u32>) -> Self {
        let partitions = match &observed.source {
            SourceState::Found(topic) => Some(topic),
            SourceState::NotAsked | SourceState::Failed { .. } => None,
        };
        // A group is described while something is left to do; afterwards the last description only grows old.
        let is_described = observed.lag(starts_at_log_start) != Some(0);
        let rebalances = is_described
            && partitions.is_some_and(|topic| match topic.group.state {
                GroupState::PreparingRebalance | GroupState::CompletingRebalance => true,
                GroupState::Unknown
                | GroupState::Unauthorized
                | GroupState::Dead
                | GroupState::Empty
                | GroupState::Stable => false,
            });
        let partitions = partitions.map(|topic| {
            // Not every worker says what it owns; the group knows it of all.
            let member = |partition| {
                let mut members = topic.group.members.iter();
                members.find(|member| member.partitions.contains(&partition)).map(|member| &*member.client_id)
            };
            let sample = |offsets: &crate::observe::PartitionOffsets| PartitionSample {
                partition: offsets.partition,
                lag: observed.lag_of(offsets, starts_at_log_start),
                log_end: offsets.log_end,
                committed: offsets.committed.offset(),
                owner: observed
                    .owner(offsets.partition)
                    .map(|(name, _)| name)
                    .or_else(|| member(offsets.partition))
                    .map(number_of),
            };
            topic.partitions.iter().map(sample).collect()
        });
        let lane_is =
            |states: &[&str]| observed.lanes().any(|(_, lane)| states.contains(&lane.state.as_str()));
        Self {
            partitions,
            replicas,
            ready: Some(observed.ready_workers()),
            moving: observed.rolls_out || rebalances || lane_is(&["starting", "draining"]),
            store_waiting: observed
                .lanes()
                .any(|(_, lane)| lane.reason.as_deref() == Some("StoreUnavailable")),
        }
    }
}

/// A worker's name as a number. Two names with one number would only spoil a measurement.
fn number_of(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::{Committed, Lane, LanesReport, PartitionOffsets, WorkerState};

    fn observed(lane: Lane) -> Observed {
        let offsets = PartitionOffsets {
            partition: 3,
            committed: Committed::Offset(70),
            log_start: Some(0),
            log_end: Some(100),
            ..PartitionOffsets::default()
        };
        let report = LanesReport { lanes: vec![lane], ..LanesReport::default() };
        let worker = WorkerState { ready: true, trouble: None, report: Some(report) };
        let source = SourceState::Found(vec![offsets].into());
        Observed { source, workers: [("w-0".to_owned(), worker)].into(), ..Observed::default() }
    }

    #[test]
    fn a_sample_holds_what_was_found() {
        let lane = |state: &str, reason: Option<&str>| Lane {
            partition: 3,
            state: state.to_owned(),
            reason: reason.map(str::to_owned),
            ..Lane::default()
        };
        let seen = |lane| Sample::of(&observed(lane), true, Some(2));

        let samples = [
            seen(lane("running", None)),
            seen(lane("starting", None)),
            seen(lane("waiting", Some("StoreUnavailable"))),
            Sample::of(&Observed::default(), true, None),
        ];

        let running = Sample {
            partitions: Some(vec![PartitionSample {
                partition: 3,
                lag: Some(30),
                log_end: Some(100),
                committed: Some(70),
                owner: Some(number_of("w-0")),
            }]),
            replicas: Some(2),
            ready: Some(1),
            moving: false,
            store_waiting: false,
        };
        let nothing = Sample { ready: Some(0), ..Sample::default() };
        let (moving, waiting) =
            (Sample { moving: true, ..running.clone() }, Sample { store_waiting: true, ..running.clone() });
        assert_eq!(samples, [running, moving, waiting, nothing]);
    }
}
