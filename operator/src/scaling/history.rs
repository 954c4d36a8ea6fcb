//! The offsets of the last hour, from which come rates and ages. Dense for half a minute, ever sparser before that.

use std::collections::VecDeque;
use std::time::Duration;

use super::sample::{PartitionSample, Sample};

/// Two points are at least this far apart: commits come in steps of a second, so that less says nothing.
const SPACING: Duration = Duration::from_secs(1);
/// Every point of this time is kept; it is the longest window of a rate.
const DENSE: Duration = Duration::from_secs(30);
/// Before that the gap may be this part of the age: an age is then known to an eighth.
const SPARSE: u32 = 8;
/// Records older than this are only known to be so old.
const LONGEST: Duration = Duration::from_secs(3600);

/// Offsets over time. It begins anew when the partitions change or a log end goes back: that is another topic.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct History {
    points: VecDeque<Point>,
    /// The last sample was unknown.
    gap: bool,
}

/// All partitions at one time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) at: Duration,
    /// Nothing moved, the store took what came, and the sample before was known too: what was consumed since says something.
    pub(super) clean: bool,
    pub(super) ready: Option<u32>,
    pub(super) marks: Box<[Mark]>,
}

/// One partition at one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mark {
    partition: i32,
    pub(super) log_end: i64,
    /// Where the lag begins.
    begin: i64,
    committed: Option<i64>,
    pub(super) owner: Option<u64>,
}

/// How long the oldest record of a partition has waited.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Age {
    pub(super) seconds: f64,
    /// It was there before anything was looked at, so that this is an estimate.
    pub(super) beyond: bool,
}

impl History {
    /// Takes a sample. An unknown partition makes it unknown as a whole.
    pub(super) fn push(&mut self, sample: &Sample, now: Duration) {
        let marks =
            sample.partitions.as_ref().and_then(|partitions| partitions.iter().map(Mark::of).collect());
        let Some(marks) = marks else {
            self.gap = true;
            return;
        };
        let marks: Box<[Mark]> = marks;
        if self.points.back().is_some_and(|last| last.is_other_topic(&marks)) {
            self.points.clear();
        }
        let clean = !sample.moving && !sample.store_waiting && !std::mem::take(&mut self.gap);
        let mut point = Point { at: now, clean, ready: sample.ready, marks };
        if self.last_is_surplus(&point) {
            let last = self.points.pop_back();
            point.clean &= last.is_none_or(|last| last.clean);
        }
        self.points.push_back(point);
        self.thin(now);
    }

    /// Whether the last point says nothing that the one before and the next do not.
    fn last_is_surplus(&self, next: &Point) -> bool {
        let mut newest = self.points.iter().rev();
        let (Some(last), Some(before)) = (newest.next(), newest.next()) else { return false };
        let too_close = next.at.saturating_sub(before.at) < SPACING;
        // An idle topic needs only both ends of its silence.
        let idle = before.same_offsets(last) && last.same_offsets(next);
        too_close || idle
    }

    fn thin(&mut self, now: Duration) {
        while self.points.front().is_some_and(|first| now.saturating_sub(first.at) > LONGEST) {
            self.points.pop_front();
        }
        let mut index = 1;
        while index + 1 < self.points.len() {
            let age = now.saturating_sub(self.points[index].at);
            let gap = self.points[index + 1].at.saturating_sub(self.points[index - 1].at);
            if age <= DENSE {
                break;
            }
            if gap <= age / SPARSE {
                self.points.remove(index);
            } else {
                index += 1;
            }
        }
    }

    /// How many points there are.
    #[cfg(test)]
    pub(super) fn points(&self) -> usize {
        self.points.len()
    }

    /// The newest point.
    pub(super) fn last(&self) -> Option<&Point> {
        self.points.back()
    }

    /// The points of the last `span`, newest first, and one that is at least as old as it; `None` when there is none.
    pub(super) fn window(&self, span: Duration) -> Option<impl Iterator<Item = &Point>> {
        let now = self.last()?.at;
        let older = self.points.iter().rev().position(|point| now.saturating_sub(point.at) >= span)?;
        Some(self.points.iter().rev().take(older + 1))
    }

    /// Time between the last two points.
    pub(super) fn spacing(&self) -> Duration {
        match self.points.len() {
            0 | 1 => SPACING,
            count => {
                self.points[count - 1].at.saturating_sub(self.points[count - 2].at).clamp(SPACING, DENSE)
            }
        }
    }

    /// An age up to this is what batches, commits and the time between two looks explain.
    pub(super) fn in_flight(&self) -> Duration {
        2 * self.spacing() + SPACING
    }

    /// Records that arrived in a second, for each partition, over the last `span` or as much of it as is known.
    pub(super) fn arrivals(&self, span: Duration) -> Option<Vec<f64>> {
        self.rates(span, |from, to| to.log_end.saturating_sub(from.log_end))
    }

    /// Records that were consumed in a second, for each partition. What retention deleted was not.
    pub(super) fn consumed(&self, span: Duration) -> Option<Vec<f64>> {
        self.rates(span, |from, to| match (from.committed, to.committed) {
            (Some(from), Some(to)) => to.saturating_sub(from),
            _ => to.begin.saturating_sub(from.begin),
        })
    }

