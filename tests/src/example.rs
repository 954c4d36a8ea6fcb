//! The example is examples/pipeline.yaml, the pipeline that `up` and `demo` serve unchanged.

use anyhow::{Context, Result};
use plaudit_crds::AchievementPipeline;

use crate::stack::Kafka;

pub const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/pipeline.yaml");
/// Of its source topic: as many workers can share the work.
pub const PARTITIONS: i32 = 12;

pub fn pipeline() -> Result<AchievementPipeline> {
    let text = std::fs::read_to_string(PATH).with_context(|| format!("could not read {PATH}"))?;
    AchievementPipeline::from_yaml(&text).context("examples/pipeline.yaml is refused")
}

/// Creates the topics it reads and writes.
pub fn create_topics(pipeline: &AchievementPipeline, kafka: &Kafka) -> Result<()> {
    kafka.create_topic(&pipeline.spec.source.topic, PARTITIONS, &[])?;
    kafka.create_topic(&dead_letter_topic(pipeline), 1, &[])
}

pub fn dead_letter_topic(pipeline: &AchievementPipeline) -> String {
    let default = || format!("{}.dead-letters", pipeline.spec.source.topic);
    pipeline.spec.dead_letters.topic.clone().unwrap_or_else(default)
}
