//! What a worker says about itself: it is believed to be one, and still costs little and breaks no status.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use plaudit::observe::{
    Committed, MOST_LANES, Observed, PartitionOffsets, SourceState, WorkerState, read_lanes,
};
use plaudit::pipeline::parse;
use plaudit::scaling::{Sample, Scaler};
use plaudit::status::status;
use plaudit_crds::{AchievementPipeline, AchievementPipelineStatus};

use super::memory::within;

const PIPELINE: &str = r#"{apiVersion: plaudit.dev/v1alpha1, kind: AchievementPipeline, metadata: {name: p},
    spec: {source: {bootstrapServers: "k:9092", topic: t}, store: {addresses: ["v:6379"]}}}"#;

/// The whole answer to `GET /lanes`.
pub fn lanes(input: &[u8]) {
    // The body is copied once; a lane of three bytes takes a hundred.
    let report = within(40 * input.len() + 4_096, || read_lanes(input));
    let Some(report) = report else { return };
    assert!(report.lanes.len() <= MOST_LANES);
    let offsets = |partition| PartitionOffsets {
        partition,
        committed: Committed::Offset(70),
        log_start: Some(0),
        log_end: Some(100),
        ..PartitionOffsets::default()
    };
    let worker = WorkerState { ready: true, trouble: None, report: Some(report) };
    let observed = Observed {
        source: SourceState::Found(vec![offsets(0), offsets(1)].into()),
        workers: [("w-0".to_owned(), worker)].into(),
        ..Observed::default()
    };
    let object = AchievementPipeline::from_yaml(PIPELINE).expect("the pipeline is good");
    let pipeline = parse(&object).expect("the pipeline is good");
    let sample = Sample::of(&observed, true, Some(1));
    let plan = Scaler::default().decide(&pipeline.scaling, &sample, Duration::ZERO);
    told(&status(&pipeline, &observed, &plan, None, Timestamp::UNIX_EPOCH));
}

/// A status that the API server takes, and that a person can read.
pub(crate) fn told(status: &AchievementPipelineStatus) {
    for condition in &status.conditions {
        let (reason, message) = (&condition.reason, &condition.message);
        let is_word = reason.starts_with(|first: char| first.is_ascii_alphabetic())
            && reason.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        assert!(is_word && reason.len() <= 128, "the reason {reason:?}");
        assert!(message.chars().count() <= 4_096, "a message of {} letters", message.chars().count());
        let breaks = |letter: char| letter.is_control() && letter != '\n';
        assert!(!message.contains(breaks), "the message {message:?}");
    }
    assert!(serde_json::to_vec(status).expect("a status is JSON").len() < 64 << 10);
}
