//! What happens around the lanes: the group, failing workers, the store's replica.

use super::config::{Config, Mutation};
use super::lane::{leave_late, take_phase};
use super::state::State;
use super::words::{Lane, Late, Phase, Slot};

/// The group accepts the commit of what the lane shows as committable.
pub fn commit(config: &Config, state: &mut State, slot: Slot) {
    let lane = &mut state.lanes[usize::from(slot)];
    lane.noted = lane.published;
    state.committed[usize::from(config.slots[usize::from(slot)])] = lane.published;
}

/// The partition goes to a free place; the lane that had it runs on.
pub fn rebalance(config: &Config, state: &mut State, partition: u8) {
    state.faults.rebalances -= 1;
    if let Some(slot) = free_place(config, state, partition) {
        start_lane(state, slot);
        state.owners[usize::from(partition)] = slot;
    }
}

/// A place for a new lane of the partition.
pub fn free_place(config: &Config, state: &State, partition: u8) -> Option<Slot> {
    (0..)
        .zip(config.slots)
        .zip(&state.lanes)
        .find_map(|((slot, place), lane)| (*place == partition && lane.phase == Phase::Gone).then_some(slot))
}

fn start_lane(state: &mut State, slot: Slot) {
    let (nonce, cache) = (state.fresh_nonce(), state.lanes[usize::from(slot)].cache);
    state.lanes[usize::from(slot)] = Lane { nonce, cache, ..Lane::new(Phase::Starting { own: None }) };
}

/// The owner dies; its scripts may still run; a new lane starts.
pub fn crash(state: &mut State, slot: Slot) {
    state.faults.crashes -= 1;
    end_lane(state, slot);
    start_lane(state, slot);
}

/// A lane notices that it owns nothing any more; its scripts may still run.
pub fn end(config: &Config, state: &mut State, slot: Slot) {
    let cache = match &state.lanes[usize::from(slot)].phase {
        Phase::Running(run) if config.mutation == Mutation::CacheKept => run.cache,
        _ => state.lanes[usize::from(slot)].cache,
    };
    end_lane(state, slot);
    state.lanes[usize::from(slot)].cache = cache;
}

fn end_lane(state: &mut State, slot: Slot) {
    if let Phase::Running(run) = take_phase(state, slot) {
        leave_late(state, slot, &run);
    }
    state.lanes[usize::from(slot)] = Lane::new(Phase::Gone);
}

/// The scripts of a lane are sent a second time, by whoever carries them.
pub fn resend(state: &mut State, slot: Slot) {
    state.faults.resends -= 1;
    let lane = &state.lanes[usize::from(slot)];
    if let Phase::Running(run) = &lane.phase {
        state.late.push(Late { on_old: lane.on_old, scripts: run.flight.clone() });
    }
}

/// The store falls back to what the replica has; with `promoted`, the old primary goes on for those who use it.
pub fn fail_over(state: &mut State, promoted: bool) {
    let Some(replica) = state.replica.take() else { return };
    let old = std::mem::replace(&mut state.store, *replica);
    state.lost_writes = true;
    if promoted {
        state.faults.promotions -= 1;
        state.old = Some(Box::new(old));
        state.lanes.iter_mut().for_each(|lane| lane.on_old = lane.phase != Phase::Gone);
        state.late.iter_mut().for_each(|late| late.on_old = true);
    } else {
        state.faults.failovers -= 1;
    }
}

/// A lane finds the new primary; what it had sent to the old one stays unanswered.
pub fn reconnect(config: &Config, state: &mut State, slot: Slot) {
    if let Phase::Running(mut run) = take_phase(state, slot).into_running(state, slot) {
        if !run.flight.is_empty() {
            leave_late(state, slot, &run);
            run.leave_unanswered(config);
        }
        state.lanes[usize::from(slot)].phase = Phase::Running(run);
    }
    state.lanes[usize::from(slot)].on_old = false;
}

impl Phase {
    /// Itself if it runs; else it is put back.
    fn into_running(self, state: &mut State, slot: Slot) -> Self {
        if !matches!(self, Self::Running(_)) {
            state.lanes[usize::from(slot)].phase = self;
            return Self::Gone;
        }
        self
    }
}
