//! The formula: the least number of workers whose fullest one can take its load.
//!
//! Partitions are not divisible, so with `n` workers the fullest has `ceil(partitions / n)` of them, and only numbers that lower this
//! count. It is taken to own the busiest partition and average ones beside it.

use std::iter;

/// A partition this close to what a worker can take alone is one that no number of workers helps.
const ALONE_TOO_MUCH: f64 = 0.98;
/// Once that is so, it stays so until there is some room, so that a rate near the limit does not go to and fro.
const ALONE_ENOUGH: f64 = 0.9;
/// Where no number fits, half the speed of the best one is enough: the rest would cost several times the workers.
const NEAR_THE_BEST: f64 = 0.49;

/// The load of all partitions, for a worker's capacity in records a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load<'a> {
    /// Records arriving in a second, for each partition.
    pub(super) arrivals: &'a [f64],
    /// Records waiting, for each partition.
    pub(super) lags: &'a [f64],
    pub(super) capacity: f64,
    /// Part of the capacity that arrivals may take.
    pub(super) utilization: f64,
    /// Time in which the lag is to be worked off.
    pub(super) catch_up_seconds: f64,
}

/// What the formula gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Needed {
    pub(super) workers: u32,
    /// Index of a partition that is too much for one worker alone; then `workers` is what the others need.
    pub(super) skewed: Option<usize>,
}

/// A quantity over partitions, as far as the fullest worker is concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Spread {
    count: u32,
    most: f64,
    sum: f64,
}

/// Workers for arrivals at the target utilization and lag within the time to catch up.
pub(super) fn needed(load: &Load<'_>, skewed_before: bool) -> Needed {
    let demand: Vec<f64> = load
        .arrivals
        .iter()
        .zip(load.lags)
        .map(|(arrivals, lag)| arrivals / load.utilization + lag / load.catch_up_seconds)
        .collect();
    let fitting = |workers| Needed { workers, skewed: None };
    let demand = Spread::of(&demand);
    if demand.sum <= 0.0 {
        return fitting(0);
    }
    if let Some((workers, _)) =
        counts(demand.count).find(|(_, owned)| demand.fullest(*owned) <= load.capacity)
    {
        return fitting(workers);
    }
    let limit = load.capacity * if skewed_before { ALONE_ENOUGH } else { ALONE_TOO_MUCH };
    let too_much = load.arrivals.iter().filter(|rate| **rate >= limit).count();
    match load.arrivals.iter().position(|rate| *rate >= limit) {
        // Where most are too much, it is not that one stands out.
        Some(index) if 2 * too_much <= load.arrivals.len() => {
            Needed { workers: of_the_others(load, limit), skewed: Some(index) }
        }
        Some(_) => fitting(demand.count),
        None => fitting(nearly_best(load)),
    }
}

/// Workers for the partitions that a worker can take.
fn of_the_others(load: &Load<'_>, limit: f64) -> u32 {
    let (mut arrivals, mut lags) = (load.arrivals.to_vec(), load.lags.to_vec());
    for index in 0..arrivals.len() {
        if load.arrivals[index] >= limit {
            (arrivals[index], lags[index]) = (0.0, 0.0);
        }
    }
    needed(&Load { arrivals: &arrivals, lags: &lags, ..*load }, false).workers.max(1)
}

/// Every partition can be worked off, but not as fast as asked: the least number that is not much slower than the greatest.
fn nearly_best(load: &Load<'_>) -> u32 {
    let (arrivals, lags) = (Spread::of(load.arrivals), Spread::of(load.lags));
    let spare = |owned| load.capacity - arrivals.fullest(owned);
    let seconds = |owned| lags.fullest(owned) / spare(owned);
    let good = |owned| {
        spare(owned) > 0.0
            && spare(owned) >= NEAR_THE_BEST * spare(1)
            && seconds(owned) * NEAR_THE_BEST <= seconds(1)
    };
    counts(arrivals.count).find(|(_, owned)| good(*owned)).map_or(arrivals.count, |(workers, _)| workers)
}

/// The least number whose fullest worker lags at most `threshold` records; at most one worker for each partition that lags, because
/// others would have nothing to do.
pub(super) fn by_lag(lags: &[f64], threshold: f64) -> u32 {
    let spread = Spread::of(lags);
    if spread.sum <= 0.0 {
        return 0;
    }
    let lagging = u32::try_from(lags.iter().filter(|lag| **lag > 0.0).count()).unwrap_or(u32::MAX);
    let fitting = counts(spread.count).find(|(_, owned)| spread.fullest(*owned) <= threshold);
    fitting.map_or(spread.count, |(workers, _)| workers).min(whole(lagging, spread.count))
}

/// The numbers of workers that lower the partitions of the fullest one, ascending, with those partitions.
pub(super) fn counts(partitions: u32) -> impl Iterator<Item = (u32, u32)> {
    let first = (partitions > 0).then_some((1, partitions));
    iter::successors(first, move |(_, owned)| {
        let workers = partitions.div_ceil(owned.checked_sub(1).filter(|owned| *owned > 0)?);
        Some((workers, partitions.div_ceil(workers)))
    })
}

/// The least number of workers whose fullest one has no more partitions than with `workers`.
pub(super) fn trimmed(workers: u32, partitions: u32) -> u32 {
    if workers == 0 || partitions == 0 { workers } else { partitions.div_ceil(partitions.div_ceil(workers)) }
}

/// The least number at or above `workers` that lowers the partitions of the fullest one.
fn whole(workers: u32, partitions: u32) -> u32 {
    counts(partitions).map(|(workers, _)| workers).find(|count| *count >= workers).unwrap_or(partitions)
}

impl Spread {
    pub(super) fn of(values: &[f64]) -> Self {
        let most = values.iter().copied().fold(0.0, f64::max);
        Self { count: u32::try_from(values.len()).unwrap_or(u32::MAX), most, sum: values.iter().sum() }
    }

    pub(super) fn sum(&self) -> f64 {
        self.sum
    }

    /// What a worker has that owns so many partitions, the busiest among them.
    pub(super) fn fullest(&self, owned: u32) -> f64 {
        if self.count <= 1 || owned >= self.count {
            return self.sum;
        }
        let others = (self.sum - self.most) / f64::from(self.count - 1);
        self.most + f64::from(owned.saturating_sub(1)) * others
    }
}
