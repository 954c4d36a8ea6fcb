//! The poll thread: serves the group's callbacks and moves partitions where their lanes ask.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::committer::{self, Commit};
use super::group::{Consumer, Requests};
use super::{ends, native};
use crate::lane::ports::SourceError;

/// A lane's request waits at most this long for the thread.
const POLL: Duration = Duration::from_millis(20);
const SEEK_TIMEOUT: Duration = Duration::from_secs(2);
/// How often cached log ends become metrics.
const OBSERVE: Duration = Duration::from_secs(1);
/// Calls under way on other threads are waited for so long before the group is left, looking this often.
const CALLS_TIMEOUT: Duration = Duration::from_secs(2);
const CALLS_CHECK: Duration = Duration::from_millis(20);
/// The goodbye to the group is waited for so long: what the lanes finished is stored and committed by then.
pub(super) const GOODBYE_TIMEOUT: Duration = Duration::from_secs(3);
/// A complaint of the client is repeated after this: without a broker, two take turns several times a second.
const COMPLAIN: Duration = Duration::from_secs(10);

/// What a lane asks of the poll thread: deliver from `offset` on. Refused unless the lane with this nonce still owns
/// the partition.
#[derive(Debug)]
pub struct Seek {
    pub partition: i32,
    pub nonce: u64,
    pub offset: i64,
    pub reply: oneshot::Sender<Result<(), SourceError>>,
}

#[derive(Clone, Copy, Debug)]
pub struct PollSettings {
    pub commit_interval: Duration,
}

/// Owns the consumer's main queue.
pub struct PollThread {
    consumer: Arc<Consumer>,
    requests: Requests,
    settings: PollSettings,
}

impl std::fmt::Debug for PollThread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PollThread").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl PollThread {
    pub fn new(consumer: Arc<Consumer>, requests: Requests, settings: PollSettings) -> Self {
        Self { consumer, requests, settings }
    }

    /// Polls until told to stop, then drains the lanes, commits and leaves the group.
    ///
    /// # Errors
    /// A fatal error of the client: the worker must be started again.
    pub fn run(self, stop: &CancellationToken) -> Result<(), KafkaError> {
        let Self { consumer, requests: Requests { seeks, commits }, settings } = self;
        let context = consumer.context().clone();
        consumer.subscribe(&[&context.topic])?;
        committer::start(Arc::downgrade(&consumer), commits, settings.commit_interval);
        let watching = ends::start(Arc::downgrade(&consumer));
        let mut observed = Instant::now();
        let (mut complaints, mut log_ends) = (Vec::new(), HashMap::new());
        while !stop.is_cancelled() {
            context.note_poll();
            poll(&consumer, &mut complaints)?;
            while let Ok(request) = seeks.try_recv() {
                let answer = seek(&consumer, &request);
                let _ = request.reply.send(answer);
            }
            if observed.elapsed() >= OBSERVE {
                observe_log_ends(&consumer, &mut log_ends);
                context.link.tend(consumer.client());
                observed = Instant::now();
            }
        }
        drop(watching);
        leave(consumer);
        Ok(())
    }
}

fn poll(consumer: &Consumer, complaints: &mut Vec<(KafkaError, Instant)>) -> Result<(), KafkaError> {
    match consumer.poll(POLL) {
        None => {}
        Some(Ok(record)) => {
            // Every partition has its own queue, so this cannot be; if it is, nothing may be skipped.
            let partition = record.partition();
            tracing::error!(partition, offset = record.offset(), "stray record");
            consumer.context().with_lane(partition, |lane| lane.stray.store(true, Ordering::Relaxed));
        }
        Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => return Err(error),
        Some(Err(error)) => {
            let context = consumer.context();
            context.link.note(&error, "");
            context.link.access().note_denial(&error, &context.topic, &context.group);
            complaints.retain(|(_, at)| at.elapsed() < COMPLAIN);
            if complaints.iter().all(|(known, _)| *known != error) {
                tracing::warn!(%error, "kafka");
                complaints.push((error, Instant::now()));
            }
        }
    }
    Ok(())
}

fn seek(consumer: &Consumer, request: &Seek) -> Result<(), SourceError> {
    let (context, partition) = (consumer.context(), request.partition);
    let owned = context.with_lane(partition, |lane| lane.shared.nonce == request.nonce).unwrap_or(false);
    if !owned {
        return Err(SourceError::Unassigned);
    }
    let kafka = |error: KafkaError| SourceError::Kafka(error.to_string());
    let offset = Offset::Offset(request.offset);
    if let Err(error) = consumer.seek(&context.topic, partition, offset, SEEK_TIMEOUT) {
        let has_read = context.with_lane(partition, |lane| lane.assigned.is_none()).unwrap_or(false);
        if !has_read {
            return Err(kafka(error));
        }
        // A fetch that fell out of the log leaves nothing to seek from.
        reassign(consumer, partition, offset).map_err(kafka)?;
    }
    let mut list = TopicPartitionList::new();
    list.add_partition(&context.topic, partition);
    consumer.resume(&list).map_err(kafka)?;
    // Taken: a lane that starts again seeks again, and that is no rebalance.
    if let Some(assigned) = context.with_lane(partition, |lane| lane.assigned.take()).flatten() {
        context.metrics.rebalance_pause.observe(assigned.elapsed().as_secs_f64());
    }
    Ok(())
}

/// Assigns a partition anew, behind the group's back: to the group nothing changes. Its queue stays split off.
fn reassign(consumer: &Consumer, partition: i32, offset: Offset) -> Result<(), KafkaError> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&consumer.context().topic, partition, offset)?;
    consumer.incremental_unassign(&list)?;
    consumer.incremental_assign(&list)
}

/// Takes over the log ends of fetch answers, by partition in `seen`, and shows each lane's lag.
fn observe_log_ends(consumer: &Consumer, seen: &mut HashMap<i32, i64>) {
    let context = consumer.context();
    for lane in context.lanes() {
        let partition = lane.partition;
        if let Some(end) = native::cached_log_end(consumer, &context.topic, partition) {
            let last = seen.insert(partition, end);
            if ends::is_news(last, end, lane.log_end.load(Ordering::Relaxed)) {
                lane.log_end.store(end, Ordering::Relaxed);
            }
        }
        if let Some(lag) = lane.lag() {
            context.metrics.lag.with_label_values(&[&partition.to_string()]).set(lag);
        }
    }
}

/// Drains the lanes, commits, and leaves the group.
pub(super) fn leave(consumer: Arc<Consumer>) {
    let context = consumer.context();
    // Not left to the revocation: during somebody else's rebalance that may be a long time coming.
    context.close();
    let _ = context.senders.commits.send(Commit::End);
    // Whoever drops the consumer last says goodbye to the group: that must be this thread, which is waited for.
    let until = Instant::now() + CALLS_TIMEOUT;
    while Arc::strong_count(&consumer) > 1 && Instant::now() < until {
        std::thread::sleep(CALLS_CHECK);
    }
    tracing::info!("partitions given back");
    // Without an answer of the broker this takes long. The client may even wait for ever: it drops the request to take
    // partitions back, unanswered, if it lets go of its group at that moment.
    let (done, goodbye) = channel();
    std::thread::spawn(move || {
        drop(consumer);
        let _ = done.send(());
    });
    if goodbye.recv_timeout(GOODBYE_TIMEOUT).is_err() {
        tracing::warn!(
            "the group did not answer the goodbye; its partitions move when the session times out"
        );
    }
}
