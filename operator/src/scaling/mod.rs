//! Scaling: the decision how many workers run, from offsets over time. Pure: no client, no clock, no randomness.
//!
//! [`Scaler`] is the memory of one pipeline. Each look at its topic is a [`Sample`]; [`Scaler::decide`] answers with a [`Decision`]:
//!
//! ```text
//! Sample ─► history (offsets of an hour) ─► arrivals, lag, age ─┐
//!               └─► capacity of one worker, under load ─────────┴─► formula ─► holds (in, out) ─► bounds ─► Decision
//! ```
//!
//! needed = (arrivals / target utilization + lag / time to catch up) / capacity, for the fullest worker. Until a capacity has been
//! measured: lag / lagThreshold. Every limit that changed the number is kept beside it, so that a decision explains itself.

mod capacity;
mod effect;
mod formula;
mod history;
mod holds;
mod record;
mod sample;
mod seen;
mod sentence;
mod steps;
mod window;

use std::time::Duration;

use capacity::Capacity;
pub use capacity::Learnt;
use effect::{Effect, Verdict};
use history::History;
pub use record::{Decision, is_news, no_worker};
pub use sample::{PartitionSample, Sample};
use seen::{Seen, see};
use steps::{Reason, Steps};
use window::Window;

use crate::pipeline::ScalingRules;

/// A lag that cannot be read for a moment changes nothing; after this `onUnknownLag` counts.
const UNKNOWN_AFTER: Duration = Duration::from_secs(30);
/// While something arrives or waits, time alone changes the answer at each look.
const BUSY_LOOK: Duration = Duration::from_secs(2);
/// Nothing is due: the next change of the inputs is soon enough.
const NOTHING_DUE: Duration = Duration::from_secs(3600);

/// One pipeline's memory. All times are since any fixed point, and never go back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scaler {
    history: History,
    capacity: Capacity,
    window: Window,
    effect: Effect,
    /// Since when the workers have more than they should.
    overloaded_since: Option<Duration>,
    /// Since when workers that were added are not all ready.
    starting_since: Option<Duration>,
    unknown_since: Option<Duration>,
    /// A lower number, and since when it would do.
    falls_to: Option<(u32, Duration)>,
    skewed: bool,
    /// There was a look before.
    begun: bool,
}

impl Scaler {
    /// A memory that knows only what an earlier one learnt.
    #[must_use]
    pub fn new(learnt: Option<Learnt>) -> Self {
        Self { capacity: Capacity::new(learnt), ..Self::default() }
    }

    /// Decides how many workers should run.
    pub fn decide(&mut self, rules: &ScalingRules, sample: &Sample, now: Duration) -> Decision {
        let seen = self.look(rules, sample, now);
        let steps = self.steps(rules, sample, seen.as_ref(), now);
        self.remember(rules, sample, seen.as_ref(), &steps, now);
        let look_again = self.look_again(rules, sample, seen.as_ref(), &steps, now);
        record::decision(rules, sample, seen.as_ref(), &steps, self.capacity.learnt(), look_again)
    }

    /// Takes the sample into the memory; `None` while the lag is unknown.
    fn look(&mut self, rules: &ScalingRules, sample: &Sample, now: Duration) -> Option<Seen> {
        self.history.push(sample, now);
        let missing =
            matches!((sample.ready, sample.replicas), (Some(ready), Some(replicas)) if ready < replicas);
        // One that was ready and is not any more does not start: nobody waits for it.
        let begun = std::mem::replace(&mut self.begun, true);
        self.starting_since = self.starting_since.or((!begun).then_some(now)).filter(|_| missing);
        let known = sample.partitions.as_ref().is_some_and(|partitions| {
            partitions.iter().all(|partition| partition.lag.is_some() && partition.log_end.is_some())
        });
        self.unknown_since = (!known).then(|| self.unknown_since.unwrap_or(now));
        if !known {
            return None;
        }
        match self.effect.look(&self.history, now) {
            Some(Verdict::Useless { capacity }) => self.capacity.put_back(capacity),
            Some(Verdict::Helped) | None => {}
        }
        let guessed = self.capacity.value().is_none();
        let believe = self.effect.tells_capacity();
        self.capacity.look(&self.history, believe, rules.scale_in_window, now);
        if guessed && self.capacity.value().is_some() {
            self.window.forget_guesses();
        }
        let seen = see(rules, &self.history, &self.capacity, sample.replicas, self.skewed)?;
        self.skewed = seen.skewed.is_some();
        self.overloaded_since = seen.overloaded.then(|| self.overloaded_since.unwrap_or(now));
        Some(seen)
    }

