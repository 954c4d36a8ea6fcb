//! Topics and groups that monitors watch, and waiting for what they say of them.

use std::time::Duration;

use anyhow::{Context as _, Result};
use plaudit::observe::{Monitors, Settings, SourceState, Topic, Watch};
use plaudit::pipeline::{self, Pipeline};
use plaudit_crds::AchievementPipeline;
use plaudit_tests::stack::{Kafka, unique_name, until};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

pub(super) const LIMIT: Duration = Duration::from_secs(60);

pub(super) fn monitors(keep_offsets: bool) -> Monitors {
    let (period, metadata_period) = (Duration::from_millis(200), Duration::from_secs(2));
    Monitors::new(Settings { period, metadata_period, keep_offsets })
}

/// A pipeline of this topic, whose group has the same name.
pub(super) fn pipeline(bootstrap_servers: &str, topic: &str, source: &str) -> Result<Pipeline> {
    let text = format!(
        "
apiVersion: plaudit.dev/v1alpha1
kind: AchievementPipeline
metadata: {{name: p, namespace: tests}}
spec:
  source: {{bootstrapServers: '{bootstrap_servers}', topic: {topic}, consumerGroup: {topic}{source}}}
  store: {{addresses: ['127.0.0.1:1']}}
"
    );
    Ok(pipeline::parse(&AchievementPipeline::from_yaml(&text)?)?)
}

/// A topic of its own, and a pipeline.
pub(super) fn topic(kafka: &Kafka, name: &str, partitions: i32, source: &str) -> Result<Pipeline> {
    let name = unique_name(name);
    kafka.create_topic(&name, partitions, &[])?;
    pipeline(&kafka.bootstrap(), &name, source)
}

pub(super) fn send(pipeline: &Pipeline, partition: i32, count: usize) -> Result<()> {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", &pipeline.source.bootstrap_servers).create()?;
    for _ in 0..count {
        let record = BaseRecord::<(), str>::to(&pipeline.source.topic).partition(partition).payload("x");
        producer.send(record).map_err(|(error, _)| error)?;
    }
    Ok(producer.flush(LIMIT)?)
}

pub(super) fn commit(pipeline: &Pipeline, offsets: &[i64]) -> Result<()> {
    let source = &pipeline.source;
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &source.bootstrap_servers)
        .set("group.id", &source.consumer_group)
        .create()?;
    let mut list = TopicPartitionList::new();
    for (partition, offset) in (0..).zip(offsets) {
        list.add_partition_offset(&source.topic, partition, Offset::Offset(*offset))?;
    }
    Ok(consumer.commit(&list, CommitMode::Sync)?)
}

/// Waits for a state that `look` finds something in.
pub(super) fn wait<T>(watch: &Watch, what: &str, look: impl Fn(&SourceState) -> Option<T>) -> Result<T> {
    until(what, LIMIT, || Ok(look(&watch.last().0))).with_context(|| format!("last: {:?}", watch.last()))
}

pub(super) fn wait_for_topic(watch: &Watch, what: &str, is_it: impl Fn(&Topic) -> bool) -> Result<Topic> {
    wait(watch, what, |state| match state {
        SourceState::Found(topic) if is_it(topic) => Some(topic.clone()),
        SourceState::Found(_) | SourceState::NotAsked | SourceState::Failed { .. } => None,
    })
}

pub(super) fn wait_for_failure(watch: &Watch, expected: &str) -> Result<()> {
    wait(watch, expected, |state| match state {
        SourceState::Failed { reason, .. } if *reason == expected => Some(()),
        SourceState::Found(_) | SourceState::NotAsked | SourceState::Failed { .. } => None,
    })
}

pub(super) fn wait_for_lags(watch: &Watch, pipeline: &Pipeline, expected: &[Option<u64>]) -> Result<Topic> {
    wait_for_topic(watch, &format!("lags {expected:?}"), |topic| lags(topic, pipeline) == expected)
}

pub(super) fn lags(topic: &Topic, pipeline: &Pipeline) -> Vec<Option<u64>> {
    topic.partitions.iter().map(|one| one.lag(pipeline.starts_at_log_start(), None)).collect()
}

/// Returns after so many more polls.
pub(super) fn after_polls(monitors: &Monitors, polls: u32) {
    std::thread::sleep(monitors.settings().period * polls);
}
