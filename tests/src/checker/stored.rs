//! A player record as the store holds it, put together from its chunks.

use plaudit_worker::proto;
use prost::Message as _;

use super::player::PlayerId;

/// Today's format; a greater one must not be guessed.
const FORMAT: u32 = 1;
/// Tags of the fixed-width fields at the head of every value: format, version or ID, write ID. Scripts compare these
/// bytes, so they have to lie where they are.
const PLAYER_HEAD: [(usize, u8); 4] = [(0, 0x0d), (5, 0x11), (14, 0x19), (23, 0x21)];

/// All of a player's stored state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    pub player: PlayerId,
    pub watermarks: Vec<proto::Watermark>,
    /// Ascending by type.
    pub achievements: Vec<proto::Achievement>,
    /// Partition and offset of refused records whose dead letters may still have to be sent.
    pub pending: Vec<(i32, i64)>,
    pub deleted: Option<proto::Deletion>,
    pub split: bool,
}

/// Decodes the value of a player key and checks what every one has to fulfil.
pub fn open(value: &[u8]) -> Result<proto::PlayerRecord, String> {
    if PLAYER_HEAD.iter().any(|&(at, tag)| value.get(at) != Some(&tag)) {
        return Err("the fixed-width fields are not at the head".to_owned());
    }
    let record = proto::PlayerRecord::decode(value).map_err(|error| error.to_string())?;
    let faults = [
        (record.format != FORMAT, "another format"),
        (record.version == 0, "version 0"),
        (record.write_id_high == 0 && record.write_id_low == 0, "no write ID"),
        (!record.chunks.is_empty() && !record.achievements.is_empty(), "chunks and achievements"),
        (
            !record.achievements.is_sorted_by_key(|achievement| achievement.r#type),
            "achievements out of order",
        ),
    ];
    match faults.into_iter().find(|(fault, _)| *fault) {
        Some((_, fault)) => Err(fault.to_owned()),
        None => Ok(record),
    }
}

/// The key of a chunk.
pub fn chunk_key(player_key: &str, chunk: &proto::ChunkRef) -> String {
    format!("{player_key}#{:016x}{:016x}.{}", chunk.write_id_high, chunk.write_id_low, chunk.index)
}

/// The whole state of a player from the manifest and the values of its chunks, in the manifest's order.
pub fn assemble(record: proto::PlayerRecord, chunks: &[Option<Vec<u8>>]) -> Result<Stored, String> {
    let split = !record.chunks.is_empty();
    let mut achievements = record.achievements;
    let mut newer_than = i64::MAX;
    for (reference, value) in record.chunks.iter().zip(chunks) {
        let value = value.as_deref().ok_or_else(|| format!("chunk {} is missing", reference.index))?;
        let chunk = proto::Chunk::decode(value).map_err(|error| error.to_string())?;
        check_chunk(reference, &chunk, newer_than)
            .map_err(|fault| format!("chunk {}: {fault}", reference.index))?;
        newer_than = chunk.achievements.last().map_or(newer_than, |oldest| oldest.timestamp);
        achievements.extend(chunk.achievements);
    }
    achievements.sort_by_key(|achievement| achievement.r#type);
    if achievements.windows(2).any(|pair| pair[0].r#type == pair[1].r#type) {
        return Err("a type stands twice".to_owned());
    }
    let player = PlayerId {
        uin: record.uin,
        platform: record.platform,
        zone: record.zone,
        server: record.server,
        role: record.role.into(),
    };
    let pending = record.pending_dead_letters.iter();
    let pending =
        pending.map(|letter| (i32::try_from(letter.partition).unwrap_or(-1), letter.offset)).collect();
    Ok(Stored {
        player,
        watermarks: record.watermarks,
        achievements,
        pending,
        deleted: record.deleted,
        split,
    })
}

fn check_chunk(
    reference: &proto::ChunkRef,
    chunk: &proto::Chunk,
    newer_than: i64,
) -> Result<(), &'static str> {
    let newest_first = chunk.achievements.is_sorted_by(|newer, older| newer.timestamp >= older.timestamp);
    let oldest = chunk.achievements.last().map(|achievement| achievement.timestamp);
    let newest = chunk.achievements.first().map(|achievement| achievement.timestamp);
    let faults = [
        (chunk.format != FORMAT, "another format"),
        (
            (chunk.write_id_high, chunk.write_id_low) != (reference.write_id_high, reference.write_id_low),
            "another write ID than its name",
        ),
        (chunk.achievements.len() != reference.achievements as usize, "another number of achievements"),
        (oldest != Some(reference.oldest), "another oldest timestamp"),
        (!newest_first || newest > Some(newer_than), "achievements are not newest first"),
    ];
    match faults.into_iter().find(|(fault, _)| *fault) {
        Some((_, fault)) => Err(fault),
        None => Ok(()),
    }
}
