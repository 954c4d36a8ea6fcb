//! Simulated schedules of faults over the worker's real lanes: few enough for every run of the tests.
//!
//! `plaudit-tests sim` runs as many as one likes.

use plaudit_tests::sim::{Plan, run, traced};
use plaudit_worker::mutation::Mutation;

/// Schedules of each run.
const SEEDS: std::ops::Range<u64> = 1..601;
/// Seeds that failed once.
const KEPT: [u64; 9] = [17, 22, 26, 350, 645, 878, 900, 4471, 8198];

#[test]
fn every_report_counts_exactly_once_in_every_schedule() {
    for seed in SEEDS.chain(KEPT) {
        let outcome = run(Plan::new(seed), Mutation::None);
        assert!(outcome.is_exact(), "{}\n{}", Plan::new(seed), traced(Plan::new(seed), Mutation::None));
    }
}

#[test]
fn a_schedule_is_a_function_of_its_seed() {
    for seed in SEEDS.take(40) {
        let told = || traced(Plan::new(seed), Mutation::None).to_string();
        assert_eq!(told(), told(), "seed {seed}");
    }
}

#[test]
fn each_part_of_the_protocol_is_missed() {
    for mutation in [Mutation::NoWatermark, Mutation::NoFence, Mutation::CommitBeforeWrite] {
        let is_found = |seed| !run(Plan::new(seed), mutation).is_exact();
        assert!(SEEDS.into_iter().any(is_found), "{mutation:?} goes unnoticed");
    }
}
