//! The writing half of a lane: load, merge, compare-and-set with the fence, and what is owed afterwards.

use std::collections::{HashMap, HashSet};

use super::LaneContext;
use super::ports::{DeadLetter, Letters};
use super::shared::StopReason;
use crate::backoff::Backoff;
use crate::batch::Batch;
use crate::cache::Cache;
use crate::ids::WriteIds;
use crate::merge::{self, Overflow};
use crate::mutation::Mutation;
use crate::player::{Decoded, Encoded, PlayerState, RecordError, SourcePartition, encode};
use crate::proto::{PendingDeadLetter, Watermark};
use crate::report::Reason;
use crate::store::{
    FenceState, Knowledge, PlayerWrite, Refused, Reply, Script, Store, StoreError, expected_header,
};

/// Players of one script: Lua's stack and the server's patience bound it.
const SCRIPT_PLAYERS: usize = 256;
/// Bytes of one script, roughly; a server runs it without a pause.
const SCRIPT_BYTES: usize = 1 << 20;
/// Keys of one MGET.
const LOAD_KEYS: usize = 512;
/// A split record whose chunks vanish under the reader this often is damaged.
const CHUNK_READS: usize = 3;

/// Why a lane cannot go on with its batch.
#[derive(Debug)]
pub enum Halt {
    /// It was told to stop.
    Stopped,
    /// The fence is in other hands, or the store lost writes.
    FenceLost,
    /// A person has to act.
    Park { reason: StopReason, message: String },
    /// The partition cannot be read on: start again.
    Restart { message: String },
}

/// One lane's way into the store.
#[derive(Debug)]
pub struct Writer<S, D> {
    pub store: S,
    pub letters: D,
    pub fence: FenceState,
    fence_key: String,
    source: SourcePartition,
    ids: WriteIds,
    cache: Cache,
    /// Everything below is stored and what it owed is sent.
    processed: i64,
    /// Dead letters of pending entries that this lane has sent.
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

/// What a script does once it ran: the players it writes, and the fence it leaves.
struct Outcome {
    members: Vec<Member>,
    position: i64,
    settled: i64,
}

/// A player of a script: its group in the batch, the state that is written, the own watermark before.
type Member = (usize, PlayerState, i64);

impl<S: Store, D: Letters> Writer<S, D> {
    /// Goes on from `processed` with a fence just taken.
    pub fn new(store: S, letters: D, fence: FenceState, ids: WriteIds, lane: &LaneContext) -> Self {
        let partition = lane.shared.partition;
        let source = SourcePartition {
            incarnation: fence.incarnation(),
            partition: u32::try_from(partition).unwrap_or(0),
        };
        let fence_key = lane.layout.fence_key(partition);
        let cache = Cache::new(lane.cache_bytes);
        Self {
            store,
            letters,
            fence,
            fence_key,
            source,
            ids,
            cache,
            processed: 0,
            sent: HashSet::new(),
            doubt: false,
            mutation: lane.mutation,
            refused: HashMap::new(),
        }
    }

    /// Holds a fence taken again; forgets everything read under the old one.
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

    /// Stores a batch whose records end before `upto`. Returns when everything below `upto` may be committed as soon
    /// as the fence has reached it.
    pub async fn store_batch(&mut self, lane: &LaneContext, batch: &Batch, upto: i64) -> Result<(), Halt> {
        let mut todo: Vec<usize> = (0..batch.players().len()).collect();
        let mut owed: Vec<Overflow> = Vec::new();
        let mut backoff = Backoff::new(self.ids.nonce());
        while !todo.is_empty() {
            lane.step();
            match self.attempt(lane, batch, &mut todo, upto, &mut owed).await? {
                None => lane.running(),
                Some(error) => self.after_error(lane, &error, &mut backoff).await?,
            }
        }
        self.send_owed(lane, owed).await?;
        self.processed = upto;
        self.sent.retain(|offset| *offset >= upto);
        Ok(())
    }

