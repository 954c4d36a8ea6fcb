//! The lag monitor of one pipeline: one Kafka client on a thread of its own, because the client's questions block.

use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::watch;

use super::{Committed, PartitionOffsets, SourceState};
use crate::pipeline::Pipeline;

/// Time for all questions of one poll: above it the answer is unknown.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);

/// Asks Kafka once a period, for as long as somebody listens.
#[derive(Debug)]
pub struct Monitor {
    answers: watch::Receiver<(SourceState, Instant)>,
}

/// Why Kafka gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The client's own settings are wrong.
    #[error("could not set up a Kafka client")]
    Client(#[source] KafkaError),
    /// The topic does not exist.
    #[error("topic {topic} does not exist")]
    TopicMissing {
        /// Its name.
        topic: String,
    },
    /// No broker answered the question for the topic's partitions.
    #[error("could not read the partitions of topic {topic}")]
    Metadata {
        /// Its name.
        topic: String,
        /// What the client said.
        #[source]
        source: KafkaError,
    },
}

/// Sends the client's own log lines to tracing instead of standard error.
#[derive(Debug)]
struct Quiet;

struct Offsets {
    consumer: BaseConsumer<Quiet>,
    topic: String,
}

impl Monitor {
    /// Starts the thread. It ends after the monitor was dropped.
    ///
    /// # Errors
    /// [`ObserveError::Client`] when the settings are refused.
    pub fn start(pipeline: &Pipeline, period: Duration) -> Result<Self, ObserveError> {
        let offsets = Offsets::connect(pipeline)?;
        let (sender, answers) = watch::channel((SourceState::NotAsked, Instant::now()));
        std::thread::Builder::new()
            .name("lag-monitor".to_owned())
            .spawn(move || poll(&offsets, period, &sender))
            .expect("a thread can be started");
        Ok(Self { answers })
    }

    /// The last answer and its age.
    #[must_use]
    pub fn last(&self) -> (SourceState, Duration) {
        let (state, asked) = self.answers.borrow().clone();
        (state, asked.elapsed())
    }
}

fn poll(offsets: &Offsets, period: Duration, sender: &watch::Sender<(SourceState, Instant)>) {
    while !sender.is_closed() {
        let begin = Instant::now();
        let state = match offsets.read() {
            Ok(partitions) => SourceState::Found(partitions),
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "the topic could not be observed");
                SourceState::Failed { reason: error.reason(), message: error.to_string() }
            }
        };
        sender.send_replace((state, Instant::now()));
        // Serves the client's queue of events, and is the pause between two polls.
        let rest = period.saturating_sub(begin.elapsed()).max(Duration::from_millis(10));
        let _ = offsets.consumer.poll(rest);
    }
}

impl Offsets {
    fn connect(pipeline: &Pipeline) -> Result<Self, ObserveError> {
        // It never subscribes, so the group is only what it asks about: it takes no partition from a worker.
        let consumer = ClientConfig::new()
            .set("bootstrap.servers", &pipeline.source.bootstrap_servers)
            .set("group.id", &pipeline.source.consumer_group)
            .set("client.id", "plaudit-monitor")
            // A client that forgot its broker while that was starting would look for it again after five minutes.
            .set("metadata.recovery.rebootstrap.trigger.ms", "10000")
            .set("enable.auto.commit", "false")
            .set("allow.auto.create.topics", "false")
            .set("socket.timeout.ms", DEADLINE.as_millis().to_string())
            .set_log_level(RDKafkaLogLevel::Warning)
            .create_with_context(Quiet)
            .map_err(ObserveError::Client)?;
        Ok(Self { consumer, topic: pipeline.source.topic.clone() })
    }

    /// All partitions; what could not be found out is unknown, and only a missing list of partitions is an error.
    fn read(&self) -> Result<Vec<PartitionOffsets>, ObserveError> {
        let deadline = Instant::now() + DEADLINE;
        let partitions = self.partitions(deadline)?;
        let committed = self.committed(&partitions, deadline);
        // After one partition failed, the others would most likely only wait as long.
        let mut reachable = true;
        let offsets = partitions.iter().zip(committed).map(|(&partition, committed)| {
            let marks =
                reachable.then(|| self.consumer.fetch_watermarks(&self.topic, partition, left(deadline)));
            let marks = marks.and_then(|marks| {
                marks
                    .inspect_err(|error| tracing::debug!(partition, %error, "log start and end are unknown"))
                    .ok()
            });
            reachable &= marks.is_some();
            PartitionOffsets {
                partition,
                committed,
                log_start: marks.map(|(start, _)| start),
                log_end: marks.map(|(_, end)| end),
            }
        });
        Ok(offsets.collect())
    }

