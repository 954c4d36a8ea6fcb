//! A schedule of faults, drawn from a seed.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use plaudit_crds::GroupProtocol;

use super::draw;
use super::fault::{Fault, Kind};

/// Faults with their moments, and the load they meet.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub seed: u64,
    pub workers: usize,
    pub reports: u64,
    /// Reports per second.
    pub rate: f64,
    /// Achievement types: with many of them some players have to be split.
    pub types: u32,
    pub max_value_bytes: u32,
    pub group_protocol: GroupProtocol,
    /// Ascending.
    pub faults: Vec<Planned>,
}

/// A fault and when it comes, counted from the beginning of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    pub at: Duration,
    pub kind: Kind,
    pub fault: Fault,
}

/// Most workers of a schedule.
pub const MOST_WORKERS: usize = 6;
/// Ways that workers have to the servers: a fault may meet some workers and spare others.
pub const ROUTES: usize = 2;
const RATE: f64 = 4_000.0;

impl Plan {
    /// Draws `faults` faults, of the kinds `only` if there are any, over a load that lasts `length`.
    pub fn new(seed: u64, faults: usize, length: Duration, only: &[Kind]) -> Self {
        let mut rng = Rng::with_seed(seed);
        let workers = rng.usize(1..=3);
        let (types, max_value_bytes) = if rng.u8(..3) == 0 { (60, 1_024) } else { (6, 16_384) };
        let group_protocol = if rng.u8(..3) == 0 { GroupProtocol::Consumer } else { GroupProtocol::Classic };
        let mut moments: Vec<Duration> = (0..faults).map(|_| length.mul_f64(0.1 + 0.9 * rng.f64())).collect();
        moments.sort_unstable();
        let planned = |at| {
            let kind = draw::kind(only, &mut rng);
            Planned { at, kind, fault: draw::fault(kind, &mut rng) }
        };
        let faults = moments.into_iter().map(planned).collect();
        let reports = (RATE * length.as_secs_f64()) as u64;
        Self { seed, workers, reports, rate: RATE, types, max_value_bytes, group_protocol, faults }
    }

    /// How often a replica is promoted.
    pub fn failovers(&self) -> usize {
        let promotes = |planned: &&Planned| matches!(planned.kind, Kind::Failover | Kind::OldPrimary);
        self.faults.iter().filter(promotes).count()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, workers, reports, types, group_protocol, .. } = self;
        write!(
            out,
            "seed {seed}: {reports} reports of {types} types, {workers} workers, group protocol {group_protocol:?}"
        )?;
        self.faults.iter().try_for_each(|planned| write!(out, "\n  {planned}"))
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:.1} s {}{}", self.at.as_secs_f64(), self.kind.name(), self.fault)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::ValueEnum as _;

    use super::*;

    const LENGTH: Duration = Duration::from_secs(5);

    #[test]
    fn a_seed_makes_the_same_plan_and_another_seed_another() {
        let plan = |seed| Plan::new(seed, 8, LENGTH, &[]);
        assert_eq!(plan(1), plan(1));
        assert_ne!(plan(1).faults, plan(2).faults);
        assert!(plan(3).faults.is_sorted_by_key(|planned| planned.at));
    }

    #[test]
    fn every_kind_comes_and_only_those_asked_for() {
        let kinds = |only: &[Kind]| -> BTreeSet<Kind> {
            Plan::new(4, 2_000, LENGTH, only).faults.into_iter().map(|planned| planned.kind).collect()
        };
        assert_eq!(kinds(&[]), Kind::value_variants().iter().copied().collect());
        let asked = [Kind::Grow, Kind::OldPrimary];
        assert_eq!(kinds(&asked), asked.into());
    }
}
