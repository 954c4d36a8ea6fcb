//! The whole life of a pipeline: real Kafka, Valkey, API server, operator and workers; only the pods are processes without a node.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt as _};
use plaudit::pipeline::parse;
use plaudit_tests::scene::{Scene, smooth_mix};
use plaudit_tests::stack::kubernetes::eventually;
use plaudit_tests::stack::{self, unique_name};
use serde_json::{Value, json};

use crate::bed::Bed;
use crate::playing::play;

const LIMIT: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 6;

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_grows_with_its_lag_shrinks_stops_and_goes_and_every_report_counts_once() -> Result<()> {
    let bed = Bed::start("life").await?;
    let servers = stack::shared();
    let name = unique_name("life");
    let shape = |spec: &mut Value| {
        spec["source"]["topic"] = json!(name);
        spec["source"]["properties"] = json!({"session.timeout.ms": 6000});
        spec["achievements"] = serde_json::to_value(plaudit_tests::scene::achievements()).expect("JSON");
        spec["unlocks"] = json!({"topic": format!("{name}.unlocks")});
        spec["scaling"] = json!({"lagThreshold": 5_000, "behavior": {"scaleInWindowSeconds": 5}});
    };
    // The topics come first, with the configuration that the operator will give to its workers.
    let object = bed.object("p", shape)?;
    let config = parse(&object).context("the pipeline is good")?.worker_config();
    let scene = Scene::of((&servers.kafka, &servers.valkey), config, PARTITIONS)?;
    let (_kubelet, _directory) = play(&bed)?;

    bed.apply(&object).await?;
    bed.until_condition("p", "Ready", "True").await?;
    let first = bed.replicas("p").await?;
    scene.load(smooth_mix(1, 50_000), 400_000, 0.0)?;
    eventually("the fleet to grow", LIMIT, async || {
        Ok(bed.replicas("p").await?.filter(|replicas| *replicas == PARTITIONS))
    })
    .await?;
    // By halves, each after a window and a rebalance.
    let shrunk = eventually("the fleet to shrink", 4 * LIMIT, async || {
        Ok(bed.replicas("p").await?.filter(|replicas| *replicas == 1))
    })
    .await;
    let status = bed.pipelines().get("p").await?.status;
    shrunk.with_context(|| format!("{:#?}", status.and_then(|status| status.last_decision)))?;
    scene.wait_until_stored(LIMIT)?;
    bed.until_condition("p", "Ready", "True").await?;
    bed.edit("p", json!({"spec": {"suspend": true}})).await?;
    let pods: Api<Pod> = bed.api();
    eventually("all workers to end", LIMIT, async || {
        Ok(pods.list(&ListParams::default()).await?.items.is_empty().then_some(()))
    })
    .await?;
    scene.load(smooth_mix(2, 5_000), 20_000, 0.0)?;
    bed.edit("p", json!({"spec": {"suspend": false, "batch": {"maxRecords": 500}}})).await?;
    scene.wait_until_stored(LIMIT)?;
    let verdict = scene.assert_exact()?;
    bed.pipelines().delete("p", &DeleteParams::default()).await?;
    eventually("all workers to go", 2 * LIMIT, async || {
        let pods = pods.list(&ListParams::default()).await?.items;
        Ok(pods.iter().all(|pod| pod.name_any().is_empty()).then_some(()))
    })
    .await?;

    ensure!(verdict.players > 40_000, "{verdict}");
    assert_eq!(first, Some(1));
    Ok(())
}
