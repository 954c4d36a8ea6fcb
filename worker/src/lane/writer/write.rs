//! Writing: scripts that set players and fence together, and what their answers mean.

use std::collections::HashMap;

use super::{Work, Writer};
use crate::batch::Batch;
use crate::lane::LaneContext;
use crate::lane::halt::{Halt, Trouble};
use crate::lane::ports::Letters;
use crate::metrics::ConflictKind;
use crate::player::{Encoded, PlayerState, encode};
use crate::store::{FenceState, Knowledge, PlayerWrite, Refused, Reply, Script, Store};

/// Players of one script: Lua's stack and the server's patience bound it.
const SCRIPT_PLAYERS: usize = 256;
/// Bytes of one script, roughly; a server runs it without a pause.
const SCRIPT_BYTES: usize = 1 << 20;
/// With more scripts unanswered than this the lane starts again: a new take settles them all.
const UNANSWERED: usize = 64;

/// A player of a script: its group in the batch, the state that is written, the own watermark before.
pub(super) type Member = (usize, PlayerState, i64);

/// What a script does once it ran: the players it writes, and the fence it leaves.
pub(super) struct Outcome {
    members: Vec<Member>,
    position: i64,
    settled: i64,
}

impl<S: Store, D: Letters> Writer<S, D> {
    /// Builds the scripts of a round. Each compares what the one before leaves; only the last moves the position.
    pub(super) fn prepare(
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

    /// Sends the scripts and takes their answers in order; written players go to `done`, also when some outcomes are
    /// unknown.
    pub(super) async fn run(
        &mut self,
        lane: &LaneContext,
        scripts: &[Script],
        outcomes: Vec<Outcome>,
        done: &mut Vec<Member>,
    ) -> Result<(), Trouble> {
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
                    self.take_part(lane, members, refused, done);
                }
                // The script before was partial, so this one found another ID, and wrote nothing.
                Reply::OtherFence(found) if partial && self.is_mine_still(found.as_deref()) => {}
                Reply::OtherFence(found) => self.adopt_after_refusal(found.as_deref())?,
            }
        }
        let Some(error) = error else { return Ok(()) };
        self.doubt = true;
        for script in &scripts[answered..] {
            self.fence.unanswered(script.expects, script.attempt);
        }
        if self.fence.unanswered_count() > UNANSWERED {
            let message = format!("more than {UNANSWERED} writes have an unknown outcome");
            return Err(Halt::Restart { message }.into());
        }
        Err(error.into())
    }

    /// Sorts the players of a partial script into those that were written and those to do again.
    fn take_part(
        &mut self,
        lane: &LaneContext,
        members: Vec<Member>,
        refused: Vec<(usize, Refused)>,
        done: &mut Vec<Member>,
    ) {
        let why: HashMap<usize, Refused> = refused.into_iter().collect();
        for (at, member) in members.into_iter().enumerate() {
            match why.get(&at) {
                None => done.push(member),
                Some(Refused::Conflict) => self.note_conflict(member),
                Some(Refused::ChunksMissing) => {
                    let kind = ConflictKind::ChunksMissing.as_str();
                    lane.metrics.conflicts.with_label_values(&[kind]).inc();
                }
            }
        }
    }

    /// Remembers what a refused write was based on, until the record is read again and shows who was faster.
    fn note_conflict(&mut self, (group, state, own_before): Member) {
        let mut base = state.watermarks;
        for mark in base.iter_mut().filter(|mark| mark.partition == self.source.partition) {
            mark.offset = own_before;
        }
        self.refused.insert(group, base);
    }

    fn is_mine_still(&self, found: Option<&[u8]>) -> bool {
        FenceState::adopt(&mut self.fence.clone(), found) == Knowledge::Mine
    }

    /// A script was refused by the fence: an own earlier script with unknown outcome ran before it, or the fence is
    /// lost.
    fn adopt_after_refusal(&mut self, found: Option<&[u8]>) -> Result<(), Halt> {
        self.cache.clear();
        self.adopt(found)
    }
}

fn encoded_bytes(encoded: &Encoded) -> usize {
    encoded.value.len() + encoded.new_chunks.iter().map(|(_, value)| value.len()).sum::<usize>() + 128
}
