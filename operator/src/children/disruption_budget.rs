//! The `PodDisruptionBudget`: drains of nodes take a quarter of the workers at a time, and at least one.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Parent;

pub(super) fn disruption_budget(parent: &Parent<'_>) -> PodDisruptionBudget {
    let spec = PodDisruptionBudgetSpec {
        // Rounded up: a pipeline of one worker never blocks a drain.
        max_unavailable: Some(IntOrString::String("25%".to_owned())),
        selector: Some(parent.selector()),
        // A worker that cannot become ready, say because its store is down, must not keep a node.
        unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
        ..PodDisruptionBudgetSpec::default()
    };
    PodDisruptionBudget { metadata: parent.metadata(), spec: Some(spec), ..PodDisruptionBudget::default() }
}
