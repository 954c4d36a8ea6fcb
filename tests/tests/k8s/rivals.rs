//! Two pipelines that must not run side by side: the older one works.

use std::time::Duration;

use anyhow::Result;
use kube::api::DeleteParams;
use plaudit_tests::stack::kubernetes::eventually;
use serde_json::Value;

use crate::bed::{Bed, LIMIT};

#[tokio::test]
async fn the_younger_of_two_pipelines_with_the_same_keys_waits_until_the_older_is_gone() -> Result<()> {
    let bed = Bed::start("rivals").await?;
    bed.create("old", |_| ()).await?;
    let prefix = bed.pipelines().get("old").await?.spec.store.key_prefix;
    let told = "give this one another store.keyPrefix, or delete one of the two";

    the_younger_waits(&bed, |spec| spec["store"]["keyPrefix"] = prefix.into(), told).await
}

#[tokio::test]
async fn the_younger_of_two_pipelines_with_the_same_group_waits_until_the_older_is_gone() -> Result<()> {
    let bed = Bed::start("groups").await?;
    bed.create("old", |_| ()).await?;
    // As it is called where none is given.
    let group = format!("{}.old", bed.namespace);
    let told = "give this one another source.consumerGroup, or delete one of the two";

    the_younger_waits(&bed, |spec| spec["source"]["consumerGroup"] = group.into(), told).await
}

/// Creates a pipeline that has something of `old`.
async fn the_younger_waits(bed: &Bed, take: impl FnOnce(&mut Value), advice: &str) -> Result<()> {
    bed.until_condition("old", "SourceAvailable", "True").await?;
    // Kubernetes counts ages in seconds.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    bed.create("young", take).await?;

    let told = bed.until_reason("young", "Ready", "Conflict").await?;
    let young = bed.replicas("young").await?;
    bed.pipelines().delete("old", &DeleteParams::default()).await?;
    let freed = eventually("the younger to run", LIMIT, async || {
        Ok(bed.replicas("young").await?.filter(|replicas| *replicas > 0))
    })
    .await?;

    let expected = format!("the older pipeline {}/old; {advice}", bed.namespace);
    assert!(told.ends_with(&expected), "{told}");
    assert_eq!((young, freed), (Some(0), 1));
    Ok(())
}
