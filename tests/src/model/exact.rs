//! What must hold: in every state, and when everything is done.

use std::fmt;

use super::config::{Config, Kind, Mutation};
use super::merge::{key, mark_of, sum};
use super::state::State;
use super::words::{PARTITIONS, PLAYERS, Phase, Unlock};

/// What does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    AppliedTwice {
        player: u8,
    },
    OlderOverwroteNewer {
        player: u8,
    },
    /// A record below the fence's position is neither stored nor a dead letter.
    PositionAboveMissing {
        partition: u8,
        offset: u8,
    },
    /// A record below the fence's settled is not stored, or its dead letter is not sent.
    SettledAboveMissing {
        partition: u8,
        offset: u8,
    },
    CommitAboveMissing {
        partition: u8,
        offset: u8,
    },
    /// An unlock was sent for a tier that no stored value ever reached.
    UnlockOfNothing {
        player: u8,
    },
    /// A record is applied and its overflow was sent as a dead letter.
    AppliedAndRefused {
        partition: u8,
        offset: u8,
    },
    /// All is done, and the stored player is not the fold of the log.
    NotTheFold {
        player: u8,
    },
    /// All is done, and a stored unlock was never sent.
    UnlockLost {
        player: u8,
    },
    /// All is done, and a dead letter was never sent.
    LetterLost {
        partition: u8,
        offset: u8,
    },
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AppliedTwice { player } => write!(f, "a record was applied twice to player {player}"),
            Self::OlderOverwroteNewer { player } => {
                write!(f, "an older report overwrote a newer one of player {player}")
            }
            Self::PositionAboveMissing { partition, offset } => {
                write!(f, "the fence of partition {partition} is above record {offset}, which is missing")
            }
            Self::SettledAboveMissing { partition, offset } => {
                write!(f, "partition {partition} is settled above record {offset}, which is missing")
            }
            Self::CommitAboveMissing { partition, offset } => {
                write!(f, "the commit of partition {partition} is above record {offset}, which is missing")
            }
            Self::UnlockOfNothing { player } => {
                write!(f, "player {player} was told of an unlock that never happened")
            }
            Self::AppliedAndRefused { partition, offset } => {
                write!(f, "record {offset} of partition {partition} is applied and a dead letter")
            }
            Self::NotTheFold { player } => write!(f, "player {player} is not the fold of the log"),
            Self::UnlockLost { player } => write!(f, "the unlock of player {player} is lost"),
            Self::LetterLost { partition, offset } => {
                write!(f, "the dead letter of record {offset} of partition {partition} is lost")
            }
        }
    }
}

/// The first breach of a state, if there is one.
pub fn breach(config: &Config, state: &State) -> Option<Breach> {
    always(config, state).or_else(|| is_done(config, state).then(|| at_the_end(config, state)).flatten())
}

fn always(config: &Config, state: &State) -> Option<Breach> {
    for (who, player) in (0..).zip(&state.store.players) {
        let Some(player) = player else { continue };
        if player.twice {
            return Some(Breach::AppliedTwice { player: who });
        }
        let overwritten = places(config, who).any(|(partition, offset)| {
            let record = config.record(usize::from(partition), offset);
            let place = (partition, offset);
            let below = offset < player.marks[mark_of(config, usize::from(partition))];
            record.time > 0
                && record.kind == Kind::Report
                && below
                && player.latest.is_some_and(|latest| key(config, latest) < key(config, place))
        });
        if overwritten && config.mutation != Mutation::OneWatermark {
            return Some(Breach::OlderOverwroteNewer { player: who });
        }
    }
    for (partition, at) in (0u8..).zip(0..PARTITIONS) {
        if let Some(fence) = state.store.fences[at] {
            if let Some(offset) = missing(config, state, at, fence.position, false) {
                return Some(Breach::PositionAboveMissing { partition, offset });
            }
            if let Some(offset) = missing(config, state, at, fence.settled, true) {
                return Some(Breach::SettledAboveMissing { partition, offset });
            }
        }
        let committed = state.committed[at].unwrap_or(0);
        if !state.lost_writes
            && let Some(offset) = missing(config, state, at, committed, true)
        {
            return Some(Breach::CommitAboveMissing { partition, offset });
        }
        if !state.lost_writes
            && let Some(offset) = (0..config.end(at)).find(|offset| is_both(config, state, at, *offset))
        {
            return Some(Breach::AppliedAndRefused { partition, offset });
        }
    }
    // Sent before it is stored, an unlock is wrong only if it is never stored.
    if config.mutation == Mutation::UnlockBeforeCas { None } else { of_nothing(state) }
}

