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
    /// A fixed number of workers, as `kubectl scale` and other autoscalers write it; minReplicas, maxReplicas and paused do not
    /// count then. Default: Plaudit decides.
    #[schemars(with = "i32", range(min = 0, max = 10_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Workers that always run. 0: none when nothing comes for behavior.idleSeconds.
    #[schemars(range(min = 0, max = 10_000))]
    #[serde(default = "Scaling::default_min_replicas")]
    pub min_replicas: i32,
    /// Workers that run at most. Default: one for each partition.
    #[schemars(with = "i32", range(min = 1, max = 10_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_replicas: Option<i32>,
    /// Records one worker may lag. This alone decides until the capacity of a worker has been measured.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    #[serde(default = "Scaling::default_lag_threshold")]
    pub lag_threshold: i64,
    /// How old the oldest record that waits may become: above it all workers that are needed are added in one step.
    #[schemars(range(min = 1, max = 86_400))]
    #[serde(default = "Scaling::default_max_lag_seconds")]
    pub max_lag_seconds: i32,
    /// Directions in which the number of workers is left alone.
    #[serde(default)]
    pub paused: Paused,
    /// How the number of workers follows the load.
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

/// How the number of workers follows the load.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Behavior {
    /// Lag is to be worked off within this time.
    #[schemars(range(min = 1, max = 86_400))]
    #[serde(default = "Behavior::default_catch_up_seconds")]
    pub catch_up_seconds: i32,
    /// How much of a worker's capacity arriving reports may take.
    #[schemars(range(min = 10, max = 100))]
    #[serde(default = "Behavior::default_target_utilization_percent")]
    pub target_utilization_percent: i32,
    /// A worker is removed only when none of the decisions in this window needed it.
    #[schemars(range(min = 0, max = 3600))]
    #[serde(default = "Behavior::default_scale_in_window_seconds")]
    pub scale_in_window_seconds: i32,
    /// After this time without lag and without a new report only minReplicas run.
    #[schemars(range(min = 1, max = 604_800))]
    #[serde(default = "Behavior::default_idle_seconds")]
    pub idle_seconds: i32,
    /// What happens while the lag is unknown. Default: the number of workers stays.
    #[serde(default)]
    pub on_unknown_lag: OnUnknownLag,
}

/// What happens while the lag is unknown: the number of workers stays, or is raised.
///
/// An object, because a structural schema has no field that is either a word or an object; empty, it holds, and another answer can be
/// added later without a break.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OnUnknownLag {
    /// After half a minute at least so many workers run. No worker is removed while the lag is unknown.
    #[schemars(with = "i32", range(min = 1, max = 10_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
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

    fn default_max_lag_seconds() -> i32 {
        10
    }
}

impl Default for Scaling {
    fn default() -> Self {
        Self {
            replicas: None,
            min_replicas: Self::default_min_replicas(),
            max_replicas: None,
            lag_threshold: Self::default_lag_threshold(),
            max_lag_seconds: Self::default_max_lag_seconds(),
            paused: Paused::default(),
            behavior: Behavior::default(),
        }
    }
}

impl Behavior {
    fn default_catch_up_seconds() -> i32 {
        60
    }

    fn default_target_utilization_percent() -> i32 {
        80
    }

    fn default_scale_in_window_seconds() -> i32 {
        300
    }

    fn default_idle_seconds() -> i32 {
        300
    }
}

impl Default for Behavior {
    fn default() -> Self {
        Self {
            catch_up_seconds: Self::default_catch_up_seconds(),
            target_utilization_percent: Self::default_target_utilization_percent(),
            scale_in_window_seconds: Self::default_scale_in_window_seconds(),
            idle_seconds: Self::default_idle_seconds(),
            on_unknown_lag: OnUnknownLag::default(),
        }
    }
}
