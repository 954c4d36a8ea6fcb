//! A decoded batch: records of one lane, grouped by player in one pass.
//!
//! Items and texts lie in arenas of the batch, and a group links its records in offset order, so that neither a
//! record nor a group allocates. Nothing is thrown away before the player is loaded: a watermark may fall inside the
//! batch, and a sum that would overflow refuses a record with all its items.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::player::PlayerId;

/// Records of one lane between two offsets.
#[derive(Debug, Default)]
pub struct Batch {
    records: Vec<BatchRecord>,
    items: Vec<BatchItem>,
    text: String,
    groups: Vec<Group>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

/// One item; its text lies in the batch.
#[derive(Clone, Copy, Debug)]
struct BatchItem {
    kind: u32,
    value: i64,
    data_start: u32,
    data_len: u32,
}

#[derive(Clone, Copy, Debug)]
struct BatchRecord {
    offset: i64,
    timestamp: i64,
    items_start: u32,
    items_len: u32,
    delete: bool,
    /// The same player's next record, or [`NONE`].
    next: u32,
}

const NONE: u32 = u32::MAX;

/// A player's slot in the index, which is half empty at times.
const INDEX_BYTES: usize = 10;

/// One player's part of a batch.
#[derive(Debug)]
pub struct Group {
    player: PlayerId,
    head: u32,
    tail: u32,
    /// The offset after the player's last record in the batch.
    pub upper: i64,
    /// A refused record, which has no items, is among the player's.
    pub judged: bool,
}

/// One item of a record, as the merge sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    pub kind: u32,
    pub value: i64,
    pub data: &'a str,
    /// Position in the report, from 0.
    pub index: u32,
}

/// One record of a player.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub offset: i64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// Everything before it is to be removed.
    pub delete: bool,
    batch: &'a Batch,
    items_start: u32,
    items_len: u32,
}

/// The player as a report names it, before it is known to the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlayerRef<'a> {
    pub uin: u64,
    pub platform: u32,
    pub zone: u32,
    pub server: u32,
    pub role: &'a str,
}

impl Batch {
    /// Adds a record that deletes the player.
    pub fn push_deletion(&mut self, player: PlayerRef<'_>, offset: i64, timestamp: i64) {
        self.push_record(player, offset, timestamp, std::iter::empty(), true);
    }

    /// Adds a record of a player. Records come in offset order; one without items only moves the player's watermark.
    pub fn push<'a>(
        &mut self,
        player: PlayerRef<'_>,
        offset: i64,
        timestamp: i64,
        items: impl Iterator<Item = (u32, i64, &'a str)>,
    ) {
        self.push_record(player, offset, timestamp, items, false);
    }

    fn push_record<'a>(
        &mut self,
        player: PlayerRef<'_>,
        offset: i64,
        timestamp: i64,
        items: impl Iterator<Item = (u32, i64, &'a str)>,
        delete: bool,
    ) {
        let items_start = self.items.len() as u32;
        for (kind, value, data) in items {
            let data_start = self.text.len() as u32;
            self.text.push_str(data);
            self.items.push(BatchItem { kind, value, data_start, data_len: data.len() as u32 });
        }
        let record = self.records.len() as u32;
        let items_len = self.items.len() as u32 - items_start;
        self.records.push(BatchRecord { offset, timestamp, items_start, items_len, delete, next: NONE });
        let group = self.group_of(player, record);
        let group = &mut self.groups[group as usize];
        if group.tail != record {
            self.records[group.tail as usize].next = record;
            group.tail = record;
        }
        group.upper = offset + 1;
        group.judged |= items_len == 0 && !delete;
    }

    /// Bytes that the batch takes in memory, roughly.
    pub fn memory_bytes(&self) -> usize {
        self.records.len() * size_of::<BatchRecord>()
            + self.items.len() * size_of::<BatchItem>()
            + self.groups.len() * (size_of::<Group>() + INDEX_BYTES)
            + self.text.len()
    }

    /// The players of the batch, in order of their first record.
    pub fn players(&self) -> impl ExactSizeIterator<Item = &PlayerId> {
        self.groups.iter().map(|group| &group.player)
    }

    pub fn group(&self, index: usize) -> &Group {
        &self.groups[index]
    }

