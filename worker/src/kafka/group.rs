//! The group as the callbacks see it: which lanes run on which partitions.
//!
//! Callbacks run on the poll thread only. On assignment each partition's queue is split off and paused before it is
//! assigned, at a placeholder; its lane takes the fence and then asks for the seek. On revocation the lanes finish their
//! batch within a deadline and are gone, queues and all, before the callback returns.

use std::collections::HashMap;
use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use super::committer::Commit;
use super::fetched::FetchQueue;
use super::handle::{LaneHandle, drain};
use super::link::Link;
use super::partition::Partition;
use super::poll::Seek;
use crate::lane::{LaneShared, lock};
use crate::metrics::Metrics;

pub type Consumer = BaseConsumer<GroupContext>;

/// A revocation waits at most this long for lanes: half of max.poll.interval.ms, past which the group has moved on.
const MAX_DRAIN: Duration = Duration::from_secs(30);
/// A commit in a revocation waits so long for the coordinator; later the fence makes up for it.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(2);
/// The commit before leaving also waits for one under way: nothing else is held up by it.
const LAST_COMMIT_TIMEOUT: Duration = Duration::from_secs(4);

/// Starts a lane on a partition; the sender is dropped when the lane is gone.
pub type SpawnLane =
    Box<dyn Fn(Arc<LaneShared>, Partition, CancellationToken, Sender<()>) -> AbortHandle + Send + Sync>;

/// Ways to the two threads that serve lanes.
#[derive(Clone, Debug)]
pub(super) struct GroupSenders {
    pub seeks: Sender<Seek>,
    pub commits: Sender<Commit>,
}

/// The other ends, for the poll thread and the committer.
#[derive(Debug)]
pub struct Requests {
    pub(super) seeks: Receiver<Seek>,
    pub(super) commits: Receiver<Commit>,
}

/// The consumer's context: owns the lanes.
pub struct GroupContext {
    consumer: OnceLock<Weak<Consumer>>,
    lanes: Mutex<HashMap<i32, LaneHandle>>,
    spawn: SpawnLane,
    pub(super) topic: Arc<str>,
    pub(super) group: Arc<str>,
    pub(super) link: Link,
    pub(super) metrics: Arc<Metrics>,
    drain_deadline: Duration,
    pub(super) senders: GroupSenders,
    /// When the poll thread last went round, in milliseconds since `created`.
    polled: AtomicU64,
    created: Instant,
    /// Set when the worker stops: partitions that still come get no lane.
    closing: AtomicBool,
}

