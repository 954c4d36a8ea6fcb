//! How much runs: the size of batches and the number of workers.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::relations;

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
