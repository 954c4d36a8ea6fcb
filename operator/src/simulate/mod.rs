//! A simulation runs the scaling decisions on a trace of arrivals, with a fleet of workers that is only counted with.
//!
//! [`Trace`] (what arrives) → [`Fleet`] (what becomes of it) ⇄ [`Policy`] (how many workers) → [`Outcome`] (what it cost). All of it is
//! pure: the same trace and the same settings give the same outcome.

mod fleet;
mod outcome;
mod policy;
mod trace;

pub use fleet::{Fleet, Settings};
pub use outcome::{Change, LagSeconds, Outcome, Summary};
pub use policy::{Choice, Plaudit, Policy};
pub use trace::{Row, Trace, TraceError};

/// Runs a policy on a trace, second by second.
#[must_use]
pub fn run(trace: &Trace, settings: &Settings, policy: &mut dyn Policy) -> Outcome {
    let mut fleet = Fleet::new(trace.partitions(), settings.clone());
    let mut outcome = Outcome::default();
    let mut replicas = None;
    // What runs at the beginning has been running for a while.
    take(&mut fleet, policy, &mut outcome, &mut replicas, 0);
    for second in 0..trace.seconds() {
        let row = trace.row(second);
        fleet.step(&row.produced, row.capacity);
        outcome.second(&fleet);
        let now = second + 1;
        if now.is_multiple_of(policy.period_seconds().max(1)) && now < trace.seconds() {
            take(&mut fleet, policy, &mut outcome, &mut replicas, now);
        }
    }
    outcome
}

fn take(
    fleet: &mut Fleet,
    policy: &mut dyn Policy,
    outcome: &mut Outcome,
    replicas: &mut Option<u32>,
    now: u64,
) {
    let Some(choice) = policy.choose(fleet, *replicas, now) else { return };
    outcome.choice(now, *replicas, &choice);
    fleet.resize(choice.replicas, replicas.is_none());
    *replicas = Some(choice.replicas);
}

#[cfg(test)]
mod tests;