impl std::fmt::Debug for GroupContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupContext").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl GroupContext {
    /// The context of a consumer of `topic` in `group`, and what its poll thread serves.
    pub fn new(
        (topic, group): (&str, &str),
        link: Link,
        metrics: Arc<Metrics>,
        drain_deadline: Duration,
        spawn: SpawnLane,
    ) -> (Self, Requests) {
        let ((to_seek, seeks), (to_commit, commits)) = (channel(), channel());
        let context = Self {
            consumer: OnceLock::new(),
            lanes: Mutex::new(HashMap::new()),
            spawn,
            topic: topic.into(),
            group: group.into(),
            link,
            metrics,
            drain_deadline: drain_deadline.min(MAX_DRAIN),
            senders: GroupSenders { seeks: to_seek, commits: to_commit },
            polled: AtomicU64::new(0),
            created: Instant::now(),
            closing: AtomicBool::new(false),
        };
        (context, Requests { seeks, commits })
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

    /// How long lanes get to finish when their partitions go.
    pub fn drain_deadline(&self) -> Duration {
        self.drain_deadline
    }

    /// How long ago the poll thread last went round.
    pub fn since_poll(&self) -> Duration {
        let polled = Duration::from_millis(self.polled.load(Ordering::Relaxed));
        self.created.elapsed().saturating_sub(polled)
    }

    pub(super) fn note_poll(&self) {
        let millis = u64::try_from(self.created.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.polled.store(millis, Ordering::Relaxed);
    }

    /// Looks at the lane of a partition, if there is one.
    pub(super) fn with_lane<T>(&self, partition: i32, look: impl FnOnce(&mut LaneHandle) -> T) -> Option<T> {
        lock(&self.lanes).get_mut(&partition).map(look)
    }

    fn assign(&self, consumer: &Consumer, list: &TopicPartitionList) {
        self.link.access().reached();
        let mut placeholders = TopicPartitionList::new();
        let mut queues = Vec::new();
        for entry in list.elements() {
            let partition = entry.partition();
            self.metrics.rebalances.with_label_values(&["assign"]).inc();
            // Nothing is fetched there. It must be a number: the client would look a logical offset up, and an answer
            // that comes after the lane's seek makes it ask again, go there, and skip what the lane has not read.
            if let Err(error) = placeholders.add_partition_offset(entry.topic(), partition, Offset::Offset(0))
            {
                tracing::error!(partition, %error, "cannot assign the partition");
                continue;
            }
            if !self.is_closing() {
                let stop = CancellationToken::new();
                queues.push((partition, self.split(partition, &stop), stop));
            }
        }
        // Before it is assigned, or offset 0 could be asked for, be out of range, and end the fetching for good.
        let paused = consumer.pause(&placeholders);
        let assigned = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(&placeholders),
            RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(&placeholders),
        };
        if let Err(error) = paused.and(assigned) {
            tracing::error!(%error, "cannot assign partitions");
        }
        for (partition, source, stop) in queues {
            let Some((source, nonce, stray)) = source else { continue };
            let shared = Arc::new(LaneShared::new(partition, nonce));
            let (alive, gone) = channel();
            let task = (self.spawn)(shared.clone(), source, stop.clone(), alive);
            let assigned = Some(Instant::now());
            let handle = LaneHandle { shared, stop, task, gone, stray, assigned };
            lock(&self.lanes).insert(partition, handle);
        }
        tracing::info!(partitions = ?partitions_of(list), "partitions assigned");
    }

    fn split(&self, partition: i32, stop: &CancellationToken) -> Option<(Partition, u64, Arc<AtomicBool>)> {
        let weak = self.consumer.get()?.clone();
        let consumer = weak.upgrade()?;
        let queue = consumer.split_partition_queue(&self.topic, partition)?;
        let fetched = FetchQueue::new(&*consumer, &self.topic, partition)?;
        let (nonce, stray) = (fastrand::u64(1..), Arc::new(AtomicBool::new(false)));
        let place = (self.topic.clone(), partition);
        let signals = (stray.clone(), stop.clone());
        Some((
            Partition::new((fetched, queue), weak, place, nonce, signals, self.senders.clone()),
            nonce,
            stray,
        ))
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
        self.end(&leaving, (!lost).then_some(COMMIT_TIMEOUT));
        // A client that has let go of its group takes nothing back any more, and may never answer.
        if self.is_closing() && consumer.closed() {
            return;
        }
        let unassigned = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
            RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
        };
        if let Err(error) = unassigned {
            tracing::error!(%error, "cannot give partitions back");
        }
        tracing::info!(?partitions, lost, "partitions revoked");
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Ends every lane, as a revocation of all partitions would.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        let leaving: Vec<LaneHandle> = lock(&self.lanes).drain().map(|(_, lane)| lane).collect();
        self.end(&leaving, Some(LAST_COMMIT_TIMEOUT));
    }

    /// Ends lanes; the commit of what they finished may take this long, and there is none for lost partitions.
    fn end(&self, lanes: &[LaneHandle], commit: Option<Duration>) {
        drain(lanes, commit.map(|_| self.drain_deadline));
        if let Some(timeout) = commit {
            self.commit_last(lanes, timeout);
        }
        for lane in lanes {
            let _ = self.metrics.lag.remove_label_values(&[&lane.shared.partition.to_string()]);
        }
    }

    /// Has the committer commit what the lanes finished, and waits for it.
    fn commit_last(&self, lanes: &[LaneHandle], timeout: Duration) {
        if lanes.is_empty() {
            return;
        }
        let (done, wait) = channel();
        let lanes = lanes.iter().map(|lane| lane.shared.clone()).collect();
        let last = Commit::Last { lanes, until: Instant::now() + timeout, done };
        if self.senders.commits.send(last).is_err() || wait.recv_timeout(timeout).is_err() {
            tracing::warn!("the last commit was not answered; the next owner replays a little");
        }
    }
}

impl ClientContext for GroupContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client");
        self.link.note(&error, reason);
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.link.token()
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

fn partitions_of(list: &TopicPartitionList) -> Vec<i32> {
    let mut partitions: Vec<i32> = list.elements().iter().map(|entry| entry.partition()).collect();
    partitions.sort_unstable();
    partitions
}
