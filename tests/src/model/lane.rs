//! A lane: start, answers, and what it does when its fence is not its own.

use super::batch;
use super::config::{Config, Mutation};
use super::script;
use super::state::State;
use super::words::{Fence, Job, Late, PLAYERS, Phase, Reply, Run, Slot, Unlock, Write};

/// The lane's phase, which the caller puts back.
pub fn take_phase(state: &mut State, slot: Slot) -> Phase {
    std::mem::replace(&mut state.lanes[usize::from(slot)].phase, Phase::Stopped)
}

/// Reads the group's commit.
pub fn ask(config: &Config, state: &mut State, slot: Slot) {
    let committed = state.committed[usize::from(config.slots[usize::from(slot)])];
    let lane = &mut state.lanes[usize::from(slot)];
    if let Phase::Starting { own } = lane.phase {
        lane.phase = Phase::Asked { own, committed };
    }
}

/// Reads the fence, decides where to start, and replaces the fence; with `heard`, learns that it did.
pub fn take(config: &Config, state: &mut State, slot: Slot, heard: bool) {
    let partition = usize::from(config.slots[usize::from(slot)]);
    let Phase::Asked { own, committed } = state.lanes[usize::from(slot)].phase else { return };
    let on_old = state.lanes[usize::from(slot)].on_old;
    let found = state.store(on_old).fences[partition];
    let Some((fence, from)) = decide(config, found, own, committed) else {
        state.lanes[usize::from(slot)].phase = Phase::Stopped;
        return;
    };
    let fence = Fence { id: state.fresh_id(config, slot), ..fence };
    state.store_mut(on_old).fences[partition] = Some(fence);
    let lane = &mut state.lanes[usize::from(slot)];
    if !heard {
        lane.phase = Phase::Starting { own };
        return;
    }
    let mut run = Run::hold(fence, from);
    run.job = lane.kept.take();
    run.cache = std::mem::take(&mut lane.cache);
    lane.phase = Phase::Running(Box::new(run));
}

/// The lane start table: the fence and where to begin, or a stop.
fn decide(
    config: &Config,
    found: Option<Fence>,
    own: Option<u8>,
    committed: Option<u8>,
) -> Option<(Fence, u8)> {
    let create = |from| {
        let id = super::words::Id { lane: 0, attempt: 0, part: false };
        Some((Fence { id, position: from, settled: from }, from))
    };
    match (found, committed) {
        (Some(fence), _) => {
            let confirmed = own.or(committed);
            let from = match config.mutation {
                Mutation::RestartAtPosition => match own {
                    Some(_) => fence.position,
                    None => confirmed.map_or(fence.settled, |offset| offset.min(fence.settled)),
                },
                Mutation::NoSettled => confirmed.map_or(fence.position, |offset| offset.min(fence.position)),
                _ => confirmed.map_or(fence.settled, |offset| offset.min(fence.settled)),
            };
            Some((fence, from))
        }
        (None, Some(_)) if config.replay_lost_store => create(0),
        (None, Some(_)) => None,
        (None, None) => create(0),
    }
}

/// The next script runs on the lane's primary.
pub fn run_next(config: &Config, state: &mut State, slot: Slot) {
    let on_old = state.lanes[usize::from(slot)].on_old;
    let Phase::Running(mut run) = take_phase(state, slot) else { return };
    let next = &run.flight[run.replies.len()];
    let reply = script::run(config, state.store_mut(on_old), next);
    note_reached(state);
    run.replies.push(reply);
    state.lanes[usize::from(slot)].phase = Phase::Running(run);
}

/// A script runs that nobody waits for.
pub fn run_late(config: &Config, state: &mut State, at: u8) {
    let at = usize::from(at);
    let on_old = state.late[at].on_old;
    let next = state.late[at].scripts.remove(0);
    script::run(config, state.store_mut(on_old), &next);
    note_reached(state);
    state.late.retain(|late| !late.scripts.is_empty());
}

fn note_reached(state: &mut State) {
    let stores = std::iter::once(&state.store).chain(state.old.as_deref());
    for (who, player) in stores.flat_map(|store| store.players.iter().enumerate()) {
        if player.is_some_and(|player| player.unlock != Unlock::NotReached) {
            state.reached |= 1 << who;
        }
    }
}

/// The lane takes the answers that came, in order; scripts without one have an unknown outcome.
pub fn receive(config: &Config, state: &mut State, slot: Slot) {
    let partition = usize::from(config.slots[usize::from(slot)]);
    let Phase::Running(mut run) = take_phase(state, slot) else { return };
    let held = run.fence.position;
    let mut partial = false;
    let replies = std::mem::take(&mut run.replies);
    let rest = run.flight.split_off(replies.len());
    for (script, reply) in std::mem::replace(&mut run.flight, rest).into_iter().zip(replies) {
        let refused = match reply {
            Reply::Ok => {
                run.acknowledge(config, script.ok);
                0
            }
            Reply::Part(refused) => {
                partial = true;
                run.acknowledge(config, Fence { position: held, ..script.part });
                refused
            }
            Reply::OtherFence(found) if partial && run.clone().adopt(config, found) => u8::MAX,
            Reply::OtherFence(found) => {
                if config.mutation != Mutation::CacheKept {
                    run.cache = [None; PLAYERS];
                }
                if !run.adopt(config, found) {
                    let job = run.job.take();
                    lose_fence(config, state, slot, &run, job);
                    return;
                }
                u8::MAX
            }
        };
        let Some(mut job) = run.job.take() else { continue };
        let is_mistake = |write: &Write| {
            refused != u8::MAX && refused & (1 << write.player) != 0 && write.expected.is_none()
        };
        job.mistaken |= config.newcomers && script.writes.iter().any(is_mistake);
        for write in script.writes.iter().filter(|write| refused & (1 << write.player) == 0) {
            job.todo &= !(1 << write.player);
            run.owe(&mut job, &write.new, partition, 1 << write.player);
            if write.reaches && config.mutation == Mutation::NoOutbox {
                job.unlocks |= 1 << write.player;
            }
            run.keep(config, usize::from(write.player), write.new);
        }
        run.job = Some(job);
    }
    if !run.flight.is_empty() {
        run.leave_unanswered(config);
    }
    settle(state, slot, *run);
}

