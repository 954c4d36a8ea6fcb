//! KEDA's Kafka scaler with the HPA behind it: replicas = lag / lagThreshold.

use plaudit::simulate::{Choice, Fleet, Policy};

use super::Recent;

/// The published default.
pub const LAG_THRESHOLD: f64 = 10.0;
/// The HPA's sync period.
const SYNC_SECONDS: u64 = 15;
/// The HPA's stabilization window inwards; outwards there is none.
const STABILIZATION_SECONDS: u64 = 300;
/// Within this the HPA leaves the number alone.
const TOLERANCE: f64 = 0.1;

/// `allowIdleConsumers`, `limitToPartitionsWithLag` and `ensureEvenDistributionOfPartitions` are off, as by default; from 1 to as many
/// workers as there are partitions.
#[derive(Debug)]
pub struct Keda {
    lag_threshold: f64,
    recommended: Recent,
}

impl Keda {
    pub fn new(lag_threshold: f64) -> Self {
        Self { lag_threshold, recommended: Recent::default() }
    }
}

impl Policy for Keda {
    fn period_seconds(&self) -> u64 {
        SYNC_SECONDS
    }

    fn choose(&mut self, fleet: &Fleet, replicas: Option<u32>, now: u64) -> Option<Choice> {
        let lags = fleet.lags();
        let current = replicas.unwrap_or(1);
        let partitions = u32::try_from(lags.len()).ok()?;
        // A failed query is an error for the HPA, which then does nothing.
        let lags: Option<Vec<f64>> = lags.into_iter().collect();
        let desired = match (lags, replicas) {
            (Some(lags), Some(current)) => {
                desired(metric(&lags, self.lag_threshold), self.lag_threshold, current)
            }
            (Some(_), None) => 1,
            (None, _) => return replicas.is_none().then_some(Choice { replicas: 1, record: None }),
        };
        let desired = desired.clamp(1, partitions);
        self.recommended.push(now, f64::from(desired), STABILIZATION_SECONDS);
        let replicas = if desired < current {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a number of workers"
            )]
            let kept = self.recommended.max() as u32;
            kept.min(current)
        } else {
            desired.min(fastest(current))
        };
        Some(Choice { replicas, record: None })
    }
}

/// The metric: the whole lag, cut to as many thresholds as there are partitions. The comparison is a floor, as in the source.
fn metric(lags: &[f64], threshold: f64) -> f64 {
    let total: f64 = lags.iter().sum();
    let count = f64::from(u32::try_from(lags.len()).unwrap_or(u32::MAX));
    if (total / threshold).floor() > count { count * threshold } else { total }
}

/// What the HPA wants for an average value.
fn desired(metric: f64, threshold: f64, current: u32) -> u32 {
    let ratio = metric / (threshold * f64::from(current));
    if (ratio - 1.0).abs() <= TOLERANCE {
        return current;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let workers = (metric / threshold).ceil() as u32;
    workers
}

/// The default policies outwards: four more or twice as many in 15 s.
fn fastest(current: u32) -> u32 {
    (current + 4).max(current * 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_overshoots_by_one_and_the_tolerance_hides_it_at_the_cap() {
        let metric = metric(&[10.1; 10], 10.0);

        let wanted = [5, 9, 10].map(|current| desired(metric, 10.0, current));

        assert_eq!((metric.round(), wanted), (101.0, [11, 11, 10]));
    }

    #[test]
    fn a_lag_above_the_cap_is_cut_to_the_partitions() {
        assert_eq!((metric(&[11.0; 10], 10.0), desired(100.0, 10.0, 3)), (100.0, 10));
    }

    #[test]
    fn the_tolerance_is_a_tenth_each_way() {
        let wanted = [89.0, 91.0, 109.0, 111.0].map(|metric| desired(metric, 10.0, 10));

        assert_eq!(wanted, [9, 10, 10, 12]);
    }

    #[test]
    fn a_drained_lag_asks_for_no_worker() {
        assert_eq!(desired(0.0, 10.0, 8), 0);
    }

    #[test]
    fn outwards_it_is_four_more_or_twice_as_many() {
        assert_eq!([1, 4, 5, 40].map(fastest), [5, 8, 10, 80]);
    }
}
