//! What a lane that holds its fence believes: which IDs it may find there, what it has sent, what it keeps.

use super::config::{Config, Mutation};
use super::state::State;
use super::words::{Fence, Id, Job, PLAYERS, Player, Run, Slot, Unanswered, Unlock};

impl Run {
    /// Goes on from `from` under a fence just taken.
    pub fn hold(fence: Fence, from: u8) -> Self {
        Self {
            fence,
            unanswered: Vec::new(),
            processed: from,
            doubt: false,
            cache: [None; PLAYERS],
            sent_letters: 0,
            job: None,
            flight: Vec::new(),
            replies: Vec::new(),
        }
    }

    /// Takes over what the store holds if it is the lane's own; false if it is not.
    pub fn adopt(&mut self, config: &Config, found: Option<Fence>) -> bool {
        let Some(found) = found else { return false };
        let mine = match config.mutation {
            _ if !config.fenced => true,
            Mutation::FenceByPosition => found.position == self.fence.position,
            Mutation::FenceByNonce => found.id.lane == self.fence.id.lane,
            Mutation::NoSelfRecognition => found.id == self.fence.id,
            Mutation::ExpectedNeverPruned => {
                let left = self.unanswered.iter().flat_map(|script| [script.ok, script.part]);
                left.chain([self.fence.id]).any(|id| id == found.id)
            }
            _ => self.reachable().contains(&found.id),
        };
        if !mine {
            return false;
        }
        self.doubt = false;
        if found.id != self.fence.id {
            self.fence = found;
            self.prune(config);
        }
        true
    }

    /// A script answered: the fence is now this, and what came before is settled with it.
    pub fn acknowledge(&mut self, config: &Config, fence: Fence) {
        self.fence = fence;
        self.prune(config);
    }

    /// Forgets scripts that can no longer run on the present fence.
    fn prune(&mut self, config: &Config) {
        if config.mutation != Mutation::ExpectedNeverPruned {
            let reachable = self.reachable();
            self.unanswered.retain(|script| reachable.contains(&script.expects));
        }
    }

    /// The last acknowledged ID, and those that unanswered scripts may have left on it or on each other.
    fn reachable(&self) -> Vec<Id> {
        let mut ids = vec![self.fence.id];
        let mut at = 0;
        while let Some(id) = ids.get(at).copied() {
            for script in self.unanswered.iter().filter(|script| script.expects == id) {
                for left in [script.ok, script.part] {
                    if !ids.contains(&left) {
                        ids.push(left);
                    }
                }
            }
            at += 1;
        }
        ids
    }

    /// Remembers scripts that were sent and not answered, and forgets what it read.
    pub fn leave_unanswered(&mut self, config: &Config) {
        for script in self.flight.drain(..) {
            let unanswered = Unanswered { expects: script.expects, ok: script.ok.id, part: script.part.id };
            self.unanswered.push(unanswered);
        }
        self.replies.clear();
        self.doubt = true;
        if config.mutation != Mutation::CacheKept {
            self.cache = [None; PLAYERS];
        }
        if config.mutation == Mutation::NoSelfRecognition {
            self.unanswered.clear();
        }
    }

    /// Removes from a loaded record what is sent, or is about to be: the record, whether that is a change, and whether
    /// its unlock has to be sent first.
    pub fn clear_sent(&self, config: &Config, mut player: Player, partition: usize) -> (Player, bool, bool) {
        let below = (1u8 << self.processed) - 1;
        let sent = player.refused[partition] & (self.sent_letters | below);
        player.refused[partition] &= !sent;
        let Unlock::Pending { partition: of, offset } = player.unlock else {
            return (player, sent != 0, false);
        };
        player.unlock = Unlock::Announced;
        let is_mine = usize::from(of) == partition || config.mutation == Mutation::AnnouncedByOffset;
        (player, true, !(is_mine && offset < self.processed))
    }

    /// Notes what is owed once `player` is stored.
    pub fn owe(&self, job: &mut Job, player: &Player, partition: usize, bit: u8) {
        let below = (1u8 << self.processed) - 1;
        job.letters |= player.refused[partition] & !(self.sent_letters | below);
        if matches!(player.unlock, Unlock::Pending { .. }) {
            job.unlocks |= bit;
        }
    }

    pub fn keep(&mut self, config: &Config, who: usize, player: Player) {
        if config.cache {
            self.cache[who] = Some(player);
        }
    }

    /// Ends the batch if every player is done and nothing is owed.
    pub fn finish_if_done(&mut self, state: &mut State, slot: Slot) {
        let Some(job) = &self.job else { return };
        if job.todo == 0 && job.letters == 0 && job.unlocks == 0 && self.flight.is_empty() {
            self.finish(state, slot);
        }
    }

    /// Sends what the batch owes, and ends it.
    pub fn send_owed(&mut self, state: &mut State, slot: Slot, partition: usize) {
        if let Some(job) = &self.job {
            state.letters[partition] |= job.letters;
            state.unlocks |= job.unlocks;
            self.sent_letters |= job.letters;
            self.finish(state, slot);
        }
    }

    fn finish(&mut self, state: &mut State, slot: Slot) {
        let Some(job) = self.job.take() else { return };
        self.processed = job.upto;
        self.sent_letters &= !((1 << job.upto) - 1);
        state.lanes[usize::from(slot)].published = Some(self.committable());
    }
}
