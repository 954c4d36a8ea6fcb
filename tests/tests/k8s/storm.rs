//! Many pipelines, and operators that end at any moment.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use plaudit_crds::AchievementPipeline;
use plaudit_tests::stack::kubernetes::eventually;
use plaudit_tests::stack::{shared, unique_name};
use serde_json::json;

use crate::bed::{Bed, LIMIT, condition};
use crate::program::Program;

async fn as_asked(bed: &Bed, count: usize, replicas: i32) -> Result<()> {
    let deployments: Api<Deployment> = bed.api();
    eventually("every pipeline to have its workers", 3 * LIMIT, async || {
        let found = deployments.list(&ListParams::default()).await?.items;
        let right =
            found.iter().filter(|found| found.spec.as_ref().and_then(|spec| spec.replicas) == Some(replicas));
        Ok((right.count() == count).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_killed_while_pipelines_change_leave_them_as_asked() -> Result<()> {
    const PIPELINES: usize = 12;
    const ROUNDS: i32 = 3;
    let bed = Bed::idle("storm").await?;
    let kubeconfig = bed.operator_kubeconfig()?;
    let mut operators =
        [Program::start(&kubeconfig, &bed.namespace)?, Program::start(&kubeconfig, &bed.namespace)?];
    let names: Vec<String> = (0..PIPELINES).map(|at| format!("p{at}")).collect();
    for name in &names {
        bed.create(name, |_| ()).await?;
    }
    as_asked(&bed, PIPELINES, 1).await?;
    let leases: Api<Lease> = bed.api();
    let mut random = fastrand::Rng::with_seed(5);

    for round in 0..ROUNDS {
        for name in &names {
            bed.edit(name, json!({"spec": {"scaling": {"minReplicas": round + 2}}})).await?;
            if name == &names[random.usize(..PIPELINES)] {
                // Either of the two: whoever leads is followed, whoever waits is missed by nobody.
                let at = random.usize(..2);
                operators[at].kill()?;
                operators[at] = Program::start(&kubeconfig, &bed.namespace)?;
            }
        }
        operators[usize::try_from(round % 2)?].kill()?;
        as_asked(&bed, PIPELINES, round + 2).await?;
        operators[usize::try_from(round % 2)?] = Program::start(&kubeconfig, &bed.namespace)?;
    }

    bed.until_quiet().await?;
    let holder = leases.get(plaudit::rbac::LEASE).await?.spec.and_then(|spec| spec.holder_identity);
    assert!(holder.is_some_and(|holder| !holder.is_empty()));
    Ok(())
}

/// Writes something into each ConfigMap that is none of an operator's business, so that every pipeline is looked at again; the
/// resource versions that come of it.
async fn touch(bed: &Bed) -> Result<BTreeSet<String>> {
    let maps: Api<ConfigMap> = bed.api();
    let (mut touched, patch) = (BTreeSet::new(), json!({"metadata": {"annotations": {"mine": "1"}}}));
    for map in maps.list(&ListParams::default().labels("app.kubernetes.io/managed-by=plaudit")).await? {
        let written =
            maps.patch(&map.name_any(), &PatchParams::default(), &Patch::Merge(patch.clone())).await?;
        touched.insert(format!("{} {}", written.name_any(), written.resource_version().unwrap_or_default()));
    }
    Ok(touched)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_pipelines_settle_and_then_cause_no_write() -> Result<()> {
    const PIPELINES: usize = 100;
    const TOPICS: usize = 10;
    let bed = Bed::start("hundred").await?.with_pods()?;
    let topics: Vec<String> = (0..TOPICS).map(|_| unique_name("hundred")).collect();
    for topic in &topics {
        shared().kafka.create_topic(topic, 4, &[])?;
    }
    for at in 0..PIPELINES {
        bed.create(&format!("p{at}"), |spec| spec["source"]["topic"] = json!(topics[at % TOPICS])).await?;
    }

    eventually("every pipeline to be ready, with its worker", 4 * LIMIT, async || {
        let found = bed.pipelines().list(&ListParams::default()).await?;
        let is_ready = |object: &&AchievementPipeline| {
            let workers = object.status.as_ref().and_then(|status| status.ready_replicas);
            condition(object, "Ready").is_some_and(|ready| ready.status == "True") && workers == Some(1)
        };
        Ok((found.iter().filter(is_ready).count() == PIPELINES).then_some(()))
    })
    .await?;
    bed.until_quiet().await?;
    let before: BTreeSet<String> = bed.versions().await?.into_iter().collect();
    let touched = touch(&bed).await?;
    tokio::time::sleep(Duration::from_secs(8)).await;

    let after: BTreeSet<String> = bed.versions().await?.into_iter().collect();
    assert_eq!(after.difference(&before).cloned().collect::<BTreeSet<_>>(), touched);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_starts_again_writes_nothing() -> Result<()> {
    const PIPELINES: usize = 5;
    let bed = Bed::start("again").await?;
    for at in 0..PIPELINES {
        bed.create(&format!("p{at}"), |_| ()).await?;
    }
    as_asked(&bed, PIPELINES, 1).await?;
    for at in 0..PIPELINES {
        bed.until_condition(&format!("p{at}"), "SourceAvailable", "True").await?;
    }
    bed.until_quiet().await?;
    let before = bed.versions().await?;

    let bed = bed.with_another_operator();
    // Once it knows of this one, it has looked at the others.
    bed.create("new", |_| ()).await?;
    bed.until_condition("new", "SourceAvailable", "True").await?;
    bed.until_quiet().await?;

    let of_new = |line: &String| line.starts_with("new ") || line.starts_with("new-worker ");
    let after: Vec<String> = bed.versions().await?.into_iter().filter(|line| !of_new(line)).collect();
    assert_eq!(after, before);
    Ok(())
}
