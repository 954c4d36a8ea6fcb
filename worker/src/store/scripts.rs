//! The scripts that the store runs, and their answers.

use redis::Value;

use super::StoreError;
use crate::ids::{Attempt, WriteId};
use crate::player::{Encoded, HEADER, PlayerState};

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
pub struct Script {
    /// The ID the fence must have.
    pub expects: WriteId,
    pub attempt: Attempt,
    /// The fence when every key is written.
    pub fence_ok: Vec<u8>,
    /// The fence when a key is refused.
    pub fence_part: Vec<u8>,
    pub players: Vec<PlayerWrite>,
}

/// One player of a script.
#[derive(Clone, Debug)]
pub struct PlayerWrite {
    pub key: String,
    /// Version and write ID that the store must hold; empty if there must be nothing.
    pub expected: Vec<u8>,
    pub encoded: Encoded,
}

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

/// The bytes of a state's header as the script compares them; empty for a player that is not stored.
pub fn expected_header(state: &PlayerState) -> Vec<u8> {
    let Some(write_id) = state.write_id.filter(|_| state.version > 0) else {
        return Vec::new();
    };
    let mut bytes = Vec::with_capacity(HEADER.len());
    for (tag, value) in [(0x11, state.version), (0x19, write_id.high), (0x21, write_id.low)] {
        bytes.push(tag);
        bytes.extend(value.to_le_bytes());
    }
    bytes
}

impl Script {
    /// Uploads of new chunks, to be sent before the script on the same connection.
    pub fn uploads(&self) -> impl Iterator<Item = redis::Cmd> {
        self.players.iter().flat_map(|player| {
            player.encoded.new_chunks.iter().map(|(suffix, value)| {
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
        let chunk_keys = |player: &PlayerWrite| {
            let Encoded { new_chunks, kept_chunks, dropped_chunks, .. } = &player.encoded;
            let suffixes =
                new_chunks.iter().map(|(suffix, _)| suffix).chain(kept_chunks).chain(dropped_chunks);
            suffixes.map(|suffix| format!("{}{suffix}", player.key)).collect::<Vec<_>>()
        };
        let chunk_keys: Vec<Vec<String>> = self.players.iter().map(chunk_keys).collect();
        let keys = 1 + self.players.len() + chunk_keys.iter().map(Vec::len).sum::<usize>();
        let mut command = redis::cmd("EVALSHA");
        command.arg(sha).arg(keys).arg(fence_key);
        for player in &self.players {
            command.arg(&player.key);
        }
        for key in chunk_keys.iter().flatten() {
            command.arg(key);
        }
        command.arg(super::FenceState::id_bytes(self.expects)).arg(&self.fence_ok).arg(&self.fence_part);
        command.arg(self.players.len());
        for player in &self.players {
            command.arg(&player.expected).arg(&player.encoded.value);
        }
        for (at, player) in self.players.iter().enumerate() {
            let Encoded { new_chunks, kept_chunks, dropped_chunks, .. } = &player.encoded;
            if new_chunks.len() + kept_chunks.len() + dropped_chunks.len() > 0 {
                let check = new_chunks.len() + kept_chunks.len();
                command.arg(at + 1).arg(check).arg(new_chunks.len()).arg(dropped_chunks.len());
            }
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
        let expected = expected_header(&state);
        let encoded = encode(&mut state, &PlayerId::default(), &[], 16_384);
        assert_eq!(encoded.value[HEADER], expected);
        assert!(expected_header(&PlayerState::default()).is_empty());
    }
}
