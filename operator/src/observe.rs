//! What was found about a pipeline: offsets of its topic and the state of its workers, each of which may be unknown.

use std::collections::BTreeMap;

use plaudit_worker::security::SecurityError;
use serde::Deserialize;

mod admin;
pub(crate) mod http;
mod kafka;
mod lag;
mod lanes;
mod source;
mod worker;

pub use kafka::{Answered, Counts, Kind, Monitors, Settings, Watch};
pub use lag::LagWatch;
pub use lanes::MOST_LANES;
pub use source::{
    Committed, Group, GroupState, Member, PartitionOffsets, SourceState, Topic, TopicId, Unknown, fresh,
};
pub use worker::{Asked, ask, ask_for_lanes, read_lanes};

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
    /// What is wrong with new credentials for Kafka, while older ones go on.
    pub source_trouble: Option<Trouble>,
    /// What is wrong with the store's credentials.
    pub store_trouble: Option<Trouble>,
}

/// What keeps something from working: one word, and a sentence.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default)]
pub struct Trouble {
    /// One word for machines.
    pub reason: String,
    /// What happened, and what to do.
    pub message: String,
}

impl From<&SecurityError> for Trouble {
    fn from(SecurityError { reason, message }: &SecurityError) -> Self {
        Self { reason: (*reason).to_owned(), message: message.clone() }
    }
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

impl WorkerState {
    /// It answered, and something keeps it out.
    #[must_use]
    pub fn complains(&self) -> bool {
        self.report.as_ref().is_some_and(LanesReport::complains)
    }
}

/// The answer of a worker's `/lanes`. Kept for each worker, so that what is rarely there is boxed.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct LanesReport {
    /// What keeps it out of Kafka.
    #[serde(deserialize_with = "lanes::trouble")]
    pub kafka: Option<Box<Trouble>>,
    /// What keeps it out of the store.
    #[serde(deserialize_with = "lanes::trouble")]
    pub store: Option<Box<Trouble>>,
    /// What the topic is set to that may cost reports one day, or what producers do that makes workers conflict.
    #[serde(deserialize_with = "lanes::trouble")]
    pub source_warning: Option<Box<Trouble>>,
    /// What the store is set to that may cost players one day.
    #[serde(deserialize_with = "lanes::trouble")]
    pub store_warning: Option<Box<Trouble>>,
    /// One for each partition it owns, [`MOST_LANES`] at most.
    #[serde(deserialize_with = "lanes::list")]
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

impl LanesReport {
    /// Something keeps the worker out, though it may be ready: what it has open may go on.
    #[must_use]
    pub fn complains(&self) -> bool {
        self.kafka.is_some() || self.store.is_some()
    }
}

/// The serial consumer of one partition.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Lane {
    /// The partition.
    pub partition: i32,
    /// starting, running, waiting, stopped or draining.
    #[serde(deserialize_with = "lanes::word")]
    pub state: String,
    /// Why it waits or stopped: one word.
    #[serde(deserialize_with = "lanes::reason")]
    pub reason: Option<String>,
    /// The same for people: one line.
    #[serde(deserialize_with = "lanes::message")]
    pub message: Option<String>,
    /// The offset of the next record it takes.
    pub position: Option<i64>,
}

impl Observed {
    /// Partitions of the topic.
    #[must_use]
    pub fn partitions(&self) -> Option<u32> {
        match &self.source {
            SourceState::Found(topic) => u32::try_from(topic.partitions.len()).ok(),
            SourceState::NotAsked | SourceState::Failed { .. } => None,
        }
    }

    /// Lag over all partitions; unknown as soon as one partition's is.
    #[must_use]
    pub fn lag(&self, starts_at_log_start: bool) -> Option<u64> {
        match &self.source {
            SourceState::Found(topic) => topic
                .partitions
                .iter()
                .map(|offsets| self.lag_of(offsets, starts_at_log_start))
                .try_fold(0_u64, |sum, lag| Some(sum.saturating_add(lag?))),
            SourceState::NotAsked | SourceState::Failed { .. } => None,
        }
    }

    /// Lag of each partition where it is known.
    pub fn lags(&self, starts_at_log_start: bool) -> impl Iterator<Item = (i32, u64)> {
        let topic = match &self.source {
            SourceState::Found(topic) => Some(topic),
            SourceState::NotAsked | SourceState::Failed { .. } => None,
        };
        let partitions = topic.into_iter().flat_map(|topic| &topic.partitions);
        partitions
            .filter_map(move |offsets| Some((offsets.partition, self.lag_of(offsets, starts_at_log_start)?)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_unknown_partition_makes_the_sum_unknown() {
        let known = PartitionOffsets {
            committed: Committed::Offset(70),
            log_start: Some(0),
            log_end: Some(100),
            ..PartitionOffsets::default()
        };
        let unknown = PartitionOffsets { partition: 1, log_end: None, ..known };
        let observed = |partitions: Vec<_>| Observed {
            source: SourceState::Found(partitions.into()),
            ..Observed::default()
        };

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
    fn a_workers_answer_is_read_with_its_unknown_parts() {
        let text = r#"{"pipeline":"ns/n","worker":"h-1","kafka":null,"store":{"reason":"Unauthorized","message":"no"},"lanes":[{"partition":2,"state":"waiting","reason":"StoreUnavailable","message":"down","position":null,"committed":null,"logEnd":9,"lag":null}],"conflicts":1,"records":5,"cpuSeconds":1.5,"residentBytes":7}"#;

        let report: LanesReport = serde_json::from_str(text).expect("an answer");

        assert_eq!(
            report,
            LanesReport {
                kafka: None,
                store: Some(Box::new(Trouble {
                    reason: "Unauthorized".to_owned(),
                    message: "no".to_owned()
                })),
                source_warning: None,
                store_warning: None,
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
