//! What a lane shows to the rest of the worker while it runs.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::placement::Placement;
use crate::ids::WriteId;

/// What a lane is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LaneState {
    Starting = 0,
    Running = 1,
    /// For the store, a topic it sends to, or its fence.
    Waiting = 2,
    /// Until a person or a configuration changes what its reason says; it looks again twice a minute.
    Stopped = 3,
    Draining = 4,
}

impl LaneState {
    pub const ALL: [Self; 5] = [Self::Starting, Self::Running, Self::Waiting, Self::Stopped, Self::Draining];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Stopped => "stopped",
            Self::Draining => "draining",
        }
    }
}

/// Why a lane waits or has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    KafkaUnavailable,
    StoreUnavailable,
    DeadLetterUnavailable,
    UnlockUnavailable,
    FenceContention,
    StoreInUse,
    StoreLost,
    RetentionLoss,
    TopicRecreated,
    DamagedRecord,
    NewerFormat,
    BadRecord,
}

impl StopReason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KafkaUnavailable => "KafkaUnavailable",
            Self::StoreUnavailable => "StoreUnavailable",
            Self::DeadLetterUnavailable => "DeadLetterUnavailable",
            Self::UnlockUnavailable => "UnlockUnavailable",
            Self::FenceContention => "FenceContention",
            Self::StoreInUse => "StoreInUse",
            Self::StoreLost => "StoreLost",
            Self::RetentionLoss => "RetentionLoss",
            Self::TopicRecreated => "TopicRecreated",
            Self::DamagedRecord => "DamagedRecord",
            Self::NewerFormat => "NewerFormat",
            Self::BadRecord => "BadRecord",
        }
    }
}

/// No offset known yet.
pub const UNKNOWN: i64 = -1;

/// Written by one lane, read by the poll thread, the fence watch and the HTTP endpoints.
#[derive(Debug)]
pub struct LaneShared {
    pub partition: i32,
    pub nonce: u64,
    state: AtomicU8,
    why: Mutex<Option<(StopReason, String)>>,
    /// The offset after the last record processed.
    pub position: AtomicI64,
    /// The offset that may be committed.
    pub committable: AtomicI64,
    /// The offset that the group last accepted.
    pub committed: AtomicI64,
    /// Metadata for commits of this lane.
    pub commit_metadata: Mutex<String>,
    pub log_end: AtomicI64,
    pub records: AtomicU64,
    pub cache_bytes: AtomicUsize,
    /// Where producers put the partition's records.
    pub placement: Placement,
    /// Milliseconds of the worker's monotonic clock at the lane's last step.
    pub last_step: AtomicU64,
    /// The fence of a lane that has had nothing to do for a while.
    idle_fence: Mutex<Option<WriteId>>,
    /// Wakes an idle lane to look at its fence.
    pub recheck: Notify,
}

impl LaneShared {
    pub fn new(partition: i32, nonce: u64) -> Self {
        Self {
            partition,
            nonce,
            state: AtomicU8::new(LaneState::Starting as u8),
            why: Mutex::new(None),
            position: AtomicI64::new(UNKNOWN),
            committable: AtomicI64::new(UNKNOWN),
            committed: AtomicI64::new(UNKNOWN),
            commit_metadata: Mutex::new(String::new()),
            log_end: AtomicI64::new(UNKNOWN),
            records: AtomicU64::new(0),
            cache_bytes: AtomicUsize::new(0),
            placement: Placement::default(),
            last_step: AtomicU64::new(0),
            idle_fence: Mutex::new(None),
            recheck: Notify::new(),
        }
    }

    pub fn state(&self) -> LaneState {
        match self.state.load(Ordering::Relaxed) {
            0 => LaneState::Starting,
            1 => LaneState::Running,
            2 => LaneState::Waiting,
            3 => LaneState::Stopped,
            _ => LaneState::Draining,
        }
    }

    pub fn why(&self) -> Option<(StopReason, String)> {
        lock(&self.why).clone()
    }

    pub fn set_state(&self, state: LaneState) {
        self.state.store(state as u8, Ordering::Relaxed);
        *lock(&self.why) = None;
    }

    pub fn set_state_because(&self, state: LaneState, reason: StopReason, message: String) {
        self.state.store(state as u8, Ordering::Relaxed);
        *lock(&self.why) = Some((reason, message));
    }

    pub fn idle_fence(&self) -> Option<WriteId> {
        *lock(&self.idle_fence)
    }

    pub fn set_idle_fence(&self, id: Option<WriteId>) {
        *lock(&self.idle_fence) = id;
    }

    pub fn commit_metadata(&self) -> String {
        lock(&self.commit_metadata).clone()
    }

    /// Records between what may be committed and the log end; `None` while either is unknown.
    pub fn lag(&self) -> Option<i64> {
        let end = self.log_end.load(Ordering::Relaxed);
        let done = self.committable.load(Ordering::Relaxed);
        (end >= 0 && done >= 0).then(|| (end - done).max(0))
    }
}

/// Locks a mutex whose holders never panic halfway through a change.
pub fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
