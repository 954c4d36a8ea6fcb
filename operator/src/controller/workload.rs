//! What a pipeline's Deployment says of its workers as a whole.

use k8s_openapi::api::apps::v1::Deployment;

use crate::children::CERTIFICATES_ANNOTATION;
use crate::observe::Trouble;

/// Read once, when a watch shows the Deployment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Workload {
    /// The number of pods that it is told to have.
    pub replicas: Option<u32>,
    /// Pods are replaced by ones with another template.
    pub rolls_out: bool,
    /// Names the certificates that its workers have to have, if any.
    pub certificates: Option<String>,
    /// What keeps it from making pods at all: a quota, an admission rule, a missing service account.
    pub trouble: Option<Box<Trouble>>,
}

impl From<&Deployment> for Workload {
    fn from(deployment: &Deployment) -> Self {
        let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas);
        Self {
            replicas: replicas.map(i32::unsigned_abs),
            rolls_out: rolls_out(deployment),
            certificates: certificates(deployment),
            trouble: trouble(deployment).map(Box::new),
        }
    }
}

fn trouble(deployment: &Deployment) -> Option<Trouble> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    let failure =
        conditions.iter().find(|found| found.type_ == "ReplicaFailure" && found.status == "True")?;
    Some(Trouble {
        reason: failure.reason.clone().unwrap_or_else(|| "ReplicaFailure".to_owned()),
        message: failure.message.clone().unwrap_or_default(),
    })
}

fn certificates(deployment: &Deployment) -> Option<String> {
    let pods = deployment.spec.as_ref()?.template.metadata.as_ref()?;
    pods.annotations.as_ref()?.get(CERTIFICATES_ANNOTATION).cloned()
}

fn rolls_out(deployment: &Deployment) -> bool {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let Some(status) = &deployment.status else { return wanted > 0 };
    let unseen = status.observed_generation.unwrap_or(0) < deployment.metadata.generation.unwrap_or(0);
    let updated = status.updated_replicas.unwrap_or(0);
    let present = status.replicas.unwrap_or(0);
    unseen || updated < wanted.min(present) || (present > updated && updated > 0)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_rollout_lasts_until_every_pod_has_the_new_template() {
        let deployment = |generation: i64, status: Value| {
            let object = json!({
                "metadata": {"generation": generation},
                "spec": {"replicas": 3, "selector": {}, "template": {}},
                "status": status,
            });
            let deployment: Deployment = serde_json::from_value(object).expect("a deployment");
            Workload::from(&deployment).rolls_out
        };

        let found = [
            deployment(2, json!({"observedGeneration": 1, "replicas": 3, "updatedReplicas": 3})),
            deployment(2, json!({"observedGeneration": 2, "replicas": 4, "updatedReplicas": 1})),
            deployment(2, json!({"observedGeneration": 2, "replicas": 4, "updatedReplicas": 3})),
            deployment(2, json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3})),
            deployment(2, json!({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1})),
        ];

        assert_eq!(found, [true, true, true, false, false]);
    }
}
