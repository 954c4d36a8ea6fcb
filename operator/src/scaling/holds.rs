//! Holds: what speaks against the number that the formula gives, outwards and inwards.

use std::time::Duration;

use super::Scaler;
use super::sample::Sample;
use super::seen::Seen;
use super::steps::{Reason, Steps};
use crate::pipeline::ScalingRules;

/// A load above what the workers should bear has to last so long: two looks.
const CONFIRMED_AFTER: Duration = Duration::from_secs(2);
/// A worker that is not ready by then is not capacity to come any more: an image that cannot be pulled must not stop everything.
pub(super) const START_LIMIT: Duration = Duration::from_secs(60);
/// A lower number has to be the same for this part of the window, at most this long: a load that falls over a few looks costs one
/// rebalance then, not one for each of them.
const SETTLED_PART: u32 = 10;
const SETTLED_AFTER: Duration = Duration::from_secs(10);

impl Scaler {
    /// What speaks against more workers.
    pub(super) fn hold_out(&self, seen: &Seen, held: u32, steps: &mut Steps, now: Duration) {
        let since = |since: Option<Duration>| since.map(|since| now.saturating_sub(since));
        let confirmed = since(self.overloaded_since).is_some_and(|lasted| lasted >= CONFIRMED_AFTER);
        // Without a capacity there is only the lag, and it has been there for a while by itself.
        let urgent = seen.over_limit || seen.capacity.is_none() || held == 0;
        if self.effect.holds_until(now).is_some() {
            steps.limit("store", held, Reason::StoreBound);
        } else if self.is_starting(now) {
            steps.limit("starting", held, Reason::Starting);
        } else if !urgent && !confirmed {
            steps.limit("withinBand", held, Reason::WithinBand);
        }
    }

    /// What speaks against fewer workers.
    pub(super) fn hold_in(
        &mut self,
        rules: &ScalingRules,
        sample: &Sample,
        seen: &Seen,
        current: u32,
        steps: &mut Steps,
        now: Duration,
    ) {
        if sample.moving {
            steps.limit("moving", current, Reason::Moving);
        } else if self.is_starting(now) {
            steps.limit("starting", current, Reason::Starting);
        } else if seen.behind || sample.store_waiting {
            steps.limit("catchingUp", current, Reason::CatchingUp);
        } else if seen.arrivals.is_none() {
            steps.limit("unknownRate", current, Reason::UnknownRate);
        } else {
            steps.at_least("scaleInWindowSeconds", self.window.most().min(current), Reason::ScaleInWindow);
            if seen.capacity.is_none() {
                steps.at_least("unproven", self.proven(seen, current, now).min(current), Reason::Unproven);
            }
            if steps.result < current && !self.is_settled(rules, steps.result, now) {
                steps.limit("settling", current, Reason::Settling);
            }
        }
    }

    /// Whether a lower number has been the same for long enough.
    fn is_settled(&mut self, rules: &ScalingRules, workers: u32, now: Duration) -> bool {
        let since = match self.falls_to {
            Some((before, since)) if before == workers => since,
            Some(_) | None => now,
        };
        self.falls_to = Some((workers, since));
        now.saturating_sub(since) >= settled_after(rules)
    }

    /// Without a capacity: as many as can take the arrivals at what a worker was seen to take, or half of those that run, but not so few
    /// as were too few before. Lag alone would ask for none as soon as it is drained.
    fn proven(&self, seen: &Seen, current: u32, now: Duration) -> u32 {
        let arrivals = seen.arrivals.unwrap_or(0.0);
        let bearable = self.capacity.bearable(arrivals / f64::from(current.max(1)), now);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let workers = if arrivals > 0.0 { (arrivals / bearable).ceil() as u32 } else { 0 };
        workers
    }

    fn is_starting(&self, now: Duration) -> bool {
        self.starting_since.is_some_and(|since| now.saturating_sub(since) < START_LIMIT)
    }
}

/// How long a lower number has to be the same.
pub(super) fn settled_after(rules: &ScalingRules) -> Duration {
    (rules.scale_in_window / SETTLED_PART).min(SETTLED_AFTER)
}
