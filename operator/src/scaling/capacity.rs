//! The capacity of one worker: records a second it takes when it has all the records it can take.

use std::collections::BTreeMap;
use std::time::Duration;

use super::history::{History, Point};

/// A measurement looks back so far: commits come once a second, so that one is off by a quarter at most, and the mean of several by less.
const MEASURED_OVER: Duration = Duration::from_secs(4);
/// What a worker sustained without lag is looked at over this time, so that no burst out of its queue counts.
const PROVEN_OVER: Duration = Duration::from_secs(30);
/// A new measurement replaces the old one over about this time: one of them may be off by a commit.
const SMOOTHED_OVER: Duration = Duration::from_secs(6);
/// What is kept in the status moves only when it is off by so much: a steady pipeline writes nothing.
const WORTH_WRITING: f64 = 1.25;
/// A capacity that fell is tried to be higher again in steps of this.
const STEP_UP: f64 = 1.5;
/// After a step up that did not hold, the next one waits twice as long, at most this.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// This part of what was too much may be tried.
const BELOW_TOO_MUCH: f64 = 0.9;
/// What was too much once is tried again after a day: a worker may have been given more, and a try costs three changes.
const TOO_MUCH_FOR: Duration = Duration::from_secs(86_400);

/// What a pipeline's scaling has learnt, as kept in the status.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Learnt {
    /// Records a second that one worker takes, rounded to two digits; at least 1.
    pub worker_capacity: u64,
}

/// The measured capacity.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Capacity {
    /// Measured under load.
    value: Option<f64>,
    /// The highest that was measured for a while: where a capacity that fell may come back to.
    usual: f64,
    /// The most a worker was seen to sustain.
    proven: f64,
    /// Records a second and worker at which more workers had to come, and when: a limit as long as nothing was measured.
    too_much: Option<(f64, Duration)>,
    measured_at: Option<Duration>,
    /// Since when no worker was under load.
    calm_since: Option<Duration>,
    wait: Option<Duration>,
    learnt: Option<Learnt>,
}

impl Capacity {
    pub(super) fn new(learnt: Option<Learnt>) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "two digits")]
        let value = learnt.map(|learnt| learnt.worker_capacity.max(1) as f64);
        Self { value, usual: value.unwrap_or(0.0), learnt, ..Self::default() }
    }

    /// Records a second; `None` until it was measured under load.
    pub(super) fn value(&self) -> Option<f64> {
        self.value
    }

    /// Records a second that a worker may be given while its capacity is unknown: what one was seen to sustain, or twice the present
    /// load, but less than what was too much.
    pub(super) fn bearable(&self, load: f64, now: Duration) -> f64 {
        let too_much = self.too_much.filter(|(_, at)| now.saturating_sub(*at) < TOO_MUCH_FOR);
        let limit = too_much.map_or(f64::INFINITY, |(rate, _)| BELOW_TOO_MUCH * rate);
        (2.0 * load).min(limit).max(self.proven).max(f64::MIN_POSITIVE)
    }

    /// With so many records a second each, more workers had to come.
    pub(super) fn was_too_much(&mut self, rate: f64, now: Duration) {
        let before = self.too_much.filter(|(_, at)| now.saturating_sub(*at) < TOO_MUCH_FOR);
        if rate > 0.0 && before.is_none_or(|(before, _)| rate <= before) {
            self.too_much = Some((rate, now));
        }
    }

    pub(super) fn learnt(&self) -> Option<Learnt> {
        self.learnt
    }

    /// Takes what the history says. `believe`: false while throughput says more about the store than about a worker.
    pub(super) fn look(&mut self, history: &History, believe: bool, calm: Duration, now: Duration) {
        let loaded = rate_under_load(history);
        if let Some(measured) = loaded.filter(|_| believe) {
            self.measure(measured, now);
        }
        if let Some(sustained) = sustained(history) {
            self.proven = self.proven.max(sustained);
            // A worker cannot take more than its capacity.
            self.value = self.value.map(|value| value.max(sustained));
        }
        self.recover(loaded.is_some() || history.is_behind(), calm, now);
        self.keep();
    }

    /// The scale-out that would have changed the capacity had no effect: what was measured since is the store's.
    pub(super) fn put_back(&mut self, value: Option<f64>) {
        self.value = value;
        self.keep();
    }

    fn measure(&mut self, measured: f64, now: Duration) {
        let since = self.measured_at.map(|at| now.saturating_sub(at));
        self.measured_at = Some(now);
        let value = match (self.value, since) {
            (Some(value), since) => {
                // After a pause the first one counts as much as one look's worth of them.
                let seconds = since.unwrap_or(SMOOTHED_OVER).min(SMOOTHED_OVER).as_secs_f64();
                let weight = 1.0 - (-seconds / SMOOTHED_OVER.as_secs_f64()).exp();
                value + (measured - value) * weight
            }
            (None, _) => measured,
        };
        self.value = Some(value);
        self.usual = self.usual.max(value);
    }

    /// A capacity that fell, for a slow store for instance, is measured again only under load, and there is none as long as it is
    /// thought to be low. So it is taken to be higher again after a calm time; if it is not, load shows it within seconds.
    fn recover(&mut self, load: bool, calm: Duration, now: Duration) {
        let Some(value) = self.value else { return };
        if load {
            self.calm_since = None;
            return;
        }
        let since = *self.calm_since.get_or_insert(now);
        if value * WORTH_WRITING >= self.usual {
            self.wait = None;
            return;
        }
        let wait = *self.wait.get_or_insert(calm);
        if now.saturating_sub(since) >= wait {
            self.value = Some((value * STEP_UP).min(self.usual));
            self.calm_since = Some(now);
            self.wait = Some((wait * 2).min(LONGEST_WAIT).max(calm));
        }
    }

    fn keep(&mut self) {
        let Some(value) = self.value else { return };
        #[expect(clippy::cast_precision_loss, reason = "two digits")]
        let near = self.learnt.is_some_and(|learnt| {
            let kept = learnt.worker_capacity as f64;
            (kept / WORTH_WRITING..=kept * WORTH_WRITING).contains(&value)
        });
        if !near {
            self.learnt = Some(Learnt { worker_capacity: two_digits(value) });
        }
    }
}

