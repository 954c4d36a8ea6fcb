//! The dead-letter topic: sends what cannot be processed and waits for the acknowledgement.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use crate::lane::ports::{DeadLetter, Letters, SourceError};
use crate::report::Reason;

/// A letter too large for its topic keeps this much of its value.
const CUT_BYTES: usize = 4_096;
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// Producer of dead letters; cheap to clone.
#[derive(Clone)]
pub struct DeadLetterTopic {
    producer: FutureProducer,
    reader: Arc<ClientConfig>,
    source_topic: Arc<str>,
    topic: Arc<str>,
    group: Arc<str>,
}

impl std::fmt::Debug for DeadLetterTopic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeadLetterTopic").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl DeadLetterTopic {
    /// Sends to `topic`; reads refused records of `source_topic` again with `reader`.
    ///
    /// # Errors
    /// When the client refuses its settings.
    pub fn new(
        producer: &ClientConfig,
        reader: ClientConfig,
        (source_topic, topic, group): (&str, &str, &str),
    ) -> Result<Self, KafkaError> {
        Ok(Self {
            producer: producer.create()?,
            reader: Arc::new(reader),
            source_topic: source_topic.into(),
            topic: topic.into(),
            group: group.into(),
        })
    }

    fn headers(&self, letter: &DeadLetter) -> OwnedHeaders {
        let text = |headers: OwnedHeaders, key: &str, value: &str| {
            headers.insert(Header { key, value: Some(value) })
        };
        let mut headers = letter.headers.clone().unwrap_or_default();
        headers = text(headers, "plaudit-reason", letter.reason.as_str());
        headers = text(headers, "plaudit-detail", &letter.detail);
        headers = text(headers, "plaudit-topic", &self.source_topic);
        headers = text(headers, "plaudit-partition", &letter.partition.to_string());
        headers = text(headers, "plaudit-offset", &letter.offset.to_string());
        if let Some(timestamp) = letter.timestamp {
            headers = text(headers, "plaudit-timestamp", &timestamp.to_string());
        }
        text(headers, "plaudit-consumer-group", &self.group)
    }

    async fn produce(
        &self,
        letter: &DeadLetter,
        value: Option<&[u8]>,
        headers: OwnedHeaders,
    ) -> Result<(), KafkaError> {
        let mut record = FutureRecord::<[u8], [u8]>::to(&self.topic).headers(headers);
        if let Some(key) = &letter.key {
            record = record.key(key);
        }
        if let Some(value) = value {
            record = record.payload(value);
        }
        self.producer.send(record, Duration::from_secs(5)).await.map(|_| ()).map_err(|(error, _)| error)
    }
}

impl Letters for DeadLetterTopic {
    async fn send(&mut self, letter: &DeadLetter) -> Result<(), SourceError> {
        let headers = self.headers(letter);
        let sent = match self.produce(letter, letter.value.as_deref(), headers.clone()).await {
            Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
                let value = letter.value.as_deref().unwrap_or_default();
                let size = value.len().to_string();
                let headers = headers
                    .insert(Header { key: "plaudit-truncated", value: Some("true") })
                    .insert(Header { key: "plaudit-original-size", value: Some(&size) });
                self.produce(letter, Some(&value[..value.len().min(CUT_BYTES)]), headers).await
            }
            sent => sent,
        };
        sent.map_err(|error| {
            SourceError::Kafka(format!("cannot send to the dead-letter topic {}: {error}", self.topic))
        })
    }

    async fn fetch(
        &mut self,
        partition: i32,
        offset: i64,
        reason: Reason,
        detail: String,
    ) -> Result<Option<DeadLetter>, SourceError> {
        let (config, topic) = (self.reader.clone(), self.source_topic.clone());
        let letter = tokio::task::spawn_blocking(move || {
            fetch_one(&config, &topic, partition, offset, reason, &detail)
        });
        let kafka =
            |error: KafkaError| SourceError::Kafka(format!("cannot read offset {offset} again: {error}"));
        letter.await.map_err(|error| SourceError::Kafka(error.to_string()))?.map_err(kafka)
    }
}

fn fetch_one(
    config: &ClientConfig,
    topic: &str,
    partition: i32,
    offset: i64,
    reason: Reason,
    detail: &str,
) -> Result<Option<DeadLetter>, KafkaError> {
    let consumer: BaseConsumer = config.create()?;
    let (low, _) = consumer.fetch_watermarks(topic, partition, FETCH_TIMEOUT)?;
    if offset < low {
        return Ok(None);
    }
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    consumer.assign(&list)?;
    let until = Instant::now() + FETCH_TIMEOUT;
    while Instant::now() < until {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(record)) if record.offset() == offset => {
                return Ok(Some(DeadLetter {
                    partition,
                    offset,
                    timestamp: record.timestamp().to_millis(),
                    key: record.key().map(<[u8]>::to_vec),
                    value: record.payload().map(<[u8]>::to_vec),
                    headers: record.headers().map(rdkafka::message::BorrowedHeaders::detach),
                    reason,
                    detail: detail.to_owned(),
                }));
            }
            // Compacted away.
            Some(Ok(_) | Err(KafkaError::PartitionEOF(_))) => return Ok(None),
            Some(Err(error)) => return Err(error),
            None => {}
        }
    }
    Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut))
}
