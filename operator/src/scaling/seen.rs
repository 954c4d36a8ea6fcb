//! What is seen of a pipeline whose lag is known: arrivals, lag and its age, and the workers they ask for.

use std::time::Duration;

use super::capacity::Capacity;
use super::formula::{Load, Spread, by_lag, needed};
use super::history::History;
use crate::pipeline::ScalingRules;

/// Arrivals as they are now: two polls of two seconds.
const NOW: Duration = Duration::from_secs(4);
/// Arrivals as they last: long enough that the noise of a second does not count.
const LASTING: Duration = Duration::from_secs(15);
/// The newest look shows a jump when it is so far above the last few.
const JUMP: f64 = 1.25;
/// A worker whose backlog is more than this part of a second's work is overloaded, where more arrives than it takes.
const BACKLOG_SECONDS: f64 = 0.5;
/// A partition without a commit for so long is not slow but stuck. One poll, or a rebalance, says nothing.
const STUCK_AFTER: Duration = Duration::from_secs(60);

/// What a decision is made from, computed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) partitions: u32,
    /// Records that wait.
    pub(super) lag: u64,
    /// Age of the oldest of them.
    pub(super) lag_seconds: f64,
    /// Records that arrive in a second; `None` after the first look.
    pub(super) arrivals: Option<f64>,
    pub(super) capacity: Option<f64>,
    /// What the formula gives.
    pub(super) formula: u32,
    /// The same, in numbers that lower the partitions of the fullest worker, and only as far as more workers help.
    pub(super) asked: u32,
    /// The same for arrivals as they last: what must hold over the window before a worker goes.
    pub(super) lasting: u32,
    /// The lag is older than the pipeline's limit.
    pub(super) over_limit: bool,
    /// There is lag to work off.
    pub(super) behind: bool,
    /// The workers are busier than they should be, for as long as this lasts.
    pub(super) overloaded: bool,
    /// Records a second that are to be taken, to be in time.
    pub(super) demand: f64,
    /// Index of a partition that no number of workers helps.
    pub(super) skewed: Option<usize>,
    /// Index of a partition that lags and does not move.
    pub(super) stuck: Option<usize>,
}

/// Computes it from the history; `None` as long as there is none. `current`: workers that should run so far.
pub(super) fn see(
    rules: &ScalingRules,
    history: &History,
    capacity: &Capacity,
    current: Option<u32>,
    skewed_before: bool,
) -> Option<Seen> {
    let partitions = u32::try_from(history.last()?.marks.len()).unwrap_or(u32::MAX);
    let all_lags = history.lags();
    let stuck = history.stuck(STUCK_AFTER);
    // A partition that does not move takes nothing of a worker's capacity.
    let moving = |values: &[f64]| -> Vec<f64> {
        values.iter().zip(&stuck).map(|(value, stuck)| if *stuck { 0.0 } else { *value }).collect()
    };
    let lags = moving(&all_lags);
    let ages = history.ages();
    let lag_seconds = ages.iter().map(|age| age.seconds).fold(0.0, f64::max);
    let in_flight = history.in_flight().as_secs_f64();
    let limit = rules.max_lag.as_secs_f64().max(in_flight);
    let working_off = (rules.max_lag.as_secs_f64() / 2.0).max(in_flight);
    #[expect(clippy::cast_precision_loss, reason = "a threshold needs no 53 bits")]
    let threshold = rules.lag_threshold as f64;
    let over_limit = (ages.iter().zip(&lags))
        .any(|(age, lag)| *lag > 0.0 && age.seconds > limit && (!age.beyond || *lag > threshold));
    let zeros = vec![0.0; all_lags.len()];
    let now = arrivals_now(history).map(|rates| moving(&rates));
    let lasting = history.arrivals(LASTING).map(|rates| moving(&rates));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a sum of lags, positive")]
    let lag = all_lags.iter().sum::<f64>() as u64;
    let known = |capacity: f64| {
        let load = |arrivals, lags| Load {
            arrivals,
            lags,
            capacity,
            utilization: rules.target_utilization,
            catch_up_seconds: rules.catch_up.as_secs_f64(),
        };
        let arrivals = now.as_deref().unwrap_or(&zeros);
        let answer = needed(&load(arrivals, &lags), skewed_before);
        let lasting_arrivals = lasting.as_deref().unwrap_or(&zeros);
        let owned =
            current.filter(|current| *current > 0).map_or(partitions, |current| partitions.div_ceil(current));
        let fullest = |values: &[f64]| Spread::of(values).fullest(owned);
        let high = (1.0 + rules.target_utilization) / 2.0 * capacity;
        let overloaded = current == Some(0)
            || fullest(lasting_arrivals) > high
            || (fullest(arrivals) > capacity && fullest(&lags) > BACKLOG_SECONDS * capacity);
        let lasting = needed(&load(lasting_arrivals, &lags), skewed_before).workers;
        (answer.workers, answer.workers, lasting, overloaded, answer.skewed)
    };
    let guessed = || {
        let formula = u32::try_from(lag.div_ceil(rules.lag_threshold.max(1))).unwrap_or(u32::MAX);
        let asked = by_lag(&lags, threshold);
        (formula, asked, asked, true, None)
    };
    let (formula, asked, lasting, overloaded, skewed) = capacity.value().map_or_else(guessed, known);
    let arrivals = now.as_ref().map(|rates| rates.iter().sum::<f64>());
    Some(Seen {
        partitions,
        lag,
        lag_seconds,
        arrivals,
        capacity: capacity.value(),
        formula,
        asked,
        lasting,
        over_limit,
        behind: lag_seconds > working_off,
        overloaded,
        demand: arrivals.unwrap_or(0.0) + Spread::of(&lags).sum() / rules.catch_up.as_secs_f64(),
        skewed,
        stuck: stuck.iter().position(|stuck| *stuck),
    })
}

/// Arrivals of the last few looks, or of the newest one where it shows a jump: a mean would show only a part of it.
fn arrivals_now(history: &History) -> Option<Vec<f64>> {
    let few = history.arrivals(NOW)?;
    let newest = history.arrivals(history.spacing())?;
    let sum = |rates: &[f64]| rates.iter().sum::<f64>();
    Some(if sum(&newest) > JUMP * sum(&few) { newest } else { few })
}
