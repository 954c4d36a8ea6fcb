//! Reading every player and fence of a key prefix from Redis or Valkey.

use std::collections::HashSet;
use std::time::Duration;

use plaudit_worker::proto;
use prost::Message as _;
use redis::Connection;

use super::stored::{self, Stored};

/// Keys asked for at once.
const PAGE: usize = 2_000;
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
#[error("cannot {what} at {address}")]
pub struct StoreError {
    what: &'static str,
    address: String,
    source: redis::RedisError,
}

/// The keys below one prefix.
pub struct Store {
    address: String,
    connection: Connection,
    key_prefix: String,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Store").field("key_prefix", &self.key_prefix).finish_non_exhaustive()
    }
}

impl Store {
    /// `address`: host:port.
    pub fn connect(address: &str, key_prefix: &str) -> Result<Self, StoreError> {
        let connect = || {
            let client = redis::Client::open(format!("redis://{address}/"))?;
            let connection = client.get_connection_with_timeout(TIMEOUT)?;
            connection.set_read_timeout(Some(TIMEOUT))?;
            Ok(connection)
        };
        let connection = connect().map_err(|source| StoreError {
            what: "connect to the store",
            address: address.to_owned(),
            source,
        })?;
        Ok(Self { address: address.to_owned(), connection, key_prefix: key_prefix.to_owned() })
    }

    /// The fence of a partition; none where it has none, or one that cannot be read.
    pub fn fence(&mut self, partition: i32) -> Result<Option<proto::Fence>, StoreError> {
        let key = format!("{}{{{partition}}}fence:{partition}", self.key_prefix);
        let value: Option<Vec<u8>> = redis::cmd("GET")
            .arg(key)
            .query(&mut self.connection)
            .map_err(|source| self.error("read a fence", source))?;
        Ok(value.and_then(|value| proto::Fence::decode(&*value).ok()))
    }

    /// Hands every player to `each`, with the key; returns how many chunks no player refers to.
    ///
    /// A player may come twice. Nobody may write meanwhile.
    pub fn players(
        &mut self,
        mut each: impl FnMut(&str, Result<&Stored, String>),
    ) -> Result<u64, StoreError> {
        let (mut chunks, mut referred) = (HashSet::new(), HashSet::new());
        let mut cursor = 0_u64;
        loop {
            let (next, keys): (u64, Vec<String>) = redis::cmd("SCAN")
                .arg(cursor)
                .arg("MATCH")
                .arg(format!("{}*", self.key_prefix))
                .arg("COUNT")
                .arg(PAGE)
                .query(&mut self.connection)
                .map_err(|source| self.error("list the players", source))?;
            let (players, others): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| is_player(key));
            chunks.extend(others.into_iter().filter(|key| key.contains('#')));
            self.page(&players, &mut referred, &mut each)?;
            cursor = next;
            if cursor == 0 {
                return Ok(chunks.difference(&referred).count() as u64);
            }
        }
    }

    fn page(
        &mut self,
        keys: &[String],
        referred: &mut HashSet<String>,
        each: &mut impl FnMut(&str, Result<&Stored, String>),
    ) -> Result<(), StoreError> {
        let values = self.values(keys)?;
        for (key, value) in keys.iter().zip(values) {
            // A key that went away meanwhile shows as a missing player.
            let Some(value) = value else { continue };
            let stored = match stored::open(&value) {
                Ok(record) => {
                    let chunk_keys: Vec<_> =
                        record.chunks.iter().map(|chunk| stored::chunk_key(key, chunk)).collect();
                    let chunks = self.values(&chunk_keys)?;
                    referred.extend(chunk_keys);
                    stored::assemble(record, &chunks)
                }
                Err(fault) => Err(fault),
            };
            each(key, stored.as_ref().map_err(Clone::clone));
        }
        Ok(())
    }

    fn values(&mut self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = redis::cmd("MGET");
        command.arg(keys);
        command.query(&mut self.connection).map_err(|source| self.error("read players", source))
    }

    fn error(&self, what: &'static str, source: redis::RedisError) -> StoreError {
        StoreError { what, address: self.address.clone(), source }
    }
}

/// Neither a chunk nor a fence: a role is percent-encoded, so that neither sign stands in a player key.
fn is_player(key: &str) -> bool {
    !key.contains('#') && !key.contains("}fence:")
}
