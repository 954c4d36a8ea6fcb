//! One assigned partition: its queue, and what its lane asks of the group.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use super::committer::Commit;
use super::fetched::FetchQueue;
use super::group::{Consumer, GroupContext, GroupSenders};
use super::native;
use super::poll::Seek;
use super::topic;
use crate::lane::ports::{Committed, RecordView, Source, SourceError, TopicFacts};

/// A blocking call to the broker gives up after this; the lane tries again.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// A commit without a coordinator takes minutes; a lane that waits for one has to show that it is alive.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(10);
/// The client wakes a waiting lane only when its queue was empty, and that wake-up can get lost: look anyway.
const LOOK_ANYWAY: Duration = Duration::from_secs(1);

/// A partition queue with its way back to the poll thread.
pub struct Partition {
    /// Given back before the client that it came from.
    fetched: FetchQueue,
    /// Keeps the client, and wakes the lane.
    _queue: PartitionQueue<GroupContext>,
    consumer: Weak<Consumer>,
    topic: Arc<str>,
    partition: i32,
    nonce: u64,
    wake: Arc<Notify>,
    /// A record went past this queue: read again from what is committable.
    stray: Arc<AtomicBool>,
    /// The lane has to stop: the thread that it would wait for may be waiting for it.
    stop: CancellationToken,
    group: GroupSenders,
}

impl std::fmt::Debug for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Partition")
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .finish_non_exhaustive()
    }
}

impl Partition {
    /// Wraps a queue split off before the partition is assigned.
    pub(super) fn new(
        (fetched, mut queue): (FetchQueue, PartitionQueue<GroupContext>),
        consumer: Weak<Consumer>,
        (topic, partition): (Arc<str>, i32),
        nonce: u64,
        (stray, stop): (Arc<AtomicBool>, CancellationToken),
        group: GroupSenders,
    ) -> Self {
        let wake = Arc::new(Notify::new());
        let waker = wake.clone();
        queue.set_nonempty_callback(move || waker.notify_one());
        Self { fetched, _queue: queue, consumer, topic, partition, nonce, wake, stray, stop, group }
    }

    /// Runs a blocking call of the consumer beside the async runtime.
    async fn blocking<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Consumer, &str, i32) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, SourceError> {
        let consumer = self.consumer.upgrade().ok_or(SourceError::Unassigned)?;
        let (topic, partition) = (self.topic.clone(), self.partition);
        let called = tokio::task::spawn_blocking(move || call(&consumer, &topic, partition));
        self.unless_stopped(called).await?.map_err(|error| SourceError::Kafka(error.to_string()))
    }

    /// Waits for an answer of another thread.
    async fn unless_stopped<T, E>(
        &self,
        answer: impl Future<Output = Result<T, E>>,
    ) -> Result<T, SourceError> {
        tokio::select! {
            biased;
            answer = answer => answer.map_err(|_| SourceError::Unassigned),
            () = self.stop.cancelled() => Err(SourceError::Unassigned),
        }
    }

    /// The client reported this in the place of a record.
    fn failed(&self, error: &KafkaError) -> SourceError {
        if let Some(consumer) = self.consumer.upgrade() {
            let context = consumer.context();
            context.link.access().note_denial(error, &context.topic, &context.group);
        }
        SourceError::Kafka(error.to_string())
    }

    fn list(topic: &str, partition: i32, offset: Offset) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, offset)?;
        Ok(list)
    }
}

impl Source for Partition {
    fn drain(
        &mut self,
        take: &mut (dyn FnMut(RecordView<'_>) -> ControlFlow<()> + Send),
    ) -> Result<(), SourceError> {
        if self.stray.swap(false, Ordering::Relaxed) {
            return Err(SourceError::Kafka("a record was delivered beside the partition's queue".into()));
        }
        while let Some(fetched) = self.fetched.next() {
            let record = fetched.map_err(|error| self.failed(&error))?;
            if record.view(&mut *take).is_break() {
                break;
            }
        }
        Ok(())
    }

    async fn ready(&mut self) {
        // A timeout is as good as a wake-up here.
        let _ = tokio::time::timeout(LOOK_ANYWAY, self.wake.notified()).await;
    }

    fn position(&self) -> Option<i64> {
        let taken = self.fetched.next_offset();
        taken.or_else(|| native::position(&*self.consumer.upgrade()?, &self.topic, self.partition))
    }

    async fn committed(&mut self) -> Result<Option<Committed>, SourceError> {
        self.blocking(|consumer, topic, partition| {
            let asked = Self::list(topic, partition, Offset::Invalid)?;
            let answer = consumer.committed_offsets(asked, REQUEST_TIMEOUT)?;
            let Some(entry) = answer.find_partition(topic, partition) else { return Ok(None) };
            entry.error()?;
            match entry.offset() {
                Offset::Offset(offset) => {
                    Ok(Some(Committed { offset, metadata: native::first_metadata(&answer) }))
                }
                _ => Ok(None),
            }
        })
        .await
    }

    async fn log_bounds(&mut self) -> Result<(i64, i64), SourceError> {
        self.blocking(|consumer, topic, partition| {
            consumer.fetch_watermarks(topic, partition, REQUEST_TIMEOUT)
        })
        .await
    }

    async fn topic(&mut self) -> Result<TopicFacts, SourceError> {
        let facts = self.blocking(|consumer, topic, _| Ok(topic::facts(consumer, topic, REQUEST_TIMEOUT)));
        let name = &self.topic;
        facts.await?.map_err(|error| SourceError::Kafka(format!("cannot describe topic {name}: {error}")))
    }

    async fn start_at(&mut self, offset: i64) -> Result<(), SourceError> {
        let (reply, answer) = oneshot::channel();
        let seek = Seek { partition: self.partition, nonce: self.nonce, offset, reply };
        self.group.seeks.send(seek).map_err(|_| SourceError::Unassigned)?;
        let placed = self.unless_stopped(answer).await?;
        self.fetched.clear();
        placed
    }

    async fn confirm(&mut self, offset: i64, metadata: &str) -> Result<(), SourceError> {
        let (reply, answer) = oneshot::channel();
        let (partition, metadata) = (self.partition, metadata.to_owned());
        let until = Instant::now() + CONFIRM_TIMEOUT;
        let confirm = Commit::Confirm { partition, offset, metadata, until, reply };
        self.group.commits.send(confirm).map_err(|_| SourceError::Unassigned)?;
        match tokio::time::timeout(CONFIRM_TIMEOUT, self.unless_stopped(answer)).await {
            Ok(answer) => answer?.map_err(|error| SourceError::Kafka(error.to_string())),
            Err(_) => {
                let seconds = CONFIRM_TIMEOUT.as_secs();
                Err(SourceError::Kafka(format!("the group's coordinator did not answer within {seconds} s")))
            }
        }
    }
}

/// Sets the commit metadata of an entry.
pub(super) fn set_metadata(list: &mut TopicPartitionList, topic: &str, partition: i32, metadata: &str) {
    if let Some(mut entry) = list.find_partition(topic, partition) {
        entry.set_metadata(metadata);
    }
}
