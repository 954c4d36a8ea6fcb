//! What is wrong with a topic or its producers though every report is read and counted today.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::kafka::allows_unclean_election;
use crate::lane::placement::{Counts, mixed};
use crate::worker::Worker;

/// How often the topic's settings are asked for.
const SETTINGS: Duration = Duration::from_secs(600);
/// How soon after there was no answer.
const SETTINGS_AGAIN: Duration = Duration::from_secs(60);

/// What somebody should change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceWarning {
    /// Kafka may elect a leader that has not all records.
    UncleanElectionAllowed,
    /// Producers use these two partitioners side by side.
    MixedPartitioners(&'static str, &'static str),
}

impl SourceWarning {
    /// Of a worker, as far as it has asked and seen.
    pub fn of(worker: &Worker) -> Option<Self> {
        if worker.allows_unclean_election() {
            return Some(Self::UncleanElectionAllowed);
        }
        let mut all = Counts::default();
        for lane in worker.lanes() {
            all.iter_mut().zip(lane.placement.counts()).for_each(|(sum, count)| *sum += count);
        }
        mixed(&all).map(|(one, other)| Self::MixedPartitioners(one, other))
    }

    /// One word for conditions.
    pub fn reason(self) -> &'static str {
        match self {
            Self::UncleanElectionAllowed => "UncleanElectionAllowed",
            Self::MixedPartitioners(..) => "MixedPartitioners",
        }
    }
}

impl fmt::Display for SourceWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UncleanElectionAllowed => f.write_str(
                "it allows unclean leader elections, by which Kafka may lose acknowledged reports; set unclean.leader.election.enable=false",
            ),
            Self::MixedPartitioners(one, other) => write!(
                f,
                "some records lie where {one} of the key puts them, others where {other} does: one player's reports come to several \
                 workers; set the same partitioner in every producer"
            ),
        }
    }
}

/// Asks for the topic's settings now and then; ends with `stop`.
pub(crate) async fn watch_settings(worker: &Worker, stop: &CancellationToken) {
    loop {
        let (access, topic) = (Arc::clone(&worker.access), worker.config.source.topic.clone());
        let asked = tokio::task::spawn_blocking(move || allows_unclean_election(&access, &topic)).await;
        let again = match asked {
            Ok(Ok(allowed)) => {
                let allowed = allowed.unwrap_or(false);
                if worker.set_allows_unclean_election(allowed) != allowed && allowed {
                    let warning = SourceWarning::UncleanElectionAllowed;
                    tracing::warn!(reason = warning.reason(), because = %warning, "topic settings");
                }
                SETTINGS
            }
            Ok(Err(_)) | Err(_) => SETTINGS_AGAIN,
        };
        tokio::select! {
            () = tokio::time::sleep(again) => {}
            () = stop.cancelled() => return,
        }
    }
}
