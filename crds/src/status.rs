//! The status of an `AchievementPipeline`: what was found, and what was decided.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::scaling::Paused;

/// What was found and decided. A pipeline at rest or under steady load does not change it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AchievementPipelineStatus {
    /// The generation of the spec this status answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, SourceAvailable, StoreAvailable, WorkersAvailable, ScalingActive.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
    /// Partitions of the topic; absent while unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i32>,
    /// Workers that should run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// The label selector of the workers, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Workers that are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Records not yet processed, rounded down; absent while unknown. It stays as it is while it moves by less than a fifth of
    /// lagThreshold, or than what arrives in 3 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<i64>,
    /// The partitions that lag most, up to three, each by lagThreshold or more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lagging_partitions: Vec<PartitionLag>,
    /// Records a second that one worker takes, measured under load and rounded; absent while unknown. Kept here, so that a new
    /// operator need not measure it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_capacity: Option<i64>,
    /// The last decision about the number of workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_decision: Option<LastDecision>,
}

/// How far one partition lags.
#[derive(KubeSchema, Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionLag {
    /// The partition.
    pub partition: i32,
    /// Records of it not yet processed, rounded as `lag` is.
    pub lag: i64,
}

/// One decision about the number of workers, with everything it was made of.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastDecision {
    /// What the decision was made from.
    pub inputs: DecisionInputs,
    /// Workers the load asks for, before any clamp; absent while the lag is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub formula: Option<i32>,
    /// Every limit that changed the number, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clamps: Vec<Clamp>,
    /// Workers that should run.
    pub result: i32,
    /// One word for machines.
    pub reason: String,
    /// One sentence for people.
    pub message: String,
}

/// What a decision was made from.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionInputs {
    /// Workers that should run so far.
    pub replicas: i32,
    /// Workers that are ready; absent while unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Records not yet processed; absent while unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<i64>,
    /// Age of the oldest record that waits, in seconds; absent while unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<i64>,
    /// Records that arrive in a second, from offsets; absent while unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrivals_per_second: Option<i64>,
    /// Records a second that one worker takes; absent until it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_capacity: Option<i64>,
    /// Partitions of the topic; absent while unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i32>,
    /// spec.scaling.lagThreshold.
    pub lag_threshold: i64,
    /// spec.scaling.maxLagSeconds.
    #[serde(default)]
    pub max_lag_seconds: i32,
    /// spec.scaling.minReplicas.
    pub min_replicas: i32,
    /// spec.scaling.maxReplicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_replicas: Option<i32>,
    /// spec.scaling.paused.
    pub paused: Paused,
    /// spec.suspend.
    pub suspend: bool,
}

/// A limit that changed the number of workers.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Clamp {
    /// Its name: that of a field (minReplicas, maxReplicas, replicas, paused, suspend, idleSeconds, scaleInWindowSeconds), or what else
    /// set the limit: partitions, wholePartitions, unknownLag, unknownRate, withinBand, starting, moving, catchingUp, unproven, settling,
    /// skew, stuck or store.
    pub name: String,
    /// Its value, in workers.
    pub value: i32,
}
