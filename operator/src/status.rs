//! The status of a pipeline: a pure projection of what was found and decided.
//!
//! A steady pipeline yields the same status at every tick, so that it causes no writes: times move only when a condition's status
//! does, the lag is rounded and stays while it moves no more than a steady load moves it, and a decision is kept until another one is
//! made for another reason.

mod lag;
mod verdicts;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use plaudit_crds::{AchievementPipelineStatus, LastDecision};

use crate::observe::{Observed, SourceState};
use crate::pipeline::{Pipeline, Rejection};
use crate::plain;
use crate::scaling::{Decision, is_news};
use lag::Scale;
use verdicts::{Verdict, ready, scaling_active, source_available, store_available, workers_available};

/// The status after a decision.
#[must_use]
pub fn status(
    pipeline: &Pipeline,
    observed: &Observed,
    plan: &Decision,
    previous: Option<&AchievementPipelineStatus>,
    now: Timestamp,
) -> AchievementPipelineStatus {
    let source = source_available(pipeline, observed);
    let store = store_available(pipeline, observed);
    let workers = workers_available(pipeline, observed, plan);
    let scaling = scaling_active(plan);
    let ready = ready(pipeline, observed, [&source, &store, &workers]);
    let starts_at_log_start = pipeline.starts_at_log_start();
    let arrivals = plan.record.inputs.arrivals_per_second.map_or(0, i64::unsigned_abs);
    let scale = Scale { threshold: pipeline.scaling.lag_threshold, arrivals };
    let lag_before = previous.and_then(|previous| previous.lag);
    let verdicts = [
        ("Ready", ready),
        ("SourceAvailable", source),
        ("StoreAvailable", store),
        ("WorkersAvailable", workers),
        ("ScalingActive", scaling),
    ];
    AchievementPipelineStatus {
        observed_generation: pipeline.generation,
        conditions: conditions(verdicts, pipeline.generation, previous, now),
        partitions: observed.partitions().and_then(|count| i32::try_from(count).ok()),
        replicas: i32::try_from(plan.replicas).ok(),
        ready_replicas: i32::try_from(observed.ready_workers()).ok(),
        lag: observed.lag(starts_at_log_start).map(|lag| lag::told(lag, scale, lag_before)),
        lagging_partitions: lag::lagging(observed.lags(starts_at_log_start), scale, previous),
        worker_capacity: plan.learnt.map(|learnt| i64::try_from(learnt.worker_capacity).unwrap_or(i64::MAX)),
        // The label selector belongs to whoever makes the workers.
        selector: previous.and_then(|previous| previous.selector.clone()),
        last_decision: Some(decision(plan, previous)),
    }
}

/// True while the status before still stands: an operator that has just started knows nothing of the topic yet, which is no news about
/// it. Otherwise each restart would tell of every pipeline that it is not ready. Kafka's silence is noticed soon enough.
#[must_use]
pub fn stands(
    pipeline: &Pipeline,
    observed: &Observed,
    previous: Option<&AchievementPipelineStatus>,
) -> bool {
    let told = previous.is_some_and(|previous| {
        previous.observed_generation == pipeline.generation && previous.last_decision.is_some()
    });
    told && observed.source == SourceState::NotAsked
}

/// The status of an object that is no pipeline. What was found for its last good spec stays.
#[must_use]
pub fn rejected(
    rejection: &Rejection,
    generation: Option<i64>,
    previous: Option<&AchievementPipelineStatus>,
    now: Timestamp,
) -> AchievementPipelineStatus {
    invalid(rejection.violations.to_string(), generation, previous, now)
}

/// The status of an object that cannot even be decoded: its CRD is of another version than this program.
#[must_use]
pub fn undecodable(
    error: &str,
    generation: Option<i64>,
    previous: Option<&AchievementPipelineStatus>,
    now: Timestamp,
) -> AchievementPipelineStatus {
    let message = format!(
        "the object cannot be read: {error}; correct the field, or bring CRD and operator to the same version"
    );
    invalid(message, generation, previous, now)
}

fn invalid(
    message: String,
    generation: Option<i64>,
    previous: Option<&AchievementPipelineStatus>,
    now: Timestamp,
) -> AchievementPipelineStatus {
    let verdict = Verdict::new("False", "InvalidSpec", message);
    let mut status = previous.cloned().unwrap_or_default();
    status.observed_generation = generation;
    let others = status.conditions.iter().filter(|condition| condition.type_ != "Ready").cloned();
    let others: Vec<Condition> = others.collect();
    status.conditions = conditions([("Ready", verdict)], generation, previous, now);
    status.conditions.extend(others);
    status
}

