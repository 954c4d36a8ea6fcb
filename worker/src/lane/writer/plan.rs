//! Planning: the batch applied to each player, and the scripts that are filled with what changed.

use super::owed::unlock;
use super::{Base, Job, Owed, Writer};
use crate::ids::{Attempt, WriteIds};
use crate::lane::LaneContext;
use crate::lane::ports::{Outbox, Unlock};
use crate::merge;
use crate::metrics::ConflictKind;
use crate::mutation::Mutation;
use crate::player::{PlayerState, encode};
use crate::store::{PlayerWrite, Script, Store, header};

/// Bytes of one script, roughly; a server runs it without a pause.
const SCRIPT_BYTES: usize = 1 << 20;
/// What a player costs a script besides keys and values.
const PLAYER_BYTES: usize = 128;

/// The writes of one round.
#[derive(Default)]
pub(super) struct Plan<'a> {
    parts: Vec<Part<'a>>,
    /// Offsets of records without items that no earlier verdict covers.
    pub verdicts: Vec<i64>,
    /// Unlocks that were found pending and are not known to be sent: due before the scripts that clear them.
    pub unannounced: Vec<Unlock>,
    /// Players that needed no write.
    pub unchanged: u64,
}

/// What a player is planned from.
pub(super) enum Found {
    Cached(Box<PlayerState>),
    Stored(PlayerState),
    /// The player is presumed to be new.
    Presumed,
}

/// One script to be.
struct Part<'a> {
    attempt: Attempt,
    players: Vec<PlayerWrite<'a>>,
    values: Vec<u8>,
    members: Vec<Member>,
    bytes: usize,
}

/// A player of a script, and what follows once it is written.
pub(super) struct Member {
    pub group: usize,
    /// What the write is based on; none for a player presumed to be new.
    pub base: Option<Base>,
    /// What is then owed.
    pub owed: Owed,
    /// What the cache keeps.
    pub kept: Option<Box<PlayerState>>,
}

/// What a script does once it ran: the players it writes, and the fence it leaves.
pub(super) struct Outcome {
    pub members: Vec<Member>,
    pub position: i64,
    pub settled: i64,
}

impl<'a> Plan<'a> {
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The script that takes the next player.
    fn open(&mut self, ids: &mut WriteIds, most_players: usize) -> &mut Part<'a> {
        let full = |part: &Part<'_>| part.players.len() >= most_players || part.bytes >= SCRIPT_BYTES;
        if self.parts.last().is_none_or(full) {
            self.parts.push(Part::new(ids));
        }
        let last = self.parts.len() - 1;
        &mut self.parts[last]
    }
}

impl Part<'_> {
    fn new(ids: &mut WriteIds) -> Self {
        let attempt = ids.attempt();
        Self { attempt, players: Vec::new(), values: Vec::new(), members: Vec::new(), bytes: 0 }
    }
}

