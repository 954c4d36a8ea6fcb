//! Numaflow's source vertex: replicas so that what is pending is processed in `targetProcessingSeconds`.

use plaudit::simulate::{Choice, Fleet, Policy};

use super::Recent;

/// The published default.
pub const TARGET_PROCESSING_SECONDS: f64 = 20.0;
/// It looks at an object so often.
const PERIOD_SECONDS: u64 = 30;
/// Rate and pending are means over this.
const LOOKBACK_SECONDS: u64 = 120;
/// Between two changes, each way.
const COOLDOWN_SECONDS: u64 = 90;
/// Replicas in one change, each way.
const STEP: u32 = 2;

/// From 1 to as many workers as there are partitions; its sleep at zero does not come into it.
#[derive(Debug)]
pub struct Numaflow {
    target_seconds: f64,
    pending: Recent,
    consumed: Recent,
    changed_at: Option<u64>,
}

impl Numaflow {
    pub fn new(target_seconds: f64) -> Self {
        Self { target_seconds, pending: Recent::default(), consumed: Recent::default(), changed_at: None }
    }
}

impl Policy for Numaflow {
    fn period_seconds(&self) -> u64 {
        // The means are of samples in between.
        5
    }

    fn choose(&mut self, fleet: &Fleet, replicas: Option<u32>, now: u64) -> Option<Choice> {
        let choice = |replicas| Some(Choice { replicas, record: None });
        let lags = fleet.lags();
        let partitions = u32::try_from(lags.len()).ok()?;
        let pending: Option<f64> = lags.into_iter().sum();
        let Some(current) = replicas else { return choice(1) };
        // Unknown: it skips.
        let pending = pending?;
        self.pending.push(now, pending, LOOKBACK_SECONDS);
        self.consumed.push(now, fleet.consumed().iter().sum(), LOOKBACK_SECONDS);
        let cooling = self.changed_at.is_some_and(|at| now - at < COOLDOWN_SECONDS);
        if !now.is_multiple_of(PERIOD_SECONDS) || cooling {
            return None;
        }
        let wanted =
            desired(self.pending.mean(), self.consumed.slope()?, self.target_seconds, fleet.ready())?;
        let replicas = wanted.clamp(1, partitions).clamp(current.saturating_sub(STEP), current + STEP);
        if replicas != current {
            self.changed_at = Some(now);
        }
        choice(replicas)
    }
}

/// `None`: nothing is processed though something is pending, so the rate says nothing.
fn desired(pending: f64, rate: f64, target_seconds: f64, ready: u32) -> Option<u32> {
    if rate <= 0.0 {
        return (pending <= 0.0).then_some(0);
    }
    let wanted = (pending / rate / target_seconds * f64::from(ready)).round();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let (wanted, pending) = (wanted as u32, pending.ceil() as u32);
    Some(wanted.max(1).min(pending.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_a_backlog_of_the_target() {
        let at_the_fixed_point = desired(20.0 * 700.0, 700.0, 20.0, 7);

        assert_eq!(at_the_fixed_point, Some(7));
    }

    #[test]
    fn without_a_backlog_it_drops_to_one_and_without_anything_to_none() {
        let wanted = [desired(0.0, 700.0, 20.0, 7), desired(0.0, 0.0, 20.0, 7), desired(9.0, 0.0, 20.0, 7)];

        assert_eq!(wanted, [Some(1), Some(0), None]);
    }

    #[test]
    fn it_wants_at_most_as_many_as_are_pending() {
        assert_eq!(desired(3.0, 0.1, 20.0, 8), Some(3));
    }
}
