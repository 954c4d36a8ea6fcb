//! One report on its way into the store: read, merge, compare-and-set, and again after a conflict.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use plaudit_crds::Format;
use plaudit_crds::worker::WorkerConfig;
use plaudit_worker::batch::{Batch, PlayerRef};
use plaudit_worker::ids::WriteId;
use plaudit_worker::merge::{self, Policies};
use plaudit_worker::player::{Decoded, Layout, PlayerId, PlayerState, SourcePartition, encode};
use plaudit_worker::report::{Report, decode};
use redis::RedisError;

use super::protocol::Outcome;
use super::store::{Store, Written};

/// A report that meets so many conflicts is turned away, as any server has to do some day.
const MOST_ATTEMPTS: u32 = 100;
/// A backoff doubles so often.
const DOUBLINGS: u32 = 4;
/// `direct` has no partitions: all reports count as one partition's, their numbers as offsets.
const SOURCE: SourcePartition = SourcePartition { incarnation: 0, partition: 0 };

/// Takes reports, many at once.
#[derive(Debug)]
pub struct Handler {
    store: Store,
    layout: Layout,
    policies: Policies,
    /// Up to so long at first; none: again at once, with the record that came with the conflict.
    backoff: Duration,
    nonce: u64,
    counters: Counters,
}

/// What a server has done since it started.
#[derive(Debug, Default)]
pub struct Counters {
    /// Compare-and-sets, those that met a conflict, and reads.
    pub attempts: AtomicU64,
    pub conflicts: AtomicU64,
    pub reads: AtomicU64,
    pub stored: AtomicU64,
    pub refused: AtomicU64,
    pub busy: AtomicU64,
    pub unknown: AtomicU64,
    last_write: AtomicU64,
}

/// What has to be written so that a report counts.
enum Change {
    Write(Vec<u8>),
    Nothing,
    /// A sum would overflow, or the player has no room.
    Refused,
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("the store did not answer: {0}")]
    Store(#[from] RedisError),
    #[error("the record at {key} cannot be used: {cause}")]
    Record { key: String, cause: String },
}

impl Handler {
    /// Policies and where players are kept are those of a worker with this configuration.
    pub fn new(config: &WorkerConfig, store: Store, backoff: Duration) -> Self {
        Self {
            store,
            layout: Layout { key_prefix: config.store.key_prefix.clone(), buckets: config.store.buckets },
            policies: Policies::new(&config.achievements),
            backoff,
            nonce: fastrand::u64(1..),
            counters: Counters::default(),
        }
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Stores a report. Sent again after [`Outcome::Unknown`], it may count twice: a sum then holds it twice.
    pub async fn take(&self, number: u64, timestamp_ms: i64, payload: &[u8]) -> Outcome {
        let outcome = match decode(Some(payload), Format::Json) {
            Err(_) => Outcome::Refused,
            // A deletion and what comes after it need an order.
            Ok(report) if report.delete => Outcome::Refused,
            Ok(report) => self.store(&report, number, timestamp_ms).await.unwrap_or_else(|trouble| {
                eprintln!("report {number}: {trouble}");
                Outcome::Unknown
            }),
        };
        let counters = &self.counters;
        let counter = match outcome {
            Outcome::Stored => &counters.stored,
            Outcome::Refused => &counters.refused,
            Outcome::Busy => &counters.busy,
            Outcome::Unknown => &counters.unknown,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        outcome
    }

    async fn store(&self, report: &Report<'_>, number: u64, timestamp_ms: i64) -> Result<Outcome, Trouble> {
        let items = report.items.iter().map(|item| (item.kind, item.value, &*item.data));
        let Report { uin, platform, zone, server, role, .. } = report;
        let player = PlayerRef { uin: *uin, platform: *platform, zone: *zone, server: *server, role };
        let mut batch = Batch::default();
        batch.push(player, number.cast_signed(), timestamp_ms, items);
        let key = self.layout.player_key(batch.player(0));
        let mut known = None;
        for attempt in 0..MOST_ATTEMPTS {
            let old = match known.take() {
                Some(stored) => stored,
                None => {
                    self.counters.reads.fetch_add(1, Ordering::Relaxed);
                    self.store.get(&key).await?
                }
            };
            let new = match self.change(&batch, old.as_deref()) {
                Ok(Change::Write(new)) => new,
                Ok(Change::Nothing) => return Ok(Outcome::Stored),
                Ok(Change::Refused) => return Ok(Outcome::Refused),
                Err(cause) => return Err(Trouble::Record { key, cause }),
            };
            self.counters.attempts.fetch_add(1, Ordering::Relaxed);
            match self.store.compare_and_set(&key, old.as_deref(), &new).await? {
                Written::Done => return Ok(Outcome::Stored),
                Written::Conflict(stored) if self.backoff.is_zero() => known = Some(stored),
                Written::Conflict(_) => self.back_off(attempt).await,
            }
            self.counters.conflicts.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Outcome::Busy)
    }

    /// The same merge and the same record as a worker's, for a batch of one report. Reports come in any order here, so
    /// that a watermark would only refuse some; it is written and not looked at.
    fn change(&self, batch: &Batch, old: Option<&[u8]>) -> Result<Change, String> {
        let id: &PlayerId = batch.player(0);
        let mut state = match old.map(|old| PlayerState::decode(old, id)) {
            None => PlayerState::default(),
            Some(Ok(Decoded::Whole(state))) => state,
            Some(Ok(Decoded::Split(_))) => return Err("it is split, which is never done here".to_owned()),
            Some(Err(error)) => return Err(error.to_string()),
        };
        let upper = batch.group(0).upper;
        let applied = merge::apply(&mut state, SOURCE, i64::MIN, batch.records(0), upper, &self.policies);
        if !state.pending.is_empty() {
            return Ok(Change::Refused);
        }
        if !applied.changed {
            return Ok(Change::Nothing);
        }
        state.version += 1;
        let low = self.counters.last_write.fetch_add(1, Ordering::Relaxed) + 1;
        state.write_id = Some(WriteId { high: self.nonce, low });
        let mut value = Vec::with_capacity(old.map_or(128, |old| old.len() + 64));
        encode(&mut state, id, &applied.touched, usize::MAX, &mut value);
        Ok(Change::Write(value))
    }

    async fn back_off(&self, attempt: u32) {
        let most = self.backoff * 2_u32.pow(attempt.min(DOUBLINGS));
        tokio::time::sleep(most.mul_f64(fastrand::f64())).await;
    }
}