fn conditions<const N: usize>(
    verdicts: [(&str, Verdict); N],
    generation: Option<i64>,
    previous: Option<&AchievementPipelineStatus>,
    now: Timestamp,
) -> Vec<Condition> {
    let before = |name: &str| previous?.conditions.iter().find(|condition| condition.type_ == name);
    verdicts
        .into_iter()
        .map(|(name, verdict)| {
            let unchanged = before(name).filter(|before| before.status == verdict.status);
            Condition {
                type_: name.to_owned(),
                status: verdict.status.to_owned(),
                // What pods, Kafka and the API server say is in them; a status that is refused would tell nothing.
                reason: plain::word(&verdict.reason, "UnknownReason"),
                message: plain::message(&verdict.message),
                observed_generation: generation,
                last_transition_time: unchanged
                    .map_or(Time(now), |before| before.last_transition_time.clone()),
            }
        })
        .collect()
}

/// The new decision when it says something new, else the old one with the inputs it was made from.
fn decision(plan: &Decision, previous: Option<&AchievementPipelineStatus>) -> LastDecision {
    let before = previous.and_then(|status| status.last_decision.as_ref());
    let same = before.filter(|before| !is_news(before, &plan.record));
    same.unwrap_or(&plan.record).clone()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::observe::{Committed, Lane, LanesReport, PartitionOffsets, Trouble, WorkerState};
    use crate::pipeline::parse;
    use crate::pipeline::tests::object;
    use crate::scaling::{Sample, Scaler};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000 + second).expect("a time")
    }

    fn pipeline(extra: &str) -> Pipeline {
        parse(&object(extra)).expect("a pipeline")
    }

    fn found(lag: i64) -> SourceState {
        let committed = Committed::Offset(100_000 - lag);
        let offsets = PartitionOffsets {
            committed,
            log_start: Some(0),
            log_end: Some(100_000),
            ..PartitionOffsets::default()
        };
        SourceState::Found(vec![offsets].into())
    }

    fn worker(lane: Lane) -> WorkerState {
        let report = LanesReport { lanes: vec![lane], ..LanesReport::default() };
        WorkerState { ready: true, trouble: None, report: Some(report) }
    }

    fn exited() -> Trouble {
        Trouble { reason: "Restarting".to_owned(), message: "exited with status 1".to_owned() }
    }

    fn running() -> Lane {
        Lane { state: "running".to_owned(), ..Lane::default() }
    }

    fn observed(source: SourceState, workers: Vec<WorkerState>) -> Observed {
        let workers = workers.into_iter().enumerate().map(|(index, worker)| (format!("w-{index}"), worker));
        Observed { source, workers: workers.collect(), ..Observed::default() }
    }

    fn decide(
        pipeline: &Pipeline,
        observed: &Observed,
        previous: Option<&AchievementPipelineStatus>,
    ) -> Decision {
        let replicas = previous.and_then(|status| status.replicas).map(i32::unsigned_abs);
        let sample = Sample::of(observed, pipeline.starts_at_log_start(), replicas);
        Scaler::new(None).decide(&pipeline.scaling, &sample, Duration::ZERO)
    }

    fn status_of(extra: &str, observed: &Observed) -> AchievementPipelineStatus {
        let pipeline = pipeline(extra);
        status(&pipeline, observed, &decide(&pipeline, observed, None), None, at(0))
    }

    fn told(status: &AchievementPipelineStatus) -> Vec<String> {
        status
            .conditions
            .iter()
            .map(|c| format!("{}={} {}: {}", c.type_, c.status, c.reason, c.message))
            .collect()
    }

    #[test]
    fn a_status_stands_until_kafka_was_asked_about_the_same_spec() {
        let pipeline = |generation| Pipeline { generation: Some(generation), ..pipeline("") };
        let told = |generation| {
            let (pipeline, observed) = (pipeline(generation), observed(found(0), vec![worker(running())]));
            status(&pipeline, &observed, &decide(&pipeline, &observed, None), None, at(0))
        };
        let refused = AchievementPipelineStatus { last_decision: None, ..told(1) };
        let silent = SourceState::Failed { reason: "KafkaUnreachable", message: "silent".to_owned() };
        let cases = [
            ("just started", SourceState::NotAsked, Some(told(1)), true),
            ("a new pipeline", SourceState::NotAsked, None, false),
            ("edited meanwhile", SourceState::NotAsked, Some(told(0)), false),
            ("nothing was ever decided", SourceState::NotAsked, Some(refused), false),
            ("answered", found(0), Some(told(1)), false),
            ("silent", silent, Some(told(1)), false),
        ];

        let found = cases.each_ref().map(|(name, source, previous, _)| {
            (*name, stands(&pipeline(1), &observed(source.clone(), vec![]), previous.as_ref()))
        });

        assert_eq!(found, cases.each_ref().map(|(name, .., expected)| (*name, *expected)));
    }

    #[test]
    fn a_pipeline_that_works_is_ready() {
        let status = status_of("", &observed(found(250), vec![worker(running())]));

        assert_eq!(
            (told(&status), status.partitions, status.replicas, status.ready_replicas, status.lag),
            (
                vec![
                    "Ready=True Available: reports are read, merged and stored".to_owned(),
                    "SourceAvailable=True Available: topic reports has 1 partition".to_owned(),
                    "StoreAvailable=True Available: workers write to v:6379".to_owned(),
                    "WorkersAvailable=True Available: 1 of 1 workers are ready".to_owned(),
                    "ScalingActive=True FollowsLag: the number of workers follows the lag".to_owned(),
                ],
                Some(1),
                Some(1),
                Some(1),
                Some(0)
            )
        );
    }

    #[test]
    fn a_pipeline_that_may_rest_is_ready_without_workers_and_another_is_not() {
        let silent = SourceState::Failed { reason: "KafkaUnreachable", message: "silent".to_owned() };
        let rests = "  scaling: {minReplicas: 0}";
        let cases = [(rests, found(0)), ("", found(0)), (rests, silent), (rests, SourceState::NotAsked)];

        let ready = cases.map(|(scaling, source)| {
            let status = status_of(scaling, &observed(source, vec![]));
            let [ready, _, store] = &status.conditions[..3] else { panic!("three conditions") };
            format!("{} {}; store {}", ready.status, ready.reason, store.status)
        });

        assert_eq!(
            ready,
            [
                "True Available; store Unknown",
                "False Starting; store Unknown",
                "False KafkaUnreachable; store Unknown",
                "False NotYetObserved; store Unknown",
            ]
        );
    }

    #[test]
    fn what_is_wrong_shows_in_its_condition_and_in_ready() {
        let failed = SourceState::Failed {
            reason: "TopicMissing",
            message: "topic reports does not exist".to_owned(),
        };
        let lane = |state: &str, reason: &str, message: &str| Lane {
            state: state.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            ..Lane::default()
        };
        let down = worker(lane("waiting", "StoreUnavailable", "connection refused"));
        let letters = worker(lane("waiting", "DeadLetterUnavailable", "cannot send to reports.dead-letters"));
        let in_use = worker(lane("stopped", "StoreInUse", "the store belongs to group other"));
        let crashed = WorkerState { trouble: Some(exited()), ..WorkerState::default() };
        let cases = [
            (
                "",
                observed(SourceState::NotAsked, vec![worker(running())]),
                "Ready=False NotYetObserved: Kafka was not asked yet",
            ),
            (
                "",
                observed(failed, vec![worker(running())]),
                "Ready=False TopicMissing: topic reports does not exist",
            ),
            (
                "",
                observed(found(0), vec![down]),
                "Ready=False StoreUnavailable: workers wait for v:6379: connection refused",
            ),
            (
                "",
                observed(found(0), vec![letters]),
                "Ready=False DeadLetterUnavailable: partition 0 waits: cannot send to reports.dead-letters",
            ),
            (
                "",
                observed(found(0), vec![in_use]),
                "Ready=False StoreInUse: partition 0 stopped: the store belongs to group other",
            ),
            ("", observed(found(0), vec![]), "Ready=False Starting: 0 of 1 workers are ready"),
            (
                "",
                observed(found(0), vec![WorkerState { ready: true, ..WorkerState::default() }]),
                "Ready=True Available: reports are read, merged and stored",
            ),
            (
                "",
                observed(found(0), vec![crashed.clone()]),
                "Ready=False Restarting: 0 of 1 workers are ready; w-0 exited with status 1",
            ),
            (
                "  scaling: {minReplicas: 2}",
                observed(found(0), vec![worker(running()), crashed]),
                "Ready=True Available: reports are read, merged and stored",
            ),
            (
                "  suspend: true",
                observed(found(0), vec![]),
                "Ready=False Suspended: the pipeline is suspended",
            ),
        ];

        let answers: Vec<_> = cases
            .iter()
            .map(|(extra, observed, _)| told(&status_of(extra, observed)).swap_remove(0))
            .collect();

        assert_eq!(answers, cases.map(|(_, _, expected)| expected.to_owned()));
    }

    #[test]
    fn ready_does_not_flap_while_the_fleet_grows_or_a_worker_restarts() {
        let pipeline = pipeline("");
        let crashed = WorkerState { trouble: Some(exited()), ..WorkerState::default() };
        let twelve = SourceState::Found(
            (0..12)
                .map(|partition| PartitionOffsets {
                    partition,
                    committed: Committed::Nothing,
                    log_start: Some(0),
                    log_end: Some(9_000),
                    ..PartitionOffsets::default()
                })
                .collect::<Vec<_>>()
                .into(),
        );
        let observed = observed(twelve, vec![worker(running()), crashed]);

        let status = status(&pipeline, &observed, &decide(&pipeline, &observed, None), None, at(0));

        assert_eq!(
            (&told(&status)[0][..], &told(&status)[3][..]),
            (
                "Ready=True Available: reports are read, merged and stored",
                "WorkersAvailable=True Restarting: 1 of 12 workers are ready; w-1 exited with status 1"
            )
        );
    }

    #[test]
    fn a_steady_pipeline_does_not_change_its_status() {
        let pipeline = pipeline("");
        let lags = [0, 300, 1_999, 17, 0, 512];
        let mut last = None;

        let statuses: Vec<_> = lags
            .iter()
            .enumerate()
            .map(|(tick, lag)| {
                let observed = observed(found(*lag), vec![worker(running())]);
                let plan = decide(&pipeline, &observed, last.as_ref());
                let now = at(i64::try_from(tick).expect("small"));
                last = Some(status(&pipeline, &observed, &plan, last.as_ref(), now));
                last.clone()
            })
            .collect();

        assert!(statuses[2..].iter().all(|status| *status == statuses[1]), "{statuses:#?}");
    }

    #[test]
    fn what_needs_a_look_and_harms_nothing_shows_in_a_condition_that_is_true() {
        let warning = |reason: &str| {
            Some(Box::new(Trouble { reason: reason.to_owned(), message: "so it is".to_owned() }))
        };
        let report = LanesReport {
            source_warning: warning("MixedPartitioners"),
            store_warning: warning("EvictionAllowed"),
            ..LanesReport::default()
        };
        let worker = WorkerState { ready: true, trouble: None, report: Some(report) };

        let said = told(&status_of("", &observed(found(0), vec![worker])));

        assert_eq!(
            &said[..3],
            [
                "Ready=True Available: reports are read, merged and stored",
                "SourceAvailable=True MixedPartitioners: topic reports has 1 partition; so it is",
                "StoreAvailable=True EvictionAllowed: workers write to v:6379; so it is",
            ]
        );
    }

    #[test]
    fn where_no_worker_helps_the_partition_is_named() {
        let pipeline = pipeline("");
        let mut plan = decide(&pipeline, &observed(found(0), vec![]), None);

        let said = ["Skewed", "Stuck"].map(|reason| {
            plan.record.reason = reason.to_owned();
            plan.partition = Some(7);
            scaling_active(&plan).message
        });

        let expected = [
            "more records arrive in partition 7 than one worker takes",
            "partition 7 lags and nothing of it is committed",
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn a_condition_remembers_when_it_changed_last() {
        let pipeline = pipeline("");
        let (good, bad) = (observed(found(0), vec![worker(running())]), observed(found(0), vec![]));
        let step = |observed: &Observed, previous: Option<&AchievementPipelineStatus>, now| {
            status(&pipeline, observed, &decide(&pipeline, observed, previous), previous, now)
        };

        let first = step(&good, None, at(0));
        let second = step(&good, Some(&first), at(5));
        let third = step(&bad, Some(&second), at(9));

        let times = [first, second, third].map(|status| status.conditions[0].last_transition_time.0);
        assert_eq!(times, [at(0), at(0), at(9)]);
    }

    #[test]
    fn a_rejection_is_a_status_that_keeps_what_was_found() {
        let before = status_of("", &observed(found(0), vec![worker(running())]));
        let mut bad = object("");
        bad.spec.store.buckets = 0;
        let rejection = parse(&bad).expect_err("bad");

        let after = rejected(&rejection, Some(4), Some(&before), at(7));

        assert_eq!(
            (told(&after).swap_remove(0), after.observed_generation, after.partitions, after.conditions.len()),
            (
                "Ready=False InvalidSpec: spec.store.buckets: 0 is out of range; write a whole number from 1 to 16384"
                    .to_owned(),
                Some(4),
                Some(1),
                5
            )
        );
    }
}
