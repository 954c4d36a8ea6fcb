//! What pods and their Deployment say about the workers: which are ready, and what keeps the others from it.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use crate::children::CERTIFICATES_ANNOTATION;
use crate::observe::{LanesReport, Trouble, WorkerState};

/// Waiting reasons that say only that a container comes up.
const COMING_UP: [&str; 2] = ["ContainerCreating", "PodInitializing"];
/// A worker's exit status for a configuration that it refuses.
const BAD_CONFIG: i32 = 2;

/// One pod as a question to it needs it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PodAddress {
    /// The pod's name.
    pub name: String,
    /// Where its worker answers; none before the pod has an address.
    pub ip: Option<String>,
    /// Kubernetes counts it as ready.
    pub ready: bool,
}

/// The pods of a pipeline that are to stay, with what they last said about their lanes.
#[must_use]
pub fn workers(
    pods: &[impl AsRef<Pod>],
    report: impl Fn(&str) -> Option<LanesReport>,
) -> BTreeMap<String, WorkerState> {
    let staying = pods.iter().map(AsRef::as_ref).filter(|pod| !is_leaving(pod));
    let worker = |pod: &Pod| {
        let name = pod.metadata.name.clone().unwrap_or_default();
        let state = WorkerState { ready: is_ready(pod), trouble: trouble(pod), report: report(&name) };
        (name, state)
    };
    staying.map(worker).collect()
}

/// The pods that can be asked, or soon can.
#[must_use]
pub fn addresses(pods: &[impl AsRef<Pod>]) -> Vec<PodAddress> {
    let staying = pods.iter().map(AsRef::as_ref).filter(|pod| !is_leaving(pod));
    staying
        .map(|pod| PodAddress {
            name: pod.metadata.name.clone().unwrap_or_default(),
            ip: pod.status.as_ref().and_then(|status| status.pod_ip.clone()),
            ready: is_ready(pod),
        })
        .collect()
}

/// What keeps the Deployment from making pods at all: a quota, an admission rule, a missing service account.
#[must_use]
pub fn deployment_trouble(deployment: &Deployment) -> Option<Trouble> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    let failure =
        conditions.iter().find(|found| found.type_ == "ReplicaFailure" && found.status == "True")?;
    Some(Trouble {
        reason: failure.reason.clone().unwrap_or_else(|| "ReplicaFailure".to_owned()),
        message: failure.message.clone().unwrap_or_default(),
    })
}

/// Names the certificates that its workers have to have, if any.
#[must_use]
pub fn certificates(deployment: &Deployment) -> Option<String> {
    let pods = deployment.spec.as_ref()?.template.metadata.as_ref()?;
    pods.annotations.as_ref()?.get(CERTIFICATES_ANNOTATION).cloned()
}

/// True while pods are replaced by ones with another template.
#[must_use]
pub fn rolls_out(deployment: &Deployment) -> bool {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let Some(status) = &deployment.status else { return wanted > 0 };
    let unseen = status.observed_generation.unwrap_or(0) < deployment.metadata.generation.unwrap_or(0);
    let updated = status.updated_replicas.unwrap_or(0);
    let present = status.replicas.unwrap_or(0);
    unseen || updated < wanted.min(present) || (present > updated && updated > 0)
}

fn is_leaving(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    // Evicted pods stay as Failed until somebody removes them.
    pod.metadata.deletion_timestamp.is_some() || matches!(phase, Some("Failed" | "Succeeded"))
}

fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|(status, _, _)| status == "True")
}

fn condition<'a>(pod: &'a Pod, name: &str) -> Option<(&'a str, Option<&'a str>, Option<&'a str>)> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let found = conditions.iter().find(|condition| condition.type_ == name)?;
    Some((&found.status, found.reason.as_deref(), found.message.as_deref()))
}

fn trouble(pod: &Pod) -> Option<Trouble> {
    let containers = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref());
    containers.into_iter().flatten().find_map(container_trouble).or_else(|| unscheduled(pod))
}

fn unscheduled(pod: &Pod) -> Option<Trouble> {
    let (status, reason, message) = condition(pod, "PodScheduled")?;
    (status == "False").then(|| Trouble {
        reason: reason.unwrap_or("Unschedulable").to_owned(),
        message: format!("cannot be scheduled: {}", message.unwrap_or("no reason given")),
    })
}

