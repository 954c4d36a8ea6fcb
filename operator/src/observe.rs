//! What was found about a pipeline: offsets of its topic and the state of its workers, each of which may be unknown.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

mod kafka;

pub use kafka::{Monitor, ObserveError};

/// Everything a decision may look at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// The topic.
    pub source: SourceState,
    /// The workers that should run, by name.
    pub workers: BTreeMap<String, WorkerState>,
    /// What keeps workers from being there at all.
    pub trouble: Option<Trouble>,
    /// Workers are replaced by ones with another configuration.
    pub rolls_out: bool,
    /// Why this pipeline must not run beside an older one.
    pub conflict: Option<String>,
}

/// What keeps a worker from running: one word, and a sentence without its subject.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Trouble {
    /// One word for machines.
    pub reason: String,
    /// What happened, and what to do.
    pub message: String,
}

/// What is known of the topic.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum SourceState {
    /// Nothing was asked yet.
    #[default]
    NotAsked,
    /// Kafka did not answer, or its answer was an error.
    Failed {
        /// One word for machines.
        reason: &'static str,
        /// What failed, for people.
        message: String,
    },
    /// The topic's partitions, in order.
    Found(Vec<PartitionOffsets>),
}

/// Offsets of one partition; `None` is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PartitionOffsets {
    /// The partition.
    pub partition: i32,
    /// What the consumer group committed.
    pub committed: Committed,
    /// The oldest offset that still exists.
    pub log_start: Option<i64>,
    /// The offset after the newest record.
    pub log_end: Option<i64>,
}

/// What a consumer group committed for a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Committed {
    /// The group's coordinator did not say.
    #[default]
    Unknown,
    /// It has none.
    Nothing,
    /// The offset of the next record.
    Offset(i64),
}

/// One worker process or pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkerState {
    /// It answers, and says that it is ready.
    pub ready: bool,
    /// Why it does not run, as far as is known.
    pub trouble: Option<Trouble>,
    /// What it says about its lanes; `None` when it did not answer.
    pub report: Option<LanesReport>,
}

/// The answer of a worker's `/lanes`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct LanesReport {
    /// One for each partition it owns.
    pub lanes: Vec<Lane>,
    /// Compare-and-sets that found another version.
    pub conflicts: u64,
    /// Records it has taken.
    pub records: u64,
    /// CPU time it has used, in seconds.
    pub cpu_seconds: f64,
    /// Memory it holds now.
    pub resident_bytes: u64,
}

/// The serial consumer of one partition.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Lane {
    /// The partition.
    pub partition: i32,
    /// starting, running, waiting, stopped or draining.
    pub state: String,
    /// Why it waits or stopped.
    pub reason: Option<String>,
    /// The same for people.
    pub message: Option<String>,
    /// The offset of the next record it takes.
    pub position: Option<i64>,
}

impl PartitionOffsets {
    /// Records not yet processed.
    ///
    /// Records that retention deleted are gone, so the count begins at the log start at the least. Without a commit it begins where
    /// the first worker will: at the log start for `earliest`; for `latest` that place is not decided before a worker has
    /// taken the partition, so it is the lane's position, or unknown.
    #[must_use]
    pub fn lag(&self, starts_at_log_start: bool, position: Option<i64>) -> Option<u64> {
        let (log_start, log_end) = (self.log_start?, self.log_end?);
        let begin = match self.committed {
            Committed::Unknown => return None,
            Committed::Offset(offset) => offset.max(log_start),
            Committed::Nothing if starts_at_log_start => log_start,
            Committed::Nothing => position?.max(log_start),
        };
        // A commit above the log end belongs to a topic that was made again: nothing is due.
        u64::try_from(log_end.saturating_sub(begin).max(0)).ok()
    }
}

impl Committed {
    /// The offset, where there is one.
    #[must_use]
    pub fn offset(self) -> Option<i64> {
        match self {
            Self::Offset(offset) => Some(offset),
            Self::Unknown | Self::Nothing => None,
        }
    }
}

impl Observed {
    /// Partitions of the topic.
    #[must_use]
    pub fn partitions(&self) -> Option<u32> {
        match &self.source {
            SourceState::Found(partitions) => u32::try_from(partitions.len()).ok(),
            SourceState::NotAsked | SourceState::Failed { .. } => None,
        }
    }

    /// Lag over all partitions; unknown as soon as one partition's is.
    #[must_use]
    pub fn lag(&self, starts_at_log_start: bool) -> Option<u64> {
        match &self.source {
            SourceState::Found(partitions) => partitions
                .iter()
                .map(|offsets| self.lag_of(offsets, starts_at_log_start))
                .try_fold(0_u64, |sum, lag| Some(sum.saturating_add(lag?))),
            SourceState::NotAsked | SourceState::Failed { .. } => None,
        }
    }

    /// Lag of one partition.
    #[must_use]
    pub fn lag_of(&self, offsets: &PartitionOffsets, starts_at_log_start: bool) -> Option<u64> {
        let position = self.owner(offsets.partition).and_then(|(_, lane)| lane.position);
        offsets.lag(starts_at_log_start, position)
    }

    /// The worker that consumes a partition. While one moves, two may claim it: the one whose lane runs counts.
    #[must_use]
    pub fn owner(&self, partition: i32) -> Option<(&str, &Lane)> {
        let claims = self.lanes().filter(|(_, lane)| lane.partition == partition);
        claims.min_by_key(|(_, lane)| match lane.state.as_str() {
            "running" => 0,
            "waiting" | "starting" => 1,
            _ => 2,
        })
    }

