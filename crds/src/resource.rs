//! The `AchievementPipeline` resource, `plaudit.dev/v1alpha1`: what a user writes.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::achievements::{Achievements, DeadLetters, Unlocks};
use crate::forms;
use crate::pods::WorkerPods;
use crate::properties::Properties;
use crate::relations;
use crate::scaling::{Batch, Scaling};
use crate::security::{SourceSecurity, StoreSecurity};
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
    scale(
        spec_replicas_path = ".spec.scaling.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    derive = "PartialEq",
    doc = "Reads reports from a Kafka topic and keeps every player's achievements in Redis or Valkey.",
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"Topic","type":"string","jsonPath":".spec.source.topic"}"#,
    printcolumn = r#"{"name":"Partitions","type":"integer","jsonPath":".status.partitions"}"#,
    printcolumn = r#"{"name":"Desired","type":"integer","jsonPath":".status.replicas"}"#,
    printcolumn = r#"{"name":"Workers","type":"integer","jsonPath":".status.readyReplicas"}"#,
    printcolumn = r#"{"name":"Lag","type":"integer","jsonPath":".status.lag"}"#,
    printcolumn = r#"{"name":"Min","type":"integer","jsonPath":".spec.scaling.minReplicas","priority":1}"#,
    printcolumn = r#"{"name":"Max","type":"integer","jsonPath":".spec.scaling.maxReplicas","priority":1}"#,
    printcolumn = r#"{"name":"Paused","type":"string","jsonPath":".spec.scaling.paused","priority":1}"#,
    printcolumn = r#"{"name":"Decision","type":"string","jsonPath":".status.lastDecision.reason","priority":1}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[x_kube(validation = Rule::new("!has(self.deadLetters.topic) || self.deadLetters.topic != self.source.topic").message(relations::DEAD_LETTERS_LOOP))]
#[x_kube(validation = Rule::new("has(self.deadLetters.topic) || size(self.source.topic) <= 236").message(relations::DEAD_LETTERS_TOO_LONG))]
#[x_kube(validation = Rule::new("has(self.unlocks.topic) || !self.achievements.types.exists(t, has(t.tiers) && size(t.tiers) > 0)").message(relations::TIERS_WITHOUT_TOPIC))]
#[x_kube(validation = Rule::new("!has(self.unlocks.topic) || (self.unlocks.topic != self.source.topic && self.unlocks.topic != (has(self.deadLetters.topic) ? self.deadLetters.topic : self.source.topic + '.dead-letters'))").message(relations::UNLOCKS_ELSEWHERE))]
#[serde(rename_all = "camelCase")]
pub struct AchievementPipelineSpec {
    /// Where the reports come from.
    pub source: Source,
    /// Where the players are kept.
    pub store: Store,
    /// How the items of the reports are merged.
    #[serde(default)]
    pub achievements: Achievements,
    /// Where reached tiers are announced.
    #[serde(default)]
    pub unlocks: Unlocks,
    /// What happens to a record that cannot be processed.
    #[serde(default)]
    pub dead_letters: DeadLetters,
    /// How many records a lane takes at once.
    #[serde(default)]
    pub batch: Batch,
    /// How many workers run.
    #[serde(default)]
    pub scaling: Scaling,
    /// The workers' pods.
    #[serde(default)]
    pub worker: WorkerPods,
    /// True stops all workers, and keeps everything else.
    #[serde(default)]
    pub suspend: bool,
}

/// A Kafka topic of reports.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("has(self.consumerGroup) == has(oldSelf.consumerGroup) && (!has(self.consumerGroup) || self.consumerGroup == oldSelf.consumerGroup)").message(relations::GROUP_IMMUTABLE))]
#[x_kube(validation = Rule::new("self.groupProtocol != 'consumer' || !(has(self.properties.session__dot__timeout__dot__ms) || has(self.properties.heartbeat__dot__interval__dot__ms))").message(relations::BROKER_SESSION))]
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
    /// How workers share the partitions: classic (cooperative-sticky), or consumer, the protocol of KIP-848, which needs Kafka 4.
    #[serde(default)]
    pub group_protocol: GroupProtocol,
    /// What happens when the topic was deleted and created again: stop until a person acts, or continue with the new one from its
    /// beginning, on top of what is stored.
    #[serde(default)]
    pub on_topic_recreated: OnTopicRecreated,
    /// What happens when records that are due are no longer in the log: stop until a person acts, or skip them.
    #[serde(default)]
    pub on_retention_loss: OnRetentionLoss,
    /// How far in the future a record's timestamp may lie.
    #[schemars(range(min = 0, max = 86_400))]
    #[serde(default = "Source::default_max_clock_skew_seconds")]
    pub max_clock_skew_seconds: i32,
    /// TLS and SASL.
    #[serde(default, skip_serializing_if = "SourceSecurity::is_empty")]
    pub security: SourceSecurity,
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
    /// What happens when the store was emptied: stop until a person acts, or replay what is still in the log.
    #[serde(default)]
    pub on_store_loss: OnStoreLoss,
    /// TLS, user and password.
    #[serde(default, skip_serializing_if = "StoreSecurity::is_empty")]
    pub security: StoreSecurity,
}

/// How workers share the partitions.
#[derive(Clone, Copy, Debug, Default, Eq, JsonSchema, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum GroupProtocol {
    /// The members agree on an assignment, cooperative-sticky.
    #[default]
    Classic,
    /// The broker assigns (KIP-848).
    Consumer,
}

/// What happens when the topic was deleted and created again.
#[derive(Clone, Copy, Debug, Default, Eq, JsonSchema, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OnTopicRecreated {
    /// Nothing is read until a person acts.
    #[default]
    Stop,
    /// The new topic is read from its beginning; what is stored stays.
    Continue,
}

/// What happens when records that are due are no longer in the log.
#[derive(Clone, Copy, Debug, Default, Eq, JsonSchema, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OnRetentionLoss {
    /// Nothing is read until a person acts.
    #[default]
    Stop,
    /// They are skipped, counted and logged.
    Skip,
}

/// What happens when the store was emptied.
#[derive(Clone, Copy, Debug, Default, Eq, JsonSchema, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OnStoreLoss {
    /// Nothing is written until a person acts.
    #[default]
    Stop,
    /// Everything that is still in the log is read again.
    Replay,
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

impl AchievementPipelineSpec {
    /// The topic of dead letters, given or default.
    #[must_use]
    pub fn dead_letters_topic(&self) -> String {
        self.dead_letters.topic.clone().unwrap_or_else(|| format!("{}.dead-letters", self.source.topic))
    }
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
