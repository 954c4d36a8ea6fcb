use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::bed::{NAME, exact, on_a_bed, send};
use crate::release;

#[tokio::test(flavor = "multi_thread")]
async fn the_chart_makes_a_pipeline_ready_and_its_first_report_is_stored() -> Result<()> {
    on_a_bed("install", async |bed| {
        release::uninstall()?;

        let begin = Instant::now();
        let notes = release::install(&[])?;
        let scene = bed.pipeline(json!({})).await?;
        send(&scene, 1, 1, 1).await??;
        exact(&scene).await?;
        let stored_after = begin.elapsed();
        let ready = format!("achp/{NAME}");
        bed.kubectl(&["wait", "--for=condition=Ready", &ready, "--timeout=60s"])?;
        let shown = bed.kubectl(&["get", "achp", "-o", "wide"])?;
        let tested = release::test()?;

        eprintln!("from `helm install` to the first report stored: {:.1} s", stored_after.as_secs_f64());
        ensure!(notes.contains("kubectl"), "{notes}");
        ensure!(shown.contains(NAME) && shown.contains("True"), "{shown}");
        ensure!(tested.contains("Succeeded"), "{tested}");
        Ok(())
    })
    .await
}
