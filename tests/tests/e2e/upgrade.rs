use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use crate::bed::{exact, load, names, on_a_bed};
use crate::release;

/// The tag of images that the nodes have beside the chart's own. There is no older release yet, so the same programs under another tag,
/// and the same chart as another version, are what is upgraded from.
const OLDER: &str = "E2E_OLDER_TAG";

#[tokio::test(flavor = "multi_thread")]
async fn operator_and_workers_are_upgraded_under_load_and_nothing_is_lost() -> Result<()> {
    on_a_bed("upgrade", async |bed| {
        let older = std::env::var(OLDER).with_context(|| format!("{OLDER} is not set; tools/e2e sets it"))?;
        release::install_older(&older)?;
        let scene = bed.pipeline(json!({"minReplicas": 2, "maxReplicas": 2})).await?;
        let old = bed.until_workers(2, &BTreeSet::new()).await?;

        let load = load(&scene).await?;
        release::install(&[])?;
        let new = bed.until_workers(2, &names(&old)).await?;
        load.end().await?;
        exact(&scene).await?;

        let image = |tag: &str| BTreeSet::from([format!("plaudit/worker:{tag}")]);
        assert_eq!([images(&old), images(&new)], [image(&older), image(env!("CARGO_PKG_VERSION"))]);
        Ok(())
    })
    .await
}

fn images(pods: &[Pod]) -> BTreeSet<String> {
    let containers = pods.iter().flat_map(|pod| &pod.spec).flat_map(|spec| &spec.containers);
    containers.filter_map(|container| container.image.clone()).collect()
}
