//! One look at a pipeline and its workers: what the status file holds and the screen shows.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::time::Duration;

use plaudit_crds::{AchievementPipeline, LastDecision};
use serde::{Deserialize, Serialize};

use crate::observe::{LanesReport, Observed, PartitionOffsets, SourceState};

/// Everything there is to show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// The pipeline with its status.
    pub pipeline: AchievementPipeline,
    /// The latest decision; the one in the status stays until another is made for another reason.
    pub decision: LastDecision,
    /// Seconds since the first look.
    pub age_seconds: u64,
    /// The workers that should run, and those that still drain.
    pub workers: Vec<WorkerView>,
    /// The topic's partitions.
    pub partitions: Vec<PartitionView>,
    /// Reports committed in a second; `None` while unknown.
    pub rate: Option<f64>,
    /// Compare-and-sets that found another version, over all workers that ever ran.
    pub conflicts: u64,
    /// CPU time of all workers that ever ran, in seconds.
    pub cpu_seconds: f64,
    /// Memory of all workers now.
    pub resident_bytes: u64,
    /// The greatest sum of the workers' memory at one time.
    pub peak_resident_bytes: u64,
}

/// One worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerView {
    /// w-0, w-1, …
    pub name: String,
    /// Its process; `None` while none runs.
    pub pid: Option<u32>,
    /// It consumes.
    pub ready: bool,
    /// How often it was started again after a crash.
    pub restarts: u32,
    /// Where it answers HTTP.
    pub address: Option<String>,
    /// starting, running, waiting (to be started again) or draining.
    pub state: String,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionView {
    /// Its number.
    pub partition: i32,
    /// The worker that consumes it.
    pub owner: Option<String>,
    /// Its lane's state.
    pub state: Option<String>,
    /// Records not yet processed.
    pub lag: Option<u64>,
    /// What the group committed.
    pub committed: Option<i64>,
    /// The offset after the newest record.
    pub log_end: Option<i64>,
}

/// The partitions with owner and lag.
#[must_use]
pub fn partitions(observed: &Observed, starts_at_log_start: bool) -> Vec<PartitionView> {
    let SourceState::Found(topic) = &observed.source else { return Vec::new() };
    let view = |offsets: &PartitionOffsets| {
        let owner = observed.owner(offsets.partition);
        PartitionView {
            partition: offsets.partition,
            owner: owner.map(|(name, _)| name.to_owned()),
            state: owner.map(|(_, lane)| lane.state.clone()),
            lag: observed.lag_of(offsets, starts_at_log_start),
            committed: offsets.committed.offset(),
            log_end: offsets.log_end,
        }
    };
    topic.partitions.iter().map(view).collect()
}

/// Counters of a fleet whose workers come and go: what a process counted stays when it is gone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    gone: Counters,
    living: BTreeMap<u32, Counters>,
    peak_resident_bytes: u64,
}

/// Counters of one process, or the sum of many.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counters {
    /// Compare-and-sets that found another version.
    pub conflicts: u64,
    /// CPU time in seconds.
    pub cpu_seconds: f64,
    /// Memory it holds now.
    pub resident_bytes: u64,
}

impl Totals {
    /// Takes what a process says about itself.
    pub fn report(&mut self, pid: u32, report: &LanesReport) {
        let counters = Counters {
            conflicts: report.conflicts,
            cpu_seconds: report.cpu_seconds,
            resident_bytes: report.resident_bytes,
        };
        self.living.insert(pid, counters);
        self.peak_resident_bytes = self.peak_resident_bytes.max(self.sum().resident_bytes);
    }

    /// Keeps what a process last said, now that it is gone.
    pub fn gone(&mut self, pid: u32) {
        if let Some(last) = self.living.remove(&pid) {
            self.gone = self.gone.and(Counters { resident_bytes: 0, ..last });
        }
    }

    /// The sum over everything that ever ran; memory of what runs now.
    #[must_use]
    pub fn sum(&self) -> Counters {
        self.living.values().fold(self.gone, |sum, counters| sum.and(*counters))
    }

    /// The greatest sum of memory at one time.
    #[must_use]
    pub fn peak_resident_bytes(&self) -> u64 {
        self.peak_resident_bytes
    }
}

