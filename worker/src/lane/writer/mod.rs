//! The writing half of a lane: load, merge, compare-and-set with the fence, and what is owed afterwards.

mod load;
mod newcomers;
mod owed;
mod plan;
mod write;

use std::collections::{HashMap, HashSet};
use std::mem;

use super::LaneContext;
use super::halt::{Halt, Trouble};
use super::ports::{DeadLetter, Outbox, Unlock};
use super::shared::StopReason;
use crate::backoff::Backoff;
use crate::batch::Batch;
use crate::cache::Cache;
use crate::ids::WriteIds;
use crate::merge;
use crate::mutation::Mutation;
use crate::player::{Decoded, Keys, PlayerState, SourcePartition};
use crate::store::{FenceState, Knowledge, Store, StoreError};
use load::{Loaded, decode};
use newcomers::Newcomers;
use plan::{Found, Plan};

/// One lane's way into the store.
#[derive(Debug)]
pub struct Writer<S, O> {
    pub store: S,
    outbox: O,
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
    /// Players of the batch that were refused, with what the refused write was based on.
    refused: HashMap<usize, Base>,
    newcomers: Newcomers,
    /// Of nobody: its lists serve one player after the other, who would each allocate them.
    spare: PlayerState,
}

/// A record's watermarks in short: two bases differ if somebody wrote the record in between.
#[derive(Clone, Copy, Debug)]
struct Base {
    /// Sum over the lane's own partition.
    own: i64,
    /// Sum over all other partitions.
    others: i64,
}

/// One batch on its way into the store.
struct Job<'a> {
    batch: &'a Batch,
    keys: &'a Keys,
    upto: i64,
    /// Players still to do.
    todo: Vec<usize>,
    /// Of each player of the batch, whether nothing is left to do; they leave `todo` at the end of a round.
    done: Vec<bool>,
    /// Refused by the clock or the configuration, unless an earlier verdict stands: not yet sent.
    judged: Vec<DeadLetter>,
    /// Offsets of verdicts whose players are done: due, even if the rest of their round fails.
    verdicts: Vec<i64>,
    /// What is stored and has to be sent.
    owed: Owed,
}

/// What the players of a batch owe once they are stored.
#[derive(Default)]
struct Owed {
    /// Records refused by what is stored.
    letters: Vec<merge::Refused>,
    unlocks: Vec<Unlock>,
}

impl Owed {
    fn add(&mut self, more: Self) {
        self.letters.extend(more.letters);
        self.unlocks.extend(more.unlocks);
    }
}

impl Job<'_> {
    fn sweep(&mut self) {
        self.todo.retain(|group| !self.done[*group]);
    }
}

impl<S: Store, O: Outbox> Writer<S, O> {
    pub fn new(store: S, outbox: O, fence: FenceState, ids: WriteIds, lane: &LaneContext) -> Self {
        let partition = lane.shared.partition;
        let source = SourcePartition {
            incarnation: fence.incarnation(),
            partition: u32::try_from(partition).unwrap_or(0),
        };
        Self {
            store,
            outbox,
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
            newcomers: Newcomers::new(lane.cuts.newcomers_row),
            spare: PlayerState::default(),
        }
    }

    /// Holds a fence just taken, and goes on from `from`; forgets everything read under an older one.
    pub fn hold(&mut self, lane: &LaneContext, fence: FenceState, from: i64) {
        self.source.incarnation = fence.incarnation();
        self.fence = fence;
        self.processed = from;
        self.cache.clear();
        self.sent.clear();
        self.refused.clear();
        self.newcomers = Newcomers::new(lane.cuts.newcomers_row);
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
        let keys = Keys::new(&lane.layout, batch.players());
        let players = batch.players().len();
        let (todo, done) = ((0..players).collect(), vec![false; players]);
        let mut job =
            Job { batch, keys: &keys, upto, todo, done, judged, verdicts: Vec::new(), owed: Owed::default() };
        while !job.todo.is_empty() {
            lane.step();
            let round = self.round(lane, &mut job).await;
            job.sweep();
            match round {
                Ok(()) => self.calm(lane),
                Err(Trouble::Store(error)) => self.after_error(lane, &error).await?,
                Err(Trouble::Halt(halt)) => return Err(halt),
            }
        }
        self.send_owed(lane, job.owed.letters).await?;
        self.announce(lane, &job.owed.unlocks).await?;
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
            let (mut scripts, outcomes) = self.scripts(Plan::default(), self.processed);
            match self.run(lane, &mut scripts, outcomes, &mut Vec::new()).await {
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

    /// One round: as many of the players still to do as a round may load.
    async fn round(&mut self, lane: &LaneContext, job: &mut Job<'_>) -> Result<(), Trouble> {
        let timer = lane.metrics.stage.with_label_values(&["load"]).start_timer();
        let loaded = self.load(lane, job).await?;
        timer.observe_duration();
        let whole = loaded.len() == job.todo.len();
        let timer = lane.metrics.stage.with_label_values(&["merge"]).start_timer();
        let mut plan = Plan::default();
        let mut split = Vec::new();
        for (group, found) in loaded {
            let (key, id) = (job.keys.get(group), job.batch.player(group));
            let found = match found {
                Loaded::Stored(value) => match decode(key, id, value.as_deref())? {
                    Decoded::Whole(state) => Found::Stored(state),
                    Decoded::Split(manifest) => {
                        split.push((group, manifest));
                        continue;
                    }
                },
                Loaded::Cached(state) => Found::Cached(state),
                Loaded::Presumed => Found::Presumed,
            };
            self.plan(lane, job, group, found, &mut plan);
        }
        for (group, manifest) in split {
            lane.step();
            let state = self.complete(job.batch.player(group), job.keys.get(group), manifest).await?;
            self.plan(lane, job, group, Found::Stored(state), &mut plan);
        }
        timer.observe_duration();
        lane.metrics.players_unchanged.inc_by(plan.unchanged);
        let mut due = mem::take(&mut plan.verdicts);
        due.append(&mut job.verdicts);
        self.send_judged(lane, job, &due).await?;
        self.announce(lane, &mem::take(&mut plan.unannounced)).await?;
        if plan.is_empty() {
            return Ok(());
        }
        let _timer = lane.metrics.stage.with_label_values(&["write"]).start_timer();
        let upto = if whole { job.upto } else { self.fence.position() };
        let (mut scripts, outcomes) = self.scripts(plan, upto);
        let mut written = Vec::new();
        let ran = self.run(lane, &mut scripts, outcomes, &mut written).await;
        lane.metrics.players_written.inc_by(written.len() as u64);
        for member in written {
            job.done[member.group] = true;
            job.owed.add(member.owed);
            if let Some(state) = member.kept {
                self.cache.put(job.batch.player(member.group).clone(), state);
            }
        }
        ran
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
