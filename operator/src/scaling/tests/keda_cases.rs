//! The ten Kafka cases of KEDA's own end-to-end suite, as decisions.

use super::*;
use crate::observe::{Committed, Lane, LanesReport, Observed, PartitionOffsets, SourceState, WorkerState};

/// 5 partitions of 2000 records each, for a group that committed this.
fn topic(committed: Committed) -> Observed {
    let offsets = |partition| PartitionOffsets {
        partition,
        committed,
        log_start: Some(0),
        log_end: Some(2000),
        ..PartitionOffsets::default()
    };
    Observed {
        source: SourceState::Found((0..5).map(offsets).collect::<Vec<_>>().into()),
        ..Observed::default()
    }
}

/// The first decision of a pipeline that may go to zero.
fn first(observed: &Observed, earliest: bool, replicas: Option<u32>) -> (u32, String) {
    let rules = rules(|rules| rules.min_replicas = 0);
    let sample = Sample { ready: replicas, ..Sample::of(observed, earliest, replicas) };
    let decision = Scaler::new(None).decide(&rules, &sample, Duration::ZERO);
    (decision.replicas, decision.record.reason)
}

#[test]
fn earliest_without_a_commit_counts_what_the_log_holds() {
    assert_eq!(first(&topic(Committed::Nothing), true, Some(0)), (5, "FollowsLag".to_owned()));
}

#[test]
fn latest_without_a_commit_counts_what_came_after_the_lane_began() {
    let mut observed = topic(Committed::Nothing);
    let lane =
        |partition| Lane { partition, state: "running".to_owned(), position: Some(1600), ..Lane::default() };
    let report = LanesReport { lanes: (0..5).map(lane).collect(), ..LanesReport::default() };
    observed
        .workers
        .insert("w-0".to_owned(), WorkerState { ready: true, trouble: None, report: Some(report) });

    assert_eq!(first(&observed, false, Some(1)), (3, "FollowsLag".to_owned()));
}

#[test]
fn two_topics_are_two_pipelines_and_do_not_touch_each_other() {
    let (busy, idle) = (topic(Committed::Offset(0)), topic(Committed::Offset(2000)));

    assert_eq!((first(&busy, true, Some(1)).0, first(&idle, true, Some(1)).0), (5, 1));
}

#[test]
fn an_invalid_offset_is_not_zero_lag_with_latest() {
    // Where the group begins is not decided before a worker has been there, so one has to run.
    assert_eq!(first(&topic(Committed::Nothing), false, None), (1, "UnknownLag".to_owned()));
}

#[test]
fn an_invalid_offset_is_not_zero_lag_with_earliest() {
    assert_eq!(first(&topic(Committed::Nothing), true, None), (5, "FollowsLag".to_owned()));
}

#[test]
fn an_invalid_offset_keeps_the_worker_that_runs_with_latest() {
    assert_eq!(first(&topic(Committed::Nothing), false, Some(1)), (1, "UnknownLag".to_owned()));
}

#[test]
fn an_invalid_offset_of_an_empty_topic_keeps_the_worker_that_runs_with_earliest() {
    let mut observed = topic(Committed::Nothing);
    if let SourceState::Found(partitions) = &mut observed.source {
        partitions.partitions.iter_mut().for_each(|offsets| offsets.log_end = Some(0));
    }

    assert_eq!(first(&observed, true, Some(1)), (1, "WaitsForIdle".to_owned()));
}

#[test]
fn a_lag_that_persists_counts_until_it_is_known_to_be_stuck_and_never_removes_a_worker() {
    let mut world = World::new(RULES, 4, 2).lag(&[900, 0, 0, 0]);

    let decisions = world.run(400, &[0; 4], &[0; 4]);

    let fewest = decisions.iter().map(|(_, replicas, _)| *replicas).min();
    assert_eq!((fewest, world.replicas, world.reason()), (Some(2), Some(2), "Stuck"));
}

#[test]
fn there_are_no_more_workers_than_partitions_that_lag() {
    let one = World::new(RULES, 6, 1).lag(&[5500, 0, 0, 0, 0, 0]).look();
    let two = World::new(RULES, 6, 1).lag(&[5500, 5500, 0, 0, 0, 0]).look();

    assert_eq!((one.replicas, two.replicas), (1, 2));
}

#[test]
fn partitions_are_evenly_distributed_without_being_restricted_to_divisors() {
    let numbers: Vec<u32> =
        (1..=10).map(|tenths| World::new(RULES, 10, 1).lag(&[100 * tenths; 10]).look().replicas).collect();

    assert_eq!(numbers, [1, 2, 4, 5, 5, 10, 10, 10, 10, 10]);
}
