//! Writing: scripts that set players and fence together, and what their answers mean.

use std::collections::HashMap;

use super::Writer;
use super::plan::{Member, Outcome};
use crate::lane::LaneContext;
use crate::lane::halt::{Halt, Trouble};
use crate::lane::ports::Outbox;
use crate::metrics::ConflictKind;
use crate::store::{FenceState, Knowledge, Refused, Reply, Script, Store};

/// With more scripts unanswered than this the lane starts again: a new take settles them all.
const UNANSWERED: usize = 64;

impl<S: Store, O: Outbox> Writer<S, O> {
    /// Sends the scripts and takes their answers in order; written players go to `done`, also when some outcomes are
    /// unknown.
    pub(super) async fn run(
        &mut self,
        lane: &LaneContext,
        scripts: &mut [Script<'_>],
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
                Some(Refused::Conflict) => match member.base {
                    // Counted when the record is read again and shows who was faster.
                    Some(base) => drop(self.refused.insert(member.group, base)),
                    None => {
                        self.newcomers.mistaken();
                        lane.metrics.presumed_new_refused.inc();
                    }
                },
                Some(Refused::ChunksMissing) => {
                    let kind = ConflictKind::ChunksMissing.as_str();
                    lane.metrics.conflicts.with_label_values(&[kind]).inc();
                }
            }
        }
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
