use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::Result;
use serde_json::json;

use crate::bed::{LIMIT, PARTITIONS, exact, on_a_bed, send};
use crate::release;
use plaudit_tests::stack::kubernetes::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn workers_follow_the_lag_from_none_to_one_a_partition_and_back() -> Result<()> {
    on_a_bed("scaling", async |bed| {
        release::install(&[])?;
        let scene = bed
            .pipeline(json!({
                "minReplicas": 0,
                "lagThreshold": 5_000,
                "behavior": {"scaleInWindowSeconds": 5, "idleSeconds": 5},
            }))
            .await?;
        bed.until_workers(0, &BTreeSet::new()).await?;
        let none = BTreeSet::new();

        let begin = Instant::now();
        send(&scene, 1, 200_000, 2).await??;
        let sent = begin.elapsed();
        eventually("the first report to be stored", LIMIT, async || {
            Ok(scene.stored()?.values().any(|offset| *offset > 0).then_some(()))
        })
        .await?;
        let stored = begin.elapsed();
        let most = bed.until_workers(usize::try_from(PARTITIONS)?, &none).await?;
        let grown = begin.elapsed();
        exact(&scene).await?;
        bed.until_workers(0, &none).await?;
        send(&scene, 2, 100, 1).await??;
        exact(&scene).await?;
        bed.until_workers(0, &none).await?;

        eprintln!(
            "from the first report of a burst, with no worker, until a new worker stored the first one: {:.1} s (target for a lag that \
             crosses the line, on a node with the image: 8 s at p99; this is one sample)",
            stored.as_secs_f64()
        );
        eprintln!(
            "until {} workers were ready: {:.1} s, of which the burst took {:.1} s to send (no target)",
            most.len(),
            grown.as_secs_f64(),
            sent.as_secs_f64()
        );
        Ok(())
    })
    .await
}
