//! The group as the callbacks see it: which lanes run on which partitions.
//!
//! Callbacks run on the poll thread only. On assignment each partition's queue is split off before it is assigned, at
//! a placeholder and paused; its lane takes the fence and then asks for the seek. On revocation the lanes finish their
//! batch within a deadline and are gone, queues and all, before the callback returns.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use super::partition::{Partition, set_metadata};
use super::poll::Command;
use crate::lane::{LaneShared, LaneState, UNKNOWN, lock};
use crate::metrics::Metrics;

pub type Consumer = BaseConsumer<GroupContext>;

/// A commit in a revocation waits so long for the coordinator; later the fence makes up for it.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(2);

/// Starts a lane on a partition; the sender is dropped when the lane is gone.
pub type SpawnLane =
    Box<dyn Fn(Arc<LaneShared>, Partition, CancellationToken, Sender<()>) -> AbortHandle + Send + Sync>;

/// A running lane, from outside.
#[derive(Debug)]
pub struct LaneHandle {
    pub shared: Arc<LaneShared>,
    stop: CancellationToken,
    task: AbortHandle,
    /// Disconnected when the lane is gone.
    gone: Receiver<()>,
    pub(super) stray: Arc<AtomicBool>,
    pub(super) assigned: Instant,
}

/// The consumer's context: owns the lanes.
pub struct GroupContext {
    consumer: OnceLock<Weak<Consumer>>,
    lanes: Mutex<HashMap<i32, LaneHandle>>,
    spawn: SpawnLane,
    pub(super) topic: Arc<str>,
    pub(super) metrics: Arc<Metrics>,
    drain_deadline: Duration,
    commands: Sender<Command>,
    /// Set when the worker stops: partitions that still come get no lane.
    closing: AtomicBool,
}

