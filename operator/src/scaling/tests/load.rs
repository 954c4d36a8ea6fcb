//! What arrivals, lag and the capacity of a worker ask for.

use super::*;

/// Worlds of 12 partitions whose workers take 1000 records a second each.
fn known(replicas: u32) -> World {
    World::new(RULES, 12, replicas).learnt(1000)
}

#[test]
fn workers_follow_arrivals_at_the_target_utilization_in_numbers_that_relieve_the_fullest() {
    // 12 partitions: 1, 2, 3, 4, 6 or 12 workers.
    let cases =
        [(0, 1), (60, 1), (66, 1), (100, 2), (130, 2), (200, 3), (260, 4), (390, 6), (410, 12), (790, 12)];

    let numbers = cases.map(|(arrivals, _)| {
        let mut world = known(12);
        let _ = world.run(200, &[arrivals; 12], &[arrivals; 12]);
        (arrivals, world.replicas.expect("it decided"))
    });

    assert_eq!(numbers, cases);
}

#[test]
fn a_jump_is_answered_in_one_step_with_all_workers_it_needs() {
    let mut world = known(1);
    let _ = world.run(60, &[50; 12], &[50; 12]);

    // 12 × 300 arrive, and one worker takes 1000.
    let decisions = world.run(10, &[300; 12], &[83; 12]);

    assert_eq!(
        decisions,
        [
            (62, 1, "WithinBand".to_owned()),
            (64, 6, "FollowsLoad".to_owned()),
            (70, 6, "WithinBand".to_owned())
        ]
    );
}

#[test]
fn above_the_lag_limit_no_confirmation_is_waited_for() {
    let mut world = known(1);
    let _ = world.run(60, &[65; 12], &[65; 12]);

    // Nothing is taken for a while. The arrivals are less than one worker takes, and so is what it should bear.
    let decisions = world.run(14, &[65; 12], &[0; 12]);

    assert_eq!(decisions, [(62, 1, "WithinBand".to_owned()), (72, 2, "FollowsLoad".to_owned())]);
}
