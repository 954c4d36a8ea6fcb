//! A store that goes away costs time, never reports.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use plaudit_tests::scene::{Outgoing, Scene, smooth_mix};
use plaudit_tests::stack::{Valkey, ValkeyOptions, shared, until};

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_lane_with_nothing_to_read_is_ready_again_when_the_store_is_back() -> Result<()> {
    let stack = shared();
    let valkey = durable()?;
    let scene = Scene::new((&stack.kafka, &valkey), "idle", 1, |_| ())?;
    let worker = scene.start_worker()?;
    scene.load(smooth_mix(13, 100), 1_000, 0.0)?;
    scene.wait_until_committed(LIMIT)?;
    // the first changes a player, the second only has to move the fence
    for value in [&br#"{"uin":1,"items":[{"type":1,"value":1}]}"#[..], b"{"] {
        valkey.kill()?;
        scene.log()?.send(&[Outgoing { key: Some(b"1"), value: Some(value), ..Outgoing::default() }])?;
        worker.wait_for_lane(0, LIMIT, |lane| lane["reason"] == "StoreUnavailable")?;
        ensure!(worker.get("/readyz")?.0 == 503);
        valkey.restart()?;
        until("the worker to be ready", LIMIT, || Ok((worker.get("/readyz")?.0 == 200).then_some(())))
            .with_context(|| worker.log())?;
    }
    scene.wait_until_committed(LIMIT)?;
    scene.assert_exact()?;
    worker.stop()
}

#[test]
fn a_worker_told_to_stop_while_the_store_is_down_ends_soon_and_loses_nothing() -> Result<()> {
    let stack = shared();
    let valkey = durable()?;
    let scene = Scene::new((&stack.kafka, &valkey), "stopped", 2, |_| ())?;
    let worker = scene.start_worker()?;
    scene.load(smooth_mix(14, 100), 5_000, 0.0)?;
    scene.wait_until_committed(LIMIT)?;
    valkey.kill()?;
    scene.load(smooth_mix(15, 100), 5_000, 0.0)?;
    worker.wait_for_lane(0, LIMIT, |lane| lane["reason"] == "StoreUnavailable")?;
    let begin = Instant::now();
    worker.stop()?;
    let took = begin.elapsed();
    ensure!(took < Duration::from_secs(10), "it took {took:?}");
    valkey.restart()?;
    let successor = scene.start_worker()?;
    scene.wait_until_committed(LIMIT)?;
    scene.assert_exact()?;
    successor.stop()
}

/// What it acknowledged survives its death.
fn durable() -> Result<Valkey> {
    Valkey::start(ValkeyOptions { append_fsync: "always", ..ValkeyOptions::default() })
}
