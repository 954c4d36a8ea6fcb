use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::{Api, PostParams};
use plaudit_tests::stack::kubernetes::{eventually, this_machine};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::bed::{Bed, LIMIT, exact, on_a_bed, send};
use crate::release;

/// Workers serve their endpoints there.
const ADMIN_PORT: u16 = 8080;
/// As pods know it.
const API_SERVER: &str = "kubernetes.default.svc:443";
/// Set to `enforced` by whoever brings a cluster that has to enforce NetworkPolicies. On others it is found out, and said.
const POLICIES: &str = "E2E_NETWORK_POLICIES";

#[tokio::test(flavor = "multi_thread")]
async fn network_policies_let_through_what_a_pipeline_needs_and_where_enforced_nothing_else() -> Result<()> {
    on_a_bed("network", async |bed| {
        let workers =
            format!("--set=networkPolicy.enabled=true,networkPolicy.workerNamespaces={{{}}}", bed.namespace);
        let scraper = "--set=networkPolicy.metricsFrom[0].podSelector.matchLabels.scrapes=metrics";
        let here = this_machine(&bed.client).await?;
        let (listed, _listed) = listen(here).await?;
        let (unlisted, _unlisted) = listen(here).await?;
        let ports = bed.ports(listed).await?;
        release::install(&[&workers, scraper, &ports])?;
        let scene = bed.pipeline(json!({})).await?;
        let pods = bed.until_workers(1, &BTreeSet::new()).await?;
        send(&scene, 1, 100, 1).await??;
        exact(&scene).await?;
        bed.until_ready(crate::bed::NAME, "True", None).await?;
        let worker =
            pods[0].status.as_ref().and_then(|status| status.pod_ip.clone()).context("an address")?;
        let worker = format!("{worker}:{ADMIN_PORT}");
        let [listed, unlisted] = [listed, unlisted].map(|port| format!("{here}:{port}"));

        let reached = try_join_all([
            reaches(bed, "scraper", json!({"scrapes": "metrics"}), &worker),
            reaches(bed, "stranger-to-worker", json!({}), &worker),
            reaches(bed, "stranger-to-api", json!({}), API_SERVER),
            // what any pod reaches, a worker does not need
            reaches(bed, "worker-to-api", worker_labels(&pods[0]), API_SERVER),
            // the same machine, and only one of its ports is named
            reaches(bed, "worker-to-listed", worker_labels(&pods[0]), &listed),
            reaches(bed, "worker-to-unlisted", worker_labels(&pods[0]), &unlisted),
        ]);
        let reached = reached.await?;
        release::install(&["--set=networkPolicy.enabled=false"])?;

        let must = std::env::var(POLICIES).is_ok_and(|value| value == "enforced");
        let enforced = reached != [true; 6];
        assert!(reached == [true, false, true, false, true, false] || !must && !enforced, "{reached:?}");
        eprintln!("NetworkPolicies are {}enforced on this cluster", if enforced { "" } else { "NOT " });
        Ok(())
    })
    .await
}

/// A port of this machine where every request is answered, until the handle is dropped.
async fn listen(address: Ipv4Addr) -> Result<(u16, AbortOnDropHandle<()>)> {
    const ANSWER: &[u8] = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let listener = TcpListener::bind((address, 0)).await?;
    let port = listener.local_addr()?.port();
    let task = tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            // who went away needs no answer
            if connection.read(&mut [0; 4096]).await.is_ok() {
                drop(connection.write_all(ANSWER).await);
            }
        }
    });
    Ok((port, AbortOnDropHandle::new(task)))
}

/// What policies know a worker by, without what its Deployment and Service do.
fn worker_labels(worker: &Pod) -> Value {
    const NAME: &str = "app.kubernetes.io/name";
    let labels = worker.metadata.labels.iter().flatten();
    labels.filter(|(name, _)| *name == NAME).map(|(name, value)| (name.clone(), json!(value))).collect()
}

/// Whether a pod with these labels gets an answer. `plaudit check` says of whoever answers that it is no operator, and fails. It is run again
/// then, and the second run counts: a node may learn of a pod, and hold it to policies, a moment after the pod has started.
async fn reaches(bed: &Bed, name: &str, labels: Value, address: &str) -> Result<bool> {
    let image = format!("plaudit/operator:{}", env!("CARGO_PKG_VERSION"));
    let pod = json!({
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "restartPolicy": "OnFailure",
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
    eventually(&format!("the second end of {name}"), LIMIT, async || {
        let containers = pods.get(name).await?.status.and_then(|status| status.container_statuses);
        let ended = |container: &ContainerStatus| {
            container.restart_count > 0 && container.state.as_ref().is_some_and(|now| now.running.is_none())
        };
        Ok(containers.iter().flatten().any(ended).then_some(()))
    })
    .await?;
    let said = pods.logs(name, &kube::api::LogParams::default()).await?;
    Ok(!said.contains("does not answer"))
}