/// Records a second that a worker under load took, the mean of all that were; `None` when none was.
///
/// Under load is a worker one of whose partitions has a record that has waited for the whole time, and which commits all the time: one
/// that stands still is stuck, or its group rebalances, and what it commits afterwards is the work of a longer time. Where owners are not
/// known, all workers are under load when all partitions are, and a single worker is when one of them is.
fn rate_under_load(history: &History) -> Option<f64> {
    let last = history.last()?;
    if !is_quiet(history, MEASURED_OVER) {
        return None;
    }
    let consumed = history.consumed(MEASURED_OVER)?;
    let behind = history.behind(MEASURED_OVER);
    let flowing = |owned: &[usize]| history.flows(MEASURED_OVER, owned);
    let all: Vec<usize> = (0..consumed.len()).collect();
    let rates: Vec<f64> = match (workers(last), last.ready) {
        (Some(workers), _) => workers
            .values()
            .filter(|owned| owned.iter().any(|&index| behind[index]) && flowing(owned))
            .map(|owned| owned.iter().map(|&index| consumed[index]).sum())
            .collect(),
        (None, Some(1)) if behind.contains(&true) && flowing(&all) => vec![consumed.iter().sum()],
        (None, Some(ready @ 2..)) if !behind.contains(&false) && flowing(&all) => {
            vec![consumed.iter().sum::<f64>() / f64::from(ready)]
        }
        (None, Some(_) | None) => Vec::new(),
    };
    (!rates.is_empty()).then(|| mean(&rates))
}

/// The most that one worker took over half a minute.
fn sustained(history: &History) -> Option<f64> {
    let last = history.last()?;
    if !is_quiet(history, PROVEN_OVER) {
        return None;
    }
    let consumed = history.consumed(PROVEN_OVER)?;
    match (workers(last), last.ready) {
        (Some(workers), _) => workers
            .values()
            .map(|owned| owned.iter().map(|&index| consumed[index]).sum())
            .max_by(|one: &f64, other| one.total_cmp(other)),
        (None, Some(ready @ 1..)) => Some(consumed.iter().sum::<f64>() / f64::from(ready)),
        (None, Some(0) | None) => None,
    }
}

/// Whether the same workers had the same partitions all the time, and nothing disturbed them.
fn is_quiet(history: &History, span: Duration) -> bool {
    let (Some(last), Some(window)) = (history.last(), history.window(span)) else { return false };
    let window: Vec<&Point> = window.collect();
    // The oldest point only begins the window: what moved before it does not matter.
    window[..window.len() - 1].iter().all(|point| point.clean)
        && window.iter().all(|point| point.ready == last.ready && same_owners(point, last))
}

/// The partitions of each worker that is known; `None` when none is.
fn workers(point: &Point) -> Option<BTreeMap<u64, Vec<usize>>> {
    let mut workers: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (index, mark) in point.marks.iter().enumerate() {
        if let Some(owner) = mark.owner {
            workers.entry(owner).or_default().push(index);
        }
    }
    (!workers.is_empty()).then_some(workers)
}

fn same_owners(one: &Point, other: &Point) -> bool {
    one.marks.len() == other.marks.len()
        && one.marks.iter().zip(&other.marks).all(|(one, other)| one.owner == other.owner)
}

fn mean(values: &[f64]) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "as many as there are workers")]
    let count = values.len() as f64;
    values.iter().sum::<f64>() / count
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive rate, clamped")]
fn two_digits(value: f64) -> u64 {
    let unit = 10_f64.powf((value.max(1.0).log10().floor() - 1.0).max(0.0));
    ((value / unit).round() * unit).clamp(1.0, 1e15) as u64
}
