//! A load that is the same all the time: what it moves to and fro is no news.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use plaudit::pipeline::parse;
use plaudit_tests::scene::{Scene, smooth_mix};
use plaudit_tests::stack::{self, unique_name};
use serde_json::{Value, json};

use crate::playing::played_bed;

const LIMIT: Duration = Duration::from_secs(60);
const RATE: f64 = 2_000.0;
/// A status that told each look's lag would be written some fifteen times meanwhile.
const QUIET: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_under_steady_load_causes_no_writes() -> Result<()> {
    let (bed, _kubelet, _directory) = played_bed("load").await?;
    let servers = stack::shared();
    let name = unique_name("load");
    let shape = |spec: &mut Value| {
        spec["source"]["topic"] = json!(name);
        // Small steps: what waits between two commits is many of them.
        spec["scaling"] = json!({"lagThreshold": 1_000, "maxReplicas": 1});
    };
    let object = bed.object("p", shape)?;
    let config = parse(&object).context("the pipeline is good")?.worker_config();
    let scene = Scene::of((&servers.kafka, &servers.valkey), config, 4)?;
    bed.apply(&object).await?;
    bed.until_condition("p", "Ready", "True").await?;

    let stop = AtomicBool::new(false);
    let quiet = std::thread::scope(|threads| {
        let load = threads.spawn(|| scene.load_until(smooth_mix(1, 50_000), 400_000, RATE, &stop));
        let quiet = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                // A machine that stands still for some seconds makes news.
                let (begin, mut since, mut last) = (Instant::now(), Instant::now(), bed.versions().await?);
                while since.elapsed() < QUIET && begin.elapsed() < 2 * LIMIT {
                    tokio::time::sleep(Duration::from_millis(250)).await;
                    let now = bed.versions().await?;
                    if now != last {
                        (since, last) = (Instant::now(), now);
                    }
                }
                anyhow::Ok(since.elapsed() >= QUIET)
            })
        });
        stop.store(true, Ordering::Relaxed);
        let summary = load.join().expect("the load does not panic")?;
        ensure!(summary.complete(), "{summary}");
        quiet
    });

    ensure!(quiet?, "something was written again and again");
    scene.wait_until_stored(LIMIT)?;
    scene.assert_exact()?;
    Ok(())
}
