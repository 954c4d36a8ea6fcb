//! When records are due: a base rate, and bursts on top of it.

use std::time::Duration;

/// Records per second over time; a rate of 0 means as fast as possible.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pace {
    pub rate: f64,
    pub burst: Option<Burst>,
}

/// A time in which another rate holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burst {
    pub rate: f64,
    /// From the start of the load to the start of the (first) burst.
    pub at: Duration,
    pub length: Duration,
    /// From the start of one burst to the start of the next; none: there is one burst.
    pub every: Option<Duration>,
}

impl Pace {
    /// How many records should have been sent after `elapsed`; none: there is no limit.
    pub fn due(&self, elapsed: Duration) -> Option<u64> {
        if self.rate <= 0.0 {
            return None;
        }
        let bursting = self.burst.as_ref().map_or(0.0, |burst| burst.time_within(elapsed));
        let burst_rate = self.burst.map_or(0.0, |burst| burst.rate);
        let records = (elapsed.as_secs_f64() - bursting) * self.rate + bursting * burst_rate;
        Some(records as u64)
    }
}

impl Burst {
    /// Seconds of bursts in `0..elapsed`.
    fn time_within(&self, elapsed: Duration) -> f64 {
        let Some(since_first) = elapsed.checked_sub(self.at) else { return 0.0 };
        let (since_first, length) = (since_first.as_secs_f64(), self.length.as_secs_f64());
        match self.every.map(|every| every.as_secs_f64()).filter(|&every| every > 0.0) {
            None => since_first.min(length),
            Some(every) => {
                let length = length.min(every);
                let complete = (since_first / every).floor();
                complete * length + (since_first - complete * every).min(length)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(pace: Pace, seconds: &[u64]) -> Vec<Option<u64>> {
        seconds.iter().map(|&seconds| pace.due(Duration::from_secs(seconds))).collect()
    }

    #[test]
    fn a_rate_of_zero_is_no_limit() {
        assert_eq!(due(Pace::default(), &[0, 5]), [None, None]);
    }

    #[test]
    fn a_burst_replaces_the_base_rate_for_its_length() {
        let burst =
            Burst { rate: 100.0, at: Duration::from_secs(2), length: Duration::from_secs(3), every: None };
        let pace = Pace { rate: 10.0, burst: Some(burst) };
        assert_eq!(due(pace, &[0, 2, 3, 5, 10]), [Some(0), Some(20), Some(120), Some(320), Some(370)]);
    }

    #[test]
    fn bursts_come_again() {
        let burst = Burst {
            rate: 100.0,
            at: Duration::from_secs(1),
            length: Duration::from_secs(1),
            every: Some(Duration::from_secs(4)),
        };
        let pace = Pace { rate: 10.0, burst: Some(burst) };
        assert_eq!(due(pace, &[1, 2, 5, 6, 9]), [Some(10), Some(110), Some(140), Some(240), Some(270)]);
    }
}
