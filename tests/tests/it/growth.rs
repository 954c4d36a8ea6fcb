//! A topic that gets more partitions under load: a player's later reports come from another partition than the earlier ones.

use std::time::Duration;

use anyhow::{Result, ensure};
use plaudit_tests::scene::{Scene, rough_mix};
use plaudit_tests::stack::{shared, until};

const LIMIT: Duration = Duration::from_secs(90);

#[test]
fn partitions_added_under_load_are_read_while_the_old_backlog_drains() -> Result<()> {
    let stack = shared();
    let scene = Scene::new((&stack.kafka, &stack.valkey), "growth", 3, |config| {
        // small batches, so that the backlog is there for a while
        config.batch.max_records = 20;
    })?;
    scene.load(rough_mix(50, 200), 30_000, 0.0)?;
    let backlog = scene.log()?.ends()?;
    let first = scene.start_worker()?;
    scene.kafka.add_partitions(&scene.config.source.topic, 8)?;
    let (second, behind) = std::thread::scope(|scope| -> Result<_> {
        let load = scope.spawn(|| scene.load(rough_mix(51, 200), 30_000, 6_000.0));
        // somebody who joins makes the group look for new partitions
        let second = scene.start_worker()?;
        let behind = until("reports of a new partition to be stored", LIMIT, || {
            let stored = scene.stored()?;
            let is_new = |partition: &i32| !backlog.contains_key(partition);
            let new = stored.iter().any(|(partition, position)| is_new(partition) && *position > 0);
            let behind: i64 = backlog
                .iter()
                .map(|(partition, end)| end - stored.get(partition).unwrap_or(&0))
                .filter(|left| *left > 0)
                .sum();
            Ok(new.then_some(behind))
        })?;
        load.join().expect("the load does not panic")?;
        Ok((second, behind))
    })?;
    scene.wait_until_stored(LIMIT)?;
    ensure!(behind > 0, "the old backlog was drained before");
    let conflicts = |kind: &str| -> Result<f64> {
        let name = format!("plaudit_conflicts_total{{kind=\"{kind}\"}}");
        Ok(first.metric(&name)? + second.metric(&name)?)
    };
    ensure!(conflicts("partition")? > 0.0, "lanes of two partitions never met at a player");
    ensure!(conflicts("other")? == 0.0, "nobody else writes");
    scene.assert_exact()?;
    first.stop()?;
    second.stop()
}
