//! Reading players as anybody may: whole or split, never half.

use std::time::Duration;

use crate::player::{Decoded, Layout, PlayerId, PlayerState, RecordError};
use crate::proto::{Achievement, Deletion, Watermark};
use crate::store::{Connection, Connector, StoreError};

/// A record whose chunks are missing this often in a row while it stays the same is damaged.
const TRIES: u32 = 16;
/// One that is replaced under the reader this often in a row is given up, after some seconds.
const MOST_TRIES: u32 = 256;

/// A player as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Player {
    pub id: PlayerId,
    pub version: u64,
    pub watermarks: Vec<Watermark>,
    /// By last modify time, newest first.
    pub achievements: Vec<Achievement>,
    /// Where the last deletion of the player stands in the order of items.
    pub deleted: Option<Deletion>,
    /// Chunks the record is split into; 0 when it is whole.
    pub chunks: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot read the player")]
    Store(#[from] StoreError),
    #[error("the player's record cannot be used: {0}")]
    Record(#[from] RecordError),
    #[error("chunks of the player's record are missing")]
    ChunksMissing,
}

/// Reads players from one store.
#[derive(Debug)]
pub struct PlayerReader {
    connection: Connection,
    layout: Layout,
}

impl PlayerReader {
    /// Connects when first used.
    pub fn new(connector: &Connector, layout: Layout) -> Self {
        Self { connection: connector.connection(), layout }
    }

    /// The player, or `None` if nothing is stored.
    ///
    /// # Errors
    /// [`ReadError`] when the store does not answer or the record is damaged.
    pub async fn get(&mut self, id: &PlayerId) -> Result<Option<Player>, ReadError> {
        let key = self.layout.player_key(id);
        let (mut before, mut same) = (None, 0);
        for attempt in 0..MOST_TRIES {
            let Some(value) = self.connection.get_many([key.as_str()]).await?.pop().flatten() else {
                return Ok(None);
            };
            let manifest = match PlayerState::decode(&value, id)? {
                Decoded::Whole(state) => return Ok(Some(player(id, state))),
                Decoded::Split(manifest) => manifest,
            };
            let keys: Vec<String> =
                manifest.references().iter().map(|chunk| Layout::chunk_key(&key, chunk)).collect();
            let chunks = self.connection.get_many(keys.iter().map(String::as_str)).await?;
            if let Some(chunks) = chunks.into_iter().collect::<Option<Vec<_>>>() {
                return Ok(Some(player(id, manifest.complete(&chunks)?)));
            }
            // A writer replaced the record between the two reads: begin at the new manifest.
            same = if before.as_ref() == Some(&value) { same + 1 } else { 0 };
            if same == TRIES {
                break;
            }
            before = Some(value);
            tokio::time::sleep(Duration::from_millis(u64::from(attempt.min(TRIES)))).await;
        }
        Err(ReadError::ChunksMissing)
    }

    /// Every player with this UIN. Walks the whole keyspace: for people, not for programs.
    ///
    /// # Errors
    /// [`ReadError`] when the store does not answer.
    pub async fn find(&mut self, uin: u64) -> Result<Vec<PlayerId>, ReadError> {
        let pattern = self.layout.uin_pattern(uin);
        let mut cursor = "0".to_owned();
        let mut players = std::collections::BTreeSet::new();
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(&cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(1_000);
            let answer = self.connection.send(&scan).await?;
            let (next, keys): (String, Vec<String>) =
                redis::from_redis_value(answer).map_err(|_| StoreError::Answer)?;
            players.extend(keys.iter().filter_map(|key| self.layout.parse_player_key(key).ok()));
            if next == "0" {
                return Ok(players.into_iter().collect());
            }
            cursor = next;
        }
    }
}

fn player(id: &PlayerId, mut state: PlayerState) -> Player {
    state.achievements.sort_by_key(|stored| (std::cmp::Reverse(stored.timestamp), stored.r#type));
    Player {
        id: id.clone(),
        version: state.version,
        watermarks: state.watermarks,
        achievements: state.achievements,
        deleted: state.deleted,
        chunks: state.chunks.len(),
    }
}
