//! A network between worker and store that delays or loses what was sent costs time, never reports.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use plaudit_tests::checker::{Store, Verdict};
use plaudit_tests::scene::{Scene, Worker, rough_mix};
use plaudit_tests::stack::proxy::{Flow, Stream, Wire};
use plaudit_tests::stack::{Proxy, shared, until};

const LIMIT: Duration = Duration::from_secs(60);
/// A worker waits 5 s for an answer, and has then long done again what arrives so late.
const TOO_LATE: Duration = Duration::from_secs(12);
/// So few that lanes have them all in their caches: what is on the way to or from the store is a script, never a read.
const PLAYERS: u64 = 20;
const PARTITIONS: i32 = 12;

#[test]
fn connections_that_swallow_answers_are_given_up_and_nothing_is_applied_twice() -> Result<()> {
    ensure_exact(&swallowed_answers("none", 60)?)
}

#[test]
fn without_watermarks_a_swallowed_answer_is_applied_twice() -> Result<()> {
    // an answer that was swallowed may be one that nobody waited for: a few tries
    for seed in 61..65 {
        let verdict = swallowed_answers("no-watermark", seed)?;
        // of a sum with negative terms nobody can say more than that it is wrong
        if verdict.applied_twice + verdict.wrong > 0 {
            return Ok(());
        }
    }
    bail!("nothing is applied twice without watermarks")
}

#[test]
fn a_slow_store_is_waited_for() -> Result<()> {
    let (proxy, scene) = proxied("slow")?;
    let worker = scene.start_worker()?;
    let latency = Duration::from_millis(60);
    proxy.set(Wire::both(Stream { latency, jitter: Duration::from_millis(50), ..Stream::default() }));
    scene.load(rough_mix(62, 500), 20_000, 5_000.0)?;
    scene.wait_until_stored(LIMIT)?;
    let errors = worker.metric("plaudit_store_errors_total")?;
    ensure!(errors == 0.0, "slow is not gone: {errors} errors");
    scene.assert_exact()?;
    worker.stop()
}

#[test]
fn commands_that_arrive_after_newer_ones_change_nothing() -> Result<()> {
    ensure_exact(&late_commands("none", 63)?)
}

/// What a worker sends arrives after it was given up, done again on new connections, and followed by more.
fn late_commands(mutation: &str, seed: u64) -> Result<Verdict> {
    let (proxy, scene) = proxied("late")?;
    let worker = scene.start_mutant(mutation)?;
    let burst = |seed| -> Result<()> { scene.load(rough_mix(seed, PLAYERS), 5_000, 0.0).map(drop) };
    // players are cached when they come again; lanes have nothing more to write when they are settled
    for visit in 0..3 {
        burst(seed + visit)?;
        wait_until_settled(&scene)?;
    }
    let quiet = || {
        until("a connection for each lane and one for the watch of idle ones", LIMIT, || {
            Ok((proxy.connections() == PARTITIONS as usize + 1).then_some(()))
        })
    };
    quiet()?;
    let upstream = Stream { latency: TOO_LATE, ..Stream::default() };
    proxy.set(Wire { upstream, ..Wire::default() });
    burst(seed + 3)?;
    wait_until_unavailable(&worker)?;
    proxy.heal();
    burst(seed + 4)?;
    scene.wait_until_stored(LIMIT)?;
    let on_their_way = proxy.connections() > 2 * PARTITIONS as usize;
    ensure!(on_their_way, "the late commands have arrived too early");
    // a connection ends behind what is on its way
    quiet()?;
    scene.wait_until_stored(LIMIT)?;
    let verdict = scene.check()?;
    worker.stop()?;
    Ok(verdict)
}

/// All open connections lose what the store answers, for ever; new ones are sound.
fn swallowed_answers(mutation: &str, seed: u64) -> Result<Verdict> {
    let (proxy, scene) = proxied("swallow")?;
    let worker = scene.start_mutant(mutation)?;
    under_load(&scene, &worker, seed, || {
        // Answers on their way are swallowed, too, and while they take so long there are some.
        let slow = Stream { latency: Duration::from_millis(100), ..Stream::default() };
        proxy.set(Wire { downstream: slow, ..Wire::default() });
        let records = worker.metric("plaudit_records_total")?;
        until("slow answers", LIMIT, || {
            Ok((worker.metric("plaudit_records_total")? > records + 2_000.0).then_some(()))
        })?;
        let downstream = Stream { flow: Flow::Swallowed, ..slow };
        proxy.set(Wire { downstream, ..Wire::default() });
        wait_until_unavailable(&worker)?;
        proxy.heal();
        let healed = Instant::now();
        let records = worker.metric("plaudit_records_total")?;
        until("the worker to go on", LIMIT, || {
            Ok((worker.metric("plaudit_records_total")? > records + 1_000.0).then_some(()))
        })?;
        ensure!(healed.elapsed() < Duration::from_secs(15), "it took {:?}", healed.elapsed());
        Ok(())
    })?;
    scene.wait_until_stored(LIMIT)?;
    scene.check()
}

/// A pipeline whose workers reach the store through a proxy.
fn proxied(name: &str) -> Result<(Proxy, Scene<'static>)> {
    let stack = shared();
    let proxy = Proxy::start(&stack.valkey.address())?;
    let scene = Scene::new((&stack.kafka, &stack.valkey), name, PARTITIONS, |config| {
        config.store.address = proxy.address();
    })?;
    Ok((proxy, scene))
}

/// Does something to the network while the worker works.
fn under_load(
    scene: &Scene<'_>,
    worker: &Worker,
    seed: u64,
    fault: impl FnOnce() -> Result<()>,
) -> Result<()> {
    std::thread::scope(|scope| {
        let load = scope.spawn(|| scene.load(rough_mix(seed, PLAYERS), 30_000, 4_000.0));
        let suffered = until("the worker to work", LIMIT, || {
            Ok((worker.metric("plaudit_records_total")? > 2_000.0).then_some(()))
        })
        .and_then(|()| fault());
        load.join().expect("the load does not panic")?;
        suffered
    })
}

/// Waits until idle lanes have noted what is sent, too: their last script of a load, without a player in it.
fn wait_until_settled(scene: &Scene<'_>) -> Result<()> {
    scene.wait_until_stored(LIMIT)?;
    let mut store = Store::connect(&scene.config.store.address, &scene.config.store.key_prefix)?;
    until("lanes to settle", LIMIT, || {
        for partition in 0..PARTITIONS {
            let fence = store.fence(partition)?.context("no fence")?;
            if fence.settled < fence.position {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
}

fn wait_until_unavailable(worker: &Worker) -> Result<()> {
    until("a lane to miss the store", LIMIT, || {
        let lanes = worker.lanes()?;
        let missing = lanes["lanes"]
            .as_array()
            .is_some_and(|lanes| lanes.iter().any(|lane| lane["reason"] == "StoreUnavailable"));
        Ok(missing.then_some(()))
    })
}

fn ensure_exact(verdict: &Verdict) -> Result<()> {
    ensure!(verdict.passed() && verdict.not_stored_yet == 0, "{verdict}");
    Ok(())
}
