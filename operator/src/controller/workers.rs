//! What pods say about the workers: which are ready, and what keeps the others from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::removal::COST_ANNOTATION;
use crate::observe::{LanesReport, Trouble, WorkerState};

/// Waiting reasons that say only that a container comes up.
const COMING_UP: [&str; 2] = ["ContainerCreating", "PodInitializing"];
/// A worker's exit status for a configuration that it refuses.
const BAD_CONFIG: i32 = 2;

/// What a pod says of its worker. Read once, when a watch shows the pod: a whole pod takes kilobytes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct WorkerPod {
    /// The pod's name.
    pub name: String,
    /// Where its worker answers; none before the pod has an address.
    pub ip: Option<String>,
    /// Kubernetes counts it as ready.
    pub ready: bool,
    /// It ends or has ended.
    pub leaving: bool,
    /// Its cost when there are to be fewer, as the annotation has it.
    pub cost: Option<String>,
    /// Why its worker does not run, as far as Kubernetes knows.
    pub trouble: Option<Box<Trouble>>,
}

impl From<&Pod> for WorkerPod {
    fn from(pod: &Pod) -> Self {
        let annotations = pod.metadata.annotations.as_ref();
        Self {
            name: pod.metadata.name.clone().unwrap_or_default(),
            ip: pod.status.as_ref().and_then(|status| status.pod_ip.clone()),
            ready: condition(pod, "Ready").is_some_and(|(status, _, _)| status == "True"),
            leaving: is_leaving(pod),
            cost: annotations.and_then(|annotations| annotations.get(COST_ANNOTATION).cloned()),
            trouble: trouble(pod).map(Box::new),
        }
    }
}

/// The workers of pods that are to stay, with what they last said about their lanes.
#[must_use]
pub fn workers(
    pods: &[Arc<WorkerPod>],
    report: impl Fn(&str) -> Option<LanesReport>,
) -> BTreeMap<String, WorkerState> {
    let staying = pods.iter().filter(|pod| !pod.leaving);
    let worker = |pod: &Arc<WorkerPod>| {
        let trouble = pod.trouble.as_deref().cloned();
        (pod.name.clone(), WorkerState { ready: pod.ready, trouble, report: report(&pod.name) })
    };
    staying.map(worker).collect()
}

fn is_leaving(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    // Evicted pods stay as Failed until somebody removes them.
    pod.metadata.deletion_timestamp.is_some() || matches!(phase, Some("Failed" | "Succeeded"))
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
        // One that ends in order does so to be started again.
        let ended = state?.terminated.as_ref().filter(|ended| ended.exit_code != 0)?;
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
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, status: &Value) -> Arc<WorkerPod> {
        let pod = json!({"metadata": {"name": name}, "status": status});
        let pod: Pod = serde_json::from_value(pod).expect("a pod");
        Arc::new(WorkerPod::from(&pod))
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
            pod("anew", &container(&json!({"running": {}}), &ended(0, "Completed"))),
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
                "anew false -",
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
}
