//! The status of a pod, as a kubelet would write it: a function of what became of its container.

use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

/// What is known of a pod. All its containers are taken for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) address: Ipv4Addr,
    /// When the node took it on.
    pub(super) since: Timestamp,
    pub(super) container: State,
    pub(super) restarts: u32,
    /// Its end before this start.
    pub(super) last_end: Option<End>,
    /// When it last became ready or stopped being so.
    pub(super) ready_changed: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// With the words of a kubelet, `ContainerCreating` and the like.
    Waiting {
        reason: &'static str,
        message: String,
    },
    Running {
        since: Timestamp,
        ready: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    pub(super) status: i32,
    pub(super) started: Timestamp,
    pub(super) finished: Timestamp,
}

impl Facts {
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.container, State::Running { ready: true, .. })
    }
}

/// The status that says it, to be merged into the pod's.
pub(super) fn status(pod: &Pod, facts: &Facts) -> Value {
    let ready = facts.is_ready();
    // a pod whose container came up once stays Running, also between two starts of it
    let came_up = matches!(facts.container, State::Running { .. }) || facts.last_end.is_some();
    let specs = pod.spec.iter().flat_map(|spec| &spec.containers);
    let containers: Vec<Value> = specs
        .map(|container| {
            json!({
                "name": container.name,
                "image": container.image,
                "imageID": "",
                "ready": ready,
                "started": matches!(facts.container, State::Running { .. }),
                "restartCount": facts.restarts,
                "state": state(&facts.container),
                "lastState": facts.last_end.map_or_else(|| json!({}), end),
            })
        })
        .collect();
    let condition = |kind: &str, holds: bool, since: Timestamp| json!({"type": kind, "status": if holds { "True" } else { "False" }, "lastTransitionTime": time(since)});
    json!({"status": {
        "phase": if came_up { "Running" } else { "Pending" },
        "hostIP": Ipv4Addr::LOCALHOST,
        "podIP": facts.address,
        "podIPs": [{"ip": facts.address}],
        "startTime": time(facts.since),
        "conditions": [
            condition("PodScheduled", true, facts.since),
            condition("Initialized", true, facts.since),
            condition("ContainersReady", ready, facts.ready_changed),
            condition("Ready", ready, facts.ready_changed),
        ],
        "containerStatuses": containers,
    }})
}

fn state(container: &State) -> Value {
    match container {
        State::Waiting { reason, message } => json!({"waiting": {"reason": reason, "message": message}}),
        State::Running { since, .. } => json!({"running": {"startedAt": time(*since)}}),
    }
}

fn end(end: End) -> Value {
    json!({"terminated": {
        "exitCode": end.status,
        "reason": if end.status == 0 { "Completed" } else { "Error" },
        "startedAt": time(end.started),
        "finishedAt": time(end.finished),
    }})
}

/// Kubernetes keeps whole seconds.
fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_ended_leaves_its_pod_running_and_not_ready() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let pod = serde_json::from_value(json!({"spec": {"containers": [{"name": "worker", "image": "i"}]}}));
        let facts = Facts {
            address: Ipv4Addr::LOCALHOST,
            since: at(1),
            container: State::Waiting { reason: "CrashLoopBackOff", message: "again in 1s".to_owned() },
            restarts: 2,
            last_end: Some(End { status: 137, started: at(2), finished: at(3) }),
            ready_changed: at(3),
        };

        let status = status(&pod.expect("a pod"), &facts);

        let conditions = [("PodScheduled", "True", 1), ("Initialized", "True", 1), ("ContainersReady", "False", 3), ("Ready", "False", 3)]
            .map(|(kind, status, second)| json!({"type": kind, "status": status, "lastTransitionTime": format!("1970-01-01T00:00:0{second}Z")}));
        let expected = json!({"status": {
            "phase": "Running",
            "hostIP": "127.0.0.1",
            "podIP": "127.0.0.1",
            "podIPs": [{"ip": "127.0.0.1"}],
            "startTime": "1970-01-01T00:00:01Z",
            "conditions": conditions,
            "containerStatuses": [{
                "name": "worker",
                "image": "i",
                "imageID": "",
                "ready": false,
                "started": false,
                "restartCount": 2,
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "again in 1s"}},
                "lastState": {"terminated": {
                    "exitCode": 137, "reason": "Error",
                    "startedAt": "1970-01-01T00:00:02Z", "finishedAt": "1970-01-01T00:00:03Z",
                }},
            }],
        }});
        assert_eq!(status, expected);
    }
}
