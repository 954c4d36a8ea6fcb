//! The writing half of a lane: load, merge, compare-and-set with the fence, and what is owed afterwards.

mod load;
mod owed;
mod write;

use std::collections::{HashMap, HashSet};

use super::LaneContext;
use super::halt::{Halt, Trouble};
use super::ports::{DeadLetter, Letters};
use super::shared::StopReason;
use crate::backoff::Backoff;
use crate::batch::Batch;
use crate::cache::Cache;
use crate::ids::WriteIds;
use crate::merge::{self, Overflow};
use crate::metrics::ConflictKind;
use crate::mutation::Mutation;
use crate::player::{PlayerState, SourcePartition};
use crate::proto::Watermark;
use crate::store::{FenceState, Knowledge, Store, StoreError, expected_header};

/// One lane's way into the store.
#[derive(Debug)]
pub struct Writer<S, D> {
    pub store: S,
    letters: D,
    pub fence: FenceState,
    fence_key: String,
    source: SourcePartition,
    ids: WriteIds,
    cache: Cache,
    backoff: Backoff,
    /// Everything below is stored and what it owed is sent.
    processed: i64,
    /// Offsets at or above `processed` whose dead letters this lane has sent.
    sent: HashSet<i64>,
    /// An outcome is unknown: nothing is believed before the fence is read again.
    doubt: bool,
    mutation: Mutation,
    /// Players of the batch that were refused, with the watermarks that the refused write was based on.
    refused: HashMap<usize, Vec<Watermark>>,
}

/// A player of the batch with what the store holds and what it shall hold.
struct Work {
    group: usize,
    state: PlayerState,
    expected: Vec<u8>,
    touched: Vec<u32>,
    /// The lane's own watermark as it was loaded.
    own_before: i64,
}

/// One batch on its way into the store.
struct Job<'a> {
    batch: &'a Batch,
    upto: i64,
    /// Players still to do.
    todo: Vec<usize>,
    /// Refused by the clock or the configuration, unless an earlier verdict stands: not yet sent.
    judged: Vec<DeadLetter>,
    /// Refused by what is stored, and stored as such: to be sent.
    owed: Vec<Overflow>,
}

impl<S: Store, D: Letters> Writer<S, D> {
    pub fn new(store: S, letters: D, fence: FenceState, ids: WriteIds, lane: &LaneContext) -> Self {
        let partition = lane.shared.partition;
        let source = SourcePartition {
            incarnation: fence.incarnation(),
            partition: u32::try_from(partition).unwrap_or(0),
        };
        Self {
            store,
            letters,
            fence,
            fence_key: lane.layout.fence_key(partition),
            source,
            backoff: Backoff::new(ids.nonce()),
            ids,
            cache: Cache::new(lane.cache_bytes),
            processed: 0,
            sent: HashSet::new(),
            doubt: false,
            mutation: lane.mutation,
            refused: HashMap::new(),
        }
    }

    /// Holds a fence just taken, and goes on from `from`; forgets everything read under an older one.
    pub fn hold(&mut self, fence: FenceState, from: i64) {
        self.source.incarnation = fence.incarnation();
        self.fence = fence;
        self.processed = from;
        self.cache.clear();
        self.sent.clear();
        self.refused.clear();
        self.doubt = false;
    }

    pub fn ids(&mut self) -> &mut WriteIds {
        &mut self.ids
    }

    pub fn cache_bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// The offset that may be committed: stored, what it owed is sent, and the fence has reached it.
    pub fn committable(&self) -> i64 {
        self.processed.min(self.fence.position())
    }

    /// Stores a batch whose records end before `upto`, and sends what it owes. `judged` are the letters of records that
    /// the batch holds without items.
    pub async fn store_batch(
        &mut self,
        lane: &LaneContext,
        batch: &Batch,
        judged: Vec<DeadLetter>,
        upto: i64,
    ) -> Result<(), Halt> {
        let todo = (0..batch.players().len()).collect();
        let mut job = Job { batch, upto, todo, judged, owed: Vec::new() };
        while !job.todo.is_empty() {
            lane.step();
            match self.round(lane, &mut job).await {
                Ok(()) => self.calm(lane),
                Err(Trouble::Store(error)) => self.after_error(lane, &error).await?,
                Err(Trouble::Halt(halt)) => return Err(halt),
            }
        }
        self.send_owed(lane, job.owed).await?;
        self.processed = upto;
        self.sent.retain(|offset| *offset >= upto);
        Ok(())
    }

    /// Moves the fence up to what is processed, if batches that changed nothing left it behind. With `settle`, also
    /// when only its note of what is sent lags, as it does by one batch: the next owner then replays nothing.
    pub async fn flush(&mut self, lane: &LaneContext, settle: bool) -> Result<(), Halt> {
        while self.fence.position() < self.processed || (settle && self.fence.settled() < self.processed) {
            if self.doubt {
                self.verify(lane).await?;
                continue;
            }
            let batch = Batch::default();
            let (scripts, outcomes) = self.prepare(lane, &batch, Vec::new(), self.processed);
            match self.run(lane, &scripts, outcomes, &mut Vec::new()).await {
                Ok(()) => self.calm(lane),
                Err(Trouble::Store(error)) => self.after_error(lane, &error).await?,
                Err(Trouble::Halt(halt)) => return Err(halt),
            }
        }
        Ok(())
    }

