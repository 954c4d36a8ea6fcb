//! What each condition says: one verdict on source, store, workers and scaling, and one on all of them.

use plaudit_crds::OnTopicRecreated;

use crate::observe::{Observed, SourceState, Trouble, WorkerState};
use crate::pipeline::Pipeline;
use crate::scaling::Decision;

/// A condition before it is compared with the one before: status, reason, sentence.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Verdict {
    pub(super) status: &'static str,
    pub(super) reason: String,
    pub(super) message: String,
}

pub(super) fn ready(pipeline: &Pipeline, observed: &Observed, parts: [&Verdict; 3]) -> Verdict {
    if let Some(conflict) = &observed.conflict {
        return Verdict::new("False", "Conflict", conflict.clone());
    }
    if pipeline.scaling.suspend {
        return Verdict::new("False", "Suspended", "the pipeline is suspended");
    }
    // A lane that stopped needs a person, so it comes before what heals by itself.
    if let Some((reason, message)) = stopped_lane(observed) {
        return Verdict::new("False", reason, message);
    }
    // What is known to be wrong comes before what is only unknown because of it.
    let first = |status| parts.into_iter().find(|part| part.status == status);
    let [source, store, _] = parts;
    if source.status != "False"
        && store.status != "False"
        && let Some((reason, message)) = waiting_lane(observed)
    {
        return Verdict::new("False", reason, message);
    }
    // Without a worker nobody can say how the store is; where none has to run, that is no fault.
    let rests = pipeline.scaling.min_replicas == 0 && store.status == "Unknown" && source.status == "True";
    match first("False").or_else(|| first("Unknown").filter(|_| !rests)) {
        Some(part) => Verdict { status: "False", ..part.clone() },
        None => Verdict::new("True", "Available", "reports are read, merged and stored"),
    }
}

pub(super) fn source_available(pipeline: &Pipeline, observed: &Observed) -> Verdict {
    let topic = &pipeline.source.topic;
    if let Some(trouble) = &observed.source_trouble {
        return Verdict::new("False", &trouble.reason, trouble.message.clone());
    }
    match &observed.source {
        SourceState::NotAsked => Verdict::new("Unknown", "NotYetObserved", "Kafka was not asked yet"),
        // The client's own words name no address.
        SourceState::Failed { reason: reason @ "KafkaUnreachable", message } => {
            let servers = &pipeline.source.bootstrap_servers;
            Verdict::new(
                "False",
                reason,
                format!(
                    "no answer from {servers}: {message}; look at the brokers, and at source.bootstrapServers"
                ),
            )
        }
        SourceState::Failed { reason, message } => Verdict::new("False", reason, message.clone()),
        SourceState::Found(found) => {
            let partitions = count(found.partitions.len());
            match found.trouble() {
                Some((reason, message)) => {
                    // Lanes go on with a new topic where they are told to.
                    let goes_on =
                        found.recreated && pipeline.source.on_topic_recreated == OnTopicRecreated::Continue;
                    let status = if goes_on { "True" } else { "False" };
                    let next = match found.recreated && !goes_on {
                        true => {
                            "; set source.onTopicRecreated to continue to read the new one, or restore the old one"
                        }
                        false => "",
                    };
                    Verdict::new(status, reason, format!("topic {topic} has {partitions}; {message}{next}"))
                }
                None if let Some((worker, trouble)) = kept_out(observed) => {
                    Verdict::new("False", &trouble.reason, format!("{worker}: {}", trouble.message))
                }
                None if observed.lag(pipeline.starts_at_log_start()).is_none() => Verdict::new(
                    "True",
                    "LagUnknown",
                    format!("topic {topic} has {partitions}; the lag is unknown"),
                ),
                None => match warning(observed) {
                    Some(Trouble { reason, message }) => {
                        Verdict::new("True", reason, format!("topic {topic} has {partitions}; {message}"))
                    }
                    None => Verdict::new("True", "Available", format!("topic {topic} has {partitions}")),
                },
            }
        }
    }
}

/// What needs a look and does no harm now.
fn warning(observed: &Observed) -> Option<&Trouble> {
    observed.workers.values().find_map(|worker| worker.report.as_ref()?.source_warning.as_deref())
}

/// A worker that Kafka does not let in, though it lets in the operator.
fn kept_out(observed: &Observed) -> Option<(&str, &Trouble)> {
    let out = |worker: &'_ WorkerState| worker.report.as_ref().is_some_and(|report| report.kafka.is_some());
    let (name, worker) = observed.workers.iter().find(|(_, worker)| out(worker))?;
    Some((name, worker.report.as_ref()?.kafka.as_deref()?))
}

