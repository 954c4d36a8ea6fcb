//! Workers that go because they are told to: a rolling update, a drained node.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::EvictParams;
use kube::{Api, ResourceExt as _};
use plaudit_tests::stack::kubernetes::eventually;
use serde_json::json;

use crate::bed::{Bed, LIMIT, exact, load, names, on_a_bed, restarts};
use crate::release;

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_update_under_load_loses_nothing() -> Result<()> {
    on_a_bed("rolling", async |bed| {
        release::install(&[])?;
        let scene = bed.pipeline(json!({"minReplicas": 2, "maxReplicas": 2})).await?;
        let old = names(&bed.until_workers(2, &BTreeSet::new()).await?);

        let load = load(&scene).await?;
        let template = json!({"metadata": {"annotations": {"example.com/try": "2"}}});
        bed.edit(json!({"spec": {"worker": {"template": template}}})).await?;
        let new = bed.until_workers(2, &old).await?;
        load.end().await?;
        exact(&scene).await?;

        assert_eq!(new.iter().map(restarts).sum::<i32>(), 0);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_drained_under_load_and_nothing_is_lost() -> Result<()> {
    on_a_bed("drain", async |bed| {
        release::install(&[])?;
        let scene = bed.pipeline(json!({"minReplicas": 2, "maxReplicas": 2})).await?;
        let workers = bed.until_workers(2, &BTreeSet::new()).await?;
        let nodes: BTreeSet<_> = workers.iter().filter_map(node_of).collect();
        ensure!(nodes.len() == 2, "workers are spread over nodes: {nodes:?}");
        let node = nodes.first().context("a node")?.clone();

        let load = load(&scene).await?;
        let machines: Api<Node> = Api::all(bed.client.clone());
        machines.cordon(&node).await?;
        let drained = drain(bed, &node).await;
        let moved = bed.until_workers(2, &BTreeSet::new()).await;
        machines.uncordon(&node).await?;
        drained?;
        load.end().await?;
        exact(&scene).await?;

        ensure!(moved?.iter().filter_map(node_of).all(|now| now != node), "a worker is on the drained node");
        Ok(())
    })
    .await
}

/// As `kubectl drain` does: asks for each eviction until the disruption budget allows it.
async fn drain(bed: &Bed, node: &str) -> Result<()> {
    let pods: Api<Pod> = bed.api();
    for pod in bed.workers().await?.iter().filter(|pod| node_of(pod).as_deref() == Some(node)) {
        eventually("an eviction to be allowed", LIMIT, async || {
            match pods.evict(&pod.name_any(), &EvictParams::default()).await {
                Ok(_) => Ok(Some(())),
                Err(kube::Error::Api(status)) if status.code == 429 => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
        .await?;
        let gone = async || {
            let now = pods.get_opt(&pod.name_any()).await?;
            Ok(now.is_none_or(|now| now.uid() != pod.uid()).then_some(()))
        };
        eventually("an evicted worker to go", LIMIT, gone).await?;
    }
    Ok(())
}

fn node_of(pod: &Pod) -> Option<String> {
    pod.spec.as_ref()?.node_name.clone()
}
