//! Which steps are possible in a state.

use super::config::{Config, Kind};
use super::state::State;
use super::step::{How, Load, Step};
use super::words::{Phase, Run, Slot};
use super::world::free_place;

/// Every step that is possible.
pub fn enabled(config: &Config, state: &State, steps: &mut Vec<Step>) {
    for slot in 0..state.lanes.len() {
        of_lane(config, state, Slot::try_from(slot).unwrap_or(0), steps);
    }
    let faults = &state.faults;
    for (partition, log) in (0..).zip(&config.log) {
        if faults.rebalances > 0 && !log.is_empty() && free_place(config, state, partition).is_some() {
            steps.push(Step::Rebalance(partition));
        }
    }
    steps.extend((0..).zip(&state.late).map(|(at, _)| Step::RunLate(at)));
    if faults.failovers + faults.promotions > 0 && state.replica.is_none() && state.old.is_none() {
        steps.push(Step::Replicate);
    }
    if faults.failovers > 0 && state.replica.is_some() {
        steps.push(Step::FailOver);
    }
    if faults.promotions > 0 && state.replica.is_some() {
        steps.push(Step::Promote);
    }
}

fn of_lane(config: &Config, state: &State, slot: Slot, steps: &mut Vec<Step>) {
    let lane = &state.lanes[usize::from(slot)];
    if lane.phase == Phase::Gone {
        return;
    }
    let (owner, faults) = (state.is_owner(config, slot), &state.faults);
    match &lane.phase {
        Phase::Gone | Phase::Stopped => {}
        Phase::Starting { .. } => steps.push(Step::Ask(slot)),
        Phase::Asked { .. } => {
            steps.push(Step::Take(slot));
            if faults.timeouts > 0 {
                steps.push(Step::TakeUnheard(slot));
            }
        }
        Phase::Confirming { own } => {
            if owner || own.is_none() {
                steps.push(Step::Confirm(slot));
            }
        }
        Phase::Running(run) => of_run(config, state, slot, run, steps),
    }
    if owner && lane.published.is_some() && lane.published != lane.noted {
        steps.push(Step::Commit(slot));
    }
    if !owner && faults.stray_commits > 0 && lane.published.is_some() {
        steps.push(Step::StrayCommit(slot));
    }
    if owner && faults.crashes > 0 {
        steps.push(Step::Crash(slot));
    }
    if !owner {
        steps.push(Step::End(slot));
    }
    if lane.on_old {
        steps.push(Step::Reconnect(slot));
    }
    let restarts = if config.zombies_restart { !owner } else { faults.restarts > 0 };
    if restarts && matches!(lane.phase, Phase::Running(_)) {
        steps.push(Step::Restart(slot));
    }
}

fn of_run(config: &Config, state: &State, slot: Slot, run: &Run, steps: &mut Vec<Step>) {
    let faults = &state.faults;
    if run.flight.is_empty() {
        match &run.job {
            Some(job) if job.todo != 0 => {
                hows(config, state, run, job.todo, |how| steps.push(Step::Reload(slot, how)));
            }
            Some(_) => steps.push(Step::Send(slot)),
            None => when_idle(config, state, slot, run, steps),
        }
        return;
    }
    if run.replies.len() < run.flight.len() {
        steps.push(Step::Run(slot));
        if faults.refusals > 0 {
            steps.push(Step::Refuse(slot));
        }
    } else {
        steps.push(Step::Receive(slot));
    }
    if faults.timeouts > 0 {
        steps.push(Step::TimeOut(slot));
    }
    if faults.resends > 0 {
        steps.push(Step::Resend(slot));
    }
}

fn when_idle(config: &Config, state: &State, slot: Slot, run: &Run, steps: &mut Vec<Step>) {
    let partition = usize::from(config.slots[usize::from(slot)]);
    let lane = &state.lanes[usize::from(slot)];
    let left = config.end(partition) - run.processed;
    for records in 1..=left.min(config.batch) {
        let batch = || (run.processed..run.processed + records).map(|at| config.record(partition, at));
        let todo = batch()
            .filter(|record| record.kind != Kind::Malformed)
            .fold(0, |todo, record| todo | (1 << record.player));
        let clocked = batch().any(|record| record.kind == Kind::AheadOfSomeClocks);
        for clock_refuses in [false, true].into_iter().filter(|refuses| !refuses || clocked) {
            hows(config, state, run, todo, |how| {
                steps.push(Step::Load(slot, Load { records, clock_refuses, how }));
            });
        }
    }
    let behind = run.fence.position < run.processed;
    let unsettled = config.idle_flush && run.fence.settled < run.processed;
    if !run.doubt && (behind || unsettled) {
        steps.push(Step::Flush(slot));
    }
    let found = state.store(lane.on_old).fences[partition];
    if run.doubt || found.is_none_or(|fence| fence.id != run.fence.id) {
        steps.push(Step::Verify(slot));
    }
    if lane.published != Some(run.committable()) {
        steps.push(Step::Publish(slot));
    }
}

/// The ways to load these players that make a difference.
fn hows(config: &Config, state: &State, run: &Run, todo: u8, mut push: impl FnMut(How)) {
    push(How::Read);
    if state.faults.timeouts > 0 && todo.count_ones() > 1 {
        push(How::InPart);
    }
    let cached = |who: &u8| run.cache[usize::from(*who)].is_some();
    let mistaken = run.job.as_ref().is_some_and(|job| job.mistaken);
    let players = || (0..8u8).filter(|who| todo & (1 << who) != 0);
    if players().any(|who| cached(&who)) {
        push(How::Cached);
    }
    if config.newcomers && !run.doubt && !mistaken && players().any(|who| !cached(&who)) {
        push(How::Presumed);
    }
}
