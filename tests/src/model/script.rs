//! The batch script as the store runs it: compare the fence, compare each player, write, set the fence.

use super::config::{Config, Mutation};
use super::words::{Fence, Header, Reply, Script, Store};

/// Runs a script. Atomic, like any script of the store.
pub fn run(config: &Config, store: &mut Store, script: &Script) -> Reply {
    let fence = &mut store.fences[usize::from(script.partition)];
    let Some(found) = fence else { return Reply::OtherFence(None) };
    if !is_expected(config, *found, script) {
        return Reply::OtherFence(Some(*found));
    }
    let mut refused = 0;
    for write in &script.writes {
        let player = &mut store.players[usize::from(write.player)];
        if is_same(config, player.and_then(|stored| stored.header()), write.expected) {
            *player = Some(write.new);
        } else {
            refused |= 1 << write.player;
        }
    }
    *fence = Some(if refused == 0 { script.ok } else { script.part });
    if refused == 0 { Reply::Ok } else { Reply::Part(refused) }
}

fn is_expected(config: &Config, found: Fence, script: &Script) -> bool {
    match config.mutation {
        _ if !config.fenced => true,
        Mutation::FenceByPosition => found.position == script.held,
        Mutation::FenceByNonce => found.id.lane == script.expects.lane,
        _ => found.id == script.expects,
    }
}

fn is_same(config: &Config, found: Header, expected: Header) -> bool {
    match (found, expected) {
        (Some(found), Some(expected)) if config.mutation == Mutation::HeaderIdPerLane => {
            (found.0, found.1.lane) == (expected.0, expected.1.lane)
        }
        (Some(found), Some(expected)) if config.mutation == Mutation::CasByVersion => found.0 == expected.0,
        (_, None) if config.mutation == Mutation::NewcomersUnchecked => true,
        _ => found == expected,
    }
}
