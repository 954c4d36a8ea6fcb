//! The limits around the number, each with its name and value.

use plaudit_crds::Paused;

use super::*;

/// Rules, lag of each partition, workers so far, and the result, reason and clamps they lead to.
type Case = (ScalingRules, Option<Vec<i64>>, Option<u32>, (u32, &'static str, Vec<(&'static str, i32)>));

/// A first decision, whose window keeps nothing and to which arrivals are known to be none.
fn first(rules: &ScalingRules, lags: Option<&[i64]>, replicas: Option<u32>) -> Decision {
    let mut rules = rules.clone();
    rules.scale_in_window = Duration::ZERO;
    let Some(lags) = lags else {
        let mut world = World::new(rules, 12, replicas);
        return world.look_at(&Sample { partitions: None, replicas, ready: replicas, ..Sample::default() });
    };
    let mut world = World::new(rules, lags.len(), replicas).lag(lags);
    let sample = world.sample();
    // The look before it, so that a rate is known; its result does not count.
    let _ = world.look_at(&sample);
    world.now += 2;
    world.look_at(&sample)
}

/// 12 partitions that share a lag.
fn even(lag: i64) -> Option<Vec<i64>> {
    Some((0..12).map(|index| lag / 12 + i64::from(index < lag % 12)).collect())
}

#[test]
fn every_limit_has_its_name_and_value() {
    let paused = |paused| rules(|rules| rules.paused = paused);
    let least = |least| rules(|rules| rules.min_replicas = least);
    let most = |most| rules(|rules| rules.max_replicas = Some(most));
    let fixed = |replicas| rules(|rules| rules.replicas = Some(replicas));
    let cases: Vec<Case> = vec![
        (RULES, even(0), Some(1), (1, "AtMinimum", vec![("minReplicas", 1)])),
        (RULES, even(1), Some(1), (1, "FollowsLag", vec![])),
        (RULES, even(1000), Some(1), (1, "FollowsLag", vec![])),
        (RULES, even(1200), Some(1), (2, "FollowsLag", vec![])),
        (RULES, even(12_000), Some(1), (12, "FollowsLag", vec![])),
        (RULES, even(24_000), Some(1), (12, "FollowsLag", vec![("wholePartitions", 12)])),
        (RULES, even(4800), Some(1), (6, "FollowsLag", vec![("wholePartitions", 6)])),
        (RULES, None, None, (1, "UnknownLag", vec![("unknownLag", 1)])),
        (RULES, None, Some(5), (5, "UnknownLag", vec![("unknownLag", 5)])),
        (least(3), even(1), Some(1), (3, "AtMinimum", vec![("minReplicas", 3)])),
        (least(20), even(1), Some(1), (12, "AtPartitions", vec![("minReplicas", 20), ("partitions", 12)])),
        (least(3), None, Some(1), (3, "AtMinimum", vec![("unknownLag", 1), ("minReplicas", 3)])),
        (least(0), even(0), None, (1, "WaitsForIdle", vec![("idleSeconds", 1)])),
        (least(0), even(0), Some(0), (0, "FollowsLag", vec![])),
        (least(0), even(1), Some(0), (1, "FollowsLag", vec![])),
        (least(0), None, None, (1, "UnknownLag", vec![("unknownLag", 1)])),
        (most(4), even(9000), Some(1), (4, "AtMaximum", vec![("wholePartitions", 12), ("maxReplicas", 4)])),
        (
            most(5),
            even(9000),
            Some(1),
            (4, "AtMaximum", vec![("wholePartitions", 12), ("maxReplicas", 5), ("wholePartitions", 4)]),
        ),
        (most(4), None, Some(9), (4, "AtMaximum", vec![("unknownLag", 9), ("maxReplicas", 4)])),
        (paused(Paused::In), even(0), Some(5), (5, "Paused", vec![("minReplicas", 1), ("paused", 5)])),
        (paused(Paused::In), even(12_000), Some(5), (12, "FollowsLag", vec![])),
        (paused(Paused::Out), even(12_000), Some(5), (5, "Paused", vec![("paused", 5)])),
        (paused(Paused::Out), even(0), Some(2), (1, "AtMinimum", vec![("minReplicas", 1)])),
        (paused(Paused::Both), even(12_000), Some(5), (5, "Paused", vec![("paused", 5)])),
        (paused(Paused::Both), even(12_000), None, (12, "FollowsLag", vec![])),
        (fixed(3), even(12_000), Some(9), (3, "Fixed", vec![("replicas", 3)])),
        (fixed(0), even(12_000), Some(9), (0, "Fixed", vec![("replicas", 0)])),
        (fixed(40), even(0), Some(1), (12, "AtPartitions", vec![("replicas", 40), ("partitions", 12)])),
        (fixed(40), None, Some(1), (40, "Fixed", vec![("replicas", 40)])),
        (
            rules(|rules| (rules.replicas, rules.suspend) = (Some(3), true)),
            even(12_000),
            Some(5),
            (0, "Suspended", vec![("suspend", 0)]),
        ),
        (rules(|rules| rules.suspend = true), None, None, (0, "Suspended", vec![("suspend", 0)])),
    ];

    let answers: Vec<Decision> =
        cases.iter().map(|(rules, lags, replicas, _)| first(rules, lags.as_deref(), *replicas)).collect();

    let answers: Vec<_> = answers.iter().map(short).collect();
    let expected: Vec<_> = cases.iter().map(|(.., expected)| expected.clone()).collect();
    assert_eq!(answers, expected);
}