impl Counters {
    fn and(self, other: Self) -> Self {
        Self {
            conflicts: self.conflicts.saturating_add(other.conflicts),
            cpu_seconds: self.cpu_seconds + other.cpu_seconds,
            resident_bytes: self.resident_bytes.saturating_add(other.resident_bytes),
        }
    }
}

/// Reports committed in a second, over the last few looks. From offsets, because workers come and go.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rate {
    looks: VecDeque<(Duration, BTreeMap<i32, i64>)>,
}

impl Rate {
    /// Commits come in steps; a mean over a few seconds hides them.
    const SPAN: Duration = Duration::from_secs(5);

    /// Takes a look at `now` and gives the rate since the oldest one in the span.
    pub fn look(&mut self, observed: &Observed, now: Duration) -> Option<f64> {
        let SourceState::Found(topic) = &observed.source else { return None };
        let offset = |offsets: &PartitionOffsets| Some((offsets.partition, offsets.committed.offset()?));
        let committed: BTreeMap<i32, i64> = topic.partitions.iter().filter_map(offset).collect();
        while self.looks.get(1).is_some_and(|(time, _)| now.saturating_sub(*time) >= Self::SPAN) {
            self.looks.pop_front();
        }
        let rate = self.looks.front().and_then(|(time, before)| {
            let seconds = now.saturating_sub(*time).as_secs_f64();
            // A partition's first commit has nothing to be compared with.
            let done = committed
                .iter()
                .filter_map(|(partition, after)| Some((after - before.get(partition)?).max(0)));
            #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
            let done = done.sum::<i64>() as f64;
            (seconds > 0.0).then(|| done / seconds)
        });
        self.looks.push_back((now, committed));
        rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Committed;

    fn observed(committed: &[Option<i64>]) -> Observed {
        let offsets = committed.iter().zip(0..).map(|(offset, partition)| PartitionOffsets {
            partition,
            committed: offset.map_or(Committed::Nothing, Committed::Offset),
            log_start: Some(0),
            log_end: Some(1000),
            ..PartitionOffsets::default()
        });
        let topic = offsets.collect::<Vec<_>>().into();
        Observed { source: SourceState::Found(topic), ..Observed::default() }
    }

    fn report(conflicts: u64, cpu_seconds: f64, resident_bytes: u64) -> LanesReport {
        LanesReport { conflicts, cpu_seconds, resident_bytes, ..LanesReport::default() }
    }

    #[test]
    fn the_rate_is_the_mean_over_the_last_seconds() {
        let mut rate = Rate::default();
        let looks = [
            (0, [Some(0), None]),
            (1, [Some(100), Some(5000)]),
            (2, [Some(300), Some(5000)]),
            (6, [Some(300), Some(5100)]),
            (20, [Some(300), Some(5100)]),
        ];

        let rates =
            looks.map(|(second, committed)| rate.look(&observed(&committed), Duration::from_secs(second)));

        // The oldest look at least five seconds back counts, and partition 1 is not in the first one.
        assert_eq!(rates, [None, Some(100.0), Some(150.0), Some(60.0), Some(0.0)]);
    }

    #[test]
    fn an_unknown_topic_has_no_rate() {
        assert_eq!(Rate::default().look(&Observed::default(), Duration::ZERO), None);
    }

    #[test]
    fn what_a_killed_worker_counted_stays_and_its_memory_goes() {
        let mut totals = Totals::default();
        totals.report(1, &report(2, 1.5, 100));
        totals.report(2, &report(0, 0.5, 50));
        totals.gone(1);
        totals.report(3, &report(1, 0.25, 70));

        let sum = totals.sum();

        assert_eq!(
            (sum, totals.peak_resident_bytes()),
            (Counters { conflicts: 3, cpu_seconds: 2.25, resident_bytes: 120 }, 150)
        );
    }

    #[test]
    fn partitions_show_owner_lag_and_what_is_unknown() {
        let views = partitions(&observed(&[Some(400), None]), false);

        let view = |partition, lag, committed| PartitionView {
            partition,
            owner: None,
            state: None,
            lag,
            committed,
            log_end: Some(1000),
        };
        assert_eq!(views, [view(0, Some(600), Some(400)), view(1, None, None)]);
    }
}
