//! The scripts that the store runs, and their answers.

use redis::Value;

use super::StoreError;
use crate::ids::{Attempt, WriteId};
use crate::player::{Chunks, HEADER, PlayerState};

/// Writes one part of a batch and its fence, or nothing.
pub const BATCH: &str = include_str!("batch.lua");

/// Replaces a fence that still has the value the lane read; `''` stands for none.
pub const REPLACE_FENCE: &str = "local found = redis.call('GET', KEYS[1]) or ''
if found ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1";

/// How long an uploaded chunk waits for its manifest, in seconds. A script that comes later finds it missing.
const UPLOAD_EXPIRY_SECONDS: u32 = 3_600;

/// One run of the batch script.
#[derive(Clone, Debug)]
pub struct Script<'a> {
    /// The ID the fence must have.
    pub expects: WriteId,
    pub attempt: Attempt,
    /// The fence when every key is written.
    pub fence_ok: Vec<u8>,
    /// The fence when a key is refused.
    pub fence_part: Vec<u8>,
    pub players: Vec<PlayerWrite<'a>>,
    /// The players' new values, one after the other.
    pub values: Vec<u8>,
}

/// One player of a script.
#[derive(Clone, Debug)]
pub struct PlayerWrite<'a> {
    pub key: &'a str,
    /// What the store must hold.
    pub expected: Header,
    /// Where the new value ends in the script's values.
    pub value_end: usize,
    pub chunks: Chunks,
}

/// Version and write ID as they lie in a stored value ([`HEADER`]); zeros for a player that is not stored.
pub type Header = [u8; HEADER.end - HEADER.start];

/// Why a player was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    Conflict,
    ChunksMissing,
}

/// What a script answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Every player is written; the fence is `fence_ok`.
    Ok,
    /// All but these players (by index) are written; the fence is `fence_part`.
    Part(Vec<(usize, Refused)>),
    /// Nothing is written: this is the fence in the store.
    OtherFence(Option<Vec<u8>>),
}

/// The header of a state.
pub fn header(state: &PlayerState) -> Header {
    let mut header = [0; HEADER.end - HEADER.start];
    let Some(write_id) = state.write_id.filter(|_| state.version > 0) else { return header };
    let fields = [(0x11, state.version), (0x19, write_id.high), (0x21, write_id.low)];
    for (bytes, (tag, value)) in header.chunks_exact_mut(9).zip(fields) {
        bytes[0] = tag;
        bytes[1..].copy_from_slice(&value.to_le_bytes());
    }
    header
}

impl Script<'_> {
    /// Uploads of new chunks, to be sent before the script on the same connection.
    pub fn uploads(&self) -> impl Iterator<Item = redis::Cmd> {
        self.players.iter().flat_map(|player| {
            player.chunks.new.iter().map(|(suffix, value)| {
                let mut set = redis::cmd("SET");
                set.arg(format!("{}{suffix}", player.key))
                    .arg(value)
                    .arg("NX")
                    .arg("EX")
                    .arg(UPLOAD_EXPIRY_SECONDS);
                set
            })
        })
    }

    pub fn command(&self, sha: &str, fence_key: &str) -> redis::Cmd {
        let split = || self.players.iter().enumerate().filter(|(_, player)| !player.chunks.is_empty());
        let keys = 1 + self.players.len() + split().map(|(_, player)| player.chunks.len()).sum::<usize>();
        let key_bytes: usize = self.players.iter().map(|player| player.key.len()).sum();
        let bytes = key_bytes + self.values.len() + self.players.len() * size_of::<Header>();
        let mut command = redis::Cmd::with_capacity(2 * keys + 16, bytes + 512);
        command.arg("EVALSHA").arg(sha).arg(keys).arg(fence_key);
        for player in &self.players {
            command.arg(player.key);
        }
        for (_, player) in split() {
            for suffix in player.chunks.suffixes() {
                command.arg(format!("{}{suffix}", player.key));
            }
        }
        command.arg(super::FenceState::id_bytes(self.expects)).arg(&self.fence_ok).arg(&self.fence_part);
        let mut expected: Vec<u8> = self.players.iter().flat_map(|player| player.expected).collect();
        if expected.iter().all(|byte| *byte == 0) {
            expected.clear();
        }
        command.arg(self.players.len()).arg(expected);
        let mut begin = 0;
        for player in &self.players {
            command.arg(&self.values[begin..player.value_end]);
            begin = player.value_end;
        }
        for (at, player) in split() {
            let Chunks { new, kept, dropped } = &player.chunks;
            command.arg(at + 1).arg(new.len() + kept.len()).arg(new.len()).arg(dropped.len());
        }
        command
    }

    /// Reads an answer of the script.
    ///
    /// # Errors
    /// [`StoreError`] when the server answered something the script never says.
    pub fn reply(value: Value) -> Result<Reply, StoreError> {
        let answer = match value {
            Value::BulkString(text) if text.is_empty() => return Ok(Reply::Ok),
            Value::Array(answer) => answer,
            Value::ServerError(error) => return Err(StoreError::Command(error.into())),
            _ => return Err(StoreError::Answer),
        };
        match answer.first() {
            None => Ok(Reply::OtherFence(None)),
            Some(Value::BulkString(fence)) => Ok(Reply::OtherFence(Some(fence.clone()))),
            Some(_) => refused(&answer).map(Reply::Part).ok_or(StoreError::Answer),
        }
    }
}

fn refused(answer: &[Value]) -> Option<Vec<(usize, Refused)>> {
    answer
        .chunks(2)
        .map(|pair| match pair {
            [Value::Int(player), Value::Int(why)] => {
                let why = match why {
                    1 => Refused::Conflict,
                    2 => Refused::ChunksMissing,
                    _ => return None,
                };
                Some((usize::try_from(player - 1).ok()?, why))
            }
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::player::{PlayerId, encode};

    #[test]
    fn the_header_lies_where_the_script_compares_it() {
        let mut state = PlayerState {
            version: 258,
            write_id: Some(WriteId { high: 3, low: u64::MAX }),
            ..PlayerState::default()
        };
        let expected = header(&state);
        let mut value = Vec::new();
        encode(&mut state, &PlayerId::default(), &[], 16_384, &mut value);
        assert_eq!(value[HEADER], expected);
        assert_eq!(header(&PlayerState::default()), [0; 27]);
    }
}