    fn partitions(&self, deadline: Instant) -> Result<Vec<i32>, ObserveError> {
        let failed = |source| ObserveError::Metadata { topic: self.topic.clone(), source };
        let metadata = self.consumer.fetch_metadata(Some(&self.topic), left(deadline)).map_err(failed)?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == self.topic);
        let missing = || ObserveError::TopicMissing { topic: self.topic.clone() };
        let topic = topic.ok_or_else(missing)?;
        match topic.error().map(RDKafkaErrorCode::from) {
            None => {}
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                return Err(missing());
            }
            Some(code) => return Err(failed(KafkaError::MetadataFetch(code))),
        }
        let mut partitions: Vec<i32> = topic.partitions().iter().map(|partition| partition.id()).collect();
        partitions.sort_unstable();
        Ok(partitions)
    }

    /// One question to the group's coordinator for all partitions.
    fn committed(&self, partitions: &[i32], deadline: Instant) -> Vec<Committed> {
        let mut asked = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            asked.add_partition(&self.topic, *partition);
        }
        let answer = self
            .consumer
            .committed_offsets(asked, left(deadline))
            .inspect_err(|error| tracing::debug!(%error, "committed offsets are unknown"))
            .ok();
        let of = |partition: i32| {
            let element = answer.as_ref()?.find_partition(&self.topic, partition)?;
            element.error().ok()?;
            match element.offset() {
                Offset::Offset(offset) => Some(Committed::Offset(offset)),
                Offset::Invalid => Some(Committed::Nothing),
                Offset::Beginning | Offset::End | Offset::Stored | Offset::OffsetTail(_) => None,
            }
        };
        partitions.iter().map(|partition| of(*partition).unwrap_or(Committed::Unknown)).collect()
    }
}

/// The rest of the time; never zero, because the client takes zero or less for "for ever" in some calls.
fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

impl ObserveError {
    /// One word for conditions.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Client(_) => "InvalidClient",
            Self::TopicMissing { .. } => "TopicMissing",
            Self::Metadata { .. } => "KafkaUnreachable",
        }
    }
}

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, message, "Kafka client");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka client");
    }
}

impl ConsumerContext for Quiet {}

#[cfg(test)]
mod tests {
    use rdkafka::consumer::CommitMode;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

    use super::*;
    use crate::pipeline::parse;
    use crate::pipeline::tests::object;

    #[test]
    fn offsets_come_from_the_log_and_from_the_group() {
        let cluster = MockCluster::new(1).expect("a mock cluster");
        cluster.create_topic("reports", 3, 1).expect("a topic");
        let mut pipeline = parse(&object("")).expect("a pipeline");
        pipeline.source.bootstrap_servers = cluster.bootstrap_servers();
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", cluster.bootstrap_servers())
            .create()
            .expect("a producer");
        for partition in [0, 0, 0, 2] {
            let record = BaseRecord::<(), str>::to("reports").partition(partition).payload("x");
            producer.send(record).expect("a record is queued");
        }
        producer.flush(Duration::from_secs(10)).expect("records are stored");
        let offsets = Offsets::connect(&pipeline).expect("a client");
        let mut committed = TopicPartitionList::new();
        committed.add_partition_offset("reports", 0, Offset::Offset(2)).expect("an offset");
        offsets.consumer.commit(&committed, CommitMode::Sync).expect("the group has a commit");

        let found = offsets.read().expect("the topic exists");

        let partition = |partition, committed, log_end| PartitionOffsets {
            partition,
            committed,
            log_start: Some(0),
            log_end: Some(log_end),
        };
        assert_eq!(
            found,
            [
                partition(0, Committed::Offset(2), 3),
                partition(1, Committed::Nothing, 0),
                partition(2, Committed::Nothing, 1),
            ]
        );
    }
}