    /// Says that everything below `upto` is stored, before it is: [`Mutation::CommitBeforeWrite`].
    pub(super) async fn claim(&mut self, lane: &LaneContext, upto: i64) -> Result<(), Halt> {
        self.processed = upto;
        self.flush(lane, true).await
    }

    /// Reads the fence and compares it: the way out of doubt when there is nothing to load.
    pub async fn verify(&mut self, lane: &LaneContext) -> Result<(), Halt> {
        loop {
            match self.store.fence(&self.fence_key).await {
                Ok(found) => {
                    self.calm(lane);
                    return self.adopt(found.as_deref());
                }
                Err(error) => self.after_error(lane, &error).await?,
            }
        }
    }

    /// One round: as many of the players still to do as a round may load. Those that are done leave `todo`.
    async fn round(&mut self, lane: &LaneContext, job: &mut Job<'_>) -> Result<(), Trouble> {
        let timer = lane.metrics.stage.with_label_values(&["load"]).start_timer();
        let states = self.load(lane, job).await?;
        timer.observe_duration();
        let whole = states.len() == job.todo.len();
        let timer = lane.metrics.stage.with_label_values(&["merge"]).start_timer();
        let (work, verdicts) = self.merge(lane, job, states);
        timer.observe_duration();
        self.send_judged(lane, job, &verdicts).await?;
        if work.is_empty() {
            return Ok(());
        }
        let _timer = lane.metrics.stage.with_label_values(&["write"]).start_timer();
        let upto = if whole { job.upto } else { self.fence.position() };
        let (scripts, outcomes) = self.prepare(lane, job.batch, work, upto);
        let mut done = Vec::new();
        let ran = self.run(lane, &scripts, outcomes, &mut done).await;
        let written: HashSet<usize> = done.iter().map(|(group, ..)| *group).collect();
        job.todo.retain(|group| !written.contains(group));
        lane.metrics.players_written.inc_by(done.len() as u64);
        for (group, state, _) in done {
            self.owe(&state, &mut job.owed);
            self.cache.put(job.batch.player(group).clone(), state);
        }
        ran
    }

    /// Applies the batch to each player. Those without a change are done and leave `todo`. Also returns the offsets of
    /// records without items that no earlier verdict covers.
    fn merge(
        &mut self,
        lane: &LaneContext,
        job: &mut Job<'_>,
        states: Vec<(usize, PlayerState)>,
    ) -> (Vec<Work>, Vec<i64>) {
        let mut work = Vec::with_capacity(states.len());
        let mut verdicts = Vec::new();
        let mut unchanged = HashSet::new();
        for (group, mut state) in states {
            if let Some(base) = self.refused.remove(&group) {
                let kind = self.conflict_kind(&base, &state).as_str();
                lane.metrics.conflicts.with_label_values(&[kind]).inc();
            }
            let expected = expected_header(&state);
            let own_before = state.watermark(self.source);
            let cleared = self.clear_sent(&mut state);
            let watermark = if lane.mutation == Mutation::NoWatermark { 0 } else { own_before };
            let (records, upper) = (job.batch.records(group), job.batch.group(group).upper);
            let applied = merge::apply(&mut state, self.source, watermark, records, upper, &lane.policies);
            verdicts.extend(applied.verdicts);
            if applied.changed || cleared {
                work.push(Work { group, state, expected, touched: applied.touched, own_before });
            } else {
                unchanged.insert(group);
                self.owe(&state, &mut job.owed);
                self.cache.put(job.batch.player(group).clone(), state);
            }
        }
        lane.metrics.players_unchanged.inc_by(unchanged.len() as u64);
        job.todo.retain(|group| !unchanged.contains(group));
        (work, verdicts)
    }

    /// Who was faster: a predecessor on this partition, a lane of another partition, or somebody without a watermark.
    fn conflict_kind(&self, base: &[Watermark], state: &PlayerState) -> ConflictKind {
        let moved = |mine: bool| {
            let is_mine = |mark: &&Watermark| (mark.partition == self.source.partition) == mine;
            state.watermarks.iter().filter(is_mine).any(|mark| !base.contains(mark))
        };
        match (moved(true), moved(false)) {
            (true, _) => ConflictKind::Predecessor,
            (false, true) => ConflictKind::Partition,
            (false, false) => ConflictKind::Other,
        }
    }

    fn adopt(&mut self, found: Option<&[u8]>) -> Result<(), Halt> {
        match self.fence.adopt(found) {
            Knowledge::Mine => {}
            Knowledge::Foreign if self.mutation == Mutation::NoFence => self.fence.take_for_own(found),
            Knowledge::Foreign => return Err(Halt::FenceLost),
        }
        self.doubt = false;
        Ok(())
    }

    /// The store answered.
    fn calm(&mut self, lane: &LaneContext) {
        self.backoff.reset();
        lane.running();
    }

    /// After a failed store call nothing is believed: the cache goes, and the next attempt reads the fence first.
    async fn after_error(&mut self, lane: &LaneContext, error: &StoreError) -> Result<(), Halt> {
        self.doubt = true;
        self.cache.clear();
        lane.metrics.store_errors.with_label_values(&[error.kind()]).inc();
        lane.waiting(StopReason::StoreUnavailable, error.sentence());
        let delay = self.backoff.next_delay();
        lane.pause(delay).await
    }
}
