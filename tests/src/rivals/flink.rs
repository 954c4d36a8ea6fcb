//! Flink's autoscaler for one vertex that reads Kafka: true processing rate against target rate, as DS2 has it.

use plaudit::simulate::{Choice, Fleet, Policy};

use super::Recent;

/// A configuration; the defaults are the published ones.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// job.autoscaler.catch-up.duration
    pub catch_up_seconds: f64,
    /// job.autoscaler.utilization.target
    pub target: f64,
    /// job.autoscaler.restart.time
    pub restart_seconds: f64,
    /// job.autoscaler.metrics.window
    pub window_seconds: u64,
    /// job.autoscaler.stabilization.interval
    pub stabilization_seconds: u64,
    /// job.autoscaler.scale-down.interval
    pub scale_down_seconds: u64,
}

/// The bounds of utilization around the target.
const BOUNDARY: f64 = 0.3;
/// Above so many seconds of lag it does not scale down.
const BACKLOG_SECONDS: f64 = 300.0;
/// job.autoscaler.scale-down.max-factor
const MOST_DOWN: f64 = 0.6;
/// With so much lag the observed rate is taken.
const OBSERVED_LAG_SECONDS: f64 = 30.0;
/// The observed rate is believed when the busy one is so far above it.
const OBSERVED_SWITCH: f64 = 1.15;
/// It decides once a minute.
const PERIOD_SECONDS: u64 = 60;

impl Default for Settings {
    fn default() -> Self {
        Self {
            catch_up_seconds: 1800.0,
            target: 0.7,
            restart_seconds: 300.0,
            window_seconds: 900,
            stabilization_seconds: 300,
            scale_down_seconds: 3600,
        }
    }
}

impl Settings {
    /// Windows for consumers that start in seconds: what somebody would set who has read that the defaults are too slow.
    pub fn fast() -> Self {
        Self {
            catch_up_seconds: 60.0,
            restart_seconds: 10.0,
            window_seconds: 60,
            stabilization_seconds: 30,
            scale_down_seconds: 300,
            ..Self::default()
        }
    }
}

/// Detection of ineffective scaling is off, as by default; from 1 to as many workers as there are partitions.
#[derive(Debug)]
pub struct Flink {
    settings: Settings,
    since: u64,
    lag: Recent,
    consumed: Recent,
    busy: Recent,
    down: Option<Down>,
}

/// A scale-down that waits.
#[derive(Clone, Copy, Debug)]
struct Down {
    since: u64,
    most: u32,
}

impl Flink {
    pub fn new(settings: Settings) -> Self {
        let (lag, consumed, busy) = Default::default();
        Self { settings, since: 0, lag, consumed, busy, down: None }
    }

    /// A rescaled job begins anew.
    fn restart(&mut self, now: u64) {
        *self = Self { since: now, ..Self::new(self.settings) };
    }

    fn wanted(&self, current: u32, partitions: u32) -> Option<u32> {
        let lag = self.lag.0.back()?.1;
        let input = self.consumed.slope()?;
        let rates = Rates {
            target: (input + self.lag.slope()?).max(0.0),
            lag,
            processing: processing(input, self.busy.mean(), lag)?,
        };
        wanted(&self.settings, &rates, current, partitions)
    }
}

impl Policy for Flink {
    fn period_seconds(&self) -> u64 {
        5
    }

    fn choose(&mut self, fleet: &Fleet, replicas: Option<u32>, now: u64) -> Option<Choice> {
        let choice = |replicas| Some(Choice { replicas, record: None });
        let Some(current) = replicas else { return choice(1) };
        let lags = fleet.lags();
        let partitions = u32::try_from(lags.len()).ok()?;
        // Without metrics it does nothing.
        let lag = lags.into_iter().sum::<Option<f64>>()?;
        if now < self.since + self.settings.stabilization_seconds {
            return None;
        }
        let keep = self.settings.window_seconds;
        self.lag.push(now, lag, keep);
        self.consumed.push(now, fleet.consumed().iter().sum(), keep);
        self.busy.push(now, fleet.busiest(), keep);
        if !now.is_multiple_of(PERIOD_SECONDS) || self.lag.seconds() + 5 < keep {
            return None;
        }
        let wanted = self.wanted(current, partitions).unwrap_or(current);
        let replicas = match wanted {
            wanted if wanted < current => {
                let down = self.down.get_or_insert(Down { since: now, most: wanted });
                down.most = down.most.max(wanted);
                if now - down.since < self.settings.scale_down_seconds { current } else { down.most }
            }
            wanted => {
                self.down = None;
                wanted
            }
        };
        if replicas != current {
            self.restart(now);
        }
        choice(replicas)
    }
}

