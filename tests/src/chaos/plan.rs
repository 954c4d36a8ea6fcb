//! A schedule of faults, drawn from a seed.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;

/// What happens to the workers or to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL to a worker; another starts.
    Kill,
    /// SIGTERM to a worker; another starts at once.
    Terminate,
    /// So many workers from now on.
    Scale(usize),
    /// A worker is frozen, for longer than its session if `milliseconds` exceeds that, and goes on.
    Freeze { milliseconds: u64 },
    /// The broker is killed and started again.
    KillBroker,
    /// The store is killed and started again, with what it had acknowledged.
    KillStore,
}

/// Faults with their moments, and the load they meet.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub seed: u64,
    pub workers: usize,
    pub reports: u64,
    /// Reports per second.
    pub rate: f64,
    /// Ascending.
    pub faults: Vec<(Duration, Fault)>,
}

/// Most workers of a schedule.
pub const MOST_WORKERS: usize = 6;
const RATE: f64 = 4_000.0;

impl Plan {
    /// Draws `faults` faults over a load that lasts `length`.
    pub fn new(seed: u64, faults: usize, length: Duration) -> Self {
        let mut rng = Rng::with_seed(seed);
        let workers = rng.usize(1..=3);
        let mut moments: Vec<Duration> = (0..faults).map(|_| length.mul_f64(0.1 + 0.9 * rng.f64())).collect();
        moments.sort_unstable();
        let faults = moments.into_iter().map(|moment| (moment, draw(&mut rng))).collect();
        let reports = (RATE * length.as_secs_f64()) as u64;
        Self { seed, workers, reports, rate: RATE, faults }
    }
}

fn draw(rng: &mut Rng) -> Fault {
    match rng.u8(0..20) {
        0..6 => Fault::Kill,
        6..10 => Fault::Terminate,
        10..15 => Fault::Scale(rng.usize(1..=MOST_WORKERS)),
        15..17 => Fault::Freeze { milliseconds: rng.u64(100..9_000) },
        17..19 => Fault::KillStore,
        _ => Fault::KillBroker,
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "seed {}: {} reports, {} workers", self.seed, self.reports, self.workers)?;
        for (moment, fault) in &self.faults {
            write!(out, ", {:.1} s {fault:?}", moment.as_secs_f64())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_plan_and_another_seed_another() {
        let plan = |seed| Plan::new(seed, 8, Duration::from_secs(5));
        assert_eq!(plan(1), plan(1));
        assert_ne!(plan(1).faults, plan(2).faults);
        assert!(plan(3).faults.is_sorted_by_key(|(moment, _)| *moment));
    }
}
