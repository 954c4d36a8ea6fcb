//! Workers and operators that go without a word.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt as _};
use plaudit_tests::stack::kubernetes::eventually;
use serde_json::json;

use crate::bed::{LIMIT, exact, is_ready, names, on_a_bed, send};
use crate::release::{self, SYSTEM};

#[tokio::test(flavor = "multi_thread")]
async fn killed_workers_and_operators_are_replaced_and_every_report_counts_once() -> Result<()> {
    on_a_bed("killed", async |bed| {
        release::install(&[])?;
        let scene = bed.pipeline(json!({"minReplicas": 2, "lagThreshold": 5_000})).await?;
        let old = names(&bed.until_workers(2, &BTreeSet::new()).await?);
        let at_once = DeleteParams::default().grace_period(0);
        let operators: Api<Pod> = Api::namespaced(bed.client.clone(), SYSTEM);
        let ours = ListParams::default().labels("app.kubernetes.io/name=plaudit");
        let operator = operators.list(&ours).await?.items.first().context("an operator")?.name_any();

        let load = send(&scene, 1, 3_000, 25);
        tokio::time::sleep(Duration::from_secs(3)).await;
        let victim = old.first().context("a worker")?;
        bed.api::<Pod>().delete(victim, &at_once).await?;
        operators.delete(&operator, &at_once).await?;
        let during = !load.is_finished();
        eventually("another operator", LIMIT, async || {
            let found = operators.list(&ours).await?.items;
            Ok(found.iter().any(|pod| is_ready(pod) && pod.name_any() != operator).then_some(()))
        })
        .await?;
        load.await??;
        exact(&scene).await?;
        // only a leader makes the fleet follow this
        send(&scene, 2, 200_000, 2).await??;
        eventually("the new operator to scale out", LIMIT, async || {
            Ok((bed.workers().await?.len() > 2).then_some(()))
        })
        .await?;
        exact(&scene).await?;

        ensure!(during, "the load ended before anybody was killed");
        Ok(())
    })
    .await
}
