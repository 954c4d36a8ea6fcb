//! A batch's way to the store: load, merge, and the scripts that are sent.

use super::config::{Config, Kind, Mutation};
use super::lane::{lose_fence, take_phase};
use super::merge::{Merged, merge, raise};
use super::state::State;
use super::step::{How, Load};
use super::words::{Fence, Id, Job, PLAYERS, Phase, Player, Run, Script, Slot, Store, Write};

/// Drains a batch and sends its first round.
pub fn load(config: &Config, state: &mut State, slot: Slot, load: Load) {
    let partition = usize::from(config.slots[usize::from(slot)]);
    let Phase::Running(mut run) = take_phase(state, slot) else { return };
    let (from, upto) = (run.processed, run.processed + load.records);
    let mut job = Job {
        from,
        upto,
        clock_refuses: load.clock_refuses,
        todo: 0,
        letters: 0,
        unlocks: 0,
        mistaken: false,
        verdicts: 0,
    };
    for offset in from..upto {
        let record = config.record(partition, offset);
        if record.kind != Kind::Malformed {
            job.todo |= 1 << record.player;
        } else if config.mutation == Mutation::DeadLetterAfterScript {
            job.letters |= 1 << offset;
        } else {
            state.letters[partition] |= 1 << offset;
        }
    }
    if config.mutation == Mutation::CommitBeforeWrite {
        run.processed = upto;
        run.fence.position = run.fence.position.max(upto);
        state.lanes[usize::from(slot)].published = Some(upto);
    }
    run.job = Some(job);
    state.lanes[usize::from(slot)].phase = Phase::Running(run);
    round(config, state, slot, load.how);
}

/// One round over the players still to do.
pub fn round(config: &Config, state: &mut State, slot: Slot, how: How) {
    let partition = usize::from(config.slots[usize::from(slot)]);
    let on_old = state.lanes[usize::from(slot)].on_old;
    let Phase::Running(mut run) = take_phase(state, slot) else { return };
    let Some(mut job) = run.job.take() else { return };
    let (whole, found) = find(config, state.store(on_old), &mut run, &job, partition, how);
    let asked = found.iter().flatten().any(|found| matches!(found, Found::Stored(_)));
    if (asked || (run.doubt && job.todo != 0)) && !run.adopt(config, state.store(on_old).fences[partition]) {
        lose_fence(config, state, slot, &run, Some(job));
        return;
    }
    let mut plan = Plan::default();
    for (who, found) in (0..).zip(found) {
        if let Some(Found::Stored(base) | Found::Kept(base)) = found {
            plan.player(config, state, &mut run, &mut job, (partition, who), base);
        }
    }
    if how == How::InPart {
        // What was planned is dropped; players without a change are done all the same.
        run.doubt = true;
        run.cache = [None; PLAYERS];
        run.job = Some(job);
        state.lanes[usize::from(slot)].phase = Phase::Running(run);
        return;
    }
    plan.verdicts |= std::mem::take(&mut job.verdicts);
    if config.mutation == Mutation::DeadLetterAfterScript {
        job.letters |= plan.verdicts;
    } else {
        state.letters[partition] |= plan.verdicts;
    }
    state.unlocks |= plan.unannounced;
    let upto = if whole { job.upto } else { run.fence.position };
    run.job = Some(job);
    if plan.writes.is_empty() {
        run.finish_if_done(state, slot);
    } else {
        send(config, state, slot, &mut run, &plan.writes, upto);
    }
    state.lanes[usize::from(slot)].phase = Phase::Running(run);
}

/// The writes of one round, and what is sent before them.
#[derive(Default)]
struct Plan {
    writes: Vec<Write>,
    /// Offsets of records that the clock refuses.
    verdicts: u8,
    /// Players whose unlock was found pending and is not known to be sent.
    unannounced: u8,
}