    fn steps(&mut self, rules: &ScalingRules, sample: &Sample, seen: Option<&Seen>, now: Duration) -> Steps {
        let current = sample.replicas;
        let formula = seen.map(|seen| seen.formula);
        if rules.suspend {
            let mut steps = Steps::new(formula, 0, Reason::Suspended);
            steps.note("suspend", 0);
            return steps;
        }
        if let Some(fixed) = rules.replicas {
            let mut steps = Steps::new(formula, fixed, Reason::Fixed);
            steps.note("replicas", fixed);
            if let Some(partitions) = partitions(sample) {
                steps.at_most("partitions", partitions, Reason::AtPartitions);
            }
            return steps;
        }
        if let (true, Some(replicas)) = (self.window.is_empty(), current) {
            // The memory has just begun: what runs was asked for by somebody who could see further back.
            self.window.push(replicas, false, rules.scale_in_window, now);
        }
        let mut steps = match seen {
            Some(seen) => self.known(rules, sample, seen, now),
            None => self.unknown(rules, current, now),
        };
        steps.bound(rules, partitions(sample), current);
        steps
    }

    /// Holding is the only answer that neither drops workers nor adds them by guess.
    fn unknown(&self, rules: &ScalingRules, current: Option<u32>, now: Duration) -> Steps {
        let held = current.unwrap_or(rules.min_replicas.max(1));
        let mut steps = Steps::new(None, held, Reason::UnknownLag);
        steps.note("unknownLag", held);
        let lasts = self.unknown_since.is_some_and(|since| now.saturating_sub(since) >= UNKNOWN_AFTER);
        if let Some(least) = rules.unknown_lag_replicas.filter(|_| lasts) {
            steps.at_least("unknownLag", least, Reason::UnknownLag);
        }
        steps.at_least("minReplicas", rules.min_replicas, Reason::AtMinimum);
        steps
    }

    fn known(&mut self, rules: &ScalingRules, sample: &Sample, seen: &Seen, now: Duration) -> Steps {
        let reason = if seen.capacity.is_some() { Reason::FollowsLoad } else { Reason::FollowsLag };
        let mut steps = Steps::new(Some(seen.formula), seen.formula, reason);
        if seen.asked != seen.formula {
            steps.note("wholePartitions", seen.asked);
        }
        if seen.skewed.is_some() {
            steps.limit("skew", seen.asked, Reason::Skewed);
        }
        if seen.stuck.is_some() {
            steps.limit("stuck", seen.asked, Reason::Stuck);
        }
        let idle = self.is_idle(rules, seen, now);
        let floor = floor(rules, seen, sample.replicas, idle, &mut steps);
        self.window.push(seen.lasting, seen.capacity.is_none(), rules.scale_in_window, now);
        let Some(current) = sample.replicas else { return steps };
        if steps.result > current.max(floor) {
            self.hold_out(seen, current.max(floor), &mut steps, now);
        } else if steps.result < current {
            match idle {
                true => steps.reason = Reason::Idle,
                false => self.hold_in(rules, sample, seen, current, &mut steps, now),
            }
        }
        if steps.result >= current && steps.reason != Reason::Settling {
            self.falls_to = None;
        }
        steps.tell(seen, current);
        steps
    }

