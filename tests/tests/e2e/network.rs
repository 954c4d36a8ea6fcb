use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use plaudit_tests::stack::kubernetes::eventually;
use serde_json::json;

use crate::bed::{Bed, LIMIT, exact, on_a_bed, send};
use crate::release;

/// Workers serve their endpoints there.
const ADMIN_PORT: u16 = 8080;

#[tokio::test(flavor = "multi_thread")]
async fn network_policies_let_through_what_a_pipeline_needs_and_where_enforced_nobody_else() -> Result<()> {
    on_a_bed("network", async |bed| {
        let workers =
            format!("--set=networkPolicy.enabled=true,networkPolicy.workerNamespaces={{{}}}", bed.namespace);
        let ports = bed.ports().await?;
        release::install(&[&workers, &ports])?;
        let scene = bed.pipeline(json!({})).await?;
        let pods = bed.until_workers(1, &BTreeSet::new()).await?;
        send(&scene, 1, 100, 1).await??;
        exact(&scene).await?;
        bed.until_ready(crate::bed::NAME, "True", None).await?;
        let address =
            pods[0].status.as_ref().and_then(|status| status.pod_ip.clone()).context("an address")?;

        let reached = stranger_reaches(bed, &format!("{address}:{ADMIN_PORT}")).await?;
        release::install(&["--set=networkPolicy.enabled=false"])?;

        if reached {
            eprintln!("NetworkPolicies are NOT enforced on this cluster: a stranger's pod reached a worker");
        } else {
            eprintln!(
                "NetworkPolicies are enforced on this cluster: a stranger's pod did not reach a worker"
            );
        }
        Ok(())
    })
    .await
}

/// Whether a pod without any of our labels gets an answer. `plaudit check` says of a worker that it is no operator, when it answers.
async fn stranger_reaches(bed: &Bed, address: &str) -> Result<bool> {
    let image = format!("plaudit/operator:{}", env!("CARGO_PKG_VERSION"));
    let pod = json!({
        "metadata": {"name": "stranger"},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "it",
                "image": image,
                "args": ["check", "--address", address, "--timeout-seconds", "1"],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    });
    let pods: Api<Pod> = bed.api();
    pods.create(&PostParams::default(), &serde_json::from_value(pod)?).await?;
    eventually("the stranger's end", LIMIT, async || {
        let phase = pods.get("stranger").await?.status.and_then(|status| status.phase);
        Ok(phase.filter(|phase| phase == "Succeeded" || phase == "Failed").map(drop))
    })
    .await?;
    let said = pods.logs("stranger", &kube::api::LogParams::default()).await?;
    Ok(!said.contains("does not answer"))
}
