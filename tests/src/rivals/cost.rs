//! The cost of a run, in one number: pods, lag and unrest.

use plaudit::simulate::Summary;

/// Ten seconds of lag at p99 cost as much as one pod.
const OF_A_LAG_SECOND: f64 = 0.1;
/// Twenty changes an hour cost as much as one pod.
const OF_AN_EVENT_PER_HOUR: f64 = 0.05;

/// The three figures that cost something.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    pub mean_pods: f64,
    pub lag_p99_seconds: f64,
    pub events_per_hour: f64,
}

impl Figures {
    pub fn of(summary: &Summary) -> Self {
        let hours = f64::from(u32::try_from(summary.seconds).unwrap_or(u32::MAX)) / 3600.0;
        Self {
            mean_pods: summary.mean_pods,
            lag_p99_seconds: summary.lag_seconds.p99,
            events_per_hour: f64::from(summary.scale_events) / hours,
        }
    }

    pub fn cost(&self) -> f64 {
        self.mean_pods + OF_A_LAG_SECOND * self.lag_p99_seconds + OF_AN_EVENT_PER_HOUR * self.events_per_hour
    }

    /// Better in all three.
    pub fn beats(&self, other: &Self) -> bool {
        self.mean_pods < other.mean_pods
            && self.lag_p99_seconds < other.lag_p99_seconds
            && self.events_per_hour < other.events_per_hour
    }

    pub fn plus(self, other: Self) -> Self {
        Self {
            mean_pods: self.mean_pods + other.mean_pods,
            lag_p99_seconds: self.lag_p99_seconds + other.lag_p99_seconds,
            events_per_hour: self.events_per_hour + other.events_per_hour,
        }
    }
}
