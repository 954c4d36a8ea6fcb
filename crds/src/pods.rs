//! The workers' pods: what a pipeline may say about them.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The workers' pods. Both fields have Kubernetes' own forms, which the operator checks: in the CRD they would be a thousand lines.
#[derive(Clone, Debug, Default, JsonSchema, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerPods {
    /// Requests and limits of a worker, as in a container. What is not given has a default that fits the worker's memory budget.
    #[schemars(schema_with = "free_form")]
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub resources: Map<String, Value>,
    /// Added to the workers' pods: metadata.labels and metadata.annotations; and of spec affinity, imagePullSecrets, nodeSelector,
    /// priorityClassName, runtimeClassName, schedulerName, terminationGracePeriodSeconds, tolerations and topologySpreadConstraints.
    #[schemars(schema_with = "free_form")]
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub template: Map<String, Value>,
}

fn free_form(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}
