//! An operator with a label selector: pipelines without the labels are none of its business, also those that have lost them.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt as _;
use kube::api::DeleteParams;
use plaudit_tests::stack::kubernetes::eventually;
use serde_json::{Value, json};

use crate::bed::{Bed, LIMIT};

/// A pipeline gets the label, or loses it.
async fn label(bed: &Bed, name: &str, team: Value) -> Result<()> {
    bed.edit(name, json!({"metadata": {"labels": {"team": team}}})).await
}

#[tokio::test]
async fn pipelines_without_the_label_are_left_alone() -> Result<()> {
    let bed = Bed::idle("selector").await?.with_selector("team=games").with_operator();
    for name in ["bare", "other", "ours"] {
        bed.create(name, |_| ()).await?;
    }
    label(&bed, "other", json!("shops")).await?;
    label(&bed, "ours", json!("games")).await?;
    bed.until_condition("ours", "SourceAvailable", "True").await?;
    bed.until_quiet().await?;

    let children: BTreeSet<String> = bed.children().await?.into_iter().collect();
    let told = [
        bed.pipelines().get("bare").await?.status.is_some(),
        bed.pipelines().get("other").await?.status.is_some(),
    ];

    assert_eq!((children, told), (["ours-worker".to_owned()].into(), [false; 2]));
    Ok(())
}

#[tokio::test]
async fn a_pipeline_that_loses_its_label_keeps_its_workers_and_is_written_no_more() -> Result<()> {
    let bed = Bed::idle("unlabelled").await?.with_selector("team=games").with_operator();
    bed.create("p", |_| ()).await?;
    label(&bed, "p", json!("games")).await?;
    bed.until_condition("p", "SourceAvailable", "True").await?;
    bed.until_quiet().await?;

    label(&bed, "p", Value::Null).await?;
    bed.edit("p", json!({"spec": {"scaling": {"minReplicas": 2}}})).await?;
    bed.api::<Service>().delete("p-worker", &DeleteParams::default()).await?;
    let before = bed.versions().await?;
    // Once it has written this one, it would have written the other.
    bed.create("later", |_| ()).await?;
    label(&bed, "later", json!("games")).await?;
    bed.until_condition("later", "SourceAvailable", "True").await?;
    bed.until_quiet().await?;
    let of_later = |line: &String| line.starts_with("later ") || line.starts_with("later-worker ");
    let after: Vec<String> = bed.versions().await?.into_iter().filter(|line| !of_later(line)).collect();
    let replicas = bed.replicas("p").await?;
    label(&bed, "p", json!("games")).await?;
    let again = eventually("what was asked for meanwhile", LIMIT, async || {
        let service = bed.api::<Service>().get_opt("p-worker").await?;
        let replicas = bed.replicas("p").await?;
        Ok(service.filter(|_| replicas == Some(2)))
    })
    .await?;

    assert_eq!((after, replicas), (before, Some(1)));
    let owner = again.metadata.owner_references.unwrap_or_default();
    let uid = bed.pipelines().get("p").await?.uid().context("a UID")?;
    assert_eq!(owner.into_iter().map(|owner| owner.uid).collect::<Vec<_>>(), [uid]);
    Ok(())
}