    /// Moves the fence up to what is processed, if batches that changed nothing left it behind. With `settle`, also
    /// when only its note of what is sent lags, as it does by one batch: the next owner then replays nothing.
    pub async fn flush(&mut self, lane: &LaneContext, settle: bool) -> Result<(), Halt> {
        let mut backoff = Backoff::new(self.ids.nonce());
        while self.fence.position() < self.processed || (settle && self.fence.settled() < self.processed) {
            let (scripts, outcomes) = self.prepare(lane, &Batch::default(), Vec::new(), self.processed);
            if let Some(error) = self.run(lane, &scripts, outcomes, &mut Vec::new()).await? {
                self.after_error(lane, &error, &mut backoff).await?;
                self.verify(lane, &mut backoff).await?;
            }
        }
        Ok(())
    }

    /// Says that everything below `upto` is stored, before it is: [`Mutation::CommitBeforeWrite`].
    pub(super) async fn claim(&mut self, lane: &LaneContext, upto: i64) -> Result<(), Halt> {
        self.processed = upto;
        self.flush(lane, true).await
    }

    /// Reads the fence and compares it; the way out of doubt when there is nothing to load.
    pub async fn verify(&mut self, lane: &LaneContext, backoff: &mut Backoff) -> Result<(), Halt> {
        loop {
            match self.store.fence(&self.fence_key).await {
                Ok(found) => return self.adopt(found.as_deref()),
                Err(error) => self.after_error(lane, &error, backoff).await?,
            }
        }
    }

    /// Sends dead letters and waits for each; retries until they are acknowledged or the lane is told to stop.
    pub async fn send_letters(&mut self, lane: &LaneContext, letters: &[DeadLetter]) -> Result<(), Halt> {
        let mut backoff = Backoff::new(self.ids.nonce());
        for letter in letters {
            while let Err(error) = self.letters.send(letter).await {
                let message = error.to_string();
                lane.waiting(StopReason::DeadLetterUnavailable, message);
                lane.pause(backoff.next_delay()).await?;
            }
            lane.metrics.dead_letters.with_label_values(&[letter.reason.as_str()]).inc();
            tracing::debug!(
                partition = letter.partition,
                offset = letter.offset,
                reason = letter.reason.as_str(),
                detail = letter.detail,
                "dead letter sent"
            );
        }
        if !letters.is_empty() {
            lane.running();
        }
        Ok(())
    }

    /// One round over the players still to do: those that are done leave `todo`.
    async fn attempt(
        &mut self,
        lane: &LaneContext,
        batch: &Batch,
        todo: &mut Vec<usize>,
        upto: i64,
        owed: &mut Vec<Overflow>,
    ) -> Result<Option<StoreError>, Halt> {
        let timer = lane.metrics.stage.with_label_values(&["load"]).start_timer();
        let states = match self.load(lane, batch, todo).await? {
            Ok(states) => states,
            Err(error) => return Ok(Some(error)),
        };
        timer.observe_duration();
        let timer = lane.metrics.stage.with_label_values(&["merge"]).start_timer();
        let work = self.merge(lane, batch, states, todo, owed);
        timer.observe_duration();
        if work.is_empty() {
            return Ok(None);
        }
        let _timer = lane.metrics.stage.with_label_values(&["write"]).start_timer();
        let (scripts, outcomes) = self.prepare(lane, batch, work, upto);
        let mut done = Vec::new();
        let error = self.run(lane, &scripts, outcomes, &mut done).await?;
        let written: HashSet<usize> = done.iter().map(|(group, ..)| *group).collect();
        todo.retain(|group| !written.contains(group));
        lane.metrics.players_written.inc_by(done.len() as u64);
        for (group, state, _) in done {
            self.owe(&state, owed);
            self.cache.put(batch.player(group).clone(), state);
        }
        Ok(error)
    }

