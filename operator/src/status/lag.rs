//! The lag as status tells it: rounded, and kept while it moves no more than steady load moves it.

use plaudit_crds::{AchievementPipelineStatus, PartitionLag};

/// Of partitions that lag, so many are named.
const NAMED: usize = 3;
/// Workers commit each second and Kafka is asked each two: so many seconds' arrivals come and go between two looks at a load that is the
/// same all the time.
const NOISE_SECONDS: u64 = 3;

/// Of a pipeline, what says how far its lag may move unsaid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    /// `spec.scaling.lagThreshold`.
    pub threshold: u64,
    /// Records a second that arrive; 0 while unknown.
    pub arrivals: u64,
}

/// A lag rounded down: tenths of the threshold, and two digits above ten thresholds.
fn quantised(lag: u64, threshold: u64) -> i64 {
    let unit = unit(lag, threshold);
    i64::try_from(lag / unit * unit).unwrap_or(i64::MAX)
}

fn unit(lag: u64, threshold: u64) -> u64 {
    let mut unit = (threshold / 10).max(1);
    while lag / unit >= 100 {
        unit = unit.saturating_mul(10);
    }
    unit
}

/// What is told of a lag: the number before, unless the lag is two steps or the noise of the load away from it, or none is left.
pub(super) fn told(lag: u64, scale: Scale, before: Option<i64>) -> i64 {
    let Scale { threshold, arrivals } = scale;
    let near = |before: &i64| {
        let before = before.unsigned_abs();
        let step = unit(lag.max(before), threshold).saturating_mul(2);
        lag > 0 && lag.abs_diff(before) < step.max(arrivals.saturating_mul(NOISE_SECONDS))
    };
    before.filter(near).unwrap_or_else(|| quantised(lag, threshold))
}

/// The partitions that lag most, each by the threshold or more; one that was named stays until it is below half of that, and before
/// others that lag about as much.
pub(super) fn lagging(
    lags: impl Iterator<Item = (i32, u64)>,
    scale: Scale,
    previous: Option<&AchievementPipelineStatus>,
) -> Vec<PartitionLag> {
    let before = previous.map_or(&[][..], |status| &status.lagging_partitions);
    let named = |partition| before.iter().find(|named| named.partition == partition);
    let mut lagging: Vec<_> = lags
        .map(|(partition, lag)| (partition, lag, named(partition)))
        .filter(|(_, lag, named)| *lag >= least(named.is_some(), scale.threshold))
        .collect();
    lagging.sort_by_key(|(partition, lag, named)| {
        (std::cmp::Reverse((lag.ilog2(), named.is_some())), *partition)
    });
    lagging.truncate(NAMED);
    lagging.sort_by_key(|(partition, ..)| *partition);
    let tell = |(partition, lag, named): (i32, u64, Option<&PartitionLag>)| PartitionLag {
        partition,
        lag: told(lag, scale, named.map(|named| named.lag)),
    };
    lagging.into_iter().map(tell).collect()
}

fn least(is_named: bool, threshold: u64) -> u64 {
    if is_named { (threshold / 2).max(1) } else { threshold.max(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Scale = Scale { threshold: 10_000, arrivals: 0 };

    #[test]
    fn lag_is_rounded_down_to_what_matters() {
        let cases = [
            (0, 10_000, 0),
            (999, 10_000, 0),
            (1_999, 10_000, 1_000),
            (99_999, 10_000, 99_000),
            (123_456, 10_000, 120_000),
            (9_876_543, 10_000, 9_800_000),
            (7, 1, 7),
            (u64::MAX, 10_000, i64::MAX),
        ];

        let rounded = cases.map(|(lag, threshold, _)| quantised(lag, threshold));

        assert_eq!(rounded, cases.map(|(_, _, expected)| expected));
    }

    #[test]
    fn a_lag_that_load_moves_to_and_fro_is_told_once() {
        let load = Scale { arrivals: 50_000, ..IDLE };
        let tell = |scale, lags: &[u64]| {
            let mut before = None;
            lags.iter().map(|lag| *before.insert(told(*lag, scale, before))).collect::<Vec<_>>()
        };

        let all = [
            tell(IDLE, &[0, 1_500, 999, 1_999, 0, 1_001]),
            tell(IDLE, &[5_000, 6_999, 3_001, 7_000, 6_000, 5_000]),
            tell(load, &[60_000, 20_000, 95_000, 31_000, 140_000]),
            tell(load, &[60_000, 300_000, 0]),
        ];

        assert_eq!(
            all,
            [
                vec![0; 6],
                vec![5_000, 5_000, 5_000, 7_000, 7_000, 5_000],
                vec![60_000; 5],
                vec![60_000, 300_000, 0],
            ]
        );
    }

    #[test]
    fn the_partitions_that_lag_most_are_named_and_take_no_turns() {
        let mut status = AchievementPipelineStatus::default();
        let looks: [&[u64]; 6] = [
            &[0, 9_999, 10_000, 0, 0],
            &[0, 0, 9_000, 0, 0],
            &[40_000, 41_000, 42_000, 43_000, 0],
            &[43_000, 42_000, 41_000, 44_000, 0],
            &[43_000, 42_000, 41_000, 44_000, 900_000],
            &[0, 0, 4_999, 0, 0],
        ];

        let named = looks.map(|lags| {
            let lags = (0..).zip(lags.iter().copied());
            status.lagging_partitions = lagging(lags, IDLE, Some(&status));
            status.lagging_partitions.iter().map(|named| (named.partition, named.lag)).collect::<Vec<_>>()
        });

        let one = Scale { threshold: 1, ..IDLE };
        status.lagging_partitions = lagging([(0, 1)].into_iter(), one, None);
        let caught_up = lagging([(0, 0)].into_iter(), one, Some(&status));
        assert_eq!((status.lagging_partitions.len(), caught_up), (1, vec![]));
        assert_eq!(
            named,
            [
                vec![(2, 10_000)],
                vec![(2, 10_000)],
                vec![(0, 40_000), (1, 41_000), (2, 42_000)],
                vec![(0, 43_000), (1, 41_000), (2, 42_000)],
                vec![(0, 43_000), (1, 41_000), (4, 900_000)],
                vec![],
            ]
        );
    }
}
