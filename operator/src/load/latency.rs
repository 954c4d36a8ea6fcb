//! A histogram of durations with a bounded error and a bounded size.

use std::time::Duration;

/// Buckets per doubling: a quantile is at most 1/16 too high.
const STEPS: usize = 16;

/// Counts durations in buckets that grow with the duration (microseconds to days).
#[derive(Clone)]
pub struct Histogram {
    counts: Box<[u64; 64 * STEPS]>,
    total: u64,
}

impl std::fmt::Debug for Histogram {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Histogram").field("total", &self.total).finish_non_exhaustive()
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: Box::new([0; 64 * STEPS]), total: 0 }
    }
}

impl Histogram {
    pub fn add(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.counts[bucket(micros)] += 1;
        self.total += 1;
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    /// The duration that `share` (0 to 1) of all do not exceed; none without any.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let wanted = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Some(Duration::from_micros(upper_bound(index)));
            }
        }
        None
    }
}

fn bucket(micros: u64) -> usize {
    let steps = STEPS as u64;
    if micros < steps {
        return micros as usize;
    }
    let doubling = micros.ilog2() - STEPS.ilog2();
    (doubling as usize) * STEPS + (micros >> doubling) as usize
}

/// The greatest number of microseconds in a bucket.
fn upper_bound(bucket: usize) -> u64 {
    if bucket < 2 * STEPS {
        return bucket as u64;
    }
    let doubling = bucket / STEPS - 1;
    let step = (bucket % STEPS + STEPS) as u128;
    u64::try_from(((step + 1) << doubling) - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_in_a_bucket_that_is_at_most_a_sixteenth_wide() {
        for micros in (0..5_000).chain([1 << 20, (1 << 40) + 12_345, u64::MAX]) {
            let bound = upper_bound(bucket(micros));
            assert!(bound >= micros && bound - micros <= micros / 16, "{micros} in a bucket up to {bound}");
        }
    }

    #[test]
    fn quantiles_are_those_of_what_was_added() {
        let mut histogram = Histogram::default();
        for millis in 1..=100 {
            histogram.add(Duration::from_millis(millis));
        }
        let millis = |share: f64| histogram.quantile(share).map(|found| found.as_micros() / 1_000);
        assert_eq!((millis(0.0), millis(0.5), millis(1.0)), (Some(1), Some(51), Some(102)));
        assert_eq!(Histogram::default().quantile(0.5), None);
    }
}