    /// The state of each player to do: from the cache, else from the store together with the fence.
    async fn load(
        &mut self,
        lane: &LaneContext,
        batch: &Batch,
        todo: &[usize],
    ) -> Result<Result<Vec<(usize, PlayerState)>, StoreError>, Halt> {
        let mut states = Vec::with_capacity(todo.len());
        let mut missing = Vec::new();
        for group in todo {
            match self.cache.take(batch.player(*group)) {
                Some(state) => states.push((*group, state)),
                None => missing.push(*group),
            }
        }
        lane.metrics.cache_hits.inc_by(states.len() as u64);
        lane.metrics.cache_misses.inc_by(missing.len() as u64);
        if self.doubt && missing.is_empty() {
            match self.store.fence(&self.fence_key).await {
                Ok(found) => self.adopt(found.as_deref())?,
                Err(error) => return Ok(Err(error)),
            }
        }
        for page in missing.chunks(LOAD_KEYS) {
            let keys: Vec<String> =
                page.iter().map(|group| lane.layout.player_key(batch.player(*group))).collect();
            let (fence, values) = match self.store.load(&self.fence_key, &keys).await {
                Ok(found) => found,
                Err(error) => return Ok(Err(error)),
            };
            self.adopt(fence.as_deref())?;
            for ((group, key), value) in page.iter().zip(&keys).zip(values) {
                match self.read(batch, *group, key, value).await? {
                    Ok(state) => states.push((*group, state)),
                    Err(error) => return Ok(Err(error)),
                }
            }
        }
        Ok(Ok(states))
    }

    /// Decodes a value and, for a split record, its chunks. Chunks that vanish mean that somebody replaced the record.
    async fn read(
        &mut self,
        batch: &Batch,
        group: usize,
        key: &str,
        mut value: Option<Vec<u8>>,
    ) -> Result<Result<PlayerState, StoreError>, Halt> {
        for _ in 0..CHUNK_READS {
            let Some(bytes) = &value else { return Ok(Ok(PlayerState::default())) };
            let manifest = match PlayerState::decode(bytes, batch.player(group))
                .map_err(|error| damaged(key, &error))?
            {
                Decoded::Whole(state) => return Ok(Ok(state)),
                Decoded::Split(manifest) => manifest,
            };
            let keys: Vec<String> = manifest
                .references()
                .iter()
                .map(|reference| crate::player::Layout::chunk_key(key, reference))
                .collect();
            let chunks = match self.store.chunks(&keys).await {
                Ok(chunks) => chunks,
                Err(error) => return Ok(Err(error)),
            };
            if let Some(chunks) = chunks.into_iter().collect::<Option<Vec<_>>>() {
                return Ok(Ok(manifest.complete(&chunks).map_err(|error| damaged(key, &error))?));
            }
            match self.store.load(&self.fence_key, &[key.to_owned()]).await {
                Ok((fence, mut values)) => {
                    self.adopt(fence.as_deref())?;
                    value = values.pop().flatten();
                }
                Err(error) => return Ok(Err(error)),
            }
        }
        Err(damaged(key, &RecordError::Damaged("chunks that it names are missing".into())))
    }

    /// Applies the batch to each player. Those without a change are done and leave `todo`.
    fn merge(
        &mut self,
        lane: &LaneContext,
        batch: &Batch,
        states: Vec<(usize, PlayerState)>,
        todo: &mut Vec<usize>,
        owed: &mut Vec<Overflow>,
    ) -> Vec<Work> {
        let mut work = Vec::with_capacity(states.len());
        let mut unchanged = HashSet::new();
        for (group, mut state) in states {
            if let Some(base) = self.refused.remove(&group) {
                lane.metrics.conflicts.with_label_values(&[self.conflict_kind(&base, &state)]).inc();
            }
            let expected = expected_header(&state);
            let own_before = state.watermark(self.source);
            let cleared = self.clear_sent(&mut state);
            let upper = batch.group(group).upper;
            let watermark = if lane.mutation == Mutation::NoWatermark { 0 } else { own_before };
            let records = batch.records(group);
            let applied = merge::apply(&mut state, self.source, watermark, records, upper, &lane.policies);
            if applied.changed || cleared {
                work.push(Work { group, state, expected, touched: applied.touched, own_before });
            } else {
                unchanged.insert(group);
                self.owe(&state, owed);
                self.cache.put(batch.player(group).clone(), state);
            }
        }
        lane.metrics.players_unchanged.inc_by(unchanged.len() as u64);
        todo.retain(|group| !unchanged.contains(group));
        work
    }

