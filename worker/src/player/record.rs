//! The stored record of a player: what it holds in memory, and how it becomes bytes.

use prost::Message;

use super::PlayerId;
use super::wire::{Numbers, append_achievement, append_watermark};
use crate::fields;
use crate::ids::WriteId;
use crate::proto::{self, Achievement, ChunkRef, Deletion, PendingDeadLetter, PendingUnlock, Watermark};

/// The format this version writes, and the newest it reads.
pub const FORMAT: u32 = 1;

/// Bytes of a player value that name its version and write ID: a script compares exactly these.
pub const HEADER: std::ops::Range<usize> = 5..32;

/// Most watermarks, achievements or chunks of a record that is read, each four times what one comes to: a player has
/// [`MAX_ACHIEVEMENTS`](crate::merge::MAX_ACHIEVEMENTS), and a chunk holds one at least.
const MOST_ENTRIES: usize = 16_384;
/// Most unlocks, or dead letters, that a record may owe: twice the tiers of all types, or the records, of the largest batch.
const MOST_OWED: usize = 262_144;
/// Numbers of the fields of `player.proto` that those bound.
const ENTRIES: [u32; 3] = [10, 11, 12];
const OWED: [u32; 2] = [13, 14];
const ACHIEVEMENTS_OF_A_CHUNK: [u32; 1] = [4];

/// A list of achievements that had room for more is not kept for the next player: one large record would hold it for good.
const KEPT_ACHIEVEMENTS: usize = 32;

/// Source partition of a topic's incarnation: what a watermark belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourcePartition {
    pub incarnation: u32,
    pub partition: u32,
}

/// A player record in memory. `version` 0 means that nothing is stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlayerState {
    pub version: u64,
    pub write_id: Option<WriteId>,
    pub watermarks: Vec<Watermark>,
    /// Ascending by type.
    pub achievements: Vec<Achievement>,
    pub pending: Vec<PendingDeadLetter>,
    pub unlocks: Vec<PendingUnlock>,
    pub deleted: Option<Deletion>,
    /// Empty for a record stored whole.
    pub chunks: Vec<StoredChunk>,
}

/// One chunk of a split record as it lies in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredChunk {
    pub reference: ChunkRef,
    /// Types of its achievements, ascending.
    pub types: Vec<u32>,
}

/// A manifest whose chunks are still to be read.
#[derive(Debug)]
pub struct Manifest {
    state: PlayerState,
    references: Vec<ChunkRef>,
}

/// What the value of a player key turned out to be.
#[derive(Debug)]
pub enum Decoded {
    Whole(PlayerState),
    Split(Manifest),
}

#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum RecordError {
    #[error("the value does not decode as a player record: {0}")]
    Damaged(String),
    #[error("the value has format {found}, newer than format {FORMAT}, the newest this version reads")]
    NewerFormat { found: u32 },
}

impl PlayerState {
    /// The offset below which records of this partition are applied; 0 for a partition never seen.
    pub fn watermark(&self, source: SourcePartition) -> i64 {
        self.watermarks
            .iter()
            .find(|mark| mark.partition == source.partition && mark.incarnation == source.incarnation)
            .map_or(0, |mark| mark.offset)
    }

    /// Moves the watermark up; never down.
    pub fn raise_watermark(&mut self, source: SourcePartition, offset: i64) {
        let found = self
            .watermarks
            .iter_mut()
            .find(|mark| mark.partition == source.partition && mark.incarnation == source.incarnation);
        match found {
            Some(mark) => mark.offset = mark.offset.max(offset),
            None => self.watermarks.push(Watermark {
                incarnation: source.incarnation,
                partition: source.partition,
                offset,
            }),
        }
    }

