//! The effect of a scale-out: whether more workers took more records. Where they did not, something else is the limit, such as the store.

use std::time::Duration;

use super::history::History;

/// Throughput before and after is looked at over this time.
const LOOKED_AT: Duration = Duration::from_secs(8);
/// Part of the expected gain that has to be there.
const LEAST_GAIN: f64 = 0.1;
/// No step outwards for this time after one without effect, and twice as long after each further one.
const FIRST_WAIT: Duration = Duration::from_secs(300);
/// An hour costs little where nothing helped, and a store that was enlarged is noticed within it.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// A fleet that is not complete by then says nothing about the step.
const GIVE_UP: Duration = Duration::from_secs(600);

/// What became of the last scale-outs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Effect {
    watched: Option<Step>,
    bound: Option<Bound>,
    /// There was lag at the last look.
    behind: bool,
}

/// A scale-out under observation.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Step {
    at: Duration,
    to: u32,
    /// Records a second before it.
    before: f64,
    /// Records a second that it should add.
    gain: f64,
    /// A worker's capacity before it.
    capacity: Option<f64>,
    /// Since when all its workers are ready and nothing moves.
    complete_since: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Bound {
    until: Duration,
    wait: Duration,
}

/// What was found out about a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Verdict {
    /// It took more records, or there were no more to take.
    Helped,
    /// It did not; a worker's capacity is what it was before.
    Useless { capacity: Option<f64> },
}

impl Effect {
    /// A step outwards is made. `demand`: records a second there are to take.
    pub(super) fn stepped(
        &mut self,
        (from, to): (u32, u32),
        history: &History,
        demand: f64,
        capacity: Option<f64>,
        now: Duration,
    ) {
        let behind = history.is_behind();
        let before: f64 = history.consumed(LOOKED_AT).map_or(0.0, |rates| rates.iter().sum());
        // Without load before it, there is nothing to compare with.
        if !behind || before <= 0.0 || from == 0 {
            self.watched = None;
            return;
        }
        let linear = before * (f64::from(to) / f64::from(from) - 1.0);
        let gain = linear.min(demand - before);
        self.watched = Some(Step { at: now, to, before, gain, capacity, complete_since: None });
    }

    /// Looks at the step under observation.
    pub(super) fn look(&mut self, history: &History, now: Duration) -> Option<Verdict> {
        let last = history.last()?;
        let behind = history.is_behind();
        self.behind = behind;
        if !behind {
            // What lagged is done, and another lag may have another cause; how long to wait is remembered.
            if let Some(bound) = &mut self.bound {
                bound.until = bound.until.min(now);
            }
            self.bound = self.bound.filter(|bound| now.saturating_sub(bound.until) <= LONGEST_WAIT);
        }
        let step = self.watched.as_mut()?;
        if !behind {
            self.watched = None;
            return Some(Verdict::Helped);
        }
        if now.saturating_sub(step.at) > GIVE_UP {
            self.watched = None;
            return None;
        }
        if !last.clean || last.ready.is_some_and(|ready| ready < step.to) {
            step.complete_since = None;
            return None;
        }
        let since = *step.complete_since.get_or_insert(now);
        // One more second: the sample that found it complete may have been taken as it became so.
        if now.saturating_sub(since) < LOOKED_AT + Duration::from_secs(1) {
            return None;
        }
        let step = *step;
        self.watched = None;
        let after: f64 = history.consumed(LOOKED_AT)?.iter().sum();
        if step.gain <= 0.0 || after - step.before >= LEAST_GAIN * step.gain {
            self.bound = None;
            return Some(Verdict::Helped);
        }
        let wait = self.bound.map_or(FIRST_WAIT, |bound| (bound.wait * 2).min(LONGEST_WAIT));
        self.bound = Some(Bound { until: now + wait, wait });
        Some(Verdict::Useless { capacity: step.capacity })
    }

    /// Until when no worker is added; `None` when one may be.
    pub(super) fn holds_until(&self, now: Duration) -> Option<Duration> {
        self.bound.map(|bound| bound.until).filter(|until| now < *until)
    }

    /// False while throughput may be what the store lets through.
    pub(super) fn tells_capacity(&self) -> bool {
        self.watched.is_none() && !(self.behind && self.bound.is_some())
    }
}
