//! One connection to a standalone Redis or Valkey: a lane's commands in order.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, IntoConnectionInfo, Value};

use super::scripts::{BATCH, REPLACE_FENCE, Reply, Script};
use super::{Found, Store};

/// A command unanswered for so long has an unknown outcome.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes collected before a flush: the default of 8 KiB costs twice the CPU with records of 2 KB.
const WRITE_BUFFER_BYTES: usize = 1 << 20;

/// What went wrong between a lane and its store. In every case the outcome of a write is unknown.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot connect to the store")]
    Connect(#[source] redis::RedisError),
    #[error("the store did not answer")]
    Io(#[source] redis::RedisError),
    #[error("the store refused a command")]
    Command(#[source] redis::RedisError),
    #[error("the store answered something unexpected")]
    Answer,
}

impl StoreError {
    /// Metric label.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Io(error) if error.is_timeout() => "timeout",
            Self::Io(_) => "io",
            Self::Command(_) => "command",
            Self::Answer => "answer",
        }
    }

    /// The error with its causes, in one line.
    pub fn sentence(&self) -> String {
        match self {
            Self::Connect(cause) | Self::Io(cause) | Self::Command(cause) => format!("{self}: {cause}"),
            Self::Answer => self.to_string(),
        }
    }
}

/// Opens connections to one server.
#[derive(Clone, Debug)]
pub struct Connector {
    client: Client,
}

impl Connector {
    /// `address` is host:port.
    ///
    /// # Errors
    /// [`StoreError::Connect`] when the address is not one; nothing is connected yet.
    pub fn new(address: &str) -> Result<Self, StoreError> {
        let info = format!("redis://{address}").into_connection_info().map_err(StoreError::Connect)?;
        // TCP_NODELAY is off by default and costs 39-68 % of throughput.
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        let client = Client::open(info.set_tcp_settings(tcp)).map_err(StoreError::Connect)?;
        Ok(Self { client })
    }

    /// A connection that connects when first used.
    pub fn connection(&self) -> Connection {
        Connection { connector: self.clone(), live: None }
    }

    async fn connect(&self) -> Result<Live, StoreError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_write_backpressure_boundary(WRITE_BUFFER_BYTES);
        let mut connection = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(StoreError::Connect)?;
        let mut shas = Vec::new();
        for script in [BATCH, REPLACE_FENCE] {
            let sha = redis::cmd("SCRIPT").arg("LOAD").arg(script).query_async(&mut connection).await;
            shas.push(sha.map_err(StoreError::Connect)?);
        }
        let [batch, replace_fence] = <[String; 2]>::try_from(shas).map_err(|_| StoreError::Answer)?;
        Ok(Live { connection, batch, replace_fence })
    }
}

/// One connection, made again after an error.
#[derive(Debug)]
pub struct Connection {
    connector: Connector,
    live: Option<Live>,
}

struct Live {
    connection: MultiplexedConnection,
    batch: String,
    replace_fence: String,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}

impl Connection {
    async fn live(&mut self) -> Result<&mut Live, StoreError> {
        if self.live.is_none() {
            self.live = Some(self.connector.connect().await?);
        }
        self.live.as_mut().ok_or(StoreError::Answer)
    }

    /// Sends one command; any error drops the connection.
    pub async fn send(&mut self, command: &Cmd) -> Result<Value, StoreError> {
        let answer = self.live().await?.connection.send_packed_command(command).await;
        let answer = match answer {
            Ok(Value::ServerError(error)) => Err(StoreError::Command(error.into())),
            Ok(value) => Ok(value),
            Err(error) => Err(classify(error)),
        };
        if answer.is_err() {
            self.live = None;
        }
        answer
    }

    /// The values of these keys.
    pub async fn get_many(&mut self, keys: impl IntoIterator<Item = &str>) -> Result<Vec<Found>, StoreError> {
        let mut command = redis::cmd("MGET");
        for key in keys {
            command.arg(key);
        }
        values(self.send(&command).await?)
    }
}

impl Store for Connection {
    async fn fence(&mut self, key: &str) -> Result<Found, StoreError> {
        Ok(self.get_many([key]).await?.pop().flatten())
    }

    async fn replace_fence(
        &mut self,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
    ) -> Result<bool, StoreError> {
        let sha = self.live().await?.replace_fence.clone();
        let mut command = redis::cmd("EVALSHA");
        command.arg(sha).arg(1).arg(key).arg(expected.unwrap_or_default()).arg(value);
        match self.send(&command).await? {
            Value::Int(done) => Ok(done == 1),
            _ => Err(StoreError::Answer),
        }
    }

    async fn load(&mut self, fence_key: &str, keys: &[&str]) -> Result<(Found, Vec<Found>), StoreError> {
        let mut found = self.get_many(keys.iter().copied().chain([fence_key])).await?;
        let fence = found.pop().ok_or(StoreError::Answer)?;
        Ok((fence, found))
    }

    async fn chunks(&mut self, keys: &[String]) -> Result<Vec<Found>, StoreError> {
        self.get_many(keys.iter().map(String::as_str)).await
    }

    async fn write(
        &mut self,
        fence_key: &str,
        scripts: &mut [Script<'_>],
    ) -> (Vec<Reply>, Option<StoreError>) {
        let live = match self.live().await {
            Ok(live) => live,
            Err(error) => return (Vec::new(), Some(error)),
        };
        let mut pipeline = redis::pipe();
        let mut is_script = Vec::new();
        for script in scripts {
            for upload in script.uploads() {
                pipeline.add_command(upload);
                is_script.push(false);
            }
            pipeline.add_command(script.command(&live.batch, fence_key));
            // All lanes may be waiting for the store at once, each with a round of values.
            script.values = Vec::new();
            is_script.push(true);
        }
        let answers = match live.connection.send_packed_commands(&pipeline, 0, pipeline.len()).await {
            Ok(answers) => answers,
            Err(error) => {
                self.live = None;
                return (Vec::new(), Some(classify(error)));
            }
        };
        let mut replies = Vec::new();
        for (answer, is_script) in answers.into_iter().zip(is_script) {
            // A failed upload needs no answer of its own: the script then finds the chunk missing.
            if !is_script {
                continue;
            }
            match Script::reply(answer) {
                Ok(reply) => replies.push(reply),
                Err(error) => {
                    self.live = None;
                    return (replies, Some(error));
                }
            }
        }
        (replies, None)
    }
}

fn classify(error: redis::RedisError) -> StoreError {
    match error.kind() {
        redis::ErrorKind::Server(_) | redis::ErrorKind::Extension => StoreError::Command(error),
        _ => StoreError::Io(error),
    }
}

fn values(answer: Value) -> Result<Vec<Found>, StoreError> {
    let Value::Array(values) = answer else { return Err(StoreError::Answer) };
    values
        .into_iter()
        .map(|value| match value {
            Value::Nil => Ok(None),
            Value::BulkString(bytes) => Ok(Some(bytes)),
            _ => Err(StoreError::Answer),
        })
        .collect()
}