    /// Whether some of these partitions were committed between each two points of the last `span`, and before its first one.
    pub(super) fn flows(&self, span: Duration, partitions: &[usize]) -> bool {
        let Some(last) = self.last() else { return false };
        let within =
            self.points.iter().rev().take_while(|point| last.at.saturating_sub(point.at) < span).count();
        // The point that begins the span, and one before it.
        let points: Vec<&Point> = self.points.iter().rev().take(within + 2).collect();
        let moved = |later: &Point, earlier: &Point| {
            partitions.iter().any(|&index| later.marks[index].begin > earlier.marks[index].begin)
        };
        points.len() == within + 2 && points.windows(2).all(|pair| moved(pair[0], pair[1]))
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate needs no 53 bits")]
    fn rates(&self, span: Duration, gained: impl Fn(&Mark, &Mark) -> i64) -> Option<Vec<f64>> {
        let last = self.last()?;
        let start = last.at.saturating_sub(span).max(self.points.front()?.at);
        let seconds = last.at.saturating_sub(start).as_secs_f64();
        if seconds < SPACING.as_secs_f64() {
            return None;
        }
        // Between two points offsets are taken to grow evenly.
        let after = self.points.iter().position(|point| point.at >= start)?;
        let (after, before) = (&self.points[after], &self.points[after.saturating_sub(1)]);
        let between = after.at.saturating_sub(before.at).as_secs_f64();
        let share = if between > 0.0 { after.at.saturating_sub(start).as_secs_f64() / between } else { 0.0 };
        let rate = |(index, mark): (usize, &Mark)| {
            let since = gained(&after.marks[index], mark).max(0) as f64;
            let part = gained(&before.marks[index], &after.marks[index]).max(0) as f64 * share;
            (since + part) / seconds
        };
        Some(last.marks.iter().enumerate().map(rate).collect())
    }

    /// Records of each partition that wait.
    #[expect(clippy::cast_precision_loss, reason = "a lag needs no 53 bits here")]
    pub(super) fn lags(&self) -> Vec<f64> {
        self.last().map_or_else(Vec::new, |last| {
            last.marks.iter().map(|mark| mark.log_end.saturating_sub(mark.begin) as f64).collect()
        })
    }

    /// Age of each partition's oldest record that waits: that of the newest log end at or below where the lag begins. A record that
    /// was there before the first look is as old as that, and at least as old as the present arrivals need to make such a lag.
    pub(super) fn ages(&self) -> Vec<Age> {
        let Some(last) = self.last() else { return Vec::new() };
        let arrivals = self.arrivals(DENSE);
        let lags = self.lags();
        let age = |(index, mark): (usize, &Mark)| {
            if mark.begin >= mark.log_end {
                return Age { seconds: 0.0, beyond: false };
            }
            let known = self.points.iter().rev().find(|point| point.marks[index].log_end <= mark.begin);
            if let Some(point) = known {
                let seconds = last.at.saturating_sub(point.at).as_secs_f64();
                return Age { seconds, beyond: false };
            }
            let first = self.points.front().map_or(last.at, |first| first.at);
            let least = last.at.saturating_sub(first).as_secs_f64();
            let rate = arrivals.as_ref().map_or(0.0, |rates| rates[index]);
            let estimate = if rate > 0.0 { lags[index] / rate } else { 0.0 };
            Age { seconds: least.max(estimate), beyond: true }
        };
        last.marks.iter().enumerate().map(age).collect()
    }

    /// Whether each partition has had records that wait for all of `span`, and longer than batches and commits explain.
    pub(super) fn behind(&self, span: Duration) -> Vec<bool> {
        let least = self.in_flight().max(span).as_secs_f64();
        self.ages().iter().map(|age| age.seconds >= least).collect()
    }

    /// Whether any partition has records older than batches and commits explain.
    pub(super) fn is_behind(&self) -> bool {
        self.behind(Duration::ZERO).contains(&true)
    }

    /// Whether each partition has had lag for `span` without a commit, while nothing moved.
    pub(super) fn stuck(&self, span: Duration) -> Vec<bool> {
        let Some(last) = self.last() else { return Vec::new() };
        let Some(window) = self.window(span) else { return vec![false; last.marks.len()] };
        let mut stuck: Vec<bool> = last.marks.iter().map(|mark| mark.begin < mark.log_end).collect();
        for point in window {
            for (index, stuck) in stuck.iter_mut().enumerate() {
                let mark = &point.marks[index];
                *stuck &= point.clean
                    && point.ready != Some(0)
                    && mark.begin == last.marks[index].begin
                    && mark.begin < mark.log_end;
            }
        }
        stuck
    }

    /// When offsets moved last, or when they were first looked at.
    pub(super) fn still_since(&self) -> Option<Duration> {
        let last = self.last()?;
        let mut since = last.at;
        for point in self.points.iter().rev() {
            if !point.same_offsets(last) {
                break;
            }
            since = point.at;
        }
        Some(since)
    }
}

impl Point {
    fn is_other_topic(&self, next: &[Mark]) -> bool {
        self.marks.len() != next.len()
            || self
                .marks
                .iter()
                .zip(next)
                .any(|(before, after)| before.partition != after.partition || after.log_end < before.log_end)
    }

    fn same_offsets(&self, other: &Self) -> bool {
        self.marks.len() == other.marks.len()
            && self
                .marks
                .iter()
                .zip(&other.marks)
                .all(|(one, other)| one.log_end == other.log_end && one.begin == other.begin)
            && self.clean == other.clean
    }
}

impl Mark {
    fn of(sample: &PartitionSample) -> Option<Self> {
        let (lag, log_end) = (sample.lag?, sample.log_end?);
        let lag = i64::try_from(lag).unwrap_or(i64::MAX);
        Some(Self {
            partition: sample.partition,
            log_end,
            begin: log_end.saturating_sub(lag),
            committed: sample.committed,
            owner: sample.owner,
        })
    }
}
