//! The worker: one consumer, one lane for each assigned partition, and what they share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use plaudit_crds::worker::WorkerConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::budget::{MemoryBudget, Shares};
use crate::ids::WriteId;
use crate::kafka::{
    Access, GroupContext, KafkaOutbox, Link, Partition, PollSettings, PollThread, SpawnLane, consumer_config,
};
use crate::lane::{Cuts, Lane, LaneContext, LaneShared, PARKED, StartRules};
use crate::merge::Policies;
use crate::metrics::Metrics;
use crate::mutation::Mutation;
use crate::player::Layout;
use crate::process;
use crate::proto::Fence;
use crate::rotation;
use crate::security::{Directory, KafkaCredentials, SecurityError};
use crate::source_warning;
use crate::store::Connector;

/// How often offsets are committed, and idle lanes' fences looked at.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often the store is asked whether it may drop keys.
const EVICTION: Duration = Duration::from_secs(60);
const METADATA_TIMEOUT: Duration = Duration::from_secs(5);
/// Partitions assumed while no broker can tell: queues too small are slow, queues too large break the budget.
const UNKNOWN_PARTITIONS: usize = 64;

#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error("kafka client")]
    Kafka(#[from] KafkaError),
    #[error("source.security")]
    Security(#[from] SecurityError),
    #[error("metrics")]
    Metrics(#[from] prometheus::Error),
    #[error("the poll thread ended unexpectedly")]
    PollThread,
}

/// A running worker, as its endpoints see it.
#[derive(Clone, Debug)]
pub struct Worker {
    pub config: Arc<WorkerConfig>,
    pub metrics: Arc<Metrics>,
    pub connector: Connector,
    pub access: Arc<Access>,
    pub layout: Layout,
    consumer: Arc<ConsumerHandle>,
    unclean: Arc<AtomicBool>,
    pub epoch: Instant,
}

/// The context outlives the consumer, so that endpoints never keep the client alive.
#[derive(Debug)]
struct ConsumerHandle {
    context: Arc<GroupContext>,
}

/// What has to be awaited for the worker to end.
#[derive(Debug)]
pub struct Running {
    pub worker: Worker,
    /// Ends when the group is left.
    pub ended: tokio::sync::oneshot::Receiver<Result<(), KafkaError>>,
}

impl Worker {
    /// Starts the poll thread; lanes come with assignments.
    ///
    /// # Errors
    /// [`WorkerError`] when a client refuses its settings. Servers that are down are not an error: the worker waits.
    /// Members of the group are told apart by `name`.
    pub async fn start(
        config: WorkerConfig,
        name: Option<&str>,
        mutation: Mutation,
        stop: CancellationToken,
    ) -> Result<Running, WorkerError> {
        let config = Arc::new(config);
        let metrics = Arc::new(Metrics::new()?);
        let secrets = Directory(config.secrets_directory.clone().into());
        let credentials = KafkaCredentials::read(&config.source.security, &secrets)?;
        let access = Access::new(&config.source.bootstrap_servers, credentials);
        let store = &config.store;
        let spare_key = format!("{}spare", store.key_prefix);
        let connector = Connector::writing(&store.address, &store.security, &secrets.0, spare_key);
        let layout = Layout { key_prefix: config.store.key_prefix.clone(), buckets: config.store.buckets };
        let epoch = Instant::now();
        let partitions = partitions(&access, &config.source.topic).await;
        let shares = Shares::new(config.memory_budget_bytes, partitions);
        let outbox = KafkaOutbox::new(&access, config.clone())?;
        let spawn =
            spawn_lane(&config, &metrics, (&connector, outbox.clone()), &layout, epoch, mutation, shares);
        let drain_deadline = Duration::from_secs(u64::from(config.drain_deadline_seconds));
        let (context, requests) = GroupContext::new(
            (&config.source.topic, &config.source.consumer_group),
            Link::new(&access),
            metrics.clone(),
            drain_deadline,
            spawn,
        );
        let consumer: Arc<BaseConsumer<GroupContext>> =
            Arc::new(consumer_config(&access, &config, name, partitions).create_with_context(context)?);
        let context = consumer.context().clone();
        context.attach(&consumer);
        let poll = PollThread::new(consumer, requests, PollSettings { commit_interval: INTERVAL });
        let (ending, ended) = tokio::sync::oneshot::channel();
        let stopped = stop.clone();
        // Callbacks block on lanes, so the thread is none of the runtime's.
        std::thread::Builder::new()
            .name("poll".into())
            .spawn(move || {
                let _ = ending.send(poll.run(&stopped));
            })
            .map_err(|_| WorkerError::PollThread)?;
        let consumer = Arc::new(ConsumerHandle { context });
        let worker =
            Self { config, metrics, connector, access, layout, consumer, unclean: Arc::default(), epoch };
        tokio::spawn(ask_kafka(worker.clone(), stop.clone()));
        tokio::spawn(rotation::follow(worker.clone(), outbox, secrets, stop.clone()));
        tokio::spawn(watch(worker.clone(), stop));
        Ok(Running { worker, ended })
    }

    pub fn lanes(&self) -> Vec<Arc<LaneShared>> {
        self.consumer.context.lanes()
    }

    /// The topic allows unclean leader elections, as far as it was asked.
    pub fn allows_unclean_election(&self) -> bool {
        self.unclean.load(Ordering::Relaxed)
    }

    /// Gives what was known before.
    pub(crate) fn set_allows_unclean_election(&self, allowed: bool) -> bool {
        self.unclean.swap(allowed, Ordering::Relaxed)
    }

    /// How long ago the poll thread last went round, and how much of that a rebalance may take.
    pub fn since_poll(&self) -> (Duration, Duration) {
        (self.consumer.context.since_poll(), self.consumer.context.drain_deadline())
    }

    /// The lane that has made no step for the longest time, and that time.
    pub fn slowest_step(&self) -> Option<(i32, Duration)> {
        let now = self.epoch.elapsed();
        let since = |lane: &Arc<LaneShared>| {
            let last = Duration::from_millis(lane.last_step.load(Ordering::Relaxed));
            (lane.partition, now.saturating_sub(last))
        };
        self.lanes().iter().map(since).max_by_key(|(_, since)| *since)
    }

    /// Refreshes the metrics that are read, not counted.
    pub fn refresh_metrics(&self) {
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.metrics.resident.set(gauge(process::resident_bytes()));
        self.metrics.allocated.set(gauge(process::allocated_bytes()));
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        self.metrics.tasks.set(gauge(tasks as u64));
        let lanes = self.lanes();
        let cached: usize = lanes.iter().map(|lane| lane.cache_bytes.load(Ordering::Relaxed)).sum();
        self.metrics.cache_bytes.set(gauge(cached as u64));
        let doing =
            |lane: &Arc<LaneShared>| (lane.partition, lane.state(), lane.why().map(|(reason, _)| reason));
        self.metrics.lanes_are(&lanes.iter().map(doing).collect::<Vec<_>>());
    }
}

/// Partitions of the topic, which a worker may all come to own.
async fn partitions(access: &Arc<Access>, topic: &str) -> usize {
    let (access, topic) = (access.clone(), topic.to_owned());
    let count = tokio::task::spawn_blocking(move || {
        let consumer = access.reader().ok()?;
        let metadata = consumer.fetch_metadata(Some(&topic), METADATA_TIMEOUT).ok()?;
        access.reached();
        Some(metadata.topics().first()?.partitions().len())
    });
    count.await.ok().flatten().filter(|count| *count > 0).unwrap_or(UNKNOWN_PARTITIONS)
}

/// Asks until Kafka has answered once: a worker that no partition is left for would not know otherwise. From then on, now and then for the
/// topic's settings.
async fn ask_kafka(worker: Worker, stop: CancellationToken) {
    while !worker.access.is_reached() {
        partitions(&worker.access, &worker.config.source.topic).await;
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = stop.cancelled() => return,
        }
    }
    source_warning::watch_settings(&worker, &stop).await;
}

fn spawn_lane(
    config: &Arc<WorkerConfig>,
    metrics: &Arc<Metrics>,
    (connector, outbox): (&Connector, KafkaOutbox),
    layout: &Layout,
    epoch: Instant,
    mutation: Mutation,
    shares: Shares,
) -> SpawnLane {
    let budget = MemoryBudget::new(shares.batches);
    let policies = Policies::new(&config.achievements);
    let (config, metrics, connector, layout) =
        (config.clone(), metrics.clone(), connector.clone(), layout.clone());
    let runtime = tokio::runtime::Handle::current();
    Box::new(move |shared: Arc<LaneShared>, source: Partition, stop: CancellationToken, alive| {
        let context = Arc::new(LaneContext {
            shared,
            metrics: metrics.clone(),
            budget: budget.clone(),
            share_bytes: shares.batch,
            stop,
            layout: layout.clone(),
            policies: policies.clone(),
            group: config.source.consumer_group.clone(),
            start: StartRules {
                initial: config.source.initial_offset,
                on_topic_recreated: config.source.on_topic_recreated,
                on_retention_loss: config.source.on_retention_loss,
                on_store_loss: config.store.on_store_loss,
            },
            format: config.source.format,
            unlisted: config.achievements.unlisted,
            on_error: config.dead_letters.on_error,
            announces: config.unlocks.topic.is_some(),
            max_clock_skew_ms: i64::from(config.source.max_clock_skew_seconds) * 1_000,
            max_records: usize::try_from(config.batch.max_records).unwrap_or(1),
            max_bytes: usize::try_from(config.batch.max_bytes).unwrap_or(1),
            max_delay: Duration::from_millis(u64::try_from(config.batch.max_delay_milliseconds).unwrap_or(0)),
            max_value_bytes: config.store.max_value_bytes as usize,
            cuts: Cuts::default(),
            cache_bytes: shares.cache,
            now_ms: process::now_ms,
            epoch,
            parked: if mutation == Mutation::ParkBriefly { PARKED / 100 } else { PARKED },
            mutation,
        });
        context.step();
        let lane = Lane::new(context, connector.connection(), source, outbox.clone());
        let task = runtime.spawn(async move {
            lane.run().await;
            drop(alive);
        });
        task.abort_handle()
    })
}

/// Reads the fences of all idle lanes in one MGET a second, and wakes the lanes whose fence is not theirs any more.
async fn watch(worker: Worker, stop: CancellationToken) {
    let mut connection = worker.connector.connection();
    let mut ask_at = Instant::now();
    while !stop.is_cancelled() {
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = stop.cancelled() => return,
        }
        // Before the first lane has something to do, so that nobody finds out too late.
        if Instant::now() >= ask_at {
            connection.ask_for_eviction().await;
            ask_at = Instant::now() + EVICTION;
        }
        let idle: Vec<_> =
            worker.lanes().into_iter().filter_map(|lane| lane.idle_fence().map(|id| (lane, id))).collect();
        if idle.is_empty() {
            continue;
        }
        let keys: Vec<String> =
            idle.iter().map(|(lane, _)| worker.layout.fence_key(lane.partition)).collect();
        // A store that does not answer is for the lanes to notice when they need it.
        let Ok(found) = connection.get_many(keys.iter().map(String::as_str)).await else { continue };
        for ((lane, id), value) in idle.into_iter().zip(found) {
            if fence_id(value.as_deref()) != Some(id) && lane.idle_fence() == Some(id) {
                lane.recheck.notify_one();
            }
        }
    }
}

fn fence_id(value: Option<&[u8]>) -> Option<WriteId> {
    let fence = <Fence as prost::Message>::decode(value?).ok()?;
    Some(WriteId { high: fence.id_high, low: fence.id_low })
}
