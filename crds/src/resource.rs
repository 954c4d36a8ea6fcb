//! The `AchievementPipeline` resource, `plaudit.dev/v1alpha1`: what a user writes.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::forms;
use crate::properties::Properties;
use crate::relations;
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
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Topic","type":"string","jsonPath":".spec.source.topic"}"#,
    printcolumn = r#"{"name":"Partitions","type":"integer","jsonPath":".status.partitions"}"#,
    printcolumn = r#"{"name":"Workers","type":"integer","jsonPath":".status.readyReplicas"}"#,
    printcolumn = r#"{"name":"Lag","type":"integer","jsonPath":".status.lag"}"#,
    printcolumn = r#"{"name":"Min","type":"integer","jsonPath":".spec.scaling.minReplicas"}"#,
    printcolumn = r#"{"name":"Max","type":"integer","jsonPath":".spec.scaling.maxReplicas"}"#,
    printcolumn = r#"{"name":"Paused","type":"string","jsonPath":".spec.scaling.paused"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[x_kube(validation = Rule::new("!has(self.deadLetters.topic) || self.deadLetters.topic != self.source.topic").message(relations::DEAD_LETTERS_LOOP))]
#[x_kube(validation = Rule::new("has(self.deadLetters.topic) || size(self.source.topic) <= 236").message(relations::DEAD_LETTERS_TOO_LONG))]
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
#[x_kube(validation = Rule::new("has(self.consumerGroup) == has(oldSelf.consumerGroup) && (!has(self.consumerGroup) || self.consumerGroup == oldSelf.consumerGroup)").message(relations::GROUP_IMMUTABLE))]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// Kafka's bootstrap servers: host:port, separated by commas.
    #[schemars(length(min = 1, max = 1024), regex(pattern = forms::SERVERS))]
    pub bootstrap_servers: String,
    /// The topic the reports are read from.
    #[schemars(length(min = 1, max = 249), regex(pattern = forms::TOPIC))]
    #[x_kube(validation = Rule::new("self == oldSelf").message(relations::IMMUTABLE))]
    #[x_kube(validation = Rule::new("self != '.' && self != '..'").message(relations::DOTS))]
    pub topic: String,
    /// The consumer group. Default: namespace.name of the pipeline.
    #[schemars(with = "String", length(min = 1, max = 255), regex(pattern = forms::GROUP))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer_group: Option<String>,
    /// Where a partition starts the first time: earliest or latest.
    #[serde(default)]
    pub initial_offset: InitialOffset,
    /// How the records are encoded: json or protobuf.
    #[serde(default)]
    pub format: Format,
    /// How far in the future a record's timestamp may lie.
    #[schemars(range(min = 0, max = 86_400))]
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
    #[schemars(length(min = 1, max = 1), inner(length(min = 1, max = 261), regex(pattern = forms::ADDRESS)))]
    pub addresses: Vec<String>,
    /// What every key starts with.
    #[schemars(length(min = 1, max = 64), regex(pattern = forms::KEY_PREFIX))]
    #[x_kube(validation = Rule::new("self == oldSelf").message(relations::IMMUTABLE))]
    #[serde(default = "Store::default_key_prefix")]
    pub key_prefix: String,
    /// Number of hash tags the players are spread over.
    #[schemars(range(min = 1, max = 16_384))]
    #[x_kube(validation = Rule::new("self == oldSelf").message(relations::IMMUTABLE))]
    #[serde(default = "Store::default_buckets")]
    pub buckets: i32,
    /// A player record above this size is split.
    #[schemars(range(min = 1024, max = 1_048_576))]
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
    #[schemars(length(max = 4096))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    #[serde(default)]
    pub types: Vec<AchievementType>,
}

/// One listed type.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AchievementType {
    /// The achievement type, an unsigned 32-bit number.
    #[schemars(range(min = 0, max = 4_294_967_295_i64))]
    #[serde(rename = "type")]
    pub r#type: i64,
    /// How its items are merged: latest, max or sum.
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
    #[schemars(with = "String", length(min = 1, max = 249), regex(pattern = forms::TOPIC))]
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
    #[schemars(range(min = 1, max = 100_000))]
    #[serde(default = "Batch::default_max_records")]
    pub max_records: i32,
    /// Payload bytes in a batch.
    #[schemars(range(min = 65_536, max = 67_108_864))]
    #[serde(default = "Batch::default_max_bytes")]
    pub max_bytes: i64,
    /// How long a batch that is not full may wait.
    #[schemars(range(min = 0, max = 10_000))]
    #[serde(default = "Batch::default_max_delay_milliseconds")]
    pub max_delay_milliseconds: i32,
}

/// How many workers run.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("!has(self.maxReplicas) || self.maxReplicas >= self.minReplicas").message(relations::MAX_BELOW_MIN))]
#[serde(rename_all = "camelCase")]
pub struct Scaling {
    /// Workers that always run.
    #[schemars(range(min = 1, max = 10_000))]
    #[serde(default = "Scaling::default_min_replicas")]
    pub min_replicas: i32,
    /// Workers that run at most. Default: one for each partition.
    #[schemars(with = "i32", range(min = 1, max = 10_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_replicas: Option<i32>,
    /// Records one worker may lag.
    #[schemars(range(min = 1, max = 1_000_000_000))]
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
    #[schemars(range(min = 0, max = 3600))]
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