impl std::fmt::Debug for GroupContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupContext").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl GroupContext {
    pub fn new(
        topic: &str,
        metrics: Arc<Metrics>,
        drain_deadline: Duration,
        commands: Sender<Command>,
        spawn: SpawnLane,
    ) -> Self {
        let (consumer, lanes) = (OnceLock::new(), Mutex::new(HashMap::new()));
        let closing = AtomicBool::new(false);
        Self { consumer, lanes, spawn, topic: topic.into(), metrics, drain_deadline, commands, closing }
    }

    /// Tells the context its own consumer, before the first poll.
    pub fn attach(&self, consumer: &Arc<Consumer>) {
        let _ = self.consumer.set(Arc::downgrade(consumer));
    }

    /// Every lane, ascending by partition.
    pub fn lanes(&self) -> Vec<Arc<LaneShared>> {
        let mut lanes: Vec<_> = lock(&self.lanes).values().map(|lane| lane.shared.clone()).collect();
        lanes.sort_by_key(|lane| lane.partition);
        lanes
    }

    /// Looks at the lane of a partition, if there is one.
    pub(super) fn with_lane<T>(&self, partition: i32, look: impl FnOnce(&LaneHandle) -> T) -> Option<T> {
        lock(&self.lanes).get(&partition).map(look)
    }

    fn assign(&self, consumer: &Consumer, list: &TopicPartitionList) {
        let mut placeholders = TopicPartitionList::new();
        let mut queues = Vec::new();
        for entry in list.elements() {
            let partition = entry.partition();
            self.metrics.rebalances.with_label_values(&["assign"]).inc();
            // Any explicit offset will do: without one the client would ask for the committed offset by itself.
            if let Err(error) = placeholders.add_partition_offset(entry.topic(), partition, Offset::End) {
                tracing::error!(partition, %error, "cannot assign the partition");
                continue;
            }
            queues.push((partition, self.split(partition)));
        }
        let assigned = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(&placeholders),
            RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(&placeholders),
        };
        if let Err(error) = assigned.and_then(|()| consumer.pause(&placeholders)) {
            tracing::error!(%error, "cannot assign partitions");
        }
        let closing = self.closing.load(Ordering::Relaxed);
        for (partition, source) in queues.into_iter().filter(|_| !closing) {
            let Some((source, nonce, stray)) = source else { continue };
            let shared = Arc::new(LaneShared::new(partition, nonce));
            let stop = CancellationToken::new();
            let (alive, gone) = channel();
            let task = (self.spawn)(shared.clone(), source, stop.clone(), alive);
            let handle = LaneHandle { shared, stop, task, gone, stray, assigned: Instant::now() };
            lock(&self.lanes).insert(partition, handle);
        }
        tracing::info!(partitions = ?partitions_of(list), "partitions assigned");
    }

    fn split(&self, partition: i32) -> Option<(Partition, u64, Arc<AtomicBool>)> {
        let weak = self.consumer.get()?.clone();
        let queue = weak.upgrade()?.split_partition_queue(&self.topic, partition)?;
        let (nonce, stray) = (fastrand::u64(1..), Arc::new(AtomicBool::new(false)));
        let place = (self.topic.clone(), partition);
        Some((Partition::new(queue, weak, place, nonce, stray.clone(), self.commands.clone()), nonce, stray))
    }

    fn revoke(&self, consumer: &Consumer, list: &TopicPartitionList) {
        let lost = consumer.assignment_lost();
        let event = if lost { "lost" } else { "revoke" };
        let partitions = partitions_of(list);
        self.metrics.rebalances.with_label_values(&[event]).inc_by(partitions.len() as u64);
        let leaving: Vec<LaneHandle> = {
            let mut lanes = lock(&self.lanes);
            partitions.iter().filter_map(|partition| lanes.remove(partition)).collect()
        };
        self.end(&leaving, lost);
        let unassigned = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
            RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
        };
        if let Err(error) = unassigned {
            tracing::error!(%error, "cannot give partitions back");
        }
        tracing::info!(?partitions, lost, "partitions revoked");
    }

    /// Ends every lane, as a revocation of all partitions would.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        let leaving: Vec<LaneHandle> = lock(&self.lanes).drain().map(|(_, lane)| lane).collect();
        self.end(&leaving, false);
    }

    fn end(&self, lanes: &[LaneHandle], lost: bool) {
        // Nothing a lane of a lost partition still finishes can be committed.
        drain(lanes, if lost { Duration::ZERO } else { self.drain_deadline });
        if !lost {
            self.commit_last(lanes);
        }
        for lane in lanes {
            let _ = self.metrics.lag.remove_label_values(&[&lane.shared.partition.to_string()]);
        }
    }

    /// Commits what the lanes finished; on a thread of its own, because the call has no timeout.
    fn commit_last(&self, lanes: &[LaneHandle]) {
        let shared: Vec<_> = lanes.iter().map(|lane| lane.shared.clone()).collect();
        let Some(consumer) = self.consumer.get().and_then(Weak::upgrade) else { return };
        let (done, wait) = channel();
        std::thread::spawn(move || {
            consumer.context().commit(&consumer, &shared);
            let _ = done.send(());
        });
        if wait.recv_timeout(COMMIT_TIMEOUT).is_err() {
            tracing::warn!("the last commit was not answered; the next owner replays a little");
        }
    }

    /// Commits what these lanes may commit, and waits for the answer.
    pub(super) fn commit(&self, consumer: &Consumer, lanes: &[Arc<LaneShared>]) {
        let (list, offsets) = self.commit_list(lanes);
        if offsets.is_empty() {
            return;
        }
        let timer = self.metrics.stage.with_label_values(&["commit"]).start_timer();
        let result = consumer.commit(&list, CommitMode::Sync);
        timer.observe_duration();
        match result {
            Ok(()) => {
                self.metrics.commits.with_label_values(&["ok"]).inc();
                for (lane, offset) in offsets {
                    lane.committed.store(offset, Ordering::Relaxed);
                }
            }
            Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            Err(error) => {
                self.metrics.commits.with_label_values(&["error"]).inc();
                tracing::warn!(%error, "commit refused; it is tried again");
            }
        }
    }

    /// What may be committed and is not yet.
    fn commit_list<'a>(
        &self,
        lanes: &'a [Arc<LaneShared>],
    ) -> (TopicPartitionList, Vec<(&'a LaneShared, i64)>) {
        let mut list = TopicPartitionList::new();
        let mut offsets = Vec::new();
        for lane in lanes {
            let offset = lane.committable.load(Ordering::Relaxed);
            if offset == UNKNOWN || offset == lane.committed.load(Ordering::Relaxed) {
                continue;
            }
            if list.add_partition_offset(&self.topic, lane.partition, Offset::Offset(offset)).is_ok() {
                set_metadata(&mut list, &self.topic, lane.partition, &lane.commit_metadata());
                offsets.push((&**lane, offset));
            }
        }
        (list, offsets)
    }
}

impl ClientContext for GroupContext {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client");
    }
}

impl ConsumerContext for GroupContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, list),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => self.revoke(consumer, list),
            other => tracing::error!(error = %RDKafkaErrorCode::from(other), "rebalance failed"),
        }
    }
}

/// Tells lanes to stop and waits until each is gone, aborting those that miss the deadline.
fn drain(lanes: &[LaneHandle], deadline: Duration) {
    for lane in lanes {
        lane.shared.set_state(LaneState::Draining);
        lane.stop.cancel();
    }
    let until = Instant::now() + deadline;
    for lane in lanes {
        let left = until.saturating_duration_since(Instant::now());
        if lane.gone.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!(
                partition = lane.shared.partition,
                "lane did not finish in time; its batch is done again elsewhere"
            );
            lane.task.abort();
            // Aborting drops the lane at its next await; nothing in it blocks.
            let _ = lane.gone.recv_timeout(Duration::from_secs(5));
        }
    }
}

fn partitions_of(list: &TopicPartitionList) -> Vec<i32> {
    let mut partitions: Vec<i32> = list.elements().iter().map(|entry| entry.partition()).collect();
    partitions.sort_unstable();
    partitions
}
