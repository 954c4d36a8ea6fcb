//! What a simulated store holds, and what its commands do: the words of `batch.lua` once more, in Rust.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use plaudit_worker::proto::Fence;
use plaudit_worker::store::{FenceState, Found, Refused, Reply, Script};
use prost::Message as _;
use tokio::time::{Duration, Instant};

/// Bytes of a fence that hold its ID, and of a player record that hold version and write ID.
const FENCE_ID: Range<usize> = 5..23;
const HEADER: Range<usize> = 5..32;

/// All keys.
#[derive(Clone, Debug, Default)]
pub struct Data {
    keys: BTreeMap<Arc<str>, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    value: Arc<[u8]>,
    expires: Option<Instant>,
}

/// A command on its way.
#[derive(Clone, Debug)]
pub enum Command {
    Get(Vec<String>),
    ReplaceFence { key: String, expected: Vec<u8>, value: Vec<u8> },
    Upload { key: String, value: Vec<u8> },
    Batch(Batch),
}

/// A run of the batch script.
#[derive(Clone, Debug)]
pub struct Batch {
    fence_key: String,
    expects: Vec<u8>,
    fence_ok: Vec<u8>,
    fence_part: Vec<u8>,
    players: Vec<Player>,
}

#[derive(Clone, Debug)]
struct Player {
    key: String,
    expected: [u8; 27],
    value: Vec<u8>,
    new: Vec<String>,
    kept: Vec<String>,
    dropped: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Values(Vec<Found>),
    Replaced(bool),
    Uploaded,
    Batch(Reply),
}

impl Command {
    /// The commands of a script: its uploads, and the script.
    pub fn of(fence_key: &str, script: &Script<'_>) -> Vec<Self> {
        let (mut commands, mut players, mut begin) = (Vec::new(), Vec::new(), 0);
        for player in &script.players {
            let chunk_key = |suffix: &String| format!("{}{suffix}", player.key);
            for (suffix, value) in &player.chunks.new {
                commands.push(Self::Upload { key: chunk_key(suffix), value: value.clone() });
            }
            players.push(Player {
                key: player.key.to_owned(),
                expected: player.expected,
                value: script.values[begin..player.value_end].to_vec(),
                new: player.chunks.new.iter().map(|(suffix, _)| chunk_key(suffix)).collect(),
                kept: player.chunks.kept.iter().map(chunk_key).collect(),
                dropped: player.chunks.dropped.iter().map(chunk_key).collect(),
            });
            begin = player.value_end;
        }
        commands.push(Self::Batch(Batch {
            fence_key: fence_key.to_owned(),
            expects: FenceState::id_bytes(script.expects),
            fence_ok: script.fence_ok.clone(),
            fence_part: script.fence_part.clone(),
            players,
        }));
        commands
    }

    pub fn writes(&self) -> bool {
        !matches!(self, Self::Get(_))
    }
}

impl Data {
    pub fn get(&self, key: &str, now: Instant) -> Option<&[u8]> {
        let entry = self.keys.get(key)?;
        entry.expires.is_none_or(|expires| now < expires).then_some(&*entry.value)
    }

    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(|key| &**key)
    }

    /// Runs a command; chunks that wait for their manifest do so for `upload`.
    pub fn run(&mut self, command: &Command, now: Instant, upload: Duration) -> Answer {
        match command {
            Command::Get(keys) => {
                Answer::Values(keys.iter().map(|key| self.get(key, now).map(<[u8]>::to_vec)).collect())
            }
            Command::ReplaceFence { key, expected, value } => {
                let same = self.get(key, now).unwrap_or_default() == expected;
                if same {
                    self.set(key, value, None);
                }
                Answer::Replaced(same)
            }
            Command::Upload { key, value } => {
                if self.get(key, now).is_none() {
                    self.set(key, value, Some(now + upload));
                }
                Answer::Uploaded
            }
            Command::Batch(batch) => Answer::Batch(self.batch(batch, now)),
        }
    }

    fn batch(&mut self, batch: &Batch, now: Instant) -> Reply {
        let Some(fence) = self.get(&batch.fence_key, now) else { return Reply::OtherFence(None) };
        if fence[FENCE_ID] != batch.expects {
            return Reply::OtherFence(Some(fence.to_vec()));
        }
        let why = |player: &Player| {
            let header = self.get(&player.key, now).map_or(&[0; 27][..], |value| &value[HEADER]);
            let exists = |key: &String| self.get(key, now).is_some();
            if header != player.expected {
                Some(Refused::Conflict)
            } else if !player.new.iter().chain(&player.kept).all(exists) {
                Some(Refused::ChunksMissing)
            } else {
                None
            }
        };
        let refused: Vec<(usize, Refused)> =
            batch.players.iter().enumerate().filter_map(|(at, player)| Some((at, why(player)?))).collect();
        for (at, player) in batch.players.iter().enumerate() {
            if refused.iter().any(|(refused, _)| *refused == at) {
                continue;
            }
            self.set(&player.key, &player.value, None);
            for key in &player.new {
                if let Some(entry) = self.keys.get_mut(&**key) {
                    entry.expires = None;
                }
            }
            for key in &player.dropped {
                self.keys.remove(&**key);
            }
        }
        let fence = if refused.is_empty() { &batch.fence_ok } else { &batch.fence_part };
        self.set(&batch.fence_key, fence, None);
        if refused.is_empty() { Reply::Ok } else { Reply::Part(refused) }
    }

    fn set(&mut self, key: &str, value: &[u8], expires: Option<Instant>) {
        self.keys.insert(key.into(), Entry { value: value.into(), expires });
    }
}

/// A fence in short: the lane that wrote it, its script, and how far it is.
fn short(fence: &[u8]) -> String {
    let Fence { id_high, id_low, position, settled, .. } = Fence::decode(fence).unwrap_or_default();
    format!("fence {:04x}.{id_low} at {position} settled {settled}", id_high & 0xffff)
}

impl fmt::Display for Command {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Get(keys) => write!(out, "get {}", keys.join(" ")),
            Self::ReplaceFence { key, expected, value } => {
                write!(out, "replace {key}: {} by {}", short(expected), short(value))
            }
            Self::Upload { key, .. } => write!(out, "upload {key}"),
            Self::Batch(batch) => {
                let low = batch.expects.get(10..18).unwrap_or_default();
                let low = low.iter().rev().fold(0_u64, |low, byte| low << 8 | u64::from(*byte));
                write!(out, "batch on {} if {low}: {};", batch.fence_key, short(&batch.fence_ok))?;
                batch.players.iter().try_for_each(|player| write!(out, " {}", player.key))
            }
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Values(values) => {
                let present = values.iter().filter(|value| value.is_some()).count();
                let last = values.last().and_then(Option::as_deref).map(short).unwrap_or_default();
                write!(out, "{present} of {}, {last}", values.len())
            }
            Self::Batch(Reply::OtherFence(found)) => {
                write!(out, "another {}", found.as_deref().map(short).unwrap_or_default())
            }
            other => write!(out, "{other:?}"),
        }
    }
}