/// Puts a lane back whose scripts are answered; a batch that is done and owes nothing ends.
fn settle(state: &mut State, slot: Slot, mut run: Run) {
    if run.job.is_some() {
        run.finish_if_done(state, slot);
    } else {
        state.lanes[usize::from(slot)].published = Some(run.committable());
    }
    state.lanes[usize::from(slot)].phase = Phase::Running(Box::new(run));
}

/// The lane gives up waiting: what was sent may still run.
pub fn time_out(config: &Config, state: &mut State, slot: Slot) {
    let Phase::Running(mut run) = take_phase(state, slot) else { return };
    if config.mutation == Mutation::TimeoutIsSuccess {
        leave_late(state, slot, &run);
        run.replies = vec![Reply::Ok; run.flight.len()];
        state.lanes[usize::from(slot)].phase = Phase::Running(run);
        receive(config, state, slot);
        return;
    }
    leave_late(state, slot, &run);
    run.leave_unanswered(config);
    state.lanes[usize::from(slot)].phase = Phase::Running(run);
}

/// What a lane has sent and the store has not run may run later.
pub fn leave_late(state: &mut State, slot: Slot, run: &Run) {
    let scripts = run.flight[run.replies.len()..].to_vec();
    if !scripts.is_empty() {
        state.late.push(Late { on_old: state.lanes[usize::from(slot)].on_old, scripts });
    }
}

/// The fence is not the lane's: it writes nothing more until it is confirmed.
pub fn lose_fence(config: &Config, state: &mut State, slot: Slot, run: &Run, job: Option<Job>) {
    let kept = job.filter(|_| config.mutation == Mutation::BatchKeptOverRewind);
    if config.mutation == Mutation::CacheKept {
        state.lanes[usize::from(slot)].cache = run.cache;
    }
    state.lanes[usize::from(slot)].phase = Phase::Confirming { own: Some(run.committable()) };
    state.lanes[usize::from(slot)].kept = kept;
}

/// The group accepts a commit of what the lane may commit, and it starts again.
pub fn confirm(config: &Config, state: &mut State, slot: Slot) {
    let partition = usize::from(config.slots[usize::from(slot)]);
    let Phase::Confirming { own } = state.lanes[usize::from(slot)].phase else { return };
    if own.is_some() {
        state.committed[partition] = own;
        if config.mutation != Mutation::ConfirmNotNoted {
            state.lanes[usize::from(slot)].noted = None;
        }
    }
    state.lanes[usize::from(slot)].phase = Phase::Starting { own };
}

/// The lane starts again by itself.
pub fn restart(config: &Config, state: &mut State, slot: Slot) {
    if !config.zombies_restart {
        state.faults.restarts -= 1;
    }
    let Phase::Running(run) = take_phase(state, slot) else { return };
    leave_late(state, slot, &run);
    if config.mutation == Mutation::CacheKept {
        state.lanes[usize::from(slot)].cache = run.cache;
    }
    let own = Some(run.committable());
    let next = if config.restart_confirms { Phase::Confirming { own } } else { Phase::Starting { own } };
    state.lanes[usize::from(slot)].phase = next;
}

/// An idle lane, or one in doubt, reads its fence.
pub fn verify(config: &Config, state: &mut State, slot: Slot) {
    let partition = usize::from(config.slots[usize::from(slot)]);
    let found = state.store(state.lanes[usize::from(slot)].on_old).fences[partition];
    let Phase::Running(mut run) = take_phase(state, slot) else { return };
    if run.adopt(config, found) {
        settle(state, slot, *run);
    } else {
        lose_fence(config, state, slot, &run, None);
    }
}

/// Shows the committer what may be committed.
pub fn publish(state: &mut State, slot: Slot) {
    let lane = &mut state.lanes[usize::from(slot)];
    if let Phase::Running(run) = &lane.phase {
        lane.published = Some(run.committable());
    }
}

/// Sends what the batch owes.
pub fn send_owed(config: &Config, state: &mut State, slot: Slot) {
    let partition = usize::from(config.slots[usize::from(slot)]);
    let Phase::Running(mut run) = take_phase(state, slot) else { return };
    run.send_owed(state, slot, partition);
    state.lanes[usize::from(slot)].phase = Phase::Running(run);
}

pub use batch::{flush, load, round};
