//! The `AchievementPipeline` resource, `plaudit.dev/v1alpha1`: what a user writes.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::properties::Properties;
use crate::status::AchievementPipelineStatus;

/// Reads reports from a Kafka topic and keeps every player's achievements in Redis or Valkey.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "plaudit.dev",
    version = "v1alpha1",
    kind = "AchievementPipeline",
    shortname = "achp",
    namespaced,
    status = "AchievementPipelineStatus",
    derive = "PartialEq",
    doc = "Reads reports from a Kafka topic and keeps every player's achievements in Redis or Valkey.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Topic", type_ = "string", json_path = ".spec.source.topic"),
    printcolumn(name = "Partitions", type_ = "integer", json_path = ".status.partitions"),
    printcolumn(name = "Workers", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "Lag", type_ = "integer", json_path = ".status.lag"),
    printcolumn(name = "Min", type_ = "integer", json_path = ".spec.scaling.minReplicas"),
    printcolumn(name = "Max", type_ = "integer", json_path = ".spec.scaling.maxReplicas"),
    printcolumn(name = "Paused", type_ = "string", json_path = ".spec.scaling.paused"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct AchievementPipelineSpec {
    /// Where the reports come from.
    pub source: Source,
    /// Where the players are kept.
    pub store: Store,
    /// How the items of the reports are merged.
    #[serde(default)]
    pub achievements: Achievements,
    /// What happens to a record that cannot be processed.
    #[serde(default)]
    pub dead_letters: DeadLetters,
    /// How many records a lane takes at once.
    #[serde(default)]
    pub batch: Batch,
    /// How many workers run.
    #[serde(default)]
    pub scaling: Scaling,
    /// True stops all workers, and keeps everything else.
    #[serde(default)]
    pub suspend: bool,
}

/// A Kafka topic of reports.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// Kafka's bootstrap servers: host:port, separated by commas.
    pub bootstrap_servers: String,
    /// The topic.
    pub topic: String,
    /// The consumer group. Default: namespace.name of the pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer_group: Option<String>,
    /// Where a partition starts the first time: earliest or latest.
    #[serde(default)]
    pub initial_offset: InitialOffset,
    /// How the records are encoded: json or protobuf.
    #[serde(default)]
    pub format: Format,
    /// How far in the future a record's timestamp may lie.
    #[serde(default = "Source::default_max_clock_skew_seconds")]
    pub max_clock_skew_seconds: i32,
    /// Settings of the Kafka client, from a list of allowed names.
    #[serde(default)]
    pub properties: Properties,
}

/// A Redis or Valkey server.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Store {
    /// The server's address, host:port; exactly one.
    pub addresses: Vec<String>,
    /// What every key starts with.
    #[serde(default = "Store::default_key_prefix")]
    pub key_prefix: String,
    /// Number of hash tags the players are spread over.
    #[serde(default = "Store::default_buckets")]
    pub buckets: i32,
    /// A player record above this size is split.
    #[serde(default = "Store::default_max_value_bytes")]
    pub max_value_bytes: i32,
}

/// How items are merged.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Achievements {
    /// The policy of a type that has none of its own.
    #[serde(default)]
    pub default_policy: Policy,
    /// What happens to a type that is not listed.
    #[serde(default)]
    pub unlisted: Unlisted,
    /// The listed types.
    #[serde(default)]
    pub types: Vec<AchievementType>,
}

/// One listed type.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AchievementType {
    /// The achievement type, an unsigned 32-bit number.
    #[serde(rename = "type")]
    pub r#type: i64,
    /// How its items are merged.
    pub policy: Policy,
}

/// How the items of one achievement are merged into one.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, JsonSchema, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Policy {
    /// The newest item.
    #[default]
    Latest,
    /// The greatest value.
    Max,
    /// The sum of all values.
    Sum,
}

/// What happens to a type that is not listed.
#[derive(Clone, Copy, Debug, Default, Eq, JsonSchema, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Unlisted {
    /// It is merged by the default policy.
    #[default]
    Accept,
    /// Its record becomes a dead letter.
    DeadLetter,
}

/// Where a partition starts the first time.
#[derive(Clone, Copy, Debug, Default, Eq, JsonSchema, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum InitialOffset {
    /// At the oldest record.
    #[default]
    Earliest,
    /// After the newest record.
    Latest,
}

