//! A model of the protocol: every order in which lanes, store and group can take their steps, in small configurations.
//!
//! It is written in the words of the design and follows the worker's code step by step (`lane/start.rs`, `lane/writer`,
//! `store/fence.rs`, `store/batch.lua`), but shares none with it. A [`State`] is the store, its replica, the lanes with
//! what they know, the group's commits, what was sent to topics, and scripts that are still on their way. A [`Step`] is
//! one thing that one of them does. [`search`] looks at every reachable state, breadth first, so that what it finds
//! broken comes with a shortest way there; [`live`] asks whether every run comes to its end; [`walk`] takes random ways
//! through configurations too large to be exhausted; [`Split`] is a model of its own, of split records.
//!
//! **Modelled**: lanes that start, take the fence, batch, load (read, cached or presumed new), merge, send one or several
//! scripts, and take their answers; scripts that run late, twice or never, an answer that is lost, a script that the
//! server refuses; conflicts; idle lanes that look at their fence; restarts; a partition that moves while its old lane
//! runs on; crashes; commits (late, of an old lane, and those that confirm a lane); a store that falls back to any earlier
//! state, also while the old primary goes on; sums, `latest`, unlocks by outbox, dead letters (malformed, refused by some
//! clocks, overflow by outbox); two partitions that feed one player.
//!
//! **Always**: no record is applied twice and none is overwritten by an older one; below a fence's position every record
//! is stored or its refusal is, below its settled also sent; no commit is above a missing record before the store lost
//! writes; no unlock is sent that was never stored; a refused overflow is not applied. **At the end**: the store is the
//! fold of the log, unlocks and dead letters are sent.
//!
//! **Not modelled**: time (a limit of 60 s, a backoff, expiry of players), retention, topics created again, foreign
//! commits and owners, deletion, `max`, `min`, `first` and `bitOr` (like `latest`, they only grow), more than one tier,
//! format and damage, several stores (Cluster), `WAIT`, transactions in Kafka, and clients that take the answer of a
//! repeated command for that of the first (the worker drops a connection whose answer is late). Letters of records that
//! only some clocks refuse may be sent although another lane applies the record: the model, like the design, promises
//! only that one of the two happens.

mod batch;
mod cases;
mod check;
mod command;
mod config;
mod enabled;
mod exact;
mod holding;
mod lane;
mod live;
mod merge;
mod mutants;
mod script;
mod split;
mod state;
mod step;
mod walk;
mod words;
mod world;

use stateright::{Model, Property};

pub use cases::{Case, deep, random, small};
pub use check::{Broken, Checked, Searched, replay, search};
pub use command::Args;
pub use config::{Config, Faults, Kind, Mutation, Record, ahead, latest, malformed, sum};
pub use exact::{Breach, breach, is_done};
pub use live::{Lived, Stuck, live};
pub use mutants::{contention, harmful, harmless};
pub use split::{Split, SplitFaults, SplitMutation, split_deep, split_harmful, split_sound};
pub use state::State;
pub use step::{How, Load, Step};
pub use walk::{Walked, walk};

impl Model for Config {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State::initial(self)]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        enabled::enabled(self, state, steps);
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        let mut next = state.clone();
        apply(self, &mut next, step);
        next.tidy(self);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        Self::exact()
    }
}

impl Checked for Config {
    fn breach(&self, state: &State) -> Option<String> {
        breach(self, state).map(|breach| breach.to_string())
    }
}

fn apply(config: &Config, state: &mut State, step: Step) {
    match step {
        Step::Ask(slot) => lane::ask(config, state, slot),
        Step::Take(slot) => lane::take(config, state, slot, true),
        Step::TakeUnheard(slot) => {
            state.faults.timeouts -= 1;
            lane::take(config, state, slot, false);
        }
        Step::Load(slot, load) => {
            state.faults.timeouts -= u8::from(load.how == How::InPart);
            lane::load(config, state, slot, load);
        }
        Step::Reload(slot, how) => {
            state.faults.timeouts -= u8::from(how == How::InPart);
            lane::round(config, state, slot, how);
        }
        Step::Run(slot) => lane::run_next(config, state, slot),
        Step::Receive(slot) => lane::receive(config, state, slot),
        Step::TimeOut(slot) => {
            state.faults.timeouts -= 1;
            lane::time_out(config, state, slot);
        }
        Step::Refuse(slot) => {
            state.faults.refusals -= 1;
            lane::receive(config, state, slot);
        }
        Step::Send(slot) => lane::send_owed(config, state, slot),
        Step::Flush(slot) => lane::flush(config, state, slot),
        Step::Verify(slot) => lane::verify(config, state, slot),
        Step::Publish(slot) => lane::publish(state, slot),
        Step::Commit(slot) => world::commit(config, state, slot),
        Step::StrayCommit(slot) => {
            state.faults.stray_commits -= 1;
            world::commit(config, state, slot);
        }
        Step::Confirm(slot) => lane::confirm(config, state, slot),
        Step::Restart(slot) => lane::restart(config, state, slot),
        Step::Crash(slot) => world::crash(state, slot),
        Step::End(slot) => world::end(config, state, slot),
        Step::Rebalance(partition) => world::rebalance(config, state, partition),
        Step::RunLate(at) => lane::run_late(config, state, at),
        Step::Resend(slot) => world::resend(state, slot),
        Step::Replicate => state.replica = Some(Box::new(state.store.clone())),
        Step::FailOver => world::fail_over(state, false),
        Step::Promote => world::fail_over(state, true),
        Step::Reconnect(slot) => world::reconnect(config, state, slot),
    }
}
