//! The store as `direct` uses it: a pool of connections, each shared by many requests, and compare-and-set on one key.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use plaudit_worker::player::HEADER;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, IntoConnectionInfo as _, RedisError, Value};

/// As long as a worker waits: after that the outcome is unknown.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes collected before a flush; as a worker's.
const WRITE_BUFFER_BYTES: usize = 1 << 20;

/// How a record is compared and set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Cas {
    /// A script compares version and write ID.
    Script,
    /// SET … IFEQ sends the old value along and compares all of it (Valkey 8.1, Redis 8.4).
    Ifeq,
}

/// What a compare-and-set did.
#[derive(Debug, PartialEq, Eq)]
pub enum Written {
    Done,
    /// Somebody else was faster; this is what is stored now.
    Conflict(Option<Vec<u8>>),
}

/// A pool of connections. A connection that failed is made again when it is next needed.
pub struct Store {
    client: Client,
    cas: Cas,
    script: String,
    pool: Vec<RwLock<Option<Live>>>,
    next: AtomicUsize,
}

#[derive(Clone)]
struct Live {
    connection: MultiplexedConnection,
    sha: Arc<str>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Store").field("connections", &self.pool.len()).finish_non_exhaustive()
    }
}

impl Store {
    /// Connects nothing yet. `address`: host:port.
    pub fn new(address: &str, connections: usize, cas: Cas) -> Result<Self, RedisError> {
        let info = format!("redis://{address}").into_connection_info()?;
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        let client = Client::open(info.set_tcp_settings(tcp))?;
        let script = format!(
            "if redis.call('GETRANGE', KEYS[1], {}, {}) ~= ARGV[1] then return redis.call('GET', KEYS[1]) end\n\
             redis.call('SET', KEYS[1], ARGV[2])\n\
             return 1",
            HEADER.start,
            HEADER.end - 1
        );
        let pool = (0..connections.max(1)).map(|_| RwLock::new(None)).collect();
        Ok(Self { client, cas, script, pool, next: AtomicUsize::new(0) })
    }

    /// Makes all connections, so that no report has to wait for one.
    pub async fn connect_all(&self) -> Result<(), RedisError> {
        for slot in 0..self.pool.len() {
            self.put(slot, Some(self.connect().await?));
        }
        Ok(())
    }

    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, RedisError> {
        let mut command = Cmd::with_capacity(2, key.len() + 8);
        command.arg("GET").arg(key);
        let (slot, live) = self.live().await?;
        value(self.send(slot, live, &command).await?)
    }

    /// Sets `new` if `key` still holds what `old` is.
    pub async fn compare_and_set(
        &self,
        key: &str,
        old: Option<&[u8]>,
        new: &[u8],
    ) -> Result<Written, RedisError> {
        let (slot, live) = self.live().await?;
        match self.cas {
            Cas::Script => {
                let expected = old.and_then(|old| old.get(HEADER)).unwrap_or_default();
                let mut command = Cmd::with_capacity(6, key.len() + expected.len() + new.len() + 64);
                command.arg("EVALSHA").arg(&*live.sha).arg(1).arg(key).arg(expected).arg(new);
                match self.send(slot, live, &command).await? {
                    Value::Int(1) => Ok(Written::Done),
                    found => Ok(Written::Conflict(value(found)?)),
                }
            }
            Cas::Ifeq => {
                let old_len = old.map_or(0, <[u8]>::len);
                let mut command = Cmd::with_capacity(6, key.len() + old_len + new.len() + 24);
                command.arg("SET").arg(key).arg(new);
                match old {
                    Some(old) => command.arg("IFEQ").arg(old),
                    None => command.arg("NX"),
                };
                command.arg("GET");
                let found = value(self.send(slot, live, &command).await?)?;
                Ok(if found.as_deref() == old { Written::Done } else { Written::Conflict(found) })
            }
        }
    }

    /// The next connection of the pool, by turns.
    async fn live(&self) -> Result<(usize, Live), RedisError> {
        let slot = self.next.fetch_add(1, Ordering::Relaxed) % self.pool.len();
        let known = self.pool[slot].read().unwrap_or_else(PoisonError::into_inner).clone();
        let live = match known {
            Some(live) => live,
            None => {
                let live = self.connect().await?;
                self.put(slot, Some(live.clone()));
                live
            }
        };
        Ok((slot, live))
    }

    async fn connect(&self) -> Result<Live, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_write_backpressure_boundary(WRITE_BUFFER_BYTES);
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        let mut load = redis::cmd("SCRIPT");
        let sha: String = load.arg("LOAD").arg(&self.script).query_async(&mut connection).await?;
        Ok(Live { connection, sha: sha.into() })
    }

    async fn send(&self, slot: usize, mut live: Live, command: &Cmd) -> Result<Value, RedisError> {
        let answer = live.connection.send_packed_command(command).await;
        let answer = answer.and_then(Value::extract_error);
        if answer.is_err() {
            self.put(slot, None);
        }
        answer
    }

    fn put(&self, slot: usize, live: Option<Live>) {
        *self.pool[slot].write().unwrap_or_else(PoisonError::into_inner) = live;
    }
}

fn value(answer: Value) -> Result<Option<Vec<u8>>, RedisError> {
    redis::from_redis_value(answer).map_err(RedisError::from)
}
