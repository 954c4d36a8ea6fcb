//! What holds for every trace, on random ones drawn from seeds.

use fastrand::Rng;
use plaudit_crds::Paused;

use super::*;

/// One look: the sample, the rules and the decision.
struct Step {
    rules: ScalingRules,
    sample: Sample,
    decision: Decision,
}

fn random_rules(rng: &mut Rng) -> ScalingRules {
    let min_replicas = rng.u32(0..4);
    ScalingRules {
        replicas: (rng.u8(0..20) == 0).then(|| rng.u32(0..30)),
        min_replicas,
        max_replicas: rng.bool().then(|| min_replicas.max(1) + rng.u32(0..12)),
        lag_threshold: rng.u64(1..20_000),
        max_lag: Duration::from_secs(rng.u64(1..60)),
        catch_up: Duration::from_secs(rng.u64(1..300)),
        target_utilization: f64::from(rng.u8(10..=100)) / 100.0,
        paused: rng
            .choice([Paused::None, Paused::None, Paused::In, Paused::Out, Paused::Both])
            .expect("some"),
        scale_in_window: Duration::from_secs(rng.u64(0..600)),
        idle: Duration::from_secs(rng.u64(1..600)),
        unknown_lag_replicas: rng.bool().then(|| rng.u32(1..20)),
        suspend: rng.u8(0..30) == 0,
    }
}

/// An hour of a topic that changes at random, with workers that come late, move, fall silent and are slow.
fn trace(seed: u64) -> Vec<Step> {
    let mut rng = Rng::with_seed(seed);
    let partitions = rng.usize(1..30);
    let mut world = World::new(random_rules(&mut rng), partitions, None);
    let mut steps = Vec::new();
    let (mut arrive, mut capacity) = (0, 1000);
    while world.now < 3600 {
        world.now += rng.u64(1..8);
        if rng.u8(0..20) == 0 {
            arrive = rng.i64(0..3000);
            capacity = rng.i64(1..3000);
        }
        if rng.u8(0..60) == 0 {
            world.rules = random_rules(&mut rng);
        }
        for index in 0..partitions {
            world.log_ends[index] += rng.i64(0..=arrive);
            let taken = world.committed[index] + capacity * i64::from(world.replicas.unwrap_or(0));
            world.committed[index] = taken.min(world.log_ends[index]);
        }
        world.ready = rng.bool().then(|| rng.u32(0..=world.replicas.unwrap_or(0)));
        world.moving = rng.u8(0..8) == 0;
        world.store_waiting = rng.u8(0..16) == 0;
        let mut sample = world.sample();
        match rng.u8(0..24) {
            0 => sample.partitions = None,
            1 => sample.partitions.as_mut().expect("some")[0].lag = None,
            2 => sample
                .partitions
                .as_mut()
                .expect("some")
                .iter_mut()
                .for_each(|partition| partition.owner = None),
            _ => {}
        }
        let decision = world.look_at(&sample);
        steps.push(Step { rules: world.rules.clone(), sample, decision });
    }
    steps
}

fn holds(claim: impl Fn(&Step) -> bool) {
    for seed in 0..300 {
        for (index, step) in trace(seed).iter().enumerate() {
            assert!(
                claim(step),
                "seed {seed}, look {index}: {:?} {:?} {:?}",
                step.rules,
                step.sample,
                step.decision
            );
        }
    }
}

/// The rules that bound Plaudit's own number apply.
fn is_ours(step: &Step) -> bool {
    !step.rules.suspend && step.rules.replicas.is_none()
}

fn partitions_of(step: &Step) -> u32 {
    partitions(&step.sample).unwrap_or(u32::MAX)
}

fn is_unknown(step: &Step) -> bool {
    step.decision.record.inputs.lag.is_none()
}

#[test]
fn never_more_workers_than_partitions_or_the_maximum() {
    holds(|step| {
        let most = step.rules.max_replicas.unwrap_or(u32::MAX).min(partitions_of(step));
        // A pause keeps what somebody wanted before.
        let kept = step.decision.record.reason == "Paused";
        !is_ours(step) || kept || step.decision.replicas <= most
    });
}

#[test]
fn never_fewer_workers_than_the_minimum() {
    holds(|step| {
        let least = step.rules.min_replicas.min(partitions_of(step));
        let kept = step.decision.record.reason == "Paused";
        !is_ours(step) || kept || step.decision.replicas >= least
    });
}

#[test]
fn no_worker_is_removed_while_that_is_paused_and_none_added() {
    holds(|step| {
        let Some(before) = step.sample.replicas.filter(|_| is_ours(step)) else { return true };
        let after = step.decision.replicas;
        match step.rules.paused {
            Paused::None => true,
            Paused::In => after >= before,
            Paused::Out => after <= before,
            Paused::Both => after == before,
        }
    });
}

#[test]
fn an_unknown_lag_removes_no_worker() {
    holds(|step| {
        let most = step.rules.max_replicas.unwrap_or(u32::MAX).min(partitions_of(step));
        let before = step.sample.replicas.unwrap_or(0);
        // A lower maximum counts, in whole partitions.
        let least = if before <= most {
            before
        } else {
            formula::trimmed(most, partitions(&step.sample).unwrap_or(0))
        };
        !is_ours(step) || !is_unknown(step) || step.decision.replicas >= least
    });
}

#[test]
fn zero_workers_means_idle_or_somebodys_wish() {
    holds(|step| {
        let inputs = &step.decision.record.inputs;
        let drained = inputs.lag == Some(0) || (is_unknown(step) && step.sample.replicas == Some(0));
        !is_ours(step) || step.decision.replicas > 0 || drained || step.decision.record.reason == "Paused"
    });
}

#[test]
fn every_decision_ends_where_its_last_clamp_says() {
    holds(|step| {
        let record = &step.decision.record;
        let last = record.clamps.last().map(|clamp| clamp.value).or(record.formula);
        last == Some(record.result)
    });
}

#[test]
fn the_same_trace_gives_the_same_decisions() {
    let decisions = |seed| trace(seed).into_iter().map(|step| step.decision).collect::<Vec<_>>();

    assert_eq!((0..20).map(decisions).collect::<Vec<_>>(), (0..20).map(decisions).collect::<Vec<_>>());
}
