use anyhow::Result;
use kube::api::PostParams;
use plaudit_crds::AchievementPipeline;
use serde_json::json;

use crate::bed::{NAME, exact, on_a_bed, send};
use crate::release;

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_pipeline_says_what_is_wrong_and_harms_nobody_beside_it() -> Result<()> {
    on_a_bed("beside", async |bed| {
        release::install(&[])?;
        let bad = bed.object("bad", "no-such-topic", &json!({}))?;
        bed.api::<AchievementPipeline>().create(&PostParams::default(), &bad).await?;

        let scene = bed.pipeline(json!({})).await?;
        send(&scene, 1, 1_000, 2).await??;
        exact(&scene).await?;
        bed.until_ready(NAME, "True", None).await?;
        bed.until_ready("bad", "False", Some("TopicMissing")).await
    })
    .await
}
