//! Workers and operators that go without a word.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt as _};
use nix::sys::signal::Signal;
use plaudit_tests::fleet;
use plaudit_tests::stack::kubernetes::{eventually, process_of};
use serde_json::json;

use crate::bed::{LIMIT, exact, is_ready, load, on_a_bed, restarts, send};
use crate::release::{self, SYSTEM};

#[tokio::test(flavor = "multi_thread")]
async fn killed_workers_and_operators_are_replaced_and_every_report_counts_once() -> Result<()> {
    on_a_bed("killed", async |bed| {
        release::install(&[])?;
        let scene = bed.pipeline(json!({"minReplicas": 2, "maxReplicas": 3})).await?;
        bed.until_workers(2, &BTreeSet::new()).await?;
        let operators: Api<Pod> = Api::namespaced(bed.client.clone(), SYSTEM);
        let ours = ListParams::default().labels("app.kubernetes.io/name=plaudit");
        let operator = operators.list(&ours).await?.items.into_iter().next().context("an operator")?;
        let worker = bed.workers().await?.into_iter().next().context("a worker")?;

        let load = load(&scene).await?;
        kill(&bed.api(), &worker, "plaudit-worker").await?;
        kill(&operators, &operator, "plaudit").await?;
        eventually("another operator", LIMIT, async || {
            let found = operators.list(&ours).await?.items;
            Ok(found.iter().any(|pod| is_ready(pod) && is_another(pod, &operator)).then_some(()))
        })
        .await?;
        eventually("another worker", LIMIT, async || {
            let found = bed.workers().await?;
            let ready = found.iter().filter(|pod| is_ready(pod)).count();
            let is_old = |pod: &Pod| pod.uid() == worker.uid() && !is_another(pod, &worker);
            Ok((ready >= 2 && !found.iter().any(is_old)).then_some(()))
        })
        .await?;
        load.end().await?;
        exact(&scene).await?;
        // only a leader does this
        bed.edit(json!({"spec": {"scaling": {"minReplicas": 3}}})).await?;
        bed.until_workers(3, &BTreeSet::new()).await?;
        send(&scene, 2, 1_000, 2).await??;
        exact(&scene).await
    })
    .await
}

/// Ends a pod's program as a crash does. Deleting a pod does not, even by force: its node lets it drain.
async fn kill(pods: &Api<Pod>, pod: &Pod, program: &str) -> Result<()> {
    let process = process_of(&pod.uid().context("a pod has a UID")?, program);
    if process.is_some_and(|pid| fleet::signal(pid, Signal::SIGKILL).is_ok()) {
        return Ok(());
    }
    eprintln!("{program} cannot be killed from here: its pod is deleted by force instead, and it may drain");
    pods.delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await?;
    Ok(())
}

/// Another pod, or the same with another container.
fn is_another(pod: &Pod, before: &Pod) -> bool {
    pod.uid() != before.uid() || restarts(pod) > restarts(before)
}
