//! Sizing: how many servers a platform needs, from what a report costs. Pure arithmetic, on purpose in one place.
//!
//! A server has 4 cores and 8 GB, and is planned to be 80 % busy at most. Costs of a report are measured on one process and
//! taken to stay the same on four cores and on many servers, for both designs alike.

use std::time::Duration;

pub const CORES: f64 = 4.0;
pub const MEMORY_MEBIBYTES: f64 = 8.0 * 1_024.0;
/// `targetUtilizationPercent` of a pipeline, and as good a plan for `direct`.
pub const BUSY: f64 = 0.8;
/// `catchUpSeconds` of a pipeline.
pub const CATCH_UP: Duration = Duration::from_secs(60);

/// A platform and the event that it has to live through.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// Reports per second.
    pub usual: f64,
    pub burst: f64,
    pub length: Duration,
}

/// What one design takes of one process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Taken {
    /// CPU-seconds.
    pub per_report: f64,
    pub resident_mebibytes: f64,
}

/// Servers, and what all of them hold in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fleet {
    pub servers: u64,
    pub mebibytes: f64,
}

impl Event {
    /// Reports per second that a fleet has to work off which has caught up [`CATCH_UP`] after the burst: what came in the
    /// burst, and until then, is worked off by then. No more than the burst itself.
    pub fn with_catch_up(&self) -> f64 {
        let (length, catch_up) = (self.length.as_secs_f64(), CATCH_UP.as_secs_f64());
        ((self.burst * length + self.usual * catch_up) / (length + catch_up)).min(self.burst)
    }

    /// How long the last report of the burst waits for such a fleet.
    pub fn longest_wait(&self) -> Duration {
        let capacity = self.with_catch_up();
        let backlog = (self.burst - capacity) * self.length.as_secs_f64();
        Duration::try_from_secs_f64(backlog / capacity).unwrap_or_default()
    }
}

impl Taken {
    /// The fleet that works off so many reports per second, one process on each server.
    pub fn fleet(&self, rate: f64) -> Fleet {
        let by_cpu = rate * self.per_report / (CORES * BUSY);
        let by_memory = self.resident_mebibytes / MEMORY_MEBIBYTES;
        let servers = (by_cpu.ceil().max(1.0) * by_memory.ceil().max(1.0)) as u64;
        Fleet { servers, mebibytes: servers as f64 * self.resident_mebibytes }
    }
}

/// How much less `now` is than `before`, from 1 (nothing left) over 0 (the same) downward; none where there was nothing.
pub fn saved(before: f64, now: f64) -> Option<f64> {
    (before > 0.0).then(|| 1.0 - now / before)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: Event = Event { usual: 1_000.0, burst: 4_000.0, length: Duration::from_secs(30) };

    #[test]
    fn a_fleet_that_has_caught_up_a_minute_later_works_off_twice_the_mean() {
        let capacity = EVENT.with_catch_up();
        assert_eq!((capacity, EVENT.longest_wait()), (2_000.0, Duration::from_secs(30)));
        // What came is what was worked off.
        let came = EVENT.burst * 30.0 + EVENT.usual * 60.0;
        assert_eq!(capacity * 90.0, came);
    }

    #[test]
    fn a_burst_that_is_none_needs_no_more_than_the_mean() {
        let flat = Event { burst: 1_000.0, ..EVENT };
        assert_eq!((flat.with_catch_up(), flat.longest_wait()), (1_000.0, Duration::ZERO));
    }

    #[test]
    fn servers_are_whole_and_no_busier_than_planned() {
        let taken = Taken { per_report: 20e-6, resident_mebibytes: 50.0 };
        // 160,000 reports/s × 20 µs = 3.2 cores: exactly one server; one more report is a second.
        let servers = [0.0, 1.0, 160_000.0, 160_001.0, 1_600_000.0].map(|rate| taken.fleet(rate).servers);
        assert_eq!(servers, [1, 1, 1, 2, 10]);
        assert_eq!(taken.fleet(1_600_000.0).mebibytes, 500.0);
    }

    #[test]
    fn what_does_not_fit_into_a_server_needs_more_of_them() {
        let huge = Taken { per_report: 20e-6, resident_mebibytes: 1.5 * MEMORY_MEBIBYTES };
        assert_eq!(huge.fleet(160_000.0).servers, 2);
    }

    #[test]
    fn a_saving_is_a_share_of_what_was_there_before() {
        assert_eq!(
            [saved(200.0, 50.0), saved(200.0, 300.0), saved(0.0, 1.0)],
            [Some(0.75), Some(-0.5), None]
        );
    }
}
