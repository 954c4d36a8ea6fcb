//! The workers of a simulation: real lanes, their commits, the watch over idle fences, and partitions changing hands.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use plaudit_crds::{
    Format, InitialOffset, OnError, OnRetentionLoss, OnStoreLoss, OnTopicRecreated, Unlisted,
};
use plaudit_worker::budget::MemoryBudget;
use plaudit_worker::lane::{Lane, LaneContext, LaneShared, LaneState, PARKED, StartRules, UNKNOWN};
use plaudit_worker::merge::Policies;
use plaudit_worker::metrics::Metrics;
use plaudit_worker::mutation::Mutation;
use plaudit_worker::proto::Fence;
use prost::Message as _;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::connection::Connection;
use super::load::{NOW_MS, achievements, layout};
use super::outbox::Topics;
use super::plan::Fault;
use super::source::Partition;
use super::world::World;

/// How often offsets are committed and idle fences looked at.
const INTERVAL: Duration = Duration::from_secs(1);
/// A revocation waits so long for its lane.
const DRAIN: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Fleet {
    world: Arc<World>,
    policies: Policies,
    mutation: Mutation,
    /// By partition, the lane that owns it.
    lanes: Mutex<Vec<Option<Running>>>,
    started: Mutex<u32>,
}

/// A lane with what its worker does for it.
#[derive(Debug)]
struct Running {
    number: u32,
    partition: i32,
    shared: Arc<LaneShared>,
    stop: CancellationToken,
    task: JoinHandle<()>,
    helpers: AbortHandle,
    commits: Arc<tokio::sync::Mutex<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
        self.helpers.abort();
    }
}

impl Fleet {
    /// A lane on each partition.
    pub fn start(world: Arc<World>, mutation: Mutation) -> Arc<Self> {
        let partitions = world.plan.partitions;
        let fleet = Arc::new(Self {
            world,
            policies: Policies::new(&achievements()),
            mutation,
            lanes: Mutex::new((0..partitions).map(|_| None).collect()),
            started: Mutex::new(0),
        });
        (0..partitions).for_each(|partition| fleet.own(partition));
        fleet
    }

    /// Lets a fault happen; what takes time goes on beside.
    pub fn suffer(self: &Arc<Self>, fault: Fault) {
        self.world.note(|| format!("{fault:?}"));
        match fault {
            Fault::Down { ms } => {
                self.world.state().down_until = Instant::now() + Duration::from_millis(ms);
            }
            Fault::Lose { writes } => self.world.lose(writes),
            Fault::Wipe => self.world.wipe(),
            Fault::Forget { partition } => self.world.state().partitions[partition as usize].committed = None,
            Fault::Revoke { partition }
            | Fault::Zombie { partition, .. }
            | Fault::Crash { partition, .. } => {
                let Some(old) = lock(&self.lanes)[partition as usize].take() else { return };
                self.world.state().partitions[partition as usize].moving = true;
                tokio::spawn(self.clone().hand_over(partition, old, fault));
            }
        }
    }

    async fn hand_over(self: Arc<Self>, partition: u32, mut old: Running, fault: Fault) {
        match fault {
            Fault::Zombie { frozen_ms, runs_ms, .. } => {
                let frozen = Duration::from_millis(frozen_ms);
                self.world.state().frozen.insert(old.number, Instant::now() + frozen);
                self.own(partition);
                self.moved(partition);
                sleep(frozen + Duration::from_millis(runs_ms)).await;
                old.stop.cancel();
                sleep(self.world.millis(300)).await;
            }
            Fault::Revoke { .. } => {
                old.shared.set_state(LaneState::Draining);
                old.stop.cancel();
                if timeout(DRAIN, &mut old.task).await.is_err() {
                    old.task.abort();
                }
                old.helpers.abort();
                commit(&self.world, &old.shared, old.number, old.commits.clone()).await;
                self.own(partition);
                self.moved(partition);
            }
            Fault::Crash { gap_ms, .. } => {
                drop(old);
                sleep(Duration::from_millis(gap_ms)).await;
                self.own(partition);
                self.moved(partition);
            }
            Fault::Down { .. } | Fault::Lose { .. } | Fault::Wipe | Fault::Forget { .. } => {}
        }
    }

    fn moved(&self, partition: u32) {
        self.world.state().partitions[partition as usize].moving = false;
    }

    /// Starts a lane that owns the partition from now on.
    fn own(&self, partition: u32) {
        let number = {
            let mut started = lock(&self.started);
            *started += 1;
            *started
        };
        let nonce = self.world.state().rng.u64(1..);
        self.world.note(|| format!("lane {number} ({:04x}) owns {partition}", nonce & 0xffff));
        self.world.state().partitions[partition as usize].owner = Some(number);
        let shared = Arc::new(LaneShared::new(partition.cast_signed(), nonce));
        let stop = CancellationToken::new();
        let commits = Arc::new(tokio::sync::Mutex::new(()));
        let context = Arc::new(self.context(shared.clone(), stop.clone()));
        let (world, lane) = (self.world.clone(), number);
        let source = Partition {
            world: world.clone(),
            lane,
            partition: shared.partition,
            next: None,
            commits: commits.clone(),
        };
        let store = Connection { world: world.clone(), lane };
        let task = tokio::spawn(Lane::new(context, store, source, Topics { world, lane }).run());
        let helpers = tokio::spawn(help(self.world.clone(), shared.clone(), number, commits.clone()));
        let helpers = helpers.abort_handle();
        let partition = shared.partition;
        let running = Running { number, partition, shared, stop, task, helpers, commits };
        lock(&self.lanes)[partition as usize] = Some(running);
    }

