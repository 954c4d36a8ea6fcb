//! Random faults lose nothing and apply nothing twice; with a part of the protocol left out, they do.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use plaudit_tests::chaos::{Plan, run, start_kafka};
use plaudit_tests::scene::{Scene, smooth_mix};
use plaudit_tests::stack::{Valkey, ValkeyOptions, shared, until};

const LIMIT: Duration = Duration::from_secs(60);
/// Schedules at the same time, each row of them on a broker of its own, and how long a row is.
const ROWS: u64 = 2;
const SCHEDULES: u64 = 5;

/// `SEED=…` runs the ten schedules from there; without it they are others each time.
#[test]
fn ten_random_schedules_of_faults_are_exact() -> Result<()> {
    let first = match std::env::var("SEED") {
        Ok(seed) => seed.parse().context("SEED is not a number")?,
        Err(_) => fastrand::u64(..1 << 32),
    };
    std::thread::scope(|scope| {
        let rows = (0..ROWS).map(|row| first + row * SCHEDULES);
        let rows: Vec<_> = rows.map(|seed| scope.spawn(move || schedules(seed..seed + SCHEDULES))).collect();
        rows.into_iter().try_for_each(|row| row.join().expect("schedules do not panic"))
    })
}

fn schedules(seeds: std::ops::Range<u64>) -> Result<()> {
    let kafka = start_kafka()?;
    for seed in seeds {
        let plan = Plan::new(seed, 4, Duration::from_secs(4), &[]);
        eprintln!("{plan}");
        run(&kafka, &plan, "none")
            .and_then(|outcome| outcome.assert_exact())
            .with_context(|| format!("{plan}"))?;
    }
    Ok(())
}

#[test]
fn with_commit_before_write_a_killed_worker_loses_reports() -> Result<()> {
    fails_after_a_kill("commit-before-write", |verdict| verdict.lost)
}

#[test]
fn without_the_fence_a_store_that_lost_writes_stays_wrong() -> Result<()> {
    let stack = shared();
    let valkey = Valkey::start(ValkeyOptions::default())?;
    let scene = Scene::new((&stack.kafka, &valkey), "nofence", 4, |_| ())?;
    let worker = scene.start_mutant("no-fence")?;
    scene.load(smooth_mix(20, 300), 10_000, 0.0)?;
    scene.wait_until_committed(LIMIT)?;
    let older = valkey.snapshot()?;
    scene.load(smooth_mix(21, 300), 10_000, 0.0)?;
    scene.wait_until_committed(LIMIT)?;
    valkey.restart_from(&older)?;
    scene.load(smooth_mix(22, 300), 1_000, 0.0)?;
    scene.wait_until_committed(LIMIT)?;
    let verdict = scene.check()?;
    worker.stop()?;
    if verdict.lost == 0 {
        bail!("nothing is lost without the fence: {verdict}");
    }
    Ok(())
}

/// Kills a mutant in the middle of a load until the checker sees the harm, at most a few times.
fn fails_after_a_kill(mutation: &str, harm: impl Fn(&plaudit_tests::checker::Verdict) -> u64) -> Result<()> {
    let stack = shared();
    for round in 0..8 {
        let scene = Scene::new((&stack.kafka, &stack.valkey), mutation, 4, |_| ())?;
        // A backlog, so that every lane is in the middle of it: an idle one has nothing to replay.
        scene.load(smooth_mix(30 + round, 2_000), 60_000, 0.0)?;
        let worker = scene.start_mutant(mutation)?;
        until("the mutant to work", LIMIT, || {
            Ok((worker.metric("plaudit_records_total")? > 10_000.0).then_some(()))
        })?;
        worker.kill()?;
        let successor = scene.start_mutant(mutation)?;
        scene.wait_until_committed(LIMIT)?;
        let verdict = scene.check()?;
        successor.kill()?;
        if harm(&verdict) > 0 {
            return Ok(());
        }
    }
    bail!("{mutation}: no harm was seen in eight rounds")
}