fn of_nothing(state: &State) -> Option<Breach> {
    let of_nothing = state.unlocks & !state.reached;
    (of_nothing != 0).then(|| Breach::UnlockOfNothing { player: lowest(of_nothing) })
}

fn lowest(mask: u8) -> u8 {
    u8::try_from(mask.trailing_zeros()).unwrap_or(0)
}

/// Where the records of a player lie.
fn places(config: &Config, who: u8) -> impl Iterator<Item = (u8, u8)> {
    (0u8..).zip(0..PARTITIONS).flat_map(move |(partition, at)| {
        (0..config.end(at))
            .filter(move |offset| config.record(at, *offset).player == who)
            .map(move |offset| (partition, offset))
    })
}

/// The first record below `upto` that is neither stored nor a dead letter. With `acknowledged`, a pending dead letter
/// does not count.
fn missing(config: &Config, state: &State, partition: usize, upto: u8, acknowledged: bool) -> Option<u8> {
    (0..upto).find(|offset| {
        let record = config.record(partition, *offset);
        let bit = 1 << offset;
        if state.letters[partition] & bit != 0 {
            return false;
        }
        if record.kind == Kind::Malformed {
            return true;
        }
        // What it does not write is no loss as long as the sum is right in the end.
        if config.mutation == Mutation::NetZeroNotWritten && record.time == 0 {
            return false;
        }
        let Some(player) = &state.store.players[usize::from(record.player)] else { return true };
        if record.kind != Kind::Report && !acknowledged && config.mutation == Mutation::DeadLetterAfterScript
        {
            return false;
        }
        let added = record.add == 0 || player.applied[partition] & bit != 0;
        let place = (u8::try_from(partition).unwrap_or(0), *offset);
        let newest =
            record.time == 0 || player.latest.is_some_and(|latest| key(config, latest) >= key(config, place));
        let refused = !acknowledged && player.refused[partition] & bit != 0;
        !(added && newest || refused)
    })
}

fn is_both(config: &Config, state: &State, partition: usize, offset: u8) -> bool {
    let (record, bit) = (config.record(partition, offset), 1 << offset);
    record.kind == Kind::Report
        && state.letters[partition] & bit != 0
        && state.store.players[usize::from(record.player)]
            .is_some_and(|player| player.applied[partition] & bit != 0)
}

/// Every owner is idle, holds its fence, and has processed and committed all there is.
pub fn is_done(config: &Config, state: &State) -> bool {
    (0..PARTITIONS).filter(|partition| !config.log[*partition].is_empty()).all(|partition| {
        let lane = &state.lanes[usize::from(state.owners[partition])];
        let Phase::Running(run) = &lane.phase else { return false };
        let end = config.end(partition);
        let held = state.store.fences[partition].is_some_and(|fence| fence.id == run.fence.id);
        run.is_idle()
            && !run.doubt
            && !lane.on_old
            && held
            && run.processed == end
            && run.fence.position == end
            && state.committed[partition] == Some(end)
    })
}

fn at_the_end(config: &Config, state: &State) -> Option<Breach> {
    for (partition, at) in (0u8..).zip(0..PARTITIONS) {
        if let Some(offset) = missing(config, state, at, config.end(at), true) {
            return Some(Breach::LetterLost { partition, offset });
        }
    }
    of_nothing(state).or_else(|| {
        (0..PLAYERS).find_map(|at| {
            let who = u8::try_from(at).unwrap_or(0);
            let player = state.store.players[at].as_ref()?;
            let all = || {
                places(config, who).map(|(partition, offset)| config.record(usize::from(partition), offset))
            };
            let fold: i8 = all().map(|record| record.add).sum();
            let sure = config.limit.is_none() && all().all(|record| record.kind == Kind::Report);
            if sure && sum(config, player) != fold {
                return Some(Breach::NotTheFold { player: who });
            }
            if config.limit.is_some_and(|limit| sum(config, player) > limit) {
                return Some(Breach::NotTheFold { player: who });
            }
            let due = player.unlock != Unlock::NotReached
                || config.tier.is_some_and(|tier| sum(config, player) >= tier);
            (due && state.unlocks & (1 << who) == 0).then_some(Breach::UnlockLost { player: who })
        })
    })
}
