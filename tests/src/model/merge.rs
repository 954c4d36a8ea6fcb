//! The merge: a batch applied to one player, skipping what lies below the watermark.

use super::config::{Config, Kind, Mutation, Record};
use super::words::{Job, PARTITIONS, Player, Unlock};

/// What applying a batch to a player did.
#[derive(Clone, Copy, Debug)]
pub struct Merged {
    pub player: Player,
    pub changed: bool,
    /// The offset after the player's last record of the batch.
    pub upper: u8,
    /// The tier is reached now.
    pub reaches: bool,
    /// Offsets of records refused by the clock that no earlier verdict covers.
    pub verdicts: u8,
}

/// Applies the records of `job` that concern player `who`.
pub fn merge(config: &Config, found: Player, partition: usize, who: u8, job: &Job) -> Merged {
    let mut merged = Merged { player: found, changed: false, upper: 0, reaches: false, verdicts: 0 };
    let from = watermark(config, &found, partition);
    for offset in job.from..job.upto {
        let record = config.record(partition, offset);
        if record.player != who || record.kind == Kind::Malformed {
            continue;
        }
        merged.upper = offset + 1;
        if offset >= from {
            apply(config, &mut merged, partition, offset, record, job.clock_refuses);
        }
    }
    if config.mutation == Mutation::NetZeroNotWritten
        && sum(config, &merged.player) == sum(config, &found)
        && merged.player.latest == found.latest
    {
        merged = Merged { player: found, changed: false, ..merged };
    }
    if merged.changed {
        let upper = merged.upper;
        raise(config, &mut merged.player, partition, upper);
        if config.tier.is_some_and(|tier| sum(config, &merged.player) >= tier)
            && merged.player.unlock == Unlock::NotReached
        {
            merged.player.unlock = match config.mutation {
                Mutation::NoOutbox | Mutation::UnlockBeforeCas => Unlock::Announced,
                _ => Unlock::Pending { partition: index(partition), offset: upper - 1 },
            };
            merged.reaches = true;
        }
    }
    merged
}

fn apply(
    config: &Config,
    merged: &mut Merged,
    partition: usize,
    offset: u8,
    record: Record,
    clock_refuses: bool,
) {
    let player = &mut merged.player;
    let bit = 1 << offset;
    if record.kind == Kind::AheadOfSomeClocks && clock_refuses {
        merged.verdicts |= bit;
        merged.changed |= player.version > 0;
        return;
    }
    if record.add != 0 {
        if config.limit.is_some_and(|limit| sum(config, player) + record.add > limit) {
            player.refused[partition] |= bit;
            merged.changed = true;
            return;
        }
        player.twice |= player.applied[partition] & bit != 0;
        player.applied[partition] |= bit;
        merged.changed = true;
    }
    if record.time > 0 {
        let place = (index(partition), offset);
        let newer = player.latest.is_none_or(|latest| key(config, place) > key(config, latest));
        if newer || config.mutation == Mutation::LatestByArrival {
            merged.changed |= player.latest != Some(place);
            player.latest = Some(place);
        }
    }
}

/// Moves the watermark of a partition.
pub fn raise(config: &Config, player: &mut Player, partition: usize, upper: u8) {
    let mark = &mut player.marks[mark_of(config, partition)];
    *mark = upper.max(*mark);
}

fn index(partition: usize) -> u8 {
    u8::try_from(partition).unwrap_or(0)
}

fn watermark(config: &Config, player: &Player, partition: usize) -> u8 {
    match config.mutation {
        Mutation::NoWatermark => 0,
        _ => player.marks[mark_of(config, partition)],
    }
}

/// Where the watermark of a partition lies.
pub fn mark_of(config: &Config, partition: usize) -> usize {
    if config.mutation == Mutation::OneWatermark { 0 } else { partition }
}

/// Timestamp, partition, offset: the order of a player's items.
pub fn key(config: &Config, (partition, offset): (u8, u8)) -> (u8, u8, u8) {
    (config.record(usize::from(partition), offset).time, partition, offset)
}

/// The stored sum.
pub fn sum(config: &Config, player: &Player) -> i8 {
    (0..PARTITIONS)
        .flat_map(|partition| (0..config.end(partition)).map(move |offset| (partition, offset)))
        .filter(|(partition, offset)| player.applied[*partition] & (1 << offset) != 0)
        .map(|(partition, offset)| config.record(partition, offset).add)
        .sum()
}