impl<S: Store, O: Outbox> Writer<S, O> {
    /// Applies the batch to one player and plans the write; without a change the player is done.
    pub(super) fn plan<'a>(
        &mut self,
        lane: &LaneContext,
        job: &mut Job<'a>,
        group: usize,
        found: Found,
        plan: &mut Plan<'a>,
    ) {
        let (mut state, cached, presumed) = match found {
            Found::Cached(state) => (*state, true, false),
            Found::Stored(state) => (state, false, false),
            Found::Presumed => (std::mem::take(&mut self.spare), false, true),
        };
        let base = self.base(&state);
        if let Some(refused) = self.refused.remove(&group) {
            lane.metrics.conflicts.with_label_values(&[conflict_kind(refused, base).as_str()]).inc();
        }
        let expected = header(&state);
        let id = job.batch.player(group);
        let mut cleared = self.clear_sent(&mut state);
        if lane.announces {
            cleared |= !state.unlocks.is_empty();
            let pending = std::mem::take(&mut state.unlocks);
            let unsent = pending.iter().filter(|pending| !self.is_announced(pending));
            plan.unannounced.extend(unsent.map(|pending| unlock(id, pending)));
        }
        let own = state.watermark(self.source);
        let watermark = if lane.mutation == Mutation::NoWatermark { 0 } else { own };
        let (records, upper) = (job.batch.records(group), job.batch.group(group).upper);
        let applied = merge::apply(&mut state, self.source, watermark, records, upper, &lane.policies);
        let keep = cached || self.cache.admits(id);
        let owed = self.owed(lane, id, &state);
        if !applied.changed && !cleared {
            plan.unchanged += 1;
            job.done[group] = true;
            job.owed.add(owed);
            job.verdicts.extend(applied.verdicts);
            match keep {
                true => self.cache.put(id.clone(), shrunk(state)),
                false => self.recycle(state),
            }
            return;
        }
        // Every write moves a watermark, or the next lane that is refused takes it for a stranger's.
        state.raise_watermark(self.source, job.batch.group(group).upper);
        plan.verdicts.extend(applied.verdicts);
        let part = plan.open(&mut self.ids, lane.cuts.script_players);
        state.version += 1;
        state.write_id = Some(part.attempt.ok);
        let (key, begin) = (job.keys.get(group), part.values.len());
        let chunks = encode(&mut state, id, &applied.touched, lane.max_value_bytes, &mut part.values);
        let uploads: usize = chunks.new.iter().map(|(_, value)| value.len()).sum();
        part.bytes += PLAYER_BYTES + part.values.len() - begin + uploads;
        part.players.push(PlayerWrite { key, expected, value_end: part.values.len(), chunks });
        let base = (!presumed).then_some(base);
        let mut kept = None;
        match keep {
            true => kept = Some(shrunk(state)),
            false => self.recycle(state),
        }
        part.members.push(Member { group, base, owed, kept });
    }

    /// Lets the next player use the lists of one who is done.
    fn recycle(&mut self, mut state: PlayerState) {
        state.reset();
        self.spare = state;
    }

    /// The planned scripts. Each compares what the one before leaves; only the last moves the position to `upto`. One
    /// without players if nothing is planned.
    pub(super) fn scripts<'a>(&mut self, plan: Plan<'a>, upto: i64) -> (Vec<Script<'a>>, Vec<Outcome>) {
        let held = self.fence.position();
        let mut expects = self.fence.id();
        let mut parts = plan.parts;
        if parts.is_empty() {
            parts.push(Part::new(&mut self.ids));
        }
        let last = parts.len() - 1;
        let script = |(at, part): (usize, Part<'a>)| {
            let Part { attempt, players, values, members, .. } = part;
            let position = if at == last { upto.max(held) } else { held };
            let settled = self.processed.min(position);
            let script = Script {
                expects: std::mem::replace(&mut expects, attempt.ok),
                attempt,
                fence_ok: self.fence.value(attempt.ok, position, settled),
                fence_part: self.fence.value(attempt.part, held, settled.min(held)),
                players,
                values,
            };
            (script, Outcome { members, position, settled })
        };
        parts.into_iter().enumerate().map(script).unzip()
    }

    /// What a write of this state is based on.
    fn base(&self, state: &PlayerState) -> Base {
        let mut base = Base { own: 0, others: 0 };
        for mark in &state.watermarks {
            let sum = if mark.partition == self.source.partition { &mut base.own } else { &mut base.others };
            *sum = sum.wrapping_add(mark.offset).wrapping_add(1);
        }
        base
    }
}

/// A state to keep: a list of one that grew has room for four.
fn shrunk(mut state: PlayerState) -> Box<PlayerState> {
    state.shrink();
    Box::new(state)
}

/// Who was faster: a predecessor on this partition, a lane of another partition, or somebody without a watermark.
fn conflict_kind(refused: Base, found: Base) -> ConflictKind {
    if refused.own != found.own {
        ConflictKind::Predecessor
    } else if refused.others != found.others {
        ConflictKind::Partition
    } else {
        ConflictKind::Other
    }
}
