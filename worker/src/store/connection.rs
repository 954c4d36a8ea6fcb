//! One connection to a standalone Redis or Valkey: a lane's commands in order.

use redis::{Cmd, Value};

use super::connector::{Connector, Live};
use super::eviction::eviction;
use super::scripts::{Reply, Script};
use super::{Found, Store};
use crate::security::SecurityError;

/// What went wrong between a lane and its store. In every case the outcome of a write is unknown.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot connect to the store")]
    Connect(#[source] redis::RedisError),
    #[error("the store did not let us in within {seconds} s")]
    Silent { seconds: u64 },
    #[error(transparent)]
    Security(#[from] SecurityError),
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
            Self::Connect(_) | Self::Silent { .. } => "connect",
            Self::Security(_) => "security",
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
            Self::Silent { .. } | Self::Security(_) | Self::Answer => self.to_string(),
        }
    }
}

/// One connection, made again after an error.
#[derive(Debug)]
pub struct Connection {
    connector: Connector,
    live: Option<Live>,
}

impl Connection {
    pub(super) fn new(connector: Connector) -> Self {
        Self { connector, live: None }
    }

    /// Drops the connection after an error.
    fn failed(&mut self, error: redis::RedisError) -> StoreError {
        self.live = None;
        self.connector.note(&error);
        classify(error)
    }

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
            Ok(Value::ServerError(error)) => Err(error.into()),
            Ok(value) => Ok(value),
            Err(error) => Err(error),
        };
        answer.map_err(|error| self.failed(error))
    }

    /// Asks whether the server may drop keys; what it answers is for [`Connector::eviction`]. Nobody depends on it, so nothing fails.
    pub async fn ask_for_eviction(&mut self) {
        let Ok(live) = self.live().await else { return };
        let command = redis::cmd("INFO").arg("memory").to_owned();
        let found = eviction(live.connection.send_packed_command(&command).await);
        self.connector.evicts(found);
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
            Err(error) => return (Vec::new(), Some(self.failed(error))),
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
                    if let StoreError::Command(error) = &error {
                        self.connector.note(error);
                    }
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
