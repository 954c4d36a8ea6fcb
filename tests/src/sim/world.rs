//! What all parts of a simulation share: the store, the group, the topics, and the one source of chance.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use plaudit_worker::lane::ports::Committed;
use tokio::time::{Instant, sleep, sleep_until};

use super::data::{Answer, Command, Data};
use super::load::layout;
use super::plan::Plan;
use super::record::Record;
use super::verdict;

/// How many writes the store can go back.
const HISTORY: usize = 16;

/// One simulation.
#[derive(Debug)]
pub struct World {
    pub plan: Arc<Plan>,
    pub began: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
pub struct State {
    pub rng: Rng,
    /// Whether answers may still be lost.
    pub faulty: bool,
    pub data: Data,
    history: VecDeque<Data>,
    /// How often the store lost writes.
    pub losses: u32,
    pub down_until: Instant,
    /// Commands that may still run.
    pub under_way: usize,
    pub partitions: Vec<Partition>,
    pub letters: Vec<Record>,
    pub lettered: BTreeSet<(i32, i64)>,
    pub unlocks: Vec<Record>,
    /// Lanes that stand still, by number.
    pub frozen: BTreeMap<u32, Instant>,
    /// What is broken for good, and found at once.
    pub broken: Option<String>,
    trace: Option<Vec<String>>,
}

/// A partition as the group knows it.
#[derive(Clone, Debug, Default)]
pub struct Partition {
    /// The number of the lane whose commits are accepted.
    pub owner: Option<u32>,
    pub committed: Option<Committed>,
    /// Below this offset, everything was seen to be stored when it was committed.
    pub proven: i64,
    /// A fault that changes its owner is not over.
    pub moving: bool,
}

impl World {
    pub fn new(plan: Arc<Plan>, traced: bool) -> Arc<Self> {
        let began = Instant::now();
        let state = State {
            rng: Rng::with_seed(plan.seed ^ 0x005e_ed00),
            faulty: true,
            data: Data::default(),
            history: VecDeque::new(),
            losses: 0,
            down_until: began,
            under_way: 0,
            partitions: vec![Partition::default(); plan.partitions as usize],
            letters: Vec::new(),
            lettered: BTreeSet::new(),
            unlocks: Vec::new(),
            frozen: BTreeMap::new(),
            broken: None,
            trace: traced.then(Vec::new),
        };
        Arc::new(Self { plan, began, state: Mutex::new(state) })
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what happens into the trace, if there is one.
    pub fn note(&self, what: impl FnOnce() -> String) {
        let seconds = self.began.elapsed().as_secs_f64();
        if let Some(trace) = &mut self.state().trace {
            trace.push(format!("{seconds:8.3} {}", what()));
        }
    }

    pub fn take_trace(&self) -> Vec<String> {
        self.state().trace.take().unwrap_or_default()
    }

    /// One of so many milliseconds.
    pub fn millis(&self, most: u64) -> Duration {
        Duration::from_millis(self.state().rng.u64(..=most))
    }

    /// Whether something fails now.
    pub fn fails(&self) -> bool {
        let errors = self.plan.knobs.errors;
        let mut state = self.state();
        state.faulty && state.rng.f64() < errors
    }

    /// The way to or from a server; a lane that stands still does not notice the time.
    pub async fn way(&self, lane: u32) {
        sleep(self.millis(self.plan.knobs.delay_ms)).await;
        self.thaw(lane).await;
    }

    pub async fn thaw(&self, lane: u32) {
        loop {
            let until = self.state().frozen.get(&lane).copied();
            match until.filter(|until| *until > Instant::now()) {
                Some(until) => sleep_until(until).await,
                None => return,
            }
        }
    }

    /// The records of a partition that are there.
    pub fn arrived(&self, partition: i32) -> impl Iterator<Item = &Record> {
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.log(partition).iter().take_while(move |record| record.arrives_ms <= now_ms)
    }

    pub fn log(&self, partition: i32) -> &[Record] {
        &self.plan.log[usize::try_from(partition).unwrap_or(0)]
    }

    /// Runs a command in the store; none where it is down.
    pub fn execute(&self, lane: u32, command: &Command) -> Option<Answer> {
        let now = Instant::now();
        let upload = Duration::from_millis(self.plan.knobs.upload_ms);
        let mut state = self.state();
        if now < state.down_until {
            return None;
        }
        if command.writes() {
            let before = state.data.clone();
            state.history.push_back(before);
            if state.history.len() > HISTORY {
                state.history.pop_front();
            }
        }
        let answer = state.data.run(command, now, upload);
        drop(state);
        self.note(|| format!("lane {lane}: {command} -> {answer}"));
        Some(answer)
    }

    /// The store forgets its last writes, or all.
    pub fn lose(&self, writes: usize) {
        let mut state = self.state();
        state.losses += 1;
        let kept = state.history.len().saturating_sub(writes);
        let until = if kept == 0 && state.history.len() < HISTORY { None } else { state.history.get(kept) };
        state.data = until.cloned().unwrap_or_default();
        state.history.truncate(kept);
    }

    pub fn wipe(&self) {
        let mut state = self.state();
        state.losses += 1;
        state.data = Data::default();
        state.history.clear();
    }

    /// The group is asked to take an offset; it does from the owner only.
    pub fn commit(&self, lane: u32, partition: i32, offset: i64, metadata: &str) -> bool {
        let mut state = self.state();
        let at = usize::try_from(partition).unwrap_or(0);
        let accepted = state.partitions[at].owner == Some(lane);
        if accepted {
            if state.losses == 0 {
                let broken = verdict::unsafe_commit(&state, self.log(partition), partition, offset);
                state.broken = state.broken.take().or(broken);
                state.partitions[at].proven = state.partitions[at].proven.max(offset);
            }
            state.partitions[at].committed =
                Some(Committed { offset, metadata: metadata.as_bytes().to_vec() });
        }
        drop(state);
        self.note(|| format!("lane {lane}: commit {offset} of {partition}: {accepted}"));
        accepted
    }

    /// The present value of a partition's fence.
    pub fn fence(&self, partition: i32) -> Option<Vec<u8>> {
        let key = layout().fence_key(partition);
        self.state().data.get(&key, Instant::now()).map(<[u8]>::to_vec)
    }
}
