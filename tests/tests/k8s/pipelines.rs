//! What the operator makes of pipelines: children that stay as they should be, a status that says why, and no write without a reason.

use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, CustomResourceExt as _, ResourceExt as _};
use plaudit_crds::AchievementPipeline;
use plaudit_tests::stack::kubernetes::eventually;
use serde_json::json;

use crate::bed::{Bed, LIMIT, condition};

#[tokio::test]
async fn a_pipeline_gets_its_children_and_they_come_back() -> Result<()> {
    let bed = Bed::start("children").await?;
    let object = bed.create("p", |_| ()).await?;
    bed.until_condition("p", "SourceAvailable", "True").await?;

    let names = bed.children().await?;
    let deployments: Api<Deployment> = bed.api();
    let owner = deployments.get("p-worker").await?.metadata.owner_references.unwrap_or_default();
    deployments.delete("p-worker", &DeleteParams::default()).await?;
    let maps: Api<ConfigMap> = bed.api();
    maps.patch("p-worker", &PatchParams::default(), &Patch::Merge(json!({"data": {"worker.yaml": "mine"}})))
        .await?;
    let budgets: Api<PodDisruptionBudget> = bed.api();
    budgets
        .patch(
            "p-worker",
            &PatchParams::default(),
            &Patch::Merge(json!({"metadata": {"labels": {"mine": "1", "app.kubernetes.io/part-of": "x"}}})),
        )
        .await?;
    eventually("the deployment to come back", LIMIT, async || {
        Ok(deployments.get_opt("p-worker").await?.filter(|found| found.metadata.deletion_timestamp.is_none()))
    })
    .await?;
    let text = eventually("the configuration to be mended", LIMIT, async || {
        let data = maps.get("p-worker").await?.data.unwrap_or_default();
        Ok(data.get("worker.yaml").filter(|text| *text != "mine").cloned())
    })
    .await?;
    let labels = eventually("the label to be mended", LIMIT, async || {
        let labels = budgets.get("p-worker").await?.metadata.labels.unwrap_or_default();
        Ok((labels.get("app.kubernetes.io/part-of").map(String::as_str) == Some("plaudit")).then_some(labels))
    })
    .await?;

    assert_eq!(
        (
            names,
            owner.first().map(|owner| owner.uid.clone()),
            text.contains("consumerGroup"),
            labels.contains_key("mine")
        ),
        (["p-worker"; 4].map(str::to_owned).to_vec(), object.uid(), true, true)
    );
    Ok(())
}

#[tokio::test]
async fn a_steady_pipeline_causes_no_writes() -> Result<()> {
    let bed = Bed::start("steady").await?;
    bed.create("p", |_| ()).await?;
    bed.until_condition("p", "SourceAvailable", "True").await?;
    bed.until_quiet().await?;
    let before = bed.versions().await?;

    tokio::time::sleep(Duration::from_secs(6)).await;

    assert_eq!(bed.versions().await?, before);
    Ok(())
}

#[tokio::test]
async fn a_bad_pipeline_says_so_and_harms_no_other() -> Result<()> {
    let bed = Bed::start("bad").await?;
    bed.create("bad", |spec| spec["worker"] = json!({"template": {"spec": {"hostNetwork": true}}})).await?;
    bed.create("good", |_| ()).await?;

    let told = bed.until_reason("bad", "Ready", "InvalidSpec").await?;
    bed.until_condition("good", "SourceAvailable", "True").await?;
    bed.edit("bad", json!({"spec": {"worker": {"template": null}}})).await?;
    bed.until_condition("bad", "SourceAvailable", "True").await?;

    assert!(told.starts_with("spec.worker.template.spec: unknown field `hostNetwork`"), "{told}");
    Ok(())
}

/// Lets the API server take any spec, as an older CRD might have.
async fn loosen_schema(client: Client) -> Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(client);
    let name = AchievementPipeline::crd_name();
    let mut crd = api.get(name).await?;
    let version = crd.spec.versions.first_mut().context("a version")?;
    let schema = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
    let spec = schema.and_then(|schema| schema.properties.as_mut()?.get_mut("spec")).context("a spec")?;
    *spec = serde_json::from_value(json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}))?;
    crd.metadata.managed_fields = None;
    api.replace(name, &PostParams::default(), &crd).await?;
    // The API server takes a moment to serve the new schema.
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(())
}

#[tokio::test]
async fn an_object_that_cannot_be_decoded_is_told_and_hides_no_other() -> Result<()> {
    let bed = Bed::without_operator("undecodable").await?;
    // Written before the CRD had its present rules.
    loosen_schema(bed.client.clone()).await?;
    bed.create("odd", |spec| spec["source"]["initialOffset"] = json!(7)).await?;
    bed.create("good", |_| ()).await?;
    let bed = bed.with_operator();

    bed.until_condition("good", "SourceAvailable", "True").await?;
    let told = bed.until_reason("odd", "Ready", "InvalidSpec").await?;

    assert!(told.starts_with("the object cannot be read: "), "{told}");
    Ok(())
}