    /// Every lane with its worker's name.
    pub fn lanes(&self) -> impl Iterator<Item = (&str, &Lane)> {
        self.workers.iter().flat_map(|(name, worker)| {
            worker.report.iter().flat_map(|report| &report.lanes).map(|lane| (name.as_str(), lane))
        })
    }

    /// Workers that are ready.
    #[must_use]
    pub fn ready_workers(&self) -> u32 {
        let ready = self.workers.values().filter(|worker| worker.ready).count();
        u32::try_from(ready).unwrap_or(u32::MAX)
    }
}

/// The last answer, unless it is older than three polls: then the topic's state is unknown again.
#[must_use]
pub fn fresh(state: SourceState, age: Duration, period: Duration) -> SourceState {
    if age <= period.saturating_mul(3) + kafka::DEADLINE {
        state
    } else {
        SourceState::Failed {
            reason: "KafkaUnreachable",
            message: "Kafka has not answered for a while".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(
        committed: Committed,
        log_start: impl Into<Option<i64>>,
        log_end: impl Into<Option<i64>>,
    ) -> PartitionOffsets {
        PartitionOffsets { partition: 0, committed, log_start: log_start.into(), log_end: log_end.into() }
    }

    #[test]
    fn lag_counts_what_is_left_to_do_and_unknown_is_never_zero() {
        let (earliest, latest) = (true, false);
        let cases = [
            ("committed", offsets(Committed::Offset(70), 0, 100), earliest, None, Some(30)),
            ("drained", offsets(Committed::Offset(100), 0, 100), earliest, None, Some(0)),
            ("deleted by retention", offsets(Committed::Offset(10), 60, 100), earliest, None, Some(40)),
            ("topic made again", offsets(Committed::Offset(500), 0, 100), earliest, None, Some(0)),
            ("no commit, earliest", offsets(Committed::Nothing, 20, 100), earliest, None, Some(80)),
            ("no commit, latest, no lane", offsets(Committed::Nothing, 20, 100), latest, None, None),
            ("no commit, latest, a lane", offsets(Committed::Nothing, 20, 100), latest, Some(95), Some(5)),
            ("coordinator silent", offsets(Committed::Unknown, 0, 100), earliest, Some(95), None),
            ("log start unknown", offsets(Committed::Offset(70), None, 100), earliest, None, None),
            ("log end unknown", offsets(Committed::Offset(70), 0, None), earliest, None, None),
            ("empty", offsets(Committed::Nothing, 0, 0), earliest, None, Some(0)),
        ];

        let lags =
            cases.map(|(name, offsets, earliest, position, _)| (name, offsets.lag(earliest, position)));

        assert_eq!(lags, cases.map(|(name, _, _, _, lag)| (name, lag)));
    }

    #[test]
    fn one_unknown_partition_makes_the_sum_unknown() {
        let known = offsets(Committed::Offset(70), 0, 100);
        let unknown = PartitionOffsets { partition: 1, log_end: None, ..known };
        let observed =
            |partitions| Observed { source: SourceState::Found(partitions), ..Observed::default() };

        let lags = [observed(vec![known, known]).lag(true), observed(vec![known, unknown]).lag(true)];

        assert_eq!(lags, [Some(60), None]);
    }

    #[test]
    fn the_lane_that_runs_owns_the_partition() {
        let worker = |state: &str| WorkerState {
            report: Some(LanesReport {
                lanes: vec![Lane { partition: 3, state: state.to_owned(), ..Lane::default() }],
                ..LanesReport::default()
            }),
            ..WorkerState::default()
        };
        let observed = Observed {
            workers: [("w-0".to_owned(), worker("draining")), ("w-1".to_owned(), worker("running"))].into(),
            ..Observed::default()
        };

        let owners = [3, 4].map(|partition| observed.owner(partition).map(|(name, _)| name.to_owned()));

        assert_eq!(owners, [Some("w-1".to_owned()), None]);
    }

    #[test]
    fn an_old_answer_is_no_answer() {
        let (period, state) = (Duration::from_secs(1), SourceState::Found(Vec::new()));

        let states = [3, 60].map(|age| fresh(state.clone(), Duration::from_secs(age), period));

        assert!(matches!(
            &states,
            [SourceState::Found(_), SourceState::Failed { reason: "KafkaUnreachable", .. }]
        ));
    }

    #[test]
    fn a_workers_answer_is_read_with_its_unknown_parts() {
        let text = r#"{"pipeline":"ns/n","worker":"h-1","lanes":[{"partition":2,"state":"waiting","reason":"StoreUnavailable","message":"down","position":null,"committed":null,"logEnd":9,"lag":null}],"conflicts":1,"records":5,"cpuSeconds":1.5,"residentBytes":7}"#;

        let report: LanesReport = serde_json::from_str(text).expect("an answer");

        assert_eq!(
            report,
            LanesReport {
                lanes: vec![Lane {
                    partition: 2,
                    state: "waiting".to_owned(),
                    reason: Some("StoreUnavailable".to_owned()),
                    message: Some("down".to_owned()),
                    position: None
                }],
                conflicts: 1,
                records: 5,
                cpu_seconds: 1.5,
                resident_bytes: 7,
            }
        );
    }
}
