//! Writing a player record whole, or as a manifest with chunks when it is too large.
//!
//! Chunks hold achievements by last modify time, newest first, so that a typical update rewrites the first chunk only.

use std::collections::BTreeSet;

use prost::Message;

use super::record::{FORMAT, PlayerState, StoredChunk};
use super::{Layout, PlayerId};
use crate::ids::WriteId;
use crate::proto::{Achievement, Chunk, ChunkRef};

/// The chunks that writing a record concerns, by what follows the player key in their keys. None for a record that was
/// whole and stays so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunks {
    /// To upload before the manifest: (suffix, value).
    pub new: Vec<(String, Vec<u8>)>,
    /// The manifest goes on using them.
    pub kept: Vec<String>,
    /// Nobody needs them once the manifest is replaced.
    pub dropped: Vec<String>,
}

impl Chunks {
    pub fn len(&self) -> usize {
        self.new.len() + self.kept.len() + self.dropped.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them: new, kept, dropped.
    pub fn suffixes(&self) -> impl Iterator<Item = &String> {
        self.new.iter().map(|(suffix, _)| suffix).chain(&self.kept).chain(&self.dropped)
    }
}

/// Appends the value of the player key for `state` under its present version and write ID, and notes in `state` how it
/// is split now.
///
/// `touched` are the types that changed since the state was loaded. A record is split above `max_value_bytes` and
/// made whole again below three quarters of it, so that one at the border does not flap.
pub fn encode(
    state: &mut PlayerState,
    id: &PlayerId,
    touched: &[u32],
    max_value_bytes: usize,
    value: &mut Vec<u8>,
) -> Chunks {
    let old: Vec<ChunkRef> = state.chunks.iter().map(|chunk| chunk.reference).collect();
    let limit = if old.is_empty() { max_value_bytes } else { max_value_bytes / 4 * 3 };
    if fits(&state.achievements, limit) || state.achievements.len() < 2 {
        state.chunks.clear();
        state.encode_head(id, Vec::new(), value);
        return Chunks { dropped: suffixes(&old), ..Chunks::default() };
    }
    let write_id = state.write_id.unwrap_or(WriteId { high: 1, low: 1 });
    let (chunks, new) = plan(state, touched, max_value_bytes, write_id);
    let references: Vec<ChunkRef> = chunks.iter().map(|chunk| chunk.reference).collect();
    let kept: Vec<ChunkRef> =
        references.iter().filter(|reference| old.contains(reference)).copied().collect();
    let dropped: Vec<ChunkRef> =
        old.iter().filter(|reference| !references.contains(reference)).copied().collect();
    state.chunks = chunks;
    state.encode_head(id, references, value);
    let new = new
        .into_iter()
        .map(|(reference, chunk)| (Layout::chunk_suffix(&reference), chunk.encode_to_vec()))
        .collect();
    Chunks { new, kept: suffixes(&kept), dropped: suffixes(&dropped) }
}

/// Header, identity and watermarks of a typical record; the limit is a target, not a promise to the byte.
const HEAD_ALLOWANCE: usize = 128;
/// No achievement takes more besides its data.
const ACHIEVEMENT_AT_MOST: usize = 112;

/// Whether a whole record stays below the limit: by a bound where that is enough, else counted.
fn fits(achievements: &[Achievement], limit: usize) -> bool {
    let at_most = |achievement: &Achievement| ACHIEVEMENT_AT_MOST + achievement.data.len();
    HEAD_ALLOWANCE + achievements.iter().map(at_most).sum::<usize>() <= limit
        || HEAD_ALLOWANCE + achievements_len(achievements) <= limit
}

fn suffixes(references: &[ChunkRef]) -> Vec<String> {
    references.iter().map(Layout::chunk_suffix).collect()
}

/// Bytes of the achievements inside a message.
fn achievements_len(achievements: &[Achievement]) -> usize {
    achievements.iter().map(achievement_len).sum()
}

fn achievement_len(achievement: &Achievement) -> usize {
    let len = achievement.encoded_len();
    1 + prost::length_delimiter_len(len) + len
}

type NewChunk = (ChunkRef, Chunk);

/// Places the achievements: touched ones leave their chunk for the first one that is not newer than they are.
fn plan(
    state: &PlayerState,
    touched: &[u32],
    max_value_bytes: usize,
    write_id: WriteId,
) -> (Vec<StoredChunk>, Vec<NewChunk>) {
    let mut parts = parts_of(state, touched);
    place_touched(state, touched, &mut parts);
    parts.retain(|part| !part.types.is_empty());
    join_small(state, &mut parts, max_value_bytes);
    let mut chunks = Vec::new();
    let mut new_chunks = Vec::new();
    for part in parts {
        match part.reference {
            Some(reference) => {
                chunks.push(StoredChunk { reference, types: part.types.into_iter().collect() });
            }
            None => {
                for achievements in cut(state, &part.types, max_value_bytes) {
                    let (stored, new) = build(achievements, write_id, new_chunks.len() as u32);
                    chunks.push(stored);
                    new_chunks.push(new);
                }
            }
        }
    }
    (chunks, new_chunks)
}

/// A chunk to be: `reference` while the stored one can stay as it is.
struct Part {
    reference: Option<ChunkRef>,
    oldest: i64,
    types: BTreeSet<u32>,
}

fn parts_of(state: &PlayerState, touched: &[u32]) -> Vec<Part> {
    if state.chunks.is_empty() {
        let types = state.achievements.iter().map(|achievement| achievement.r#type).collect();
        return vec![Part { reference: None, oldest: i64::MIN, types }];
    }
    let touched: BTreeSet<u32> = touched.iter().copied().collect();
    state
        .chunks
        .iter()
        .map(|chunk| {
            let types: BTreeSet<u32> =
                chunk.types.iter().copied().filter(|kind| !touched.contains(kind)).collect();
            let untouched = types.len() == chunk.types.len();
            Part { reference: untouched.then_some(chunk.reference), oldest: chunk.reference.oldest, types }
        })
        .collect()
}

fn place_touched(state: &PlayerState, touched: &[u32], parts: &mut [Part]) {
    let last = parts.len() - 1;
    for kind in touched {
        let Some(achievement) = state.achievement(*kind) else { continue };
        let at = parts.iter().position(|part| part.oldest <= achievement.timestamp).unwrap_or(last);
        if parts[at].types.insert(*kind) {
            parts[at].reference = None;
        }
    }
}

/// Chunks that shrank below a quarter are joined with their elder neighbour when both fit in three quarters.
fn join_small(state: &PlayerState, parts: &mut Vec<Part>, max_value_bytes: usize) {
    let size = |part: &Part| -> usize {
        part.types.iter().filter_map(|kind| state.achievement(*kind)).map(achievement_len).sum()
    };
    let mut at = 0;
    while at + 1 < parts.len() {
        let (left, right) = (size(&parts[at]), size(&parts[at + 1]));
        if left.min(right) < max_value_bytes / 4 && left + right <= max_value_bytes / 4 * 3 {
            let right = parts.remove(at + 1);
            parts[at].types.extend(right.types);
            parts[at].reference = None;
        } else {
            at += 1;
        }
    }
}

/// Newest first, in pieces of about half the limit when they don't fit in one: room to grow before the next cut.
fn cut(state: &PlayerState, types: &BTreeSet<u32>, max_value_bytes: usize) -> Vec<Vec<Achievement>> {
    let mut achievements: Vec<Achievement> =
        types.iter().filter_map(|kind| state.achievement(*kind)).cloned().collect();
    achievements.sort_by_key(|achievement| (std::cmp::Reverse(achievement.timestamp), achievement.r#type));
    if achievements_len(&achievements) <= max_value_bytes {
        return vec![achievements];
    }
    let mut pieces = vec![Vec::new()];
    let mut size = 0;
    for achievement in achievements {
        let len = achievement_len(&achievement);
        if size > 0 && size + len > max_value_bytes / 2 {
            pieces.push(Vec::new());
            size = 0;
        }
        size += len;
        if let Some(piece) = pieces.last_mut() {
            piece.push(achievement);
        }
    }
    pieces
}

fn build(achievements: Vec<Achievement>, write_id: WriteId, index: u32) -> (StoredChunk, NewChunk) {
    let reference = ChunkRef {
        write_id_high: write_id.high,
        write_id_low: write_id.low,
        index,
        achievements: achievements.len() as u32,
        oldest: achievements.iter().map(|achievement| achievement.timestamp).min().unwrap_or(i64::MIN),
    };
    let mut types: Vec<u32> = achievements.iter().map(|achievement| achievement.r#type).collect();
    types.sort_unstable();
    let chunk =
        Chunk { format: FORMAT, write_id_high: write_id.high, write_id_low: write_id.low, achievements };
    (StoredChunk { reference, types }, (reference, chunk))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::player::record::Decoded;

    const LIMIT: usize = 2_000;

    fn player() -> PlayerId {
        PlayerId { uin: 7, ..PlayerId::default() }
    }

    fn achievement(kind: u32, timestamp: i64, data: usize) -> Achievement {
        Achievement { r#type: kind, value: 1, data: "x".repeat(data), timestamp, ..Achievement::default() }
    }

    fn sixty() -> PlayerState {
        let achievements = (0..60).map(|kind| achievement(kind, i64::from(kind), 100)).collect();
        PlayerState { achievements, ..PlayerState::default() }
    }

    /// A store of one player that applies what [`encode`] asks for, and reads it back.
    #[derive(Default)]
    struct Store {
        manifest: Vec<u8>,
        chunks: HashMap<String, Vec<u8>>,
    }

    impl Store {
        fn write(&mut self, state: &mut PlayerState, touched: &[u32]) -> Chunks {
            state.version += 1;
            state.write_id = Some(WriteId { high: 9, low: state.version * 2 });
            self.manifest.clear();
            let chunks = encode(state, &player(), touched, LIMIT, &mut self.manifest);
            for (suffix, value) in chunks.new.clone() {
                assert!(self.chunks.insert(suffix, value).is_none(), "a chunk is written once");
            }
            for suffix in &chunks.kept {
                assert!(self.chunks.contains_key(suffix));
            }
            for suffix in &chunks.dropped {
                assert!(self.chunks.remove(suffix).is_some());
            }
            chunks
        }

        fn read(&self) -> PlayerState {
            match PlayerState::decode(&self.manifest, &player()).unwrap() {
                Decoded::Whole(state) => state,
                Decoded::Split(manifest) => {
                    let values: Vec<_> = manifest
                        .references()
                        .iter()
                        .map(|reference| self.chunks[&Layout::chunk_suffix(reference)].clone())
                        .collect();
                    manifest.complete(&values).unwrap()
                }
            }
        }
    }

    #[test]
    fn no_achievement_is_longer_than_its_bound() {
        let data = "x".repeat(1_024);
        let longest = Achievement {
            r#type: u32::MAX,
            value: i64::MIN,
            timestamp: i64::MIN,
            incarnation: u32::MAX,
            partition: u32::MAX,
            offset: i64::MIN,
            index: u32::MAX,
            first_time: i64::MIN,
            announced: Some(i64::MIN),
            data,
        };
        assert!(achievement_len(&longest) <= ACHIEVEMENT_AT_MOST + longest.data.len());
    }

    #[test]
    fn a_record_splits_and_shrinks_back_and_reads_the_same() {
        let mut store = Store::default();
        let mut state = sixty();
        let touched: Vec<u32> = (0..60).collect();
        store.write(&mut state, &touched);
        assert!(state.chunks.len() > 2);
        assert_eq!(store.read(), state);

        state.achievements.iter_mut().for_each(|stored| stored.data.clear());
        let chunks = store.write(&mut state, &touched);
        assert_eq!((state.chunks.len(), chunks.new.len(), store.chunks.len()), (0, 0, 0));
        assert_eq!(store.read(), state);
    }

    #[test]
    fn a_typical_update_rewrites_the_first_chunk_only() {
        let mut store = Store::default();
        let mut state = sixty();
        store.write(&mut state, &(0..60).collect::<Vec<_>>());
        let newest = state.chunks[0].types[0];
        let at = state.achievements.iter().position(|stored| stored.r#type == newest).unwrap();
        state.achievements[at].timestamp = 1_000;
        let chunks = store.write(&mut state, &[newest]);
        assert_eq!((chunks.new.len(), chunks.dropped.len()), (1, 1));
        assert_eq!(store.read(), state);
    }

    #[test]
    fn random_updates_keep_every_chunk_below_the_limit_and_lose_nothing() {
        let mut rng = fastrand::Rng::with_seed(3);
        let (mut store, mut state) = (Store::default(), PlayerState::default());
        for step in 0..400 {
            let mut touched: Vec<u32> = (0..rng.usize(1..6)).map(|_| rng.u32(0..120)).collect();
            touched.sort_unstable();
            touched.dedup();
            for kind in &touched {
                let new = achievement(*kind, rng.i64(0..10_000), rng.usize(0..120));
                match state.achievements.binary_search_by_key(kind, |stored| stored.r#type) {
                    Ok(at) => state.achievements[at] = new,
                    Err(at) => state.achievements.insert(at, new),
                }
            }
            store.write(&mut state, &touched);
            assert_eq!(store.read(), state, "step {step}");
            let longest = store.chunks.values().map(Vec::len).max().unwrap_or(0);
            assert!(longest <= LIMIT + 32, "step {step}: a chunk of {longest} bytes");
        }
        assert!(state.chunks.len() > 3);
    }
}
