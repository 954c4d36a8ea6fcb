//! The topics of a scene: single records in, ends and commits out.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

const TIMEOUT: Duration = Duration::from_secs(10);

/// The source topic and the dead-letter topic of a scene.
pub struct Log {
    producer: FutureProducer,
    bootstrap: String,
    topic: String,
    letters: String,
}

/// A record to be sent as it is.
#[derive(Clone, Debug, Default)]
pub struct Outgoing<'a> {
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    /// Milliseconds since 1970; now if not given.
    pub timestamp: Option<i64>,
    pub partition: Option<i32>,
    pub header: Option<(&'a str, &'a str)>,
    /// So many more, each without a letter.
    pub empty_headers: usize,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl Log {
    pub fn new(bootstrap: &str, topic: &str, letters: &str) -> Result<Self> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("partitioner", "murmur2_random")
            .set("enable.idempotence", "true")
            .set("linger.ms", "1")
            .set("message.max.bytes", "4000000")
            .create()?;
        Ok(Self {
            producer,
            bootstrap: bootstrap.to_owned(),
            topic: topic.to_owned(),
            letters: letters.to_owned(),
        })
    }

    /// Sends records in order and waits until all are acknowledged.
    pub fn send(&self, records: &[Outgoing<'_>]) -> Result<()> {
        let mut sent = Vec::new();
        for outgoing in records {
            let mut record = FutureRecord::<[u8], [u8]>::to(&self.topic);
            record.key = outgoing.key;
            record.payload = outgoing.value;
            record.timestamp = outgoing.timestamp;
            record.partition = outgoing.partition;
            let empty = Header { key: "", value: None::<&[u8]> };
            let mut headers = OwnedHeaders::new();
            if let Some((key, value)) = outgoing.header {
                headers = headers.insert(Header { key, value: Some(value) });
            }
            if outgoing.header.is_some() || outgoing.empty_headers > 0 {
                record = record
                    .headers((0..outgoing.empty_headers).fold(headers, |list, _| list.insert(empty.clone())));
            }
            sent.push(self.producer.send_result(record).map_err(|(error, _)| error)?);
        }
        for acknowledged in sent {
            futures::executor::block_on(acknowledged)?.map_err(|(error, _)| error)?;
        }
        Ok(())
    }

    /// The offset after the last record, by partition.
    pub fn ends(&self) -> Result<BTreeMap<i32, i64>> {
        let consumer: BaseConsumer = self.client().create()?;
        let partitions = partitions(&consumer, &self.topic)?;
        partitions
            .into_iter()
            .map(|partition| Ok((partition, consumer.fetch_watermarks(&self.topic, partition, TIMEOUT)?.1)))
            .collect()
    }

    /// Offsets a group has committed, by partition; 0 where it has none.
    pub fn committed(&self, group: &str) -> Result<BTreeMap<i32, i64>> {
        let consumer: BaseConsumer = self.client().set("group.id", group).create()?;
        let mut list = TopicPartitionList::new();
        for partition in partitions(&consumer, &self.topic)? {
            list.add_partition(&self.topic, partition);
        }
        let committed = consumer.committed_offsets(list, TIMEOUT)?;
        Ok(committed
            .elements()
            .iter()
            .map(|entry| match entry.offset() {
                Offset::Offset(offset) => (entry.partition(), offset),
                _ => (entry.partition(), 0),
            })
            .collect())
    }

    /// Commits offsets as somebody else would, without any metadata; the group must have no members.
    pub fn commit(&self, group: &str, offsets: &[(i32, i64)]) -> Result<()> {
        let consumer: BaseConsumer = self.client().set("group.id", group).create()?;
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            list.add_partition_offset(&self.topic, *partition, Offset::Offset(*offset))?;
        }
        Ok(consumer.commit(&list, CommitMode::Sync)?)
    }

    /// Dead letters so far.
    pub fn letters(&self) -> Result<i64> {
        let consumer: BaseConsumer = self.client().create()?;
        Ok(consumer.fetch_watermarks(&self.letters, 0, TIMEOUT)?.1)
    }

    fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.bootstrap);
        client
    }
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> Result<Vec<i32>> {
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
    let topic = metadata.topics().first().context("no such topic")?;
    Ok(topic.partitions().iter().map(rdkafka::metadata::MetadataPartition::id).collect())
}
