//! The simulated fleet, and Plaudit's decisions on it.

use super::*;
use crate::pipeline::tests::object;

const SETTINGS: Settings = Settings {
    worker_capacity: 100.0,
    start_up_seconds: 3.0,
    rebalance_pause_seconds: 1.0,
    store_capacity: None,
};

fn fleet(partitions: usize, workers: u32) -> Fleet {
    let mut fleet = Fleet::new(partitions, SETTINGS);
    fleet.resize(workers, true);
    fleet
}

fn lags(fleet: &Fleet) -> Vec<Option<f64>> {
    fleet.lags()
}

#[test]
fn a_workers_capacity_is_shared_by_its_partitions_and_what_one_does_not_need_goes_to_others() {
    let mut fleet = fleet(4, 2);

    // The first worker has 0 and 2, the second 1 and 3.
    fleet.step(&[Some(10.0), Some(40.0), Some(100.0), Some(90.0)], 1.0);

    assert_eq!(lags(&fleet), [Some(0.0), Some(0.0), Some(10.0), Some(30.0)]);
}

#[test]
fn a_new_worker_takes_part_after_its_start_up_and_a_pause() {
    let mut fleet = fleet(2, 1);
    fleet.resize(2, false);

    let seen: Vec<_> = (0..6)
        .map(|_| {
            fleet.step(&[Some(100.0), Some(100.0)], 1.0);
            (fleet.ready(), fleet.lags().iter().flatten().sum::<f64>())
        })
        .collect();

    // Three seconds at 100 of 200, one in which nobody works, then 200 of 200.
    assert_eq!(seen, [(1, 100.0), (1, 200.0), (1, 300.0), (2, 500.0), (2, 500.0), (2, 500.0)]);
}

#[test]
fn a_partition_that_cannot_be_reached_is_unknown_and_stands_still() {
    let mut fleet = fleet(2, 1);
    fleet.step(&[Some(80.0), Some(80.0)], 1.0);

    fleet.step(&[None, Some(0.0)], 1.0);

    let sample = fleet.sample(Some(1));
    let known: Vec<_> = sample.partitions.iter().flatten().map(|partition| partition.lag).collect();
    assert_eq!((lags(&fleet), known), (vec![None, Some(0.0)], vec![None, Some(0)]));
}

#[test]
fn a_slow_store_slows_everybody_and_a_full_one_limits_all_together() {
    let mut slow = fleet(2, 2);
    slow.step(&[Some(100.0), Some(100.0)], 0.25);
    let mut full = Fleet::new(2, Settings { store_capacity: Some(120.0), ..SETTINGS });
    full.resize(2, true);
    full.step(&[Some(100.0), Some(100.0)], 1.0);

    assert_eq!((lags(&slow), lags(&full)), (vec![Some(75.0); 2], vec![Some(40.0); 2]));
}

#[test]
fn the_lag_in_seconds_is_the_age_of_the_oldest_record_that_waits() {
    let mut fleet = fleet(1, 1);

    let ages: Vec<f64> = [150.0, 150.0, 0.0, 0.0]
        .iter()
        .map(|records| {
            fleet.step(&[Some(*records)], 1.0);
            fleet.lag_seconds()
        })
        .collect();

    // 50 of the first second's 150 wait after it, the last third of it; then two thirds of the second one's.
    let shown: Vec<f64> = ages.iter().map(|age| (age * 100.0).round() / 100.0).collect();
    assert_eq!(shown, [0.33, 0.67, 0.0, 0.0]);
}

#[test]
fn a_summary_counts_pods_changes_and_quantiles() {
    struct Steps;
    impl Policy for Steps {
        fn period_seconds(&self) -> u64 {
            1
        }
        fn choose(&mut self, _: &Fleet, _: Option<u32>, now: u64) -> Option<Choice> {
            Some(Choice { replicas: if now < 50 { 1 } else { 3 }, record: None })
        }
    }
    let trace = Trace::parse("second,p0,p1\n0,10,10\n50,10,10\n").expect("a trace");

    let summary = run(&trace, &SETTINGS, &mut Steps).summary();

    assert_eq!(
        (
            summary.seconds,
            summary.scale_events,
            summary.mean_pods,
            summary.most_pods,
            summary.lag_seconds.p95
        ),
        (100, 1, 2.0, 3, 0.0)
    );
}

fn plaudit() -> Plaudit {
    Plaudit::new(crate::pipeline::parse(&object("")).expect("a pipeline").scaling, None, 2)
}

#[test]
fn after_a_slow_store_the_fleet_becomes_small_again() {
    let cells = vec![Some(200.0); 12];
    let row = |second, capacity| Row { second, produced: cells.clone(), capacity };
    let trace =
        Trace::new(12, vec![row(0, 1.0), row(1200, 0.35), row(1800, 1.0), row(3600, 1.0)]).expect("a trace");

    let outcome = run(&trace, &Settings::default(), &mut plaudit());

    let pods = outcome.pods();
    assert_eq!(
        (pods[1100], pods[1700], pods[5000]),
        (4, 12, 4),
        "{:?}",
        outcome.scale_events().collect::<Vec<_>>()
    );
}

#[test]
fn a_store_that_is_the_limit_is_told() {
    let cells = vec![Some(150.0); 24];
    let row = |second| Row { second, produced: cells.clone(), capacity: 1.0 };
    let trace = Trace::new(24, vec![row(0), row(600)]).expect("a trace");
    let settings = Settings { store_capacity: Some(1000.0), ..Settings::default() };

    let outcome = run(&trace, &settings, &mut plaudit());

    let reasons = outcome.news().filter_map(|change| change.decision.as_ref());
    let told = reasons.filter(|decision| decision.reason == "StoreBound").count();
    assert!(told > 0, "{:?}", outcome.scale_events().collect::<Vec<_>>());
}
