//! Reading a topic from its first record to a given end, without a consumer group.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::Message as _;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _};
use rdkafka::{Offset, TopicPartitionList};

use super::record::SourceRecord;

/// A broker that answers nothing for so long is given up.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    #[error("cannot read topic {topic} at {bootstrap_servers}")]
    Kafka { bootstrap_servers: String, topic: String, source: Box<KafkaError> },
    #[error(
        "topic {topic} stands still at offset {offset} of partition {partition}, before its end at {end}"
    )]
    Stuck { topic: String, partition: i32, offset: i64, end: i64 },
}

/// A topic of one cluster.
pub struct Topic {
    bootstrap_servers: String,
    name: String,
    consumer: BaseConsumer,
}

impl std::fmt::Debug for Topic {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Topic").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Topic {
    pub fn open(bootstrap_servers: &str, name: &str) -> Result<Self, TopicError> {
        let consumer = config(bootstrap_servers).create().map_err(|source| TopicError::Kafka {
            bootstrap_servers: bootstrap_servers.to_owned(),
            topic: name.to_owned(),
            source: Box::new(source),
        })?;
        Ok(Self { bootstrap_servers: bootstrap_servers.to_owned(), name: name.to_owned(), consumer })
    }

    /// Per partition the offsets of the first record and after the last one; empty where there is no such topic.
    pub fn ranges(&self) -> Result<BTreeMap<i32, (i64, i64)>, TopicError> {
        let metadata =
            self.consumer.fetch_metadata(Some(&self.name), PATIENCE).map_err(|source| self.error(source))?;
        let found = metadata.topics().iter().filter(|topic| topic.error().is_none());
        let partitions = found.flat_map(|topic| topic.partitions()).map(|partition| partition.id());
        partitions
            .map(|partition| {
                let range = self.consumer.fetch_watermarks(&self.name, partition, PATIENCE);
                Ok((partition, range.map_err(|source| self.error(source))?))
            })
            .collect()
    }

    /// Hands every record of `ranges` to `each`, in the order of each partition.
    pub fn read(
        &self,
        ranges: &BTreeMap<i32, (i64, i64)>,
        mut each: impl FnMut(&SourceRecord<'_>),
    ) -> Result<(), TopicError> {
        let mut left: BTreeMap<i32, (i64, i64)> =
            ranges.iter().filter(|(_, (start, end))| start < end).map(|(&id, &range)| (id, range)).collect();
        let mut assignment = TopicPartitionList::new();
        for (&partition, &(start, _)) in &left {
            assignment
                .add_partition_offset(&self.name, partition, Offset::Offset(start))
                .map_err(|source| self.error(source))?;
        }
        self.consumer.assign(&assignment).map_err(|source| self.error(source))?;
        let mut moved = Instant::now();
        while let Some((&partition, &(offset, end))) = left.first_key_value() {
            match self.consumer.poll(Duration::from_secs(1)) {
                Some(Ok(message)) => {
                    moved = Instant::now();
                    let Some((next, end)) = left.get_mut(&message.partition()) else { continue };
                    if message.offset() < *end {
                        each(&borrow(&message));
                    }
                    *next = message.offset() + 1;
                    if *next >= *end {
                        left.remove(&message.partition());
                    }
                }
                // The last offsets of a partition may hold no record (transactions, compaction).
                Some(Err(KafkaError::PartitionEOF(partition))) => drop(left.remove(&partition)),
                // A broker that is away comes back, or patience ends.
                Some(Err(KafkaError::MessageConsumption(_))) | None => {}
                Some(Err(source)) => return Err(self.error(source)),
            }
            if moved.elapsed() > PATIENCE {
                return Err(TopicError::Stuck { topic: self.name.clone(), partition, offset, end });
            }
        }
        self.consumer.unassign().map_err(|source| self.error(source))
    }

    fn error(&self, source: KafkaError) -> TopicError {
        TopicError::Kafka {
            bootstrap_servers: self.bootstrap_servers.clone(),
            topic: self.name.clone(),
            source: Box::new(source),
        }
    }
}

fn borrow<'a>(message: &'a BorrowedMessage<'a>) -> SourceRecord<'a> {
    let headers = message
        .headers()
        .map(|headers| headers.iter().map(|header| (header.key, header.value)).collect::<Vec<_>>());
    SourceRecord {
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis().filter(|&timestamp_ms| timestamp_ms >= 0),
        key: message.key(),
        payload: message.payload(),
        headers: headers.unwrap_or_default(),
    }
}

fn config(bootstrap_servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap_servers)
        .set("client.id", "plaudit-check")
        // The client wants a group before it assigns anything; it is never joined.
        .set("group.id", "plaudit-check")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        // An offset that is gone must be an error and not another place to read from.
        .set("auto.offset.reset", "error")
        .set("fetch.wait.max.ms", "50")
        .set("fetch.queue.backoff.ms", "10")
        // What may lie read ahead: some tenths of a second.
        .set("queued.min.messages", "50000")
        .set("queued.max.messages.kbytes", "65536");
    config
}