    fn is_idle(&self, rules: &ScalingRules, seen: &Seen, now: Duration) -> bool {
        let still = self.history.still_since();
        seen.lag == 0 && still.is_some_and(|since| now.saturating_sub(since) >= rules.idle)
    }

    /// What later decisions have to know of this one.
    fn remember(
        &mut self,
        rules: &ScalingRules,
        sample: &Sample,
        seen: Option<&Seen>,
        steps: &Steps,
        now: Duration,
    ) {
        // A number that somebody else gave was wanted as well; one that is only tried stays for a window of its own.
        let tried = steps.reason == Reason::Unproven;
        if rules.replicas.is_some() || tried {
            self.window.push(steps.result, tried, rules.scale_in_window, now);
        }
        if sample.replicas.is_none() {
            self.starting_since = Some(now);
        }
        let Some(current) = sample.replicas.filter(|current| steps.result > *current) else { return };
        // What was added was asked for, even where the noise of a moment is not.
        self.window.push(
            steps.result,
            seen.is_some_and(|seen| seen.capacity.is_none()),
            rules.scale_in_window,
            now,
        );
        // The new workers are capacity to come from now on.
        self.starting_since = Some(now);
        self.overloaded_since = None;
        if let Some(arrivals) = seen.and_then(|seen| seen.arrivals).filter(|_| current > 0) {
            self.capacity.was_too_much(arrivals / f64::from(current), now);
        }
        let demand = seen.map_or(0.0, |seen| seen.demand);
        let step = (current, steps.result);
        self.effect.stepped(step, &self.history, demand, self.capacity.value(), now);
    }

    /// When at the latest the same inputs could lead to another decision.
    fn look_again(
        &self,
        rules: &ScalingRules,
        sample: &Sample,
        seen: Option<&Seen>,
        steps: &Steps,
        now: Duration,
    ) -> Duration {
        let quiet = seen.is_some_and(|seen| seen.lag == 0 && seen.arrivals == Some(0.0)) && !sample.moving;
        let unknown = seen.is_none();
        if !quiet && !unknown {
            return BUSY_LOOK;
        }
        let fallback = self.unknown_since.filter(|_| rules.unknown_lag_replicas.is_some());
        let more_than_least = steps.result > rules.min_replicas && !unknown;
        let idle = self.history.still_since().filter(|_| more_than_least).map(|since| since + rules.idle);
        let kept = more_than_least && seen.is_some_and(|seen| seen.lasting < self.window.most());
        let window = self.window.ends(rules.scale_in_window).filter(|_| kept);
        let due = [
            fallback.map(|since| since + UNKNOWN_AFTER),
            idle,
            window,
            self.starting_since.map(|since| since + holds::START_LIMIT),
            self.effect.holds_until(now),
            self.falls_to.map(|(_, since)| since + holds::settled_after(rules)),
        ];
        let due = due.into_iter().flatten().filter(|due| *due >= now).min();
        due.map_or(NOTHING_DUE, |due| (due - now).clamp(Duration::from_secs(1), NOTHING_DUE))
    }
}

/// The least number that may run, and its step.
fn floor(rules: &ScalingRules, seen: &Seen, current: Option<u32>, idle: bool, steps: &mut Steps) -> u32 {
    // At zero nothing arrives unseen: it would be lag, and any lag wakes.
    let may_be_none = rules.min_replicas == 0 && seen.lag == 0 && (idle || current == Some(0));
    let least = if may_be_none { 0 } else { rules.min_replicas.max(1) };
    let (name, reason) = match rules.min_replicas {
        0 => ("idleSeconds", Reason::WaitsForIdle),
        _ => ("minReplicas", Reason::AtMinimum),
    };
    steps.at_least(name, least, reason);
    least
}

fn partitions(sample: &Sample) -> Option<u32> {
    sample.partitions.as_ref().and_then(|partitions| u32::try_from(partitions.len()).ok())
}

#[cfg(test)]
mod tests;