/// Records a second.
struct Rates {
    target: f64,
    lag: f64,
    /// What the present workers could process.
    processing: f64,
}

/// The true processing rate; `None` when there is nothing to tell it from.
fn processing(input: f64, busy: f64, lag: f64) -> Option<f64> {
    let by_busy = if busy > 0.0 { input / busy } else { f64::INFINITY };
    let observed = (input > 0.0 && lag >= OBSERVED_LAG_SECONDS * input).then_some(input);
    let rate = match observed {
        Some(observed) if !by_busy.is_finite() || by_busy > OBSERVED_SWITCH * observed => observed,
        Some(_) | None => by_busy,
    };
    (rate.is_finite() && rate > 0.0).then_some(rate)
}

fn capacity(settings: &Settings, rates: &Rates, utilization: f64, restart: bool) -> f64 {
    let restart =
        if restart { rates.target * settings.restart_seconds / settings.catch_up_seconds } else { 0.0 };
    (rates.lag / settings.catch_up_seconds + restart + rates.target / utilization).round()
}

/// `None`: within the bounds.
fn wanted(settings: &Settings, rates: &Rates, current: u32, partitions: u32) -> Option<u32> {
    let backlog = rates.target > 0.0 && rates.lag / rates.target > BACKLOG_SECONDS;
    let too_few = rates.processing < capacity(settings, rates, settings.target + BOUNDARY, false);
    let too_many = !backlog && rates.processing > capacity(settings, rates, settings.target - BOUNDARY, true);
    if !too_few && !too_many {
        return None;
    }
    let factor = capacity(settings, rates, settings.target, true) / rates.processing;
    let factor = factor.max(1.0 - MOST_DOWN);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let new = (f64::from(current) * factor).ceil() as u32;
    Some(aligned(new.clamp(1, partitions), current, partitions))
}

/// The first number at or above whose partitions divide evenly, or that lowers a worker's partitions, rounded down as in the source.
fn aligned(new: u32, current: u32, partitions: u32) -> u32 {
    let most = if new > current { partitions } else { current };
    let fits = |workers: &u32| partitions.is_multiple_of(*workers) || partitions / workers < partitions / new;
    (new..=most).find(fits).unwrap_or(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: Rates = Rates { target: 700.0, lag: 0.0, processing: 1000.0 };

    #[test]
    fn capacity_is_catching_up_and_restart_and_arrivals_at_the_target() {
        let settings = Settings::default();
        let rates = Rates { lag: 18_000.0, ..RATES };

        let capacities = [capacity(&settings, &rates, 0.7, true), capacity(&settings, &rates, 1.0, false)];

        // 10 + 700 × 300 / 1800 + 1000, and 10 + 700
        assert_eq!(capacities, [1127.0, 710.0]);
    }

    #[test]
    fn within_the_bounds_it_leaves_the_number_alone() {
        let settings = Settings::default();
        let numbers = [690.0, 700.0, 1000.0, 1860.0, 1870.0]
            .map(|processing| wanted(&settings, &Rates { processing, ..RATES }, 6, 12));

        assert_eq!(numbers, [Some(12), None, None, None, Some(4)]);
    }

    #[test]
    fn a_long_backlog_forbids_to_scale_down() {
        let rates = Rates { lag: 700.0 * 301.0, processing: 5000.0, ..RATES };

        assert_eq!(wanted(&Settings::default(), &rates, 6, 12), None);
    }

    #[test]
    fn the_rate_is_that_of_the_busiest_or_under_lag_the_observed_one() {
        let rates = [
            processing(500.0, 0.5, 0.0),
            processing(500.0, 0.9, 15_000.0),
            processing(500.0, 0.8, 15_000.0),
            processing(500.0, 0.0, 0.0),
            processing(0.0, 0.0, 0.0),
        ];

        let shown = rates.map(|rate| rate.map(f64::round));
        assert_eq!(shown, [Some(1000.0), Some(556.0), Some(500.0), None, None]);
    }

    #[test]
    fn numbers_are_aligned_with_the_partitions() {
        let numbers = [(5, 1), (7, 1), (5, 12), (9, 10)].map(|(new, current)| aligned(new, current, 12));

        assert_eq!(numbers, [6, 12, 6, 9]);
    }
}
