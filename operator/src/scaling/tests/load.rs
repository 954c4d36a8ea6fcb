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

#[test]
fn while_workers_start_there_is_no_second_step_until_they_should_have() {
    let mut world = known(1);
    let _ = world.run(60, &[50; 12], &[50; 12]);
    let _ = world.run(4, &[130; 12], &[83; 12]);
    world.ready = Some(1);

    let decisions = world.run(70, &[300; 12], &[83; 12]);

    assert_eq!(decisions, [(66, 2, "Starting".to_owned()), (124, 12, "FollowsLoad".to_owned())]);
}

#[test]
fn nothing_goes_while_partitions_move() {
    let mut world = known(12);
    world.moving = true;

    let decisions = world.run(600, &[50; 12], &[50; 12]);

    assert_eq!(decisions, [(2, 12, "Moving".to_owned())]);
}

#[test]
fn a_worker_goes_only_when_nothing_in_the_window_needed_it() {
    let mut world = known(1);
    let _ = world.run(60, &[50; 12], &[50; 12]);
    let _ = world.run(30, &[200; 12], &[200; 12]);

    let decisions = world.run(120, &[50; 12], &[50; 12]);

    let numbers: Vec<(u64, u32)> =
        decisions.iter().map(|(second, replicas, _)| (*second, *replicas)).collect();
    // The last decision that needed three looked at arrivals until 90, and the window is 60 s.
    assert_eq!((numbers.first(), numbers.last()), (Some(&(92, 3)), Some(&(170, 1))));
}

#[test]
fn noise_about_a_limit_changes_nothing() {
    // 4 workers' worth at the target is 3200, where the formula asks for 4 or for 6.
    let mut world = known(4);
    let mut numbers = std::collections::BTreeSet::new();
    for round in 0..600 {
        let arrivals = if round % 2 == 0 { 262 } else { 272 };
        numbers
            .extend(world.run(10, &[arrivals; 12], &[arrivals; 12]).iter().map(|(_, replicas, _)| *replicas));
    }

    assert_eq!(numbers.into_iter().collect::<Vec<_>>(), [4]);
}

#[test]
fn a_partition_that_is_too_much_for_one_worker_is_told_and_adds_none() {
    let mut world = known(2);
    let mut arrive = [50; 12];
    let mut take = [50; 12];
    let _ = world.run(60, &arrive, &take);
    (arrive[5], take[5]) = (1500, 950);

    let decisions = world.run(300, &arrive, &take);

    let most = decisions.iter().map(|(_, replicas, _)| *replicas).max();
    assert_eq!((most, world.reason()), (Some(2), "Skewed"));
}

#[test]
fn a_busy_partition_gets_company_taken_away() {
    // 700 and 11 × 60: on one of two workers it would be 1000, and of six 760.
    let mut arrive = [60; 12];
    arrive[5] = 700;
    let mut world = known(2);

    let _ = world.run(60, &arrive, &arrive);

    assert_eq!(world.replicas, Some(6));
}

#[test]
fn after_a_restart_no_worker_goes_before_the_window_has_passed_and_the_capacity_is_kept() {
    let mut world = World::new(RULES, 12, 6).learnt(1200);

    let decisions = world.run(90, &[50; 12], &[50; 12]);

    let first_in = decisions
        .iter()
        .find(|(_, replicas, _)| *replicas < 6)
        .map(|(second, replicas, _)| (*second, *replicas));
    let learnt = world.last.and_then(|decision| decision.learnt);
    assert_eq!((first_in, learnt), (Some((70, 1)), Some(Learnt { worker_capacity: 1200 })));
}

#[test]
fn what_is_learnt_moves_only_when_it_is_far_off() {
    let mut world = World::new(RULES, 12, 1);
    let mut learnt = Vec::new();
    for round in 0..60 {
        // Overloaded for ever: measured at each look, with a noise of a tenth.
        let take = [80, 88, 84, 79][round % 4];
        world.replicas = Some(1);
        let _ = world.run(2, &[200; 12], &[take; 12]);
        learnt.push(
            world.last.as_ref().and_then(|decision| decision.learnt).map(|learnt| learnt.worker_capacity),
        );
    }

    learnt.dedup();
    assert_eq!(learnt, [None, Some(980)]);
}

#[test]
fn a_worker_that_is_stuck_has_no_capacity_of_zero() {
    let mut world = known(1);

    let _ = world.run(50, &[20; 12], &[0; 12]);

    assert_eq!(world.last.and_then(|decision| decision.learnt), Some(Learnt { worker_capacity: 1000 }));
}

#[test]
fn while_the_store_waits_nothing_is_measured_and_nobody_goes() {
    let mut world = known(6);
    world.store_waiting = true;

    let _ = world.run(200, &[20; 12], &[1; 12]);

    let learnt = world.last.as_ref().and_then(|decision| decision.learnt);
    assert_eq!((learnt, world.replicas), (Some(Learnt { worker_capacity: 1000 }), Some(6)));
}

#[test]
fn an_idle_pipeline_goes_to_zero_and_any_lag_wakes_it_at_once() {
    let rules = rules(|rules| (rules.min_replicas, rules.idle) = (0, Duration::from_secs(100)));
    let mut world = World::new(rules, 4, 2).learnt(1000);
    let _ = world.run(40, &[5; 4], &[5; 4]);

    let decisions = world.run(200, &[0; 4], &[0; 4]);
    world.log_ends[2] += 1;
    world.now += 2;
    let awake = world.look().replicas;

    let asleep = decisions.last().map(|(second, replicas, reason)| (*second, *replicas, reason.as_str()));
    assert_eq!((asleep, awake), (Some((142, 0, "FollowsLoad")), 1));
}

#[test]
fn a_scale_out_without_effect_is_told_held_and_tried_again_ever_later() {
    let mut world = World::new(RULES, 24, 2).learnt(1000);
    // However many there are, the store takes 960 records a second.
    let decisions = world.run(3000, &[100; 24], &[40; 24]);

    let mut steps: Vec<(u64, u32)> =
        decisions.iter().map(|(second, replicas, _)| (*second, *replicas)).collect();
    steps.dedup_by_key(|(_, replicas)| *replicas);
    let told = decisions.iter().any(|(_, _, reason)| reason == "StoreBound");
    let [.., before, last] = &steps[..] else { panic!("{steps:?}") };
    assert!(told && last.0 - before.0 >= 300, "{decisions:?}");
}

#[test]
fn commits_that_stand_still_and_then_leap_measure_nothing() {
    // As while a group completes a rebalance: it refuses commits, and the workers go on.
    let mut world = known(2).lag(&[40_000; 12]);
    let _ = world.run(20, &[50; 12], &[160; 12]);
    let _ = world.run(10, &[50; 12], &[0; 12]);
    let _ = world.run(2, &[50; 12], &[960; 12]);
    let _ = world.run(4, &[50; 12], &[0; 12]);
    let _ = world.run(20, &[50; 12], &[160; 12]);

    let learnt = world.last.and_then(|decision| decision.learnt);
    assert_eq!(learnt, Some(Learnt { worker_capacity: 1000 }));
}

#[test]
fn a_worker_that_falls_ill_is_not_one_that_starts() {
    let mut world = World::new(RULES, 12, 1);
    let _ = world.run(20, &[20; 12], &[20; 12]);
    world.ready = Some(0);

    let decisions = world.run(6, &[100; 12], &[0; 12]);

    assert_eq!(decisions.last().map(|(_, replicas, _)| *replicas), Some(3));
}