#[tokio::test]
async fn what_happens_to_a_pipeline_is_told_once() -> Result<()> {
    let bed = Bed::start("events").await?;
    bed.create("p", |spec| spec["source"]["topic"] = json!("no-such-topic")).await?;
    bed.until_reason("p", "Ready", "TopicMissing").await?;
    bed.edit("p", json!({"spec": {"suspend": true}})).await?;
    bed.until_reason("p", "Ready", "Suspended").await?;
    bed.until_quiet().await?;

    let events: Api<Event> = bed.api();
    let mut told: Vec<(String, String)> = eventually("three events", LIMIT, async || {
        let events = events.list(&ListParams::default()).await?.items.into_iter();
        let ours = events.filter(|event| {
            event.regarding.as_ref().and_then(|about| about.kind.as_deref()) == Some("AchievementPipeline")
        });
        let told: Vec<_> =
            ours.map(|event| (event.reason.unwrap_or_default(), event.type_.unwrap_or_default())).collect();
        Ok((told.len() >= 4).then_some(told))
    })
    .await?;
    told.sort();

    let expected = [
        ("ScaledIn", "Normal"),
        ("ScaledOut", "Normal"),
        ("Suspended", "Normal"),
        ("TopicMissing", "Warning"),
    ];
    assert_eq!(told, expected.map(|(reason, kind)| (reason.to_owned(), kind.to_owned())));
    Ok(())
}

#[tokio::test]
async fn children_go_with_their_pipeline() -> Result<()> {
    let bed = Bed::start("gone").await?;
    bed.create("p", |_| ()).await?;
    bed.until_condition("p", "SourceAvailable", "True").await?;

    bed.pipelines().delete("p", &DeleteParams::default()).await?;

    // The garbage collector looks for new kinds, as ours is in a new cluster, every half minute.
    eventually("all children to be collected", 3 * LIMIT, async || {
        Ok(bed.children().await?.is_empty().then_some(()))
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_changed_configuration_rolls_the_workers_and_a_changed_number_does_not() -> Result<()> {
    let bed = Bed::start("rolls").await?;
    bed.create("p", |_| ()).await?;
    bed.until_condition("p", "SourceAvailable", "True").await?;
    let deployments: Api<Deployment> = bed.api();
    let checksum = async || -> Result<String> {
        let template = deployments.get("p-worker").await?.spec.context("a spec")?.template;
        let annotations = template.metadata.and_then(|metadata| metadata.annotations).unwrap_or_default();
        annotations.get("plaudit.dev/config-checksum").cloned().context("a checksum")
    };
    let first = checksum().await?;

    bed.edit("p", json!({"spec": {"scaling": {"minReplicas": 2}}})).await?;
    eventually("two workers", LIMIT, async || Ok((bed.replicas("p").await? == Some(2)).then_some(())))
        .await?;
    let scaled = checksum().await?;
    bed.edit("p", json!({"spec": {"batch": {"maxRecords": 100}}})).await?;
    eventually("another checksum", LIMIT, async || Ok(Some(checksum().await?).filter(|now| *now != scaled)))
        .await?;

    assert_eq!(scaled, first);
    Ok(())
}

#[tokio::test]
async fn the_scale_subresource_fixes_the_number_of_workers_until_it_is_given_back() -> Result<()> {
    let bed = Bed::start("scaled").await?;
    bed.create("p", |_| ()).await?;
    bed.until_condition("p", "SourceAvailable", "True").await?;
    let pipelines = bed.pipelines();
    // As `kubectl scale` does.
    let scale = async |replicas: i32| {
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        pipelines.patch_scale("p", &PatchParams::default(), &patch).await
    };
    let until = async |replicas: i32| {
        let what = format!("{replicas} workers");
        eventually(&what, LIMIT, async || {
            let found = pipelines.get_scale("p").await?;
            let status = found.status.clone().unwrap_or_default();
            let as_wanted = status.replicas == replicas && bed.replicas("p").await? == Some(replicas);
            Ok(as_wanted.then_some((found.spec.and_then(|spec| spec.replicas), status.selector)))
        })
        .await
    };

    scale(3).await?;
    let three = until(3).await?;
    // What else asks for a number does not count now.
    bed.edit("p", json!({"spec": {"scaling": {"minReplicas": 4}}})).await?;
    eventually("the change to be looked at", LIMIT, async || {
        let object = pipelines.get("p").await?;
        let observed = object.status.and_then(|status| status.observed_generation);
        Ok((observed == object.metadata.generation).then_some(()))
    })
    .await?;
    let still_three = until(3).await?;
    scale(1).await?;
    let one = until(1).await?;
    bed.edit("p", json!({"spec": {"scaling": {"replicas": null}}})).await?;
    let given_back = eventually("as many workers as minReplicas asks for", LIMIT, async || {
        Ok((bed.replicas("p").await? == Some(4)).then_some(()))
    })
    .await;

    let selector = Some("app.kubernetes.io/name=plaudit-worker,plaudit.dev/pipeline=p-worker".to_owned());
    assert_eq!([three, still_three, one], [Some(3), Some(3), Some(1)].map(|asked| (asked, selector.clone())));
    given_back
}

#[tokio::test]
async fn status_can_be_waited_for_and_read() -> Result<()> {
    let bed = Bed::start("status").await?;
    bed.create("p", |_| ()).await?;
    bed.until_condition("p", "SourceAvailable", "True").await?;
    bed.until_quiet().await?;

    let object: AchievementPipeline = bed.pipelines().get("p").await?;
    let status = object.status.clone().context("a status")?;
    let services: Api<Service> = bed.api();
    let ready = condition(&object, "Ready").context("Ready")?;

    assert_eq!(
        (
            status.observed_generation == object.metadata.generation,
            ready.observed_generation == object.metadata.generation,
            status.partitions,
            status.replicas,
            status.selector,
            services.get("p-worker").await?.spec.and_then(|spec| spec.cluster_ip),
        ),
        (
            true,
            true,
            Some(4),
            Some(1),
            Some("app.kubernetes.io/name=plaudit-worker,plaudit.dev/pipeline=p-worker".to_owned()),
            Some("None".to_owned())
        )
    );
    Ok(())
}
