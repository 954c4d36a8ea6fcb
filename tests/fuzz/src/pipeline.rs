//! A pipeline's object: what is accepted gives children that the API server and a worker take, and a bounded decision for every lag.

use std::error::Error as _;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use plaudit::children::{Settings, children};
use plaudit::observe::Observed;
use plaudit::pipeline::{Pipeline, parse};
use plaudit::scaling::{PartitionSample, Sample, Scaler};
use plaudit::status::{rejected, status};
use plaudit_crds::worker::WorkerConfig;
use plaudit_crds::{AchievementPipeline, Paused};

use super::answer::told;
use super::config::{BYTES_PER_BYTE, LONGEST_ERROR, accepted};
use super::memory::within;
use super::parts;

/// The object's text, which is a file's or, where it is JSON, the API server's; after a zero byte numbers, of which samples are made.
pub fn object(input: &[u8]) {
    let end = input.iter().position(|byte| *byte == 0).unwrap_or(input.len());
    let (text, numbers) = (&input[..end], input.get(end + 1..).unwrap_or_default());
    let Ok(text) = std::str::from_utf8(text) else { return };
    match within(BYTES_PER_BYTE * text.len() + (1 << 20), || AchievementPipeline::from_yaml(text)) {
        Ok(object) => planned(&object, numbers),
        Err(error) => {
            let why = error.source().map(ToString::to_string).unwrap_or_default();
            assert!(why.len() <= LONGEST_ERROR, "an error of {} bytes", why.len());
        }
    }
    // As a watch brings it: the API server has checked it, by the CRD of some version.
    if let Ok(object) = serde_json::from_str::<AchievementPipeline>(text) {
        planned(&object, numbers);
    }
}

fn planned(object: &AchievementPipeline, numbers: &[u8]) {
    let pipeline = match parse(object) {
        Ok(pipeline) => pipeline,
        Err(rejection) => {
            told(&rejected(&rejection, None, None, Timestamp::UNIX_EPOCH));
            return;
        }
    };
    accepted(&pipeline.worker_config());
    let settings = Settings { worker_image: "plaudit/worker:1".to_owned(), image_pull_policy: None };
    let mut scaler = Scaler::default();
    let mut replicas = None;
    for (round, sample) in samples(numbers).enumerate() {
        let sample = Sample { replicas, ready: replicas, ..sample };
        let plan = scaler.decide(&pipeline.scaling, &sample, Duration::from_secs(2 * round as u64));
        bounded(&pipeline, &sample, plan.replicas);
        told(&status(&pipeline, &Observed::default(), &plan, None, Timestamp::UNIX_EPOCH));
        replicas = Some(plan.replicas);
    }
    let children = children(&pipeline, None, &settings, replicas.unwrap_or(1), None);
    let file = children.config_map.data.as_ref().and_then(|data| data.values().next()).expect("a file");
    WorkerConfig::from_yaml(file).expect("a worker accepts the file in its ConfigMap");
    serde_json::to_vec(&children.deployment).expect("a Deployment is JSON");
}

fn bounded(pipeline: &Pipeline, sample: &Sample, replicas: u32) {
    let rules = &pipeline.scaling;
    if rules.suspend {
        assert_eq!(replicas, 0);
        return;
    }
    let most = match (rules.replicas, rules.max_replicas) {
        (Some(fixed), _) => fixed,
        (None, Some(most)) => most,
        (None, None) => u32::MAX,
    };
    let partitions = sample.partitions.as_ref().map_or(u32::MAX, |partitions| partitions.len() as u32);
    // What runs already may stay, where nothing is to be removed.
    let kept = match rules.paused {
        Paused::In | Paused::Both => sample.replicas.unwrap_or(0),
        Paused::None | Paused::Out => 0,
    };
    let most = most.min(partitions).max(kept);
    assert!(replicas <= most, "{replicas} workers, more than {most}, for {sample:?} by {rules:?}");
}

/// Looks at a topic of some partitions; anything of them may be unknown.
fn samples(numbers: &[u8]) -> impl Iterator<Item = Sample> + use<'_> {
    let count = numbers.first().map_or(1, |first| 1 + usize::from(*first) % 16);
    let mut numbers = parts::numbers(numbers.get(1..).unwrap_or_default());
    (0..4).map(move |_| {
        let mut number = || numbers.next().unwrap_or_default();
        let partition = |(at, shape): (usize, i64)| PartitionSample {
            partition: i32::try_from(at).unwrap_or(i32::MAX),
            lag: (shape & 1 == 0).then_some(shape.unsigned_abs() >> 8),
            log_end: (shape & 2 == 0).then_some(shape.rotate_left(17)),
            committed: (shape & 4 == 0).then_some(shape.rotate_left(40)),
            owner: (shape & 8 == 0).then_some(shape.unsigned_abs() >> 60),
        };
        let is_known = number() & 7 != 7;
        let shapes: Vec<i64> = (0..count).map(|_| number()).collect();
        Sample {
            partitions: is_known.then(|| shapes.into_iter().enumerate().map(partition).collect()),
            ..Sample::default()
        }
    })
}
