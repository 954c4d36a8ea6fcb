//! A store that loses acknowledged writes under load, in each way a store can, is repaired from the topic.

use std::time::Duration;

use anyhow::{Result, ensure};
use plaudit_tests::chaos::{Store, start_valkey};
use plaudit_tests::checker::Verdict;
use plaudit_tests::scene::{Scene, Worker, rough_mix};
use plaudit_tests::stack::{shared, until};

const LIMIT: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 4;
const PLAYERS: u64 = 500;
const REPORTS: u64 = 40_000;
/// Reports per second: a loss meets lanes that write.
const RATE: f64 = 5_000.0;

#[test]
fn a_store_started_from_an_older_copy_is_repaired() -> Result<()> {
    let (verdict, losses) = older_copy("none", 40)?;
    ensure!(losses >= 1.0, "no lane noticed");
    ensure_exact(&verdict)
}

#[test]
fn without_the_fence_a_store_started_from_an_older_copy_stays_wrong() -> Result<()> {
    let (verdict, _) = older_copy("no-fence", 41)?;
    ensure!(verdict.lost > 0, "nothing is lost without the fence: {verdict}");
    Ok(())
}

#[test]
fn a_replica_promoted_without_the_last_writes_is_repaired_twice() -> Result<()> {
    let (verdict, losses) = two_failovers("none", 42)?;
    ensure!(losses >= 2.0, "{losses} losses were noticed");
    ensure_exact(&verdict)
}

#[test]
fn without_the_fence_a_promoted_replica_stays_wrong() -> Result<()> {
    let (verdict, _) = two_failovers("no-fence", 43)?;
    ensure!(verdict.lost > 0, "nothing is lost without the fence: {verdict}");
    Ok(())
}

#[test]
fn what_an_old_primary_took_from_a_zombie_is_stored_again() -> Result<()> {
    ensure_exact(&old_primary("none", 44)?)
}

#[test]
fn without_the_fence_what_an_old_primary_took_is_lost() -> Result<()> {
    let verdict = old_primary("no-fence", 45)?;
    ensure!(verdict.lost > 0, "nothing is lost without the fence: {verdict}");
    Ok(())
}

/// Kills the store under load and starts it with what it held before offsets that are committed since.
fn older_copy(mutation: &str, seed: u64) -> Result<(Verdict, f64)> {
    let valkey = start_valkey()?;
    let scene = Scene::new((&shared().kafka, &valkey), "older", PARTITIONS, |_| ())?;
    let worker = scene.start_mutant(mutation)?;
    under_load(&scene, seed, || {
        advance(&scene, 5_000)?;
        let copy = valkey.snapshot()?;
        advance(&scene, 10_000)?;
        valkey.restart_from(&copy)
    })?;
    finish(&scene, &[worker])
}

/// Fails over under load to a replica that stopped replicating before offsets that are committed since; and once more.
fn two_failovers(mutation: &str, seed: u64) -> Result<(Verdict, f64)> {
    let first = start_valkey()?;
    let mut store = Store::new(&first, 2)?;
    let address = store.route(0).address();
    let scene = Scene::new((&shared().kafka, &first), "failover", PARTITIONS, |config| {
        config.store.address = address;
    })?;
    let worker = scene.start_mutant(mutation)?;
    under_load(&scene, seed, || {
        for _ in 0..2 {
            advance(&scene, 4_000)?;
            let replica = store.detach_replica()?;
            advance(&scene, 4_000)?;
            let old = store.fail_over(replica, None)?;
            store.node(old).kill()?;
        }
        Ok(())
    })?;
    finish(&scene, &[worker])
}

/// Fails over while two workers keep their connections to the old primary, which takes what they write until it is gone: one
/// as the owner of its partitions, the other one also as a zombie. A third one works on the new primary.
fn old_primary(mutation: &str, seed: u64) -> Result<Verdict> {
    let first = start_valkey()?;
    let mut store = Store::new(&first, 1)?;
    let addresses = [0, 1].map(|route| store.route(route).address());
    let scene = Scene::new((&shared().kafka, &first), "zombie", PARTITIONS, |config| {
        config.store.address.clone_from(&addresses[1]);
    })?;
    let mut config = scene.config.clone();
    config.store.address.clone_from(&addresses[0]);
    let stranded = scene.spawn_worker(&config, mutation)?;
    let zombie = scene.spawn_worker(&config, mutation)?;
    let newcomer = under_load(&scene, seed, || {
        for worker in [&stranded, &zombie] {
            wait_for_lanes(worker, 2)?;
        }
        advance(&scene, 4_000)?;
        let replica = store.detach_replica()?;
        let old = store.fail_over(replica, Some(0))?;
        advance(&scene, 4_000)?;
        let position =
            |node| -> Result<i64> { Ok(scene.stored_at(&store.node(node).address())?.values().sum()) };
        let (taken, held) = (position(old)?, position(replica)?);
        // What was written before the last commit, the new one has too.
        ensure!(taken >= held + 1_000, "the old primary took up to {taken}, the new one has {held}");
        zombie.pause()?;
        let newcomer = scene.start_mutant(mutation)?;
        wait_for_lanes(&newcomer, 2)?;
        zombie.resume()?;
        until("the zombie to notice", LIMIT, || {
            Ok((zombie.metric("plaudit_rebalances_total{event=\"lost\"}")? > 0.0).then_some(()))
        })?;
        store.node(old).kill()?;
        Ok(newcomer)
    })?;
    Ok(finish(&scene, &[stranded, zombie, newcomer])?.0)
}

fn wait_for_lanes(worker: &Worker, wanted: usize) -> Result<()> {
    until("lanes to run", LIMIT, || {
        // it may not listen yet
        let Ok(lanes) = worker.lanes() else { return Ok(None) };
        let lanes = lanes["lanes"].as_array().cloned().unwrap_or_default();
        let running = lanes.iter().filter(|lane| lane["state"] == "running").count();
        Ok((running >= wanted).then_some(()))
    })
}

fn under_load<T>(scene: &Scene<'_>, seed: u64, fault: impl FnOnce() -> Result<T>) -> Result<T> {
    std::thread::scope(|scope| {
        let load = scope.spawn(|| scene.load(rough_mix(seed, PLAYERS), REPORTS, RATE));
        let suffered = fault();
        load.join().expect("the load does not panic")?;
        suffered
    })
}

/// Waits until so many more records are committed.
fn advance(scene: &Scene<'_>, records: i64) -> Result<()> {
    let log = scene.log()?;
    let committed =
        || -> Result<i64> { Ok(log.committed(&scene.config.source.consumer_group)?.values().sum()) };
    let begin = committed()?;
    until("more commits", LIMIT, || Ok((committed()? >= begin + records).then_some(())))
}

/// The verdict, once everything is stored, and how often a lane found its fence in other hands.
fn finish(scene: &Scene<'_>, workers: &[Worker]) -> Result<(Verdict, f64)> {
    scene.wait_until_stored(LIMIT)?;
    let losses =
        workers.iter().map(|worker| worker.metric("plaudit_fence_mismatches_total")).sum::<Result<f64>>()?;
    Ok((scene.check()?, losses))
}

fn ensure_exact(verdict: &Verdict) -> Result<()> {
    ensure!(verdict.passed() && verdict.not_stored_yet == 0, "{verdict}");
    Ok(())
}
