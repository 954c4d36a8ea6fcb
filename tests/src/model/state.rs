//! A state of the whole system, and the renumbering that makes symmetric ones equal.

use super::config::{Config, Faults};
use super::words::{Fence, Id, Lane, Late, PARTITIONS, PLAYERS, Phase, Player, Reply, Script, Slot, Store};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The primary.
    pub store: Store,
    /// The primary before, while somebody still writes to it.
    pub old: Option<Box<Store>>,
    /// What a replica has of the primary.
    pub replica: Option<Box<Store>>,
    pub lanes: Vec<Lane>,
    pub owners: [Slot; PARTITIONS],
    pub committed: [Option<u8>; PARTITIONS],
    /// Offsets whose dead letters are acknowledged.
    pub letters: [u8; PARTITIONS],
    /// Players whose unlock is acknowledged.
    pub unlocks: u8,
    /// Players whose tier was ever reached by a stored value.
    pub reached: u8,
    pub late: Vec<Late>,
    pub faults: Faults,
    /// The store has lost writes.
    pub lost_writes: bool,
    /// Attempts drawn so far, as far as anybody remembers them.
    pub attempts: u8,
}

impl State {
    pub fn initial(config: &Config) -> Self {
        let mut owners = [Slot::MAX; PARTITIONS];
        let mut lanes = Vec::new();
        for (slot, partition) in (0..).zip(config.slots) {
            let owner = &mut owners[usize::from(*partition)];
            let phase = if *owner == Slot::MAX {
                *owner = slot;
                Phase::Starting { own: None }
            } else {
                Phase::Gone
            };
            lanes.push(Lane::new(phase));
        }
        let mut state = Self {
            store: Store::default(),
            old: None,
            replica: None,
            lanes,
            owners,
            committed: [None; PARTITIONS],
            letters: [0; PARTITIONS],
            unlocks: 0,
            reached: 0,
            late: Vec::new(),
            faults: config.faults,
            lost_writes: false,
            attempts: 0,
        };
        for slot in 0..state.lanes.len() {
            state.lanes[slot].nonce = state.fresh_nonce();
        }
        state.tidy(config);
        state
    }

    /// The primary that a lane's commands reach.
    pub fn store_mut(&mut self, on_old: bool) -> &mut Store {
        match &mut self.old {
            Some(old) if on_old => old,
            _ => &mut self.store,
        }
    }

    pub fn store(&self, on_old: bool) -> &Store {
        match &self.old {
            Some(old) if on_old => old,
            _ => &self.store,
        }
    }

    pub fn is_owner(&self, config: &Config, slot: Slot) -> bool {
        self.owners[usize::from(config.slots[usize::from(slot)])] == slot
    }

    pub fn fresh_nonce(&self) -> u8 {
        self.lanes.iter().map(|lane| lane.nonce).max().unwrap_or(0).max(self.greatest_nonce()) + 1
    }

    fn greatest_nonce(&self) -> u8 {
        let mut greatest = 0;
        self.clone().each_id(&mut |id| greatest = greatest.max(id.lane));
        greatest
    }

    /// A name that nobody in this state knows.
    pub fn fresh_id(&mut self, config: &Config, slot: Slot) -> Id {
        self.attempts += 1;
        let lane = if config.mutation.compares_nonces() { self.lanes[usize::from(slot)].nonce } else { 0 };
        Id { lane, attempt: self.attempts, part: false }
    }

    /// Forgets what can have no effect any more, and numbers IDs in the order in which they appear.
    pub fn tidy(&mut self, config: &Config) {
        if config.compares_fence_exactly() {
            self.forget_dead_scripts();
        }
        let someone_on_old = self.lanes.iter().any(|lane| lane.on_old && lane.phase != Phase::Gone)
            || self.late.iter().any(|late| late.on_old);
        if self.old.is_some() && !someone_on_old {
            self.old = None;
        }
        for lane in &mut self.lanes {
            lane.on_old &= self.old.is_some();
        }
        self.renumber();
    }

