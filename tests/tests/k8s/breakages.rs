//! What can be wrong with a pipeline: each breakage has a condition and a reason of its own, and its repair heals it.

mod around;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use plaudit_tests::stack::kubernetes::eventually;
use serde_json::{Value, json};

use crate::bed::{Bed, LIMIT};
use crate::playing::{play, played_bed};

/// A spec that the API server takes and the operator refuses: what is merged into it, what it is told, and the repair.
const REFUSED: [(&str, &str, &str); 9] = [
    (
        "host",
        r#"{"template": {"spec": {"hostNetwork": true}}}"#,
        "spec.worker.template.spec: unknown field `hostNetwork`",
    ),
    (
        "account",
        r#"{"template": {"spec": {"serviceAccountName": "admin"}}}"#,
        "spec.worker.template.spec: unknown field",
    ),
    (
        "volume",
        r#"{"template": {"spec": {"volumes": []}}}"#,
        "spec.worker.template.spec: unknown field `volumes`",
    ),
    ("kind", r#"{"template": {"kind": "Pod"}}"#, "spec.worker.template: unknown field `kind`"),
    (
        "label",
        r#"{"template": {"metadata": {"labels": {"plaudit.dev/pipeline": "x"}}}}"#,
        "spec.worker.template.metadata.labels: plaudit.dev/pipeline is set by Plaudit",
    ),
    (
        "note",
        r#"{"template": {"metadata": {"annotations": {"plaudit.dev/x": "x"}}}}"#,
        "spec.worker.template.metadata.annotations: plaudit.dev/x is set by Plaudit",
    ),
    (
        "grace",
        r#"{"template": {"spec": {"terminationGracePeriodSeconds": 1}}}"#,
        "spec.worker.template.spec.terminationGracePeriodSeconds: 1 is too short",
    ),
    (
        "quantity",
        r#"{"resources": {"limits": {"memory": "much"}}}"#,
        "spec.worker.resources.limits.memory: \"much\" is not",
    ),
    ("claims", r#"{"resources": {"claims": []}}"#, "spec.worker.resources: unknown field `claims`"),
];

#[tokio::test(flavor = "multi_thread")]
async fn specs_that_only_the_operator_can_judge() -> Result<()> {
    let (bed, _kubelet, _directory) = played_bed("refused").await?;
    for (name, worker, _) in REFUSED {
        let worker: Value = serde_json::from_str(worker)?;
        bed.create(name, |spec| spec["worker"] = worker).await?;
    }

    for (name, _, expected) in REFUSED {
        let told = bed.until_reason(name, "Ready", "InvalidSpec").await?;
        ensure!(told.starts_with(expected), "{name}: {told}");
        bed.edit(name, json!({"spec": {"worker": {"template": null, "resources": null}}})).await?;
    }
    for (name, ..) in REFUSED {
        bed.until_condition(name, "Ready", "True").await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_a_person_asked_for_is_said() -> Result<()> {
    let bed = Bed::start("asked").await?;
    bed.create("p", |_| ()).await?;
    bed.until_reason("p", "ScalingActive", "FollowsLag").await?;

    let steps = [
        (json!({"suspend": true}), "ScalingActive", "Suspended"),
        (json!({"suspend": false, "scaling": {"replicas": 3}}), "ScalingActive", "Fixed"),
        (json!({"scaling": {"replicas": null}}), "ScalingActive", "FollowsLag"),
    ];
    for (change, condition, reason) in steps {
        bed.edit("p", json!({"spec": change})).await?;
        bed.until_reason("p", condition, reason).await?;
    }
    Ok(())
}

/// What a node says of a pod that does not run, and the reason that is told.
fn troubles_of_pods() -> [(&'static str, Value, &'static str); 8] {
    let nowhere = json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]);
    let container = |state: Value, last: Value| {
        json!({"containerStatuses": [{
            "name": "worker", "image": "w", "imageID": "", "restartCount": 1, "ready": false,
            "state": state, "lastState": last,
        }]})
    };
    let waits =
        |reason: &str| container(json!({"waiting": {"reason": reason, "message": "said so"}}), Value::Null);
    let ended = |code: i32, reason: &str| {
        let last = json!({"terminated": {"exitCode": code, "reason": reason}});
        container(json!({"waiting": {"reason": "CrashLoopBackOff"}}), last)
    };
    [
        ("nowhere", json!({"conditions": nowhere}), "Unschedulable"),
        ("pull", waits("ErrImagePull"), "ErrImagePull"),
        ("back-off", waits("ImagePullBackOff"), "ImagePullBackOff"),
        ("name", waits("InvalidImageName"), "InvalidImageName"),
        ("config", waits("CreateContainerConfigError"), "CreateContainerConfigError"),
        ("crash", ended(1, "Error"), "CrashLoopBackOff"),
        ("memory", ended(137, "OOMKilled"), "OOMKilled"),
        ("refused", ended(2, "Error"), "ConfigRefused"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_pods_from_running() -> Result<()> {
    let bed = Bed::start("pods").await?;
    let (pods, cases): (Api<Pod>, _) = (bed.api(), troubles_of_pods());
    for (name, ..) in &cases {
        bed.create(name, |_| ()).await?;
    }

    for (name, status, _) in &cases {
        bed.until_reason(name, "WorkersAvailable", "Starting").await?;
        let of = ListParams::default().labels(&format!("plaudit.dev/pipeline={name}-worker"));
        let pod =
            eventually("a pod", LIMIT, async || Ok(pods.list(&of).await?.items.pop())).await?.name_any();
        let status = Patch::Merge(json!({"status": status}));
        pods.patch_status(&pod, &PatchParams::default(), &status).await?;
    }
    for (name, _, reason) in &cases {
        bed.until_reason(name, "WorkersAvailable", reason).await?;
        bed.until_condition(name, "Ready", "False").await?;
    }
    // From now on there is a node that takes them, and whatever they lacked.
    let (_kubelet, _directory) = play(&bed)?;
    for (name, ..) in &cases {
        bed.until_condition(name, "Ready", "True").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_server_forbids() -> Result<()> {
    let bed = Bed::without_operator("forbidden").await?;
    let quotas: Api<ResourceQuota> = bed.api();
    let quota = |name: &str, limits: Value| -> Result<ResourceQuota> {
        Ok(serde_json::from_value(json!({"metadata": {"name": name}, "spec": {"hard": limits}}))?)
    };
    quotas.create(&PostParams::default(), &quota("budgets", json!({"count/services": "0"}))?).await?;
    quotas.create(&PostParams::default(), &quota("pods", json!({"pods": "0"}))?).await?;
    // The cluster has no controller that counts; the API server refuses by what the status says.
    for (name, resource) in [("budgets", "count/services"), ("pods", "pods")] {
        let status = json!({"status": {"hard": {resource: "0"}, "used": {resource: "0"}}});
        quotas.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await?;
    }
    let bed = bed.with_operator();
    bed.create("p", |_| ()).await?;

    let refused = bed.until_reason("p", "WorkersAvailable", "ApplyRefused").await?;
    quotas.delete("budgets", &DeleteParams::default()).await?;
    let failed = bed.until_reason("p", "WorkersAvailable", "FailedCreate").await?;
    quotas.delete("pods", &DeleteParams::default()).await?;
    let (_kubelet, _directory) = play(&bed)?;
    bed.until_condition("p", "Ready", "True").await?;

    ensure!(refused.contains("exceeded quota: budgets"), "{refused}");
    ensure!(failed.contains("exceeded quota: pods"), "{failed}");
    Ok(())
}