fn container_trouble(container: &ContainerStatus) -> Option<Trouble> {
    let state = container.state.as_ref();
    let ended = |state: Option<&k8s_openapi::api::core::v1::ContainerState>| {
        let ended = state?.terminated.as_ref()?;
        let reason = ended.reason.as_deref().unwrap_or("Error");
        Some(match (ended.exit_code, reason) {
            (_, "OOMKilled") => Trouble {
                reason: "OOMKilled".to_owned(),
                message: "took more memory than its limit; raise spec.worker.resources.limits.memory".to_owned(),
            },
            (BAD_CONFIG, _) => Trouble {
                reason: "ConfigRefused".to_owned(),
                message: "refused its configuration: operator and worker are of different versions; its log has the field"
                    .to_owned(),
            },
            (code, reason) => Trouble {
                reason: "CrashLoopBackOff".to_owned(),
                message: format!("ended with status {code} ({reason}); its log says why"),
            },
        })
    };
    let last = || ended(container.last_state.as_ref());
    if let Some(waiting) = state.and_then(|state| state.waiting.as_ref()) {
        let reason = waiting.reason.as_deref().unwrap_or_default();
        return match reason {
            reason if COMING_UP.contains(&reason) || reason.is_empty() => None,
            "CrashLoopBackOff" => last().or_else(|| {
                Some(Trouble {
                    reason: reason.to_owned(),
                    message: "ends again and again; its log says why".to_owned(),
                })
            }),
            reason => {
                let message = waiting.message.clone().unwrap_or_else(|| reason.to_owned());
                Some(Trouble { reason: reason.to_owned(), message })
            }
        };
    }
    // A container that ended and is not yet waiting to be started again, or is up again and not ready.
    ended(state).or_else(|| if container.ready { None } else { last() })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, status: &Value) -> Arc<Pod> {
        let pod = json!({"metadata": {"name": name}, "status": status});
        Arc::new(serde_json::from_value(pod).expect("a pod"))
    }

    fn container(state: &Value, last: &Value) -> Value {
        json!({"containerStatuses": [{
            "name": "worker", "image": "w", "imageID": "", "ready": false, "restartCount": 1,
            "state": state, "lastState": last,
        }]})
    }

    #[test]
    fn a_pod_that_is_not_ready_says_why_as_far_as_it_is_known() {
        let ended = |code: i32, reason: &str| json!({"terminated": {"exitCode": code, "reason": reason}});
        let waiting =
            |reason: &str, message: &str| json!({"waiting": {"reason": reason, "message": message}});
        let pods = [
            pod("ready", &json!({"conditions": [{"type": "Ready", "status": "True"}]})),
            pod("coming", &container(&waiting("ContainerCreating", ""), &json!({}))),
            pod("image", &container(&waiting("ImagePullBackOff", "no such image"), &json!({}))),
            pod("memory", &container(&waiting("CrashLoopBackOff", "back-off"), &ended(137, "OOMKilled"))),
            pod("config", &container(&waiting("CrashLoopBackOff", "back-off"), &ended(2, "Error"))),
            pod("crash", &container(&json!({"running": {}}), &ended(1, "Error"))),
            pod(
                "nowhere",
                &json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                    "message": "0/3 nodes are available"}]}),
            ),
            pod("evicted", &json!({"phase": "Failed"})),
        ];

        let found = workers(&pods, |_| None);

        let told: Vec<String> = found
            .iter()
            .map(|(name, worker)| {
                let trouble = worker.trouble.as_ref().map(|trouble| trouble.reason.as_str());
                format!("{name} {} {}", worker.ready, trouble.unwrap_or("-"))
            })
            .collect();
        assert_eq!(
            told,
            [
                "coming false -",
                "config false ConfigRefused",
                "crash false CrashLoopBackOff",
                "image false ImagePullBackOff",
                "memory false OOMKilled",
                "nowhere false Unschedulable",
                "ready true -",
            ]
        );
    }

    #[test]
    fn a_rollout_lasts_until_every_pod_has_the_new_template() {
        let deployment = |generation: i64, status: Value| {
            let object = json!({
                "metadata": {"generation": generation},
                "spec": {"replicas": 3, "selector": {}, "template": {}},
                "status": status,
            });
            rolls_out(&serde_json::from_value(object).expect("a deployment"))
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