    /// A late script whose expected fence is nowhere, and is left by no other script, never runs.
    fn forget_dead_scripts(&mut self) {
        loop {
            let mut possible: Vec<Id> = Vec::new();
            let stores =
                std::iter::once(&self.store).chain(self.old.as_deref()).chain(self.replica.as_deref());
            possible.extend(stores.flat_map(|store| store.fences.iter().flatten().map(|fence| fence.id)));
            let waiting = self.lanes.iter().flat_map(|lane| match &lane.phase {
                // All of them: one that has run may be sent again.
                Phase::Running(run) => run.flight.as_slice(),
                Phase::Gone
                | Phase::Starting { .. }
                | Phase::Asked { .. }
                | Phase::Confirming { .. }
                | Phase::Stopped => &[],
            });
            let scripts = waiting.chain(self.late.iter().flat_map(|late| &late.scripts));
            possible.extend(scripts.flat_map(|script| [script.ok.id, script.part.id]));
            let before = self.late.iter().map(|late| late.scripts.len()).sum::<usize>();
            for late in &mut self.late {
                late.scripts.retain(|script| possible.contains(&script.expects));
            }
            self.late.retain(|late| !late.scripts.is_empty());
            if self.late.iter().map(|late| late.scripts.len()).sum::<usize>() == before {
                return;
            }
        }
    }

    fn renumber(&mut self) {
        let mut nonces: Vec<u8> = Vec::new();
        for lane in &mut self.lanes {
            lane.nonce = if lane.phase == Phase::Gone { 0 } else { number(&mut nonces, lane.nonce) };
        }
        let mut attempts: Vec<u8> = Vec::new();
        self.each_id(&mut |id| {
            if id.lane > 0 {
                id.lane = number(&mut nonces, id.lane);
            }
            id.attempt = number(&mut attempts, id.attempt);
        });
        self.attempts = u8::try_from(attempts.len()).unwrap_or(u8::MAX);
    }

    fn each_id(&mut self, see: &mut dyn FnMut(&mut Id)) {
        let stores = std::iter::once(&mut self.store).chain(self.old.as_deref_mut());
        for store in stores.chain(self.replica.as_deref_mut()) {
            store.fences.iter_mut().flatten().for_each(|fence| see(&mut fence.id));
            store.players.iter_mut().flatten().for_each(|player| in_player(player, see));
        }
        for lane in &mut self.lanes {
            lane.cache.iter_mut().flatten().for_each(|player| in_player(player, see));
            let Phase::Running(run) = &mut lane.phase else { continue };
            see(&mut run.fence.id);
            for unanswered in &mut run.unanswered {
                see(&mut unanswered.expects);
                see(&mut unanswered.ok);
                see(&mut unanswered.part);
            }
            run.cache.iter_mut().flatten().for_each(|player| in_player(player, see));
            run.flight.iter_mut().for_each(|script| in_script(script, see));
            for reply in &mut run.replies {
                if let Reply::OtherFence(Some(Fence { id, .. })) = reply {
                    see(id);
                }
            }
        }
        for script in self.late.iter_mut().flat_map(|late| &mut late.scripts) {
            in_script(script, see);
        }
    }
}

impl Lane {
    pub fn new(phase: Phase) -> Self {
        Self {
            nonce: 0,
            phase,
            on_old: false,
            published: None,
            noted: None,
            kept: None,
            cache: [None; PLAYERS],
        }
    }
}

/// The number of `name` by first appearance, from 1.
fn number(names: &mut Vec<u8>, name: u8) -> u8 {
    let at = names.iter().position(|known| *known == name).unwrap_or_else(|| {
        names.push(name);
        names.len() - 1
    });
    u8::try_from(at + 1).unwrap_or(u8::MAX)
}

fn in_player(player: &mut Player, see: &mut dyn FnMut(&mut Id)) {
    player.id.iter_mut().for_each(see);
}

fn in_script(script: &mut Script, see: &mut dyn FnMut(&mut Id)) {
    see(&mut script.expects);
    see(&mut script.ok.id);
    see(&mut script.part.id);
    for write in &mut script.writes {
        if let Some((_, id)) = &mut write.expected {
            see(id);
        }
        in_player(&mut write.new, see);
    }
}
