//! The worker's configuration file: one pipeline with every default resolved.

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::achievements::{Achievements, OnError, Unlocks};
use crate::check::{self, Violations};
use crate::forms;
use crate::properties::Properties;
use crate::relations;
use crate::resource::{
    Format, GroupProtocol, InitialOffset, OnRetentionLoss, OnStoreLoss, OnTopicRecreated, Source, Store,
};
use crate::scaling::Batch;
use crate::security::{SourceSecurity, StoreSecurity};
use crate::yaml::{self, YamlError};

/// Everything a worker needs to know, from `plaudit-worker --config FILE`.
#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerConfig {
    /// The pipeline, as namespace/name.
    #[schemars(length(max = 317), regex(pattern = forms::PIPELINE))]
    pub pipeline: String,
    /// Where the reports come from.
    pub source: WorkerSource,
    /// Where the players are kept.
    pub store: WorkerStore,
    /// How the items of the reports are merged.
    #[serde(default)]
    pub achievements: Achievements,
    /// Where reached tiers are announced.
    #[serde(default)]
    pub unlocks: Unlocks,
    /// What happens to a record that cannot be processed.
    pub dead_letters: WorkerDeadLetters,
    /// How many records a lane takes at once.
    #[serde(default)]
    pub batch: Batch,
    /// Bytes queued in the Kafka client, decoded and in flight, over all lanes.
    #[schemars(range(min = 1_048_576, max = 68_719_476_736_u64))]
    #[serde(default = "WorkerConfig::default_memory_budget_bytes")]
    pub memory_budget_bytes: u64,
    /// Where Secrets are: a folder for each, with a file for each key.
    #[schemars(length(min = 1, max = 4096), regex(pattern = forms::PATH))]
    #[serde(default = "WorkerConfig::default_secrets_directory")]
    pub secrets_directory: String,
    /// The HTTP endpoint.
    #[serde(default)]
    pub http: Http,
    /// How long a lane may take to finish its batch when it is revoked or the worker stops.
    #[schemars(range(min = 1, max = 600))]
    #[serde(default = "WorkerConfig::default_drain_deadline_seconds")]
    pub drain_deadline_seconds: u32,
}

/// A Kafka topic of reports, with nothing left to guess.
#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerSource {
    /// Kafka's bootstrap servers: host:port, separated by commas.
    #[schemars(length(min = 1, max = 1024), regex(pattern = forms::SERVERS))]
    pub bootstrap_servers: String,
    /// The topic.
    #[schemars(length(min = 1, max = 249), regex(pattern = forms::TOPIC))]
    pub topic: String,
    /// The consumer group.
    #[schemars(length(min = 1, max = 255), regex(pattern = forms::GROUP))]
    pub consumer_group: String,
    /// Where a partition starts the first time.
    #[serde(default)]
    pub initial_offset: InitialOffset,
    /// How the records are encoded.
    #[serde(default)]
    pub format: Format,
    /// How workers share the partitions.
    #[serde(default)]
    pub group_protocol: GroupProtocol,
    /// What happens when the topic was deleted and created again.
    #[serde(default)]
    pub on_topic_recreated: OnTopicRecreated,
    /// What happens when records that are due are no longer in the log.
    #[serde(default)]
    pub on_retention_loss: OnRetentionLoss,
    /// How far in the future a record's timestamp may lie.
    #[schemars(range(min = 0, max = 86_400))]
    #[serde(default = "WorkerSource::default_max_clock_skew_seconds")]
    pub max_clock_skew_seconds: u32,
    /// TLS and SASL.
    #[serde(default, skip_serializing_if = "SourceSecurity::is_empty")]
    pub security: SourceSecurity,
    /// Settings of the Kafka client.
    #[serde(default)]
    pub properties: Properties,
}

/// A Redis or Valkey server.
#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerStore {
    /// The server's address, host:port.
    #[schemars(length(min = 1, max = 261), regex(pattern = forms::ADDRESS))]
    pub address: String,
    /// What every key starts with.
    #[schemars(length(min = 1, max = 64), regex(pattern = forms::KEY_PREFIX))]
    #[serde(default = "Store::default_key_prefix")]
    pub key_prefix: String,
    /// Number of hash tags the players are spread over.
    #[schemars(range(min = 1, max = 16_384))]
    #[serde(default = "WorkerStore::default_buckets")]
    pub buckets: u32,
    /// A player record above this size is split.
    #[schemars(range(min = 1024, max = 1_048_576))]
    #[serde(default = "WorkerStore::default_max_value_bytes")]
    pub max_value_bytes: u32,
    /// What happens when the store was emptied.
    #[serde(default)]
    pub on_store_loss: OnStoreLoss,
    /// TLS, user and password.
    #[serde(default, skip_serializing_if = "StoreSecurity::is_empty")]
    pub security: StoreSecurity,
}

/// What happens to a record that cannot be processed.
#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerDeadLetters {
    /// The topic of dead letters.
    #[schemars(length(min = 1, max = 249), regex(pattern = forms::TOPIC))]
    pub topic: String,
    /// Whether the partition goes on after a dead letter, or stops at it.
    #[serde(default)]
    pub on_error: OnError,
}

/// Where a worker listens.
#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Http {
    /// ip:port; port 0 takes a free one.
    #[schemars(length(min = 1, max = 261), regex(pattern = forms::ADDRESS))]
    #[serde(default = "Http::default_address")]
    pub address: String,
}

/// Why a configuration file was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The text is not YAML.
    #[error("the worker's configuration is not valid YAML")]
    Syntax(#[from] YamlError),
    /// Fields are missing, unknown, out of bounds or contradict each other.
    #[error("the worker's configuration is refused")]
    Refused(#[source] Violations),
}

impl WorkerConfig {
    /// Reads a configuration and checks it; an unknown field is an error.
    pub fn from_yaml(text: &str) -> Result<Self, ConfigError> {
        let value = yaml::one_document(text)?;
        let config: Self = check::read(&value, Self::schema()).map_err(ConfigError::Refused)?;
        config.check_relations()?;
        Ok(config)
    }

    /// Checks every bound and relation of a configuration that was built, not read.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let value = serde_json::to_value(self).expect("a worker configuration has text keys only");
        let _: Self = check::read(&value, Self::schema()).map_err(ConfigError::Refused)?;
        self.check_relations()
    }

    /// The file's text, every field written out.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        serde_yaml::to_string(self).expect("a worker configuration holds nothing that YAML cannot express")
    }

    fn schema() -> &'static Value {
        static SCHEMA: LazyLock<Value> = LazyLock::new(check::schema_of::<WorkerConfig>);
        &SCHEMA
    }

    fn check_relations(&self) -> Result<(), ConfigError> {
        let violations = relations::of_worker(self);
        if violations.is_empty() { Ok(()) } else { Err(ConfigError::Refused(violations)) }
    }

    /// Bytes of a worker without a budget of its own: 20 MiB.
    #[must_use]
    pub fn default_memory_budget_bytes() -> u64 {
        20 * 1024 * 1024
    }

    /// Where a pod has its Secrets.
    #[must_use]
    pub fn default_secrets_directory() -> String {
        "/var/run/secrets/plaudit".to_owned()
    }

    /// Seconds of a worker without a deadline of its own.
    #[must_use]
    pub fn default_drain_deadline_seconds() -> u32 {
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
