//! The known mistakes of other autoscalers, none of which is made here.

use super::*;
use crate::observe::{Committed, Observed, PartitionOffsets, SourceState};

#[test]
fn the_partitions_are_never_exceeded_by_one() {
    // KEDA cuts with a floor where the HPA rounds up.
    let numbers: Vec<u32> = (101..110)
        .map(|lag| {
            let lags: Vec<i64> = (0..10).map(|index| lag / 10 + i64::from(index < lag % 10)).collect();
            let rules = rules(|rules| rules.lag_threshold = 10);
            World::new(rules, 10, 9).lag(&lags).look().replicas
        })
        .collect();

    assert_eq!(numbers, [10; 9]);
}

#[test]
fn a_partition_that_is_missing_from_the_answer_is_not_drained() {
    let mut world = World::new(RULES, 3, 3);
    let _ = world.run(400, &[300; 3], &[300; 3]);
    let before = world.replicas;
    for _ in 0..400 {
        world.now += 2;
        let mut sample = world.sample();
        sample.partitions.as_mut().expect("there are some")[1].lag = None;
        let _ = world.look_at(&sample);
    }

    assert_eq!((world.replicas, world.reason()), (before, "UnknownLag"));
}

#[test]
fn a_query_that_fails_for_an_hour_removes_no_worker_and_goes_not_to_zero() {
    let mut world = World::new(rules(|rules| rules.min_replicas = 0), 4, 4);
    for _ in 0..1800 {
        world.now += 2;
        let _ = world.look_at(&Sample {
            partitions: None,
            ready: Some(4),
            replicas: world.replicas,
            ..Sample::default()
        });
    }

    assert_eq!(world.replicas, Some(4));
}

#[test]
fn what_retention_deleted_is_no_lag() {
    let offsets = PartitionOffsets {
        partition: 0,
        committed: Committed::Offset(10),
        log_start: Some(90_000),
        log_end: Some(90_400),
        ..PartitionOffsets::default()
    };
    let observed = Observed { source: SourceState::Found(vec![offsets].into()), ..Observed::default() };

    let decision = Scaler::new(None).decide(&RULES, &Sample::of(&observed, true, Some(1)), Duration::ZERO);

    assert_eq!((decision.record.inputs.lag, decision.replicas), (Some(400), 1));
}

#[test]
fn a_number_that_relieves_nobody_is_never_taken() {
    let mut numbers = std::collections::BTreeSet::new();
    for lag in (0..40_000).step_by(50) {
        let lags: Vec<i64> = (0..12).map(|index| lag / 12 + i64::from(index < lag % 12)).collect();
        numbers.insert(World::new(RULES, 12, 1).lag(&lags).look().replicas);
    }

    assert_eq!(numbers.into_iter().collect::<Vec<_>>(), [1, 2, 3, 4, 6, 12]);
}

#[test]
fn a_pipelines_memory_stays_small() {
    let mut world = World::new(RULES, 4, 2).learnt(1000);
    let _ = world.run(3 * 3600, &[300; 4], &[300; 4]);

    let points = world.scaler.history.points();

    // 64 KiB a pipeline is the operator's whole budget, and a point of four partitions takes some 300 bytes.
    assert!(points <= 80, "{points} points");
}

#[test]
fn a_steady_load_ends_the_changes_after_the_lag_is_drained() {
    // Whoever asks the lag alone falls to the minimum as soon as it is drained, and begins again.
    let mut world = World::new(RULES, 12, 1);
    let take = |replicas: u32| [i64::from(replicas) * 1000 / 12; 12];
    let mut numbers = Vec::new();
    for _ in 0..3600 {
        let replicas = world.replicas.expect("it decided");
        let _ = world.run(2, &[280; 12], &take(replicas));
        numbers.push(world.replicas);
    }

    let changes = |numbers: &[Option<u32>]| numbers.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert_eq!((changes(&numbers[150..]), world.replicas), (0, Some(4)));
}

#[test]
fn no_worker_is_removed_while_others_catch_up() {
    let mut world = World::new(RULES, 12, 12).learnt(1000).lag(&[90_000; 12]);

    // Arrivals would do with one worker; it takes 100 s to work off the lag.
    let decisions = world.run(90, &[50; 12], &[950; 12]);

    assert_eq!(
        decisions.last().map(|(_, replicas, reason)| (*replicas, reason.as_str())),
        Some((12, "CatchingUp"))
    );
    assert_eq!(decisions.iter().map(|(_, replicas, _)| *replicas).min(), Some(12));
}

#[test]
fn all_workers_that_are_needed_come_in_one_step() {
    let mut world = World::new(RULES, 12, 1).learnt(1000);
    let _ = world.run(60, &[50; 12], &[50; 12]);

    let decisions = world.run(6, &[700; 12], &[83; 12]);

    let numbers: Vec<u32> = decisions.iter().map(|(_, replicas, _)| *replicas).collect();
    assert_eq!(numbers, [1, 12]);
}

#[test]
fn a_capacity_is_measured_within_seconds_of_load() {
    let mut world = World::new(RULES, 12, 1);
    world.rules.lag_threshold = 1_000_000;

    let _ = world.run(14, &[250; 12], &[83; 12]);

    let inputs = world.last.expect("it decided").record.inputs;
    assert_eq!((inputs.worker_capacity, world.replicas), (Some(996), Some(6)));
}

#[test]
fn a_backlog_asks_for_more_than_its_arrivals() {
    let asked = |lag: i64| {
        let mut world = World::new(RULES, 12, 1).learnt(1000).lag(&[lag; 12]);
        let _ = world.run(4, &[50; 12], &[50; 12]);
        world.last.and_then(|decision| decision.record.formula)
    };

    // The rate alone is 600 / 0.8 / 1000.
    assert_eq!((asked(0), asked(10_000)), (Some(1), Some(3)));
}
