//! Waiting between attempts: exponential, with full jitter, bounded.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);

/// Delays for a row of failed attempts.
#[derive(Debug)]
pub struct Backoff {
    rng: fastrand::Rng,
    failures: u32,
}

impl Backoff {
    pub fn new(seed: u64) -> Self {
        Self { rng: fastrand::Rng::with_seed(seed), failures: 0 }
    }

    /// The delay after one more failure: between half and all of a bound that doubles.
    pub fn next_delay(&mut self) -> Duration {
        let bound = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures += 1;
        bound.mul_f64(0.5 + self.rng.f64() / 2.0)
    }

    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_a_bound_and_start_again() {
        let mut backoff = Backoff::new(1);
        let delays: Vec<_> = (0..20).map(|_| backoff.next_delay()).collect();
        assert!(delays[0] >= FIRST / 2 && delays[0] <= FIRST);
        assert!(delays[19] >= LONGEST / 2 && delays.iter().all(|delay| *delay <= LONGEST));
        backoff.reset();
        assert!(backoff.next_delay() <= FIRST);
    }
}