    /// Removes pending dead letters of this partition that are known to be sent.
    fn clear_sent(&self, state: &mut PlayerState) -> bool {
        let before = state.pending.len();
        state.pending.retain(|pending| !self.is_mine(pending) || !self.is_sent(pending.offset));
        state.pending.len() < before
    }

    /// Notes what a stored state still has to send for this partition.
    fn owe(&self, state: &PlayerState, owed: &mut Vec<Overflow>) {
        for pending in state.pending.iter().filter(|pending| self.is_mine(pending)) {
            let overflow = Overflow { offset: pending.offset, kind: pending.r#type };
            if !self.is_sent(pending.offset) && !owed.contains(&overflow) {
                owed.push(overflow);
            }
        }
    }

    fn is_mine(&self, pending: &PendingDeadLetter) -> bool {
        pending.partition == self.source.partition && pending.incarnation == self.source.incarnation
    }

    fn is_sent(&self, offset: i64) -> bool {
        offset < self.processed || self.sent.contains(&offset)
    }

    /// Who was faster: a predecessor on this partition, a lane of another partition, or somebody without a watermark.
    fn conflict_kind(&self, base: &[Watermark], state: &PlayerState) -> &'static str {
        let moved = |mine: bool| {
            state
                .watermarks
                .iter()
                .any(|mark| (mark.partition == self.source.partition) == mine && !base.contains(mark))
        };
        match (moved(true), moved(false)) {
            (true, _) => "predecessor",
            (false, true) => "partition",
            (false, false) => "other",
        }
    }

    /// Builds the scripts of a round. Each compares what the one before leaves; only the last moves the position.
    fn prepare(
        &mut self,
        lane: &LaneContext,
        batch: &Batch,
        work: Vec<Work>,
        upto: i64,
    ) -> (Vec<Script>, Vec<Outcome>) {
        let held = self.fence.position();
        let mut expects = self.fence.id();
        let (mut scripts, mut outcomes) = (Vec::new(), Vec::new());
        let mut rest = work.into_iter().peekable();
        loop {
            let attempt = self.ids.attempt();
            let mut players = Vec::new();
            let mut members = Vec::new();
            let mut bytes = 0;
            while players.len() < SCRIPT_PLAYERS && bytes < SCRIPT_BYTES {
                let Some(Work { group, mut state, expected, touched, own_before }) = rest.next() else {
                    break;
                };
                state.version += 1;
                state.write_id = Some(attempt.ok);
                let id = batch.player(group);
                let encoded = encode(&mut state, id, &touched, lane.max_value_bytes);
                bytes += encoded_bytes(&encoded);
                players.push(PlayerWrite { key: lane.layout.player_key(id), expected, encoded });
                members.push((group, state, own_before));
            }
            let last = rest.peek().is_none();
            let position = if last { upto.max(held) } else { held };
            let settled = self.processed.min(position);
            scripts.push(Script {
                expects,
                attempt,
                fence_ok: self.fence.value(attempt.ok, position, settled),
                fence_part: self.fence.value(attempt.part, held, settled.min(held)),
                players,
            });
            outcomes.push(Outcome { members, position, settled });
            expects = attempt.ok;
            if last {
                return (scripts, outcomes);
            }
        }
    }