/// How reports are encoded.
#[derive(Clone, Copy, Debug, Default, Eq, JsonSchema, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Format {
    /// JSON text.
    #[default]
    Json,
    /// Protobuf, message plaudit.v1.Report.
    Protobuf,
}

/// What happens to a record that cannot be processed.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetters {
    /// The topic of dead letters. Default: the source topic with .dead-letters added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// deadLetter goes on after the record is in the topic; stop stops the partition at it.
    #[serde(default)]
    pub on_error: OnError,
}

/// What a bad record does to its partition.
#[derive(Clone, Copy, Debug, Default, Eq, JsonSchema, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OnError {
    /// It is sent to the dead-letter topic, and the partition goes on.
    #[default]
    DeadLetter,
    /// The partition stops at it.
    Stop,
}

/// Limits of a batch: a lane takes what is ready, up to these.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    /// Records in a batch.
    #[serde(default = "Batch::default_max_records")]
    pub max_records: i32,
    /// Payload bytes in a batch.
    #[serde(default = "Batch::default_max_bytes")]
    pub max_bytes: i64,
    /// How long a batch that is not full may wait.
    #[serde(default = "Batch::default_max_delay_milliseconds")]
    pub max_delay_milliseconds: i32,
}

/// How many workers run.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scaling {
    /// Workers that always run.
    #[serde(default = "Scaling::default_min_replicas")]
    pub min_replicas: i32,
    /// Workers that run at most. Default: one for each partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_replicas: Option<i32>,
    /// Records one worker may lag.
    #[serde(default = "Scaling::default_lag_threshold")]
    pub lag_threshold: i64,
    /// Directions in which the number of workers is left alone.
    #[serde(default)]
    pub paused: Paused,
    /// How fast the number of workers follows the lag.
    #[serde(default)]
    pub behavior: Behavior,
}

/// Directions in which the number of workers is left alone.
#[derive(Clone, Copy, Debug, Default, Eq, JsonSchema, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Paused {
    /// Both directions are free.
    #[default]
    None,
    /// No worker is removed.
    In,
    /// No worker is added.
    Out,
    /// The number stays.
    Both,
}

/// How fast the number of workers follows the lag.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Behavior {
    /// A worker is removed only when none of the decisions in this window needed it.
    #[serde(default = "Behavior::default_scale_in_window_seconds")]
    pub scale_in_window_seconds: i32,
}

impl Source {
    pub(crate) fn default_max_clock_skew_seconds() -> i32 {
        300
    }
}

impl Store {
    pub(crate) fn default_key_prefix() -> String {
        "plaudit:".to_owned()
    }

    pub(crate) fn default_buckets() -> i32 {
        240
    }

    pub(crate) fn default_max_value_bytes() -> i32 {
        16384
    }
}

impl Achievements {
    /// The policy of `achievement_type`, or `None` when it is not listed.
    #[must_use]
    pub fn listed(&self, achievement_type: u32) -> Option<Policy> {
        self.types
            .iter()
            .find(|listed| listed.r#type == i64::from(achievement_type))
            .map(|listed| listed.policy)
    }
}

impl Batch {
    fn default_max_records() -> i32 {
        2000
    }

    fn default_max_bytes() -> i64 {
        4 * 1024 * 1024
    }

    fn default_max_delay_milliseconds() -> i32 {
        20
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            max_records: Self::default_max_records(),
            max_bytes: Self::default_max_bytes(),
            max_delay_milliseconds: Self::default_max_delay_milliseconds(),
        }
    }
}

impl Scaling {
    fn default_min_replicas() -> i32 {
        1
    }

    fn default_lag_threshold() -> i64 {
        10_000
    }
}

impl Default for Scaling {
    fn default() -> Self {
        Self {
            min_replicas: Self::default_min_replicas(),
            max_replicas: None,
            lag_threshold: Self::default_lag_threshold(),
            paused: Paused::default(),
            behavior: Behavior::default(),
        }
    }
}

impl Behavior {
    fn default_scale_in_window_seconds() -> i32 {
        300
    }
}

impl Default for Behavior {
    fn default() -> Self {
        Self { scale_in_window_seconds: Self::default_scale_in_window_seconds() }
    }
}