#[test]
fn a_decision_explains_itself_in_one_sentence() {
    let cases = [
        (
            RULES,
            even(4500),
            Some(1),
            "a lag of 4500 at 1000 a worker asks for 5 workers; partitions are not divisible, so it takes 6 workers",
        ),
        (
            RULES,
            even(0),
            Some(1),
            "a lag of 0 at 1000 a worker asks for no worker; minReplicas keeps 1 worker",
        ),
        (RULES, None, Some(2), "the lag is unknown, so 2 workers stay as before"),
        (RULES, None, None, "the lag is unknown, so the pipeline starts with 1 worker"),
        (
            rules(|rules| rules.paused = Paused::Out),
            even(4500),
            Some(2),
            "a lag of 4500 at 1000 a worker asks for 5 workers; scaling is paused (out), so 2 workers stay",
        ),
        (
            rules(|rules| rules.max_replicas = Some(2)),
            even(4500),
            Some(1),
            "a lag of 4500 at 1000 a worker asks for 5 workers; maxReplicas allows 2 workers",
        ),
        (
            rules(|rules| rules.replicas = Some(3)),
            even(0),
            Some(2),
            "spec.scaling.replicas asks for 3 workers",
        ),
        (
            rules(|rules| rules.suspend = true),
            even(4500),
            Some(2),
            "the pipeline is suspended, so no worker runs",
        ),
    ];

    let messages: Vec<_> = cases
        .iter()
        .map(|(rules, lags, replicas, _)| first(rules, lags.as_deref(), *replicas).record.message)
        .collect();

    assert_eq!(messages, cases.map(|(.., message)| message));
}

#[test]
fn a_decision_keeps_what_it_was_made_from() {
    let mut world = World::new(RULES, 2, 1).learnt(1000).lag(&[300, 0]);
    let _ = world.run(20, &[300, 100], &[300, 100]);

    let inputs = world.last.expect("it decided").record.inputs;

    assert_eq!(
        inputs,
        plaudit_crds::DecisionInputs {
            replicas: 1,
            ready_replicas: Some(1),
            lag: Some(300),
            lag_seconds: Some(2),
            arrivals_per_second: Some(400),
            worker_capacity: Some(1000),
            partitions: Some(2),
            lag_threshold: 1000,
            max_lag_seconds: 10,
            min_replicas: 1,
            max_replicas: None,
            paused: Paused::None,
            suspend: false,
        }
    );
}

#[test]
fn an_unknown_lag_asks_for_the_configured_number_after_half_a_minute_and_never_for_fewer() {
    let rules = rules(|rules| rules.unknown_lag_replicas = Some(4));
    let decide = |replicas| {
        let mut world = World::new(rules.clone(), 12, replicas);
        let unknown = Sample { partitions: None, replicas: Some(replicas), ready: None, ..Sample::default() };
        [0, 29, 30].map(|second| {
            world.now = second;
            world.look_at(&unknown).replicas
        })
    };

    assert_eq!((decide(1), decide(9)), ([1, 1, 4], [9, 9, 9]));
}

#[test]
fn one_unknown_partition_makes_the_lag_unknown() {
    let mut world = World::new(RULES, 3, 3).lag(&[0, 9000, 0]);
    let mut sample = world.sample();
    sample.partitions.as_mut().expect("there are some")[2].log_end = None;

    let decision = world.look_at(&sample);

    assert_eq!(short(&decision), (3, "UnknownLag", vec![("unknownLag", 3)]));
}

#[test]
fn a_paused_direction_is_never_taken_by_a_fixed_number() {
    // The number is a person's, or that of another autoscaler; the pause is for Plaudit.
    let rules = rules(|rules| (rules.replicas, rules.paused) = (Some(2), Paused::Both));

    assert_eq!(short(&World::new(rules, 12, 5).look()), (2, "Fixed", vec![("replicas", 2)]));
}

#[test]
fn the_next_look_is_due_when_time_alone_could_change_the_answer() {
    let seconds = |decision: &Decision| decision.look_again.as_secs();
    let zero = rules(|rules| rules.min_replicas = 0);
    let mut busy = World::new(RULES, 2, 1);
    let _ = busy.run(20, &[5, 5], &[5, 5]);
    let mut idle = World::new(RULES, 2, 1);
    let _ = idle.run(20, &[0, 0], &[0, 0]);
    let mut falls_asleep = World::new(zero, 2, 1);
    let _ = falls_asleep.run(100, &[0, 0], &[0, 0]);
    let mut window = World::new(RULES, 2, 2).learnt(1000);
    let _ = window.run(20, &[0, 0], &[0, 0]);

    let due = [&mut busy, &mut idle, &mut falls_asleep, &mut window].map(|world| seconds(&world.look()));

    assert_eq!(due, [2, 3600, 202, 42]);
}