    pub fn achievement(&self, kind: u32) -> Option<&Achievement> {
        let at = self.achievements.binary_search_by_key(&kind, |achievement| achievement.r#type).ok()?;
        self.achievements.get(at)
    }

    /// Decodes the value of a player key.
    ///
    /// # Errors
    /// [`RecordError`] when the bytes are damaged, belong to another player, or are of a newer format.
    pub fn decode(value: &[u8], id: &PlayerId) -> Result<Decoded, RecordError> {
        check_entries(MOST_ENTRIES, &ENTRIES, value)?;
        check_entries(MOST_OWED, &OWED, value)?;
        let record =
            proto::PlayerRecord::decode(value).map_err(|error| RecordError::Damaged(error.to_string()))?;
        check_format(record.format)?;
        let same = (record.uin, record.platform, record.zone, record.server, record.role.as_str())
            == (id.uin, id.platform, id.zone, id.server, &*id.role);
        if !same {
            return Err(RecordError::Damaged("it belongs to another player".into()));
        }
        if record.version == 0 || record.write_id_high == 0 || record.write_id_low == 0 {
            return Err(RecordError::Damaged("its version or write ID is zero".into()));
        }
        if record.version == u64::MAX {
            return Err(RecordError::Damaged("its version is the last there is".into()));
        }
        let mut state = Self {
            version: record.version,
            write_id: Some(WriteId { high: record.write_id_high, low: record.write_id_low }),
            watermarks: record.watermarks,
            achievements: record.achievements,
            pending: record.pending_dead_letters,
            unlocks: record.pending_unlocks,
            deleted: record.deleted,
            chunks: Vec::new(),
        };
        if record.chunks.is_empty() {
            sort_unique(&mut state.achievements)?;
            return Ok(Decoded::Whole(state));
        }
        if !state.achievements.is_empty() {
            return Err(RecordError::Damaged("it has chunks, and achievements beside them".into()));
        }
        check_references(&record.chunks)?;
        Ok(Decoded::Split(Manifest { state, references: record.chunks }))
    }

    /// Appends the value of a player key that holds this state and these chunks (none: the achievements themselves).
    pub(super) fn encode_head(&self, id: &PlayerId, chunks: Vec<ChunkRef>, value: &mut Vec<u8>) {
        let write_id = self.write_id.unwrap_or(WriteId { high: 1, low: 1 });
        value.push(0x0d);
        value.extend_from_slice(&FORMAT.to_le_bytes());
        for (tag, number) in [(0x11, self.version), (0x19, write_id.high), (0x21, write_id.low)] {
            value.push(tag);
            value.extend_from_slice(&number.to_le_bytes());
        }
        let mut identity = Numbers::new();
        identity.add(5, id.uin);
        identity.add(6, id.platform.into());
        identity.add(7, id.zone.into());
        identity.add(8, id.server.into());
        identity.add_text(9, &id.role);
        value.extend_from_slice(identity.as_slice());
        value.extend_from_slice(id.role.as_bytes());
        self.watermarks.iter().for_each(|mark| append_watermark(10, mark, value));
        if chunks.is_empty() {
            self.achievements.iter().for_each(|stored| append_achievement(11, stored, value));
        }
        if chunks.is_empty() && self.pending.is_empty() && self.unlocks.is_empty() && self.deleted.is_none() {
            return;
        }
        let rest = proto::PlayerRecord {
            chunks,
            pending_dead_letters: self.pending.clone(),
            pending_unlocks: self.unlocks.clone(),
            deleted: self.deleted,
            ..proto::PlayerRecord::default()
        };
        rest.encode_raw(value);
    }

    /// Becomes the state of a player of whom nothing is stored; what small lists took stays theirs.
    pub fn reset(&mut self) {
        let Self { watermarks, achievements, pending, unlocks, chunks, .. } = self;
        watermarks.clear();
        achievements.clear();
        pending.clear();
        unlocks.clear();
        chunks.clear();
        if achievements.capacity() > KEPT_ACHIEVEMENTS {
            *achievements = Vec::new();
        }
        (self.version, self.write_id, self.deleted) = (0, None, None);
    }

    /// Gives back memory that growing left over.
    pub fn shrink(&mut self) {
        self.achievements.shrink_to_fit();
        self.watermarks.shrink_to_fit();
    }

    /// Bytes this state takes in memory, roughly; what a cache counts.
    pub fn memory_bytes(&self) -> usize {
        let texts: usize = self.achievements.iter().map(|achievement| achievement.data.len()).sum();
        let chunks: usize = self.chunks.iter().map(|chunk| 64 + chunk.types.len() * 4).sum();
        size_of::<Self>()
            + self.achievements.len() * size_of::<Achievement>()
            + self.watermarks.len() * size_of::<Watermark>()
            + self.pending.len() * size_of::<PendingDeadLetter>()
            + self.unlocks.len() * size_of::<PendingUnlock>()
            + texts
            + chunks
    }
}

impl Manifest {
    pub fn references(&self) -> &[ChunkRef] {
        &self.references
    }

