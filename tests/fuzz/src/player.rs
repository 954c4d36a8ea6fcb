//! Stored players: what is read is written back the same, whole or split, before and after a report.

use std::collections::HashMap;

use plaudit_crds::{AchievementType, Achievements, Policy, Unlisted};
use plaudit_worker::batch::{Batch, PlayerRef};
use plaudit_worker::http::player_document;
use plaudit_worker::ids::WriteId;
use plaudit_worker::merge::{Policies, apply};
use plaudit_worker::player::{Decoded, HEADER, Layout, PlayerId, PlayerState, SourcePartition, encode};
use plaudit_worker::proto;
use plaudit_worker::reader::Player;
use prost::Message as _;

use super::memory::within;
use super::parts;

/// Limits of a value: the least, the default, and one that nothing here exceeds.
const LIMITS: [usize; 3] = [1_024, 16_384, 1 << 20];
/// Memory for a byte of a stored value: an achievement takes 96 at least, and 2 bytes at least are one; twice while its list grows.
const BYTES_PER_BYTE: usize = 100;

/// Parts of the input: the value of the player key, and the chunks in its order.
pub fn record(input: &[u8]) {
    let parts = parts::of(input);
    let Some((value, chunks)) = parts.split_first() else { return };
    let id = named(value);
    let decoded = within(BYTES_PER_BYTE * value.len() + 4_096, || PlayerState::decode(value, &id));
    let (state, stored) = match decoded {
        Err(_) => return,
        Ok(Decoded::Whole(state)) => (state, HashMap::new()),
        Ok(Decoded::Split(manifest)) => {
            if chunks.len() < manifest.references().len() {
                return;
            }
            let names = manifest.references().iter().map(Layout::chunk_suffix);
            let stored: HashMap<_, _> = names.zip(chunks.iter().map(|chunk| chunk.to_vec())).collect();
            let values: Vec<_> = chunks.iter().map(|chunk| chunk.to_vec()).collect();
            let all: usize = values.iter().map(Vec::len).sum();
            let complete =
                within(BYTES_PER_BYTE * (all + value.len()) + 4_096, || manifest.complete(&values));
            let Ok(state) = complete else { return };
            (state, stored)
        }
    };
    for limit in LIMITS {
        written(state.clone(), &id, &[], limit, &stored);
        reported(state.clone(), &id, limit, &stored);
    }
    shown(state, id);
}

/// Whose record it says it is.
fn named(value: &[u8]) -> PlayerId {
    let Ok(record) = proto::PlayerRecord::decode(value) else { return PlayerId::default() };
    let proto::PlayerRecord { uin, platform, zone, server, role, .. } = record;
    PlayerId { uin, platform, zone, server, role: role.into() }
}

/// Writes the state, and reads it back from what was stored before and what is new.
fn written(
    mut state: PlayerState,
    id: &PlayerId,
    touched: &[u32],
    limit: usize,
    stored: &HashMap<String, Vec<u8>>,
) {
    let before = state.clone();
    let mut value = Vec::new();
    let chunks = encode(&mut state, id, touched, limit, &mut value);
    let PlayerState { achievements, watermarks, pending, unlocks, deleted, version, write_id, .. } = &state;
    assert!(
        (achievements, watermarks, pending, unlocks)
            == (&before.achievements, &before.watermarks, &before.pending, &before.unlocks)
            && (*deleted, *version, *write_id) == (before.deleted, before.version, before.write_id),
        "writing changed the state"
    );
    let mut new: HashMap<String, Vec<u8>> = HashMap::new();
    for (suffix, value) in chunks.new {
        assert!(new.insert(suffix, value).is_none(), "a chunk is written once");
    }
    assert!(
        chunks.kept.iter().all(|suffix| stored.contains_key(suffix)),
        "a chunk is kept that was never there"
    );
    let write_id = state.write_id.unwrap_or(WriteId { high: 1, low: 1 });
    let mut header = state.version.to_le_bytes().to_vec();
    header.push(0x19);
    header.extend_from_slice(&write_id.high.to_le_bytes());
    header.push(0x21);
    header.extend_from_slice(&write_id.low.to_le_bytes());
    assert_eq!(value[HEADER.start + 1..HEADER.end], header, "the script compares another range");
    let again = match PlayerState::decode(&value, id).expect("what was written can be read") {
        Decoded::Whole(again) => again,
        Decoded::Split(manifest) => {
            let values: Vec<Vec<u8>> = manifest
                .references()
                .iter()
                .map(|reference| {
                    let suffix = Layout::chunk_suffix(reference);
                    new.get(&suffix).or_else(|| stored.get(&suffix)).expect("each chunk is there").clone()
                })
                .collect();
            manifest.complete(&values).expect("the chunks can be read")
        }
    };
    assert!(again == state, "read back, the state is another one");
}

/// Applies a report of one of its types and of new ones, and writes what came out.
fn reported(mut state: PlayerState, id: &PlayerId, limit: usize, stored: &HashMap<String, Vec<u8>>) {
    let source = SourcePartition { incarnation: 0, partition: 3 };
    let watermark = state.watermark(source);
    let offset = watermark.clamp(0, i64::MAX - 8);
    let first = state.achievements.first().map_or(1, |achievement| achievement.r#type);
    let player =
        PlayerRef { uin: id.uin, platform: id.platform, zone: id.zone, server: id.server, role: &id.role };
    let mut batch = Batch::default();
    let items = [(first, 7, "again"), (SUM, i64::MAX, ""), (TIERED, 5, "reached")];
    batch.push(player, offset, 1_700_000_000_000, items.into_iter());
    batch.push(player, offset + 1, 1_700_000_000_001, [(SUM, 1, "")].into_iter());
    let upper = batch.group(0).upper;
    let applied = apply(&mut state, source, watermark, batch.records(0), upper, &policies());
    if !applied.changed {
        return;
    }
    // Whatever it was: there is none after the last.
    state.version = 7;
    state.write_id = Some(WriteId { high: 3, low: 4 });
    written(state, id, &applied.touched, limit, stored);
}

const SUM: u32 = 3;
const TIERED: u32 = 4;

fn policies() -> Policies {
    let listed = |r#type: u32, policy, tiers: &[i64]| AchievementType {
        r#type: i64::from(r#type),
        policy,
        tiers: tiers.to_vec(),
    };
    Policies::new(&Achievements {
        default_policy: Policy::Latest,
        unlisted: Unlisted::Accept,
        types: vec![listed(SUM, Policy::Sum, &[]), listed(TIERED, Policy::Max, &[1, 5])],
    })
}

/// A person can look at it.
fn shown(state: PlayerState, id: PlayerId) {
    let player = Player {
        id,
        version: state.version,
        chunks: state.chunks.len(),
        watermarks: state.watermarks,
        achievements: state.achievements,
        deleted: state.deleted,
    };
    player_document(&player);
}