    pub fn player(&self, index: usize) -> &PlayerId {
        &self.groups[index].player
    }

    /// The records of one player, ascending by offset.
    pub fn records(&self, group: usize) -> impl Iterator<Item = Record<'_>> {
        let mut at = self.groups[group].head;
        std::iter::from_fn(move || {
            let record = self.records.get(at as usize)?;
            at = record.next;
            Some(Record {
                offset: record.offset,
                timestamp: record.timestamp,
                delete: record.delete,
                batch: self,
                items_start: record.items_start,
                items_len: record.items_len,
            })
        })
    }

    fn group_of(&mut self, player: PlayerRef<'_>, record: u32) -> u32 {
        let Self { groups, index, hasher, .. } = self;
        let hash = hasher.hash_one(player.parts());
        let rehash = |at: &u32| hasher.hash_one(PlayerRef::from(&groups[*at as usize].player).parts());
        let same = |at: &u32| PlayerRef::from(&groups[*at as usize].player) == player;
        match index.entry(hash, same, rehash) {
            hashbrown::hash_table::Entry::Occupied(found) => *found.get(),
            hashbrown::hash_table::Entry::Vacant(free) => {
                let at = groups.len() as u32;
                free.insert(at);
                groups.push(Group {
                    player: player.into(),
                    head: record,
                    tail: record,
                    upper: 0,
                    judged: false,
                });
                at
            }
        }
    }
}

impl<'a> Record<'a> {
    pub fn items(&self) -> impl ExactSizeIterator<Item = Item<'a>> + use<'a> {
        let batch = self.batch;
        let range = self.items_start as usize..(self.items_start + self.items_len) as usize;
        batch.items[range].iter().enumerate().map(|(index, item)| Item {
            kind: item.kind,
            value: item.value,
            data: &batch.text[item.data_start as usize..(item.data_start + item.data_len) as usize],
            index: index as u32,
        })
    }
}

impl PlayerRef<'_> {
    fn parts(&self) -> (u64, u32, u32, u32, &str) {
        (self.uin, self.platform, self.zone, self.server, self.role)
    }
}

impl<'a> From<&'a PlayerId> for PlayerRef<'a> {
    fn from(id: &'a PlayerId) -> Self {
        Self { uin: id.uin, platform: id.platform, zone: id.zone, server: id.server, role: &id.role }
    }
}

impl From<PlayerRef<'_>> for PlayerId {
    fn from(player: PlayerRef<'_>) -> Self {
        Self {
            uin: player.uin,
            platform: player.platform,
            zone: player.zone,
            server: player.server,
            role: player.role.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn player(uin: u64, role: &str) -> PlayerRef<'_> {
        PlayerRef { uin, platform: 0, zone: 0, server: 0, role }
    }

    #[test]
    fn records_are_grouped_by_player_in_offset_order() {
        let mut batch = Batch::default();
        batch.push(player(1, ""), 10, 5, [(7, 1, "a")].into_iter());
        batch.push(player(2, ""), 11, 4, [(7, 2, "")].into_iter());
        batch.push(player(1, "x"), 12, 3, std::iter::empty());
        batch.push(player(1, ""), 13, 2, [(7, 3, "bc"), (8, 4, "")].into_iter());

        let seen: Vec<_> = (0..batch.players().len())
            .map(|group| {
                let records: Vec<_> = batch
                    .records(group)
                    .map(|record| {
                        let items: Vec<_> = record
                            .items()
                            .map(|item| (item.kind, item.value, item.data, item.index))
                            .collect();
                        (record.offset, record.timestamp, items)
                    })
                    .collect();
                (batch.player(group).uin, &*batch.player(group).role, batch.group(group).upper, records)
            })
            .collect();

        assert_eq!(
            seen,
            vec![
                (
                    1,
                    "",
                    14,
                    vec![(10, 5, vec![(7, 1, "a", 0)]), (13, 2, vec![(7, 3, "bc", 0), (8, 4, "", 1)])]
                ),
                (2, "", 12, vec![(11, 4, vec![(7, 2, "", 0)])]),
                (1, "x", 13, vec![(12, 3, vec![])]),
            ]
        );
    }
}