    /// Sends the scripts and takes their answers in order; written players go to `done`.
    async fn run(
        &mut self,
        lane: &LaneContext,
        scripts: &[Script],
        outcomes: Vec<Outcome>,
        done: &mut Vec<Member>,
    ) -> Result<Option<StoreError>, Halt> {
        let held = self.fence.position();
        let (replies, error) = self.store.write(&self.fence_key, scripts).await;
        let answered = replies.len();
        let mut partial = false;
        for ((script, outcome), reply) in scripts.iter().zip(outcomes).zip(replies) {
            let Outcome { members, position, settled } = outcome;
            match reply {
                Reply::Ok => {
                    self.fence.acknowledge(script.attempt.ok, position, settled);
                    done.extend(members);
                }
                Reply::Part(refused) => {
                    partial = true;
                    self.fence.acknowledge(script.attempt.part, held, settled.min(held));
                    let why: HashMap<usize, Refused> = refused.into_iter().collect();
                    for (at, member) in members.into_iter().enumerate() {
                        match why.get(&at) {
                            None => done.push(member),
                            Some(Refused::Conflict) => self.note_conflict(member),
                            Some(Refused::ChunksMissing) => {
                                lane.metrics.conflicts.with_label_values(&["chunks_missing"]).inc();
                            }
                        }
                    }
                }
                // The script before was partial, so this one found another ID, and wrote nothing.
                Reply::OtherFence(found)
                    if partial && self.fence.clone().adopt(found.as_deref()) == Knowledge::Mine => {}
                Reply::OtherFence(found) => self.adopt_after_refusal(found.as_deref())?,
            }
        }
        if error.is_some() {
            self.doubt = true;
            for script in &scripts[answered..] {
                self.fence.unanswered(script.expects, script.attempt);
            }
        }
        Ok(error)
    }

    /// Remembers what a refused write was based on, until the record is read again and shows who was faster.
    fn note_conflict(&mut self, (group, state, own_before): Member) {
        let mut base = state.watermarks;
        for mark in base.iter_mut().filter(|mark| mark.partition == self.source.partition) {
            mark.offset = own_before;
        }
        self.refused.insert(group, base);
    }

    /// A script was refused by the fence: an own earlier script with unknown outcome ran before it, or the fence is lost.
    fn adopt_after_refusal(&mut self, found: Option<&[u8]>) -> Result<(), Halt> {
        self.doubt = true;
        self.cache.clear();
        self.adopt(found)
    }

    fn adopt(&mut self, found: Option<&[u8]>) -> Result<(), Halt> {
        match self.fence.adopt(found) {
            Knowledge::Mine => {
                self.doubt = false;
                Ok(())
            }
            Knowledge::Foreign if self.mutation == Mutation::NoFence => {
                self.fence.take_for_own(found);
                Ok(())
            }
            Knowledge::Foreign => Err(Halt::FenceLost),
        }
    }

    /// Sends the dead letters of refused records, whose payloads are read from the topic again.
    async fn send_owed(&mut self, lane: &LaneContext, owed: Vec<Overflow>) -> Result<(), Halt> {
        let mut backoff = Backoff::new(self.ids.nonce());
        for Overflow { offset, kind } in owed {
            if self.sent.contains(&offset) {
                continue;
            }
            let detail = format!("the sum of type {kind} would leave the range of int64");
            let letter = loop {
                let partition = lane.shared.partition;
                match self.letters.fetch(partition, offset, Reason::SumOverflow, detail.clone()).await {
                    Ok(letter) => break letter,
                    Err(error) => {
                        lane.waiting(StopReason::KafkaUnavailable, error.to_string());
                        lane.pause(backoff.next_delay()).await?;
                    }
                }
            };
            match letter {
                Some(letter) => self.send_letters(lane, &[letter]).await?,
                None => {
                    tracing::error!(offset, "a refused record left the log before its dead letter was sent");
                }
            }
            self.sent.insert(offset);
        }
        Ok(())
    }

    /// After a failed store call nothing is believed: the cache goes, and the next attempt reads the fence first.
    async fn after_error(
        &mut self,
        lane: &LaneContext,
        error: &StoreError,
        backoff: &mut Backoff,
    ) -> Result<(), Halt> {
        self.doubt = true;
        self.cache.clear();
        lane.metrics.store_errors.with_label_values(&[error.kind()]).inc();
        lane.waiting(StopReason::StoreUnavailable, error.sentence());
        lane.pause(backoff.next_delay()).await
    }
}

fn encoded_bytes(encoded: &Encoded) -> usize {
    encoded.value.len() + encoded.new_chunks.iter().map(|(_, value)| value.len()).sum::<usize>() + 128
}

fn damaged(key: &str, error: &RecordError) -> Halt {
    let reason = match error {
        RecordError::Damaged(_) => StopReason::DamagedRecord,
        RecordError::NewerFormat { .. } => StopReason::NewerFormat,
    };
    Halt::Park { reason, message: format!("the player record at {key} cannot be used: {error}") }
}
