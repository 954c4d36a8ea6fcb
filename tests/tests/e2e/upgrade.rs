use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::bed::{exact, load, names, on_a_bed};
use crate::release;

/// The tag of images that the nodes have beside the chart's own. There is no older release yet, so the same programs under another tag
/// are what is upgraded to.
const NEXT: &str = "E2E_NEXT_TAG";

#[tokio::test(flavor = "multi_thread")]
async fn operator_and_workers_are_upgraded_under_load_and_nothing_is_lost() -> Result<()> {
    on_a_bed("upgrade", async |bed| {
        let next = std::env::var(NEXT).with_context(|| format!("{NEXT} is not set; tools/e2e sets it"))?;
        release::install(&[])?;
        let scene = bed.pipeline(json!({"minReplicas": 2, "maxReplicas": 2})).await?;
        let old = names(&bed.until_workers(2, &BTreeSet::new()).await?);

        let load = load(&scene).await;
        release::install(&[&format!("--set=image.tag={next}")])?;
        let new = bed.until_workers(2, &old).await?;
        load.end().await?;
        exact(&scene).await?;

        let images: BTreeSet<_> =
            new.iter().flat_map(|pod| &pod.spec).flat_map(|spec| &spec.containers[0].image).collect();
        assert_eq!(images, [&format!("plaudit/worker:{next}")].into());
        Ok(())
    })
    .await
}
