//! The poll thread: serves the group's callbacks and moves partitions where their lanes ask; a second one commits.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::group::Consumer;
use super::native;
use crate::lane::ports::SourceError;

/// A lane's request waits at most this long for the thread.
const POLL: Duration = Duration::from_millis(20);
const SEEK_TIMEOUT: Duration = Duration::from_secs(2);
/// How often cached log ends become metrics.
const OBSERVE: Duration = Duration::from_secs(1);
/// How soon the committing thread notices that it is over.
const STOP_CHECK: Duration = Duration::from_millis(50);
/// A commit under way is waited for so long before the group is left.
const COMMITTER_TIMEOUT: Duration = Duration::from_secs(2);
/// The same complaint of the client is repeated after this: without a broker it comes twenty times a second.
const COMPLAIN: Duration = Duration::from_secs(10);

/// What a lane asks of the poll thread.
#[derive(Debug)]
pub enum Command {
    /// Deliver from `offset` on. Refused unless the lane with this nonce still owns the partition.
    Seek { partition: i32, nonce: u64, offset: i64, reply: oneshot::Sender<Result<(), SourceError>> },
}

#[derive(Clone, Copy, Debug)]
pub struct PollSettings {
    pub commit_interval: Duration,
}

/// Owns the consumer's main queue.
pub struct PollThread {
    consumer: Arc<Consumer>,
    commands: Receiver<Command>,
    settings: PollSettings,
}

impl std::fmt::Debug for PollThread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PollThread").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl PollThread {
    pub fn new(consumer: Arc<Consumer>, commands: Receiver<Command>, settings: PollSettings) -> Self {
        Self { consumer, commands, settings }
    }

    /// Polls until told to stop, then drains the lanes, commits and leaves the group.
    ///
    /// # Errors
    /// A fatal error of the client: the worker must be started again.
    pub fn run(self, stop: &CancellationToken) -> Result<(), KafkaError> {
        let topic = self.consumer.context().topic.clone();
        self.consumer.subscribe(&[&topic])?;
        let committer = self.start_committer(stop);
        let mut observed = Instant::now();
        let mut complaint = None;
        while !stop.is_cancelled() {
            self.poll(&mut complaint)?;
            self.serve_commands();
            if observed.elapsed() >= OBSERVE {
                self.observe_log_ends();
                observed = Instant::now();
            }
        }
        self.leave(&committer);
        Ok(())
    }

    fn poll(&self, complaint: &mut Option<(KafkaError, Instant)>) -> Result<(), KafkaError> {
        match self.consumer.poll(POLL) {
            None => {}
            Some(Ok(record)) => {
                // Every partition has its own queue, so this cannot be; if it is, nothing may be skipped.
                tracing::error!(partition = record.partition(), offset = record.offset(), "stray record");
                let partition = record.partition();
                self.consumer
                    .context()
                    .with_lane(partition, |lane| lane.stray.store(true, Ordering::Relaxed));
            }
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => return Err(error),
            Some(Err(error)) => {
                let known =
                    complaint.as_ref().is_some_and(|(last, at)| *last == error && at.elapsed() < COMPLAIN);
                if !known {
                    tracing::warn!(%error, "kafka");
                    *complaint = Some((error, Instant::now()));
                }
            }
        }
        Ok(())
    }

    fn serve_commands(&self) {
        while let Ok(Command::Seek { partition, nonce, offset, reply }) = self.commands.try_recv() {
            let _ = reply.send(self.seek(partition, nonce, offset));
        }
    }

    fn seek(&self, partition: i32, nonce: u64, offset: i64) -> Result<(), SourceError> {
        let context = self.consumer.context();
        let owned = context.with_lane(partition, |lane| lane.shared.nonce == nonce).unwrap_or(false);
        if !owned {
            return Err(SourceError::Unassigned);
        }
        let kafka = |error: KafkaError| SourceError::Kafka(error.to_string());
        self.consumer.seek(&context.topic, partition, Offset::Offset(offset), SEEK_TIMEOUT).map_err(kafka)?;
        let mut list = TopicPartitionList::new();
        list.add_partition(&context.topic, partition);
        self.consumer.resume(&list).map_err(kafka)?;
        let pause = context.with_lane(partition, |lane| lane.assigned.elapsed());
        context.metrics.rebalance_pause.observe(pause.unwrap_or_default().as_secs_f64());
        Ok(())
    }

    /// Commits what lanes have finished, on a thread of its own: only the blocking call tells whether the group
    /// accepted it, and it has no timeout.
    fn start_committer(&self, stop: &CancellationToken) -> JoinHandle<()> {
        let (consumer, stop, interval) =
            (Arc::downgrade(&self.consumer), stop.clone(), self.settings.commit_interval);
        std::thread::spawn(move || {
            let mut last = Instant::now();
            while !stop.is_cancelled() {
                std::thread::sleep(STOP_CHECK);
                if last.elapsed() < interval {
                    continue;
                }
                last = Instant::now();
                let Some(consumer) = consumer.upgrade() else { return };
                let lanes = consumer.context().lanes();
                consumer.context().commit(&consumer, &lanes);
            }
        })
    }

    fn observe_log_ends(&self) {
        let context = self.consumer.context();
        for lane in context.lanes() {
            if let Some(end) = native::cached_log_end(&self.consumer, &context.topic, lane.partition) {
                lane.log_end.store(end, Ordering::Relaxed);
            }
            if let Some(lag) = lane.lag() {
                context.metrics.lag.with_label_values(&[&lane.partition.to_string()]).set(lag);
            }
        }
    }

    /// Drains the lanes, commits, and leaves the group.
    fn leave(self, committer: &JoinHandle<()>) {
        // Not left to the revocation: during somebody else's rebalance that may be a long time coming.
        self.consumer.context().close();
        let until = Instant::now() + COMMITTER_TIMEOUT;
        while !committer.is_finished() && Instant::now() < until {
            std::thread::sleep(STOP_CHECK);
        }
        tracing::info!("partitions given back");
        // Dropping says goodbye to the group, and may block for long; whoever waits for this thread has a deadline.
        drop(self.consumer);
    }
}