pub(super) fn store_available(pipeline: &Pipeline, observed: &Observed) -> Verdict {
    let address = &pipeline.store.address;
    if let Some(trouble) = &observed.store_trouble {
        return Verdict::new("False", &trouble.reason, trouble.message.clone());
    }
    let of_worker = |worker: &WorkerState| worker.report.as_ref()?.store.as_deref().cloned();
    if let Some(trouble) = observed.workers.values().find_map(of_worker) {
        return Verdict::new("False", &trouble.reason, trouble.message);
    }
    // A worker is ready once none of its lanes waits; it may be out of our reach all the same.
    let answering = observed.workers.values().any(|worker| worker.ready || worker.report.is_some());
    let down = observed.lanes().find(|(_, lane)| lane.reason.as_deref() == Some("StoreUnavailable"));
    match down {
        Some((_, lane)) => {
            let detail = lane.message.as_deref().map(|message| format!(": {message}")).unwrap_or_default();
            Verdict::new("False", "StoreUnavailable", format!("workers wait for {address}{detail}"))
        }
        None if !answering => Verdict::new("Unknown", "NoWorker", "no worker says whether the store answers"),
        None => {
            match observed
                .workers
                .values()
                .find_map(|worker| worker.report.as_ref()?.store_warning.as_deref().cloned())
            {
                Some(Trouble { reason, message }) => {
                    Verdict::new("True", &reason, format!("workers write to {address}; {message}"))
                }
                None => Verdict::new("True", "Available", format!("workers write to {address}")),
            }
        }
    }
}

fn count(partitions: usize) -> String {
    format!("{partitions} {}", if partitions == 1 { "partition" } else { "partitions" })
}

/// A pipeline stays available while it grows: only fewer workers than always have to run is a fault.
pub(super) fn workers_available(pipeline: &Pipeline, observed: &Observed, plan: &Decision) -> Verdict {
    let (ready, wanted) = (observed.ready_workers(), plan.replicas);
    let needed = pipeline.scaling.min_replicas.min(wanted);
    let message = format!("{ready} of {wanted} workers are ready");
    let of_worker = |(name, worker): (&String, &WorkerState)| {
        let trouble = worker.trouble.clone()?;
        Some(Trouble { message: format!("{name} {}", trouble.message), ..trouble })
    };
    match observed.trouble.clone().or_else(|| observed.workers.iter().find_map(of_worker)) {
        None if ready >= needed => Verdict::new("True", "Available", message),
        None => Verdict::new("False", "Starting", message),
        Some(trouble) => {
            let status = if ready >= needed { "True" } else { "False" };
            Verdict::new(status, &trouble.reason, format!("{message}; {}", trouble.message))
        }
    }
}

pub(super) fn scaling_active(plan: &Decision) -> Verdict {
    let partition =
        plan.partition.map_or_else(|| "a partition".to_owned(), |number| format!("partition {number}"));
    match plan.record.reason.as_str() {
        reason @ ("UnknownLag" | "Paused" | "Suspended" | "Fixed" | "Conflict") => {
            Verdict::new("False", reason, plan.record.message.clone())
        }
        // It follows, but more workers would not help: the sentence without figures, which change at each look.
        "Skewed" => Verdict::new(
            "True",
            "Skewed",
            format!("more records arrive in {partition} than one worker takes"),
        ),
        "Stuck" => Verdict::new("True", "Stuck", format!("{partition} lags and nothing of it is committed")),
        "StoreBound" => {
            Verdict::new("True", "StoreBound", "more workers took no more records; none is added for a while")
        }
        _ => Verdict::new("True", "FollowsLag", "the number of workers follows the lag"),
    }
}

fn stopped_lane(observed: &Observed) -> Option<(&str, String)> {
    let (_, lane) = observed.lanes().find(|(_, lane)| lane.state == "stopped")?;
    let reason = lane.reason.as_deref().unwrap_or("LaneStopped");
    let detail = lane.message.as_deref().unwrap_or(reason);
    Some((reason, format!("partition {} stopped: {detail}", lane.partition)))
}

/// A lane that waits for something else than source and store, which have conditions of their own.
fn waiting_lane(observed: &Observed) -> Option<(&str, String)> {
    let (_, lane) = observed.lanes().find(|(_, lane)| lane.state == "waiting")?;
    let reason = lane.reason.as_deref().unwrap_or("LaneWaiting");
    let detail = lane.message.as_deref().unwrap_or(reason);
    Some((reason, format!("partition {} waits: {detail}", lane.partition)))
}

impl Verdict {
    pub(super) fn new(status: &'static str, reason: &str, message: impl Into<String>) -> Self {
        Self { status, reason: reason.to_owned(), message: message.into() }
    }
}