    /// Puts the chunks' achievements into the record. `values` are in the order of [`Self::references`].
    ///
    /// # Errors
    /// [`RecordError`] when a chunk is damaged or is not the one the manifest names.
    pub fn complete(self, values: &[Vec<u8>]) -> Result<PlayerState, RecordError> {
        let mut state = self.state;
        for (reference, value) in self.references.into_iter().zip(values) {
            check_entries(MOST_ENTRIES, &ACHIEVEMENTS_OF_A_CHUNK, value)?;
            let chunk =
                proto::Chunk::decode(&**value).map_err(|error| RecordError::Damaged(error.to_string()))?;
            check_format(chunk.format)?;
            if (chunk.write_id_high, chunk.write_id_low) != (reference.write_id_high, reference.write_id_low)
            {
                return Err(RecordError::Damaged("a chunk has another write ID than its name".into()));
            }
            let mut types: Vec<u32> =
                chunk.achievements.iter().map(|achievement| achievement.r#type).collect();
            types.sort_unstable();
            state.chunks.push(StoredChunk { reference, types });
            state.achievements.extend(chunk.achievements);
        }
        sort_unique(&mut state.achievements)?;
        Ok(state)
    }
}

fn check_entries(most: usize, fields: &[u32], value: &[u8]) -> Result<(), RecordError> {
    match fields::more_than(most, fields, value) {
        None => Ok(()),
        Some(count) => {
            Err(RecordError::Damaged(format!("it has a list of {count} entries, more than {most}")))
        }
    }
}

/// A manifest that named one chunk a thousand times would have it read a thousand times.
fn check_references(references: &[ChunkRef]) -> Result<(), RecordError> {
    let mut keys: Vec<_> = references
        .iter()
        .map(|reference| (reference.write_id_high, reference.write_id_low, reference.index))
        .collect();
    keys.sort_unstable();
    match keys.windows(2).any(|pair| pair[0] == pair[1]) {
        false => Ok(()),
        true => Err(RecordError::Damaged("it names a chunk twice".into())),
    }
}

pub(super) fn check_format(found: u32) -> Result<(), RecordError> {
    match found {
        FORMAT => Ok(()),
        0 => Err(RecordError::Damaged("it has no format".into())),
        newer => Err(RecordError::NewerFormat { found: newer }),
    }
}

fn sort_unique(achievements: &mut [Achievement]) -> Result<(), RecordError> {
    achievements.sort_unstable_by_key(|achievement| achievement.r#type);
    if achievements.windows(2).any(|pair| pair[0].r#type == pair[1].r#type) {
        return Err(RecordError::Damaged("an achievement type stands in it twice".into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> proto::PlayerRecord {
        proto::PlayerRecord {
            format: FORMAT,
            version: 1,
            write_id_high: 1,
            write_id_low: 1,
            ..Default::default()
        }
    }

    #[test]
    fn what_no_worker_writes_is_damaged() {
        let reference = ChunkRef { write_id_high: 1, write_id_low: 2, ..ChunkRef::default() };
        let cases = [
            (proto::PlayerRecord { version: u64::MAX, ..record() }, "its version is the last there is"),
            (
                proto::PlayerRecord {
                    chunks: vec![reference],
                    achievements: vec![Achievement::default()],
                    ..record()
                },
                "it has chunks, and achievements beside them",
            ),
            (
                proto::PlayerRecord { chunks: vec![reference, reference], ..record() },
                "it names a chunk twice",
            ),
            (
                proto::PlayerRecord {
                    achievements: vec![Achievement::default(); MOST_ENTRIES + 1],
                    ..record()
                },
                "it has a list of 16385 entries, more than 16384",
            ),
            (
                proto::PlayerRecord { watermarks: vec![Watermark::default(); MOST_ENTRIES + 1], ..record() },
                "it has a list of 16385 entries, more than 16384",
            ),
            (
                proto::PlayerRecord {
                    pending_unlocks: vec![PendingUnlock::default(); MOST_OWED + 1],
                    ..record()
                },
                "it has a list of 262145 entries, more than 262144",
            ),
        ];

        for (record, expected) in cases {
            let decoded = PlayerState::decode(&record.encode_to_vec(), &PlayerId::default());

            assert_eq!(decoded.err(), Some(RecordError::Damaged(expected.to_owned())));
        }
    }

    #[test]
    fn a_chunk_of_too_many_achievements_is_damaged() {
        let reference = ChunkRef { write_id_high: 1, write_id_low: 2, ..ChunkRef::default() };
        let manifest = Manifest { state: PlayerState::default(), references: vec![reference] };
        let achievements = vec![Achievement::default(); MOST_ENTRIES + 1];
        let chunk = proto::Chunk { format: FORMAT, write_id_high: 1, write_id_low: 2, achievements };

        let complete = manifest.complete(&[chunk.encode_to_vec()]);

        let expected = "it has a list of 16385 entries, more than 16384".to_owned();
        assert_eq!(complete, Err(RecordError::Damaged(expected)));
    }

    #[test]
    fn a_state_that_was_reset_is_that_of_a_player_who_is_not_stored() {
        let reference = ChunkRef { index: 1, ..ChunkRef::default() };
        let mut state = PlayerState {
            version: 3,
            write_id: Some(WriteId { high: 1, low: 2 }),
            watermarks: vec![Watermark::default()],
            achievements: vec![Achievement::default(); KEPT_ACHIEVEMENTS + 1],
            pending: vec![PendingDeadLetter::default()],
            unlocks: vec![PendingUnlock::default()],
            deleted: Some(Deletion::default()),
            chunks: vec![StoredChunk { reference, types: vec![7] }],
        };
        state.reset();
        assert_eq!((state.achievements.capacity(), state), (0, PlayerState::default()));
    }
}