    fn context(&self, shared: Arc<LaneShared>, stop: CancellationToken) -> LaneContext {
        static METRICS: OnceLock<Arc<Metrics>> = OnceLock::new();
        let metrics =
            METRICS.get_or_init(|| Arc::new(Metrics::new().expect("metrics have names of their own")));
        let knobs = &self.world.plan.knobs;
        LaneContext {
            shared,
            metrics: metrics.clone(),
            budget: MemoryBudget::new(1 << 20),
            share_bytes: 64 << 10,
            stop,
            layout: layout(),
            policies: self.policies.clone(),
            group: "group".to_owned(),
            start: StartRules {
                initial: InitialOffset::Earliest,
                on_topic_recreated: OnTopicRecreated::Stop,
                on_retention_loss: OnRetentionLoss::Stop,
                on_store_loss: OnStoreLoss::Replay,
            },
            format: Format::Json,
            unlisted: Unlisted::DeadLetter,
            on_error: OnError::DeadLetter,
            announces: true,
            max_clock_skew_ms: 300_000,
            max_records: knobs.max_records,
            max_bytes: 1 << 20,
            max_delay: Duration::from_millis(knobs.batch_delay_ms),
            max_value_bytes: knobs.max_value_bytes,
            cuts: knobs.cuts,
            cache_bytes: knobs.cache_bytes,
            now_ms: || NOW_MS,
            epoch: self.world.began,
            parked: PARKED,
            mutation: self.mutation,
        }
    }

    /// What is not at rest yet; none when every record is stored and committed, and every owner knows its fence.
    pub fn unrest(&self) -> Option<String> {
        if self.world.state().under_way > 0 {
            return Some("commands are under way".to_owned());
        }
        lock(&self.lanes).iter().find_map(|lane| match lane {
            None => Some("a partition has no lane".to_owned()),
            Some(lane) => lane.unrest(&self.world),
        })
    }
}

impl Running {
    fn unrest(&self, world: &World) -> Option<String> {
        let (partition, end) =
            (self.partition, i64::try_from(world.log(self.partition).len()).unwrap_or(i64::MAX));
        let fence = world.fence(partition).and_then(|value| Fence::decode(&*value).ok()).unwrap_or_default();
        let committed = world.state().partitions[partition as usize].committed.clone();
        // A group that forgot what an idle lane committed is not told again; the fence knows.
        let committed = committed.map_or(end, |committed| committed.offset);
        let mine =
            self.shared.idle_fence().is_some_and(|id| (id.high, id.low) == (fence.id_high, fence.id_low));
        let at = (fence.position, fence.settled, committed);
        let quiet = mine && at == (end, end, end) && !self.task.is_finished();
        (!quiet).then(|| {
            format!(
                "lane {} of {partition} is {:?} {:?}, ended {}, knows its fence {mine}, fence and commit {at:?} of {end}",
                self.number,
                self.shared.state(),
                self.shared.why(),
                self.task.is_finished()
            )
        })
    }
}

/// Commits and looks at the fence while it is idle, as a worker does for its lanes.
async fn help(world: Arc<World>, shared: Arc<LaneShared>, lane: u32, commits: Arc<tokio::sync::Mutex<()>>) {
    loop {
        sleep(INTERVAL).await;
        world.thaw(lane).await;
        commit(&world, &shared, lane, commits.clone()).await;
        let Some(id) = shared.idle_fence() else { continue };
        world.way(lane).await;
        if Instant::now() < world.state().down_until {
            continue;
        }
        let fence = world.fence(shared.partition).and_then(|value| Fence::decode(&*value).ok());
        world.way(lane).await;
        let same = fence.is_some_and(|fence| (fence.id_high, fence.id_low) == (id.high, id.low));
        if !same && shared.idle_fence() == Some(id) {
            shared.recheck.notify_one();
        }
    }
}

/// Commits what a lane may commit, if that is news. Once sent, it arrives whatever becomes of the worker.
async fn commit(
    world: &Arc<World>,
    shared: &Arc<LaneShared>,
    lane: u32,
    commits: Arc<tokio::sync::Mutex<()>>,
) {
    let one_at_a_time = commits.lock_owned().await;
    let offset = shared.committable.load(Ordering::Relaxed);
    if offset == UNKNOWN || offset == shared.committed.load(Ordering::Relaxed) {
        return;
    }
    let (world, shared) = (world.clone(), shared.clone());
    let metadata = shared.commit_metadata();
    let sent = tokio::spawn(async move {
        let _one_at_a_time = one_at_a_time;
        world.way(lane).await;
        let lost = world.fails();
        if lost && world.state().rng.bool() {
            shared.committed.store(UNKNOWN, Ordering::Relaxed);
            return;
        }
        let accepted = world.commit(lane, shared.partition, offset, &metadata);
        world.way(lane).await;
        shared.committed.store(if accepted && !lost { offset } else { UNKNOWN }, Ordering::Relaxed);
    });
    let _ = sent.await;
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