impl Plan {
    /// Applies the batch to one player; without a change the player is done.
    fn player(
        &mut self,
        config: &Config,
        state: &mut State,
        run: &mut Run,
        job: &mut Job,
        (partition, who): (usize, u8),
        base: Option<Player>,
    ) {
        let bit = 1 << who;
        let (cleaned, cleared, unannounced) = run.clear_sent(config, base.unwrap_or_default(), partition);
        let Merged { player: mut new, changed, upper, reaches, verdicts } =
            merge(config, cleaned, partition, who, job);
        if config.mutation == Mutation::OverflowBeforeCas {
            state.letters[partition] |= std::mem::take(&mut new.refused[partition]);
        }
        if reaches && config.mutation == Mutation::UnlockBeforeCas {
            state.unlocks |= bit;
        }
        if unannounced {
            self.unannounced |= bit;
        }
        if !changed && !cleared {
            job.todo &= !bit;
            if config.mutation != Mutation::VerdictOfPlan {
                job.verdicts |= verdicts;
            } else {
                self.verdicts |= verdicts;
            }
            run.owe(job, &new, partition, bit);
            run.keep(config, usize::from(who), new);
            return;
        }
        self.verdicts |= verdicts;
        raise(config, &mut new, partition, upper);
        let expected = base.and_then(|base| base.header());
        self.writes.push(Write { player: who, expected, new, reaches });
    }
}

/// What a round knows of a player.
enum Found {
    /// Read together with the fence.
    Stored(Option<Player>),
    /// From the cache, or presumed to be new.
    Kept(Option<Player>),
}

/// What a round knows of its players, and whether these are all that are left to do.
fn find(
    config: &Config,
    store: &Store,
    run: &mut Run,
    job: &Job,
    partition: usize,
    how: How,
) -> (bool, [Option<Found>; PLAYERS]) {
    let mut room = match how {
        How::InPart => usize::try_from(job.todo.count_ones()).unwrap_or(0) - 1,
        How::Read | How::Cached | How::Presumed => config.round,
    };
    let found = std::array::from_fn(|who| {
        if job.todo & (1 << who) == 0 || room == 0 {
            return None;
        }
        room -= 1;
        let cached = run.cache[who].take().filter(|_| matches!(how, How::Cached | How::Presumed));
        Some(match cached {
            Some(player) => Found::Kept(Some(player)),
            None if how == How::Presumed && !run.doubt && !is_judged(config, job, partition, who) => {
                Found::Kept(None)
            }
            None => Found::Stored(store.players[who]),
        })
    });
    (usize::try_from(job.todo.count_ones()).unwrap_or(0) <= config.round, found)
}

/// Whether the batch holds a record of the player that the clock refuses.
fn is_judged(config: &Config, job: &Job, partition: usize, who: usize) -> bool {
    job.clock_refuses
        && (job.from..job.upto).any(|offset| {
            let record = config.record(partition, offset);
            usize::from(record.player) == who && record.kind == Kind::AheadOfSomeClocks
        })
}

/// Fills scripts with the writes; each compares what the one before leaves, and only the last moves the position.
fn send(config: &Config, state: &mut State, slot: Slot, run: &mut Run, writes: &[Write], upto: u8) {
    let partition = config.slots[usize::from(slot)];
    let held = run.fence.position;
    let mut expects = run.fence.id;
    let mut parts: Vec<Vec<Write>> = writes.chunks(config.script).map(<[Write]>::to_vec).collect();
    if parts.is_empty() {
        parts.push(Vec::new());
    }
    let last = parts.len() - 1;
    for (at, mut writes) in parts.into_iter().enumerate() {
        let id = state.fresh_id(config, slot);
        for write in &mut writes {
            write.new.version += 1;
            write.new.id = Some(id);
        }
        let position = if at == last { upto.max(held) } else { held };
        let settled = run.processed.min(position);
        let part = match config.mutation {
            Mutation::PositionAfterPart => id,
            _ => Id { part: true, ..id },
        };
        run.flight.push(Script {
            partition,
            expects: std::mem::replace(&mut expects, id),
            held,
            ok: Fence { id, position, settled },
            part: Fence { id: part, position: held, settled: settled.min(held) },
            writes,
        });
    }
}

/// Moves the fence without players.
pub fn flush(config: &Config, state: &mut State, slot: Slot) {
    let Phase::Running(mut run) = take_phase(state, slot) else { return };
    let upto = run.processed;
    send(config, state, slot, &mut run, &[], upto);
    state.lanes[usize::from(slot)].phase = Phase::Running(run);
}
