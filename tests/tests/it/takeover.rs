//! Partitions change hands, and nobody writes what is not his.

use std::time::Duration;

use anyhow::{Result, ensure};
use plaudit_crds::worker::WorkerConfig;
use plaudit_crds::{GroupProtocol, Properties};
use plaudit_tests::scene::{Scene, rough_mix, smooth_mix};
use plaudit_tests::stack::{Valkey, ValkeyOptions, shared, until};

const LIMIT: Duration = Duration::from_secs(60);

/// The pipeline speaks the protocol of KIP-848 with its group; session and heartbeat are the broker's.
fn protocol(protocol: GroupProtocol) -> impl Fn(&mut WorkerConfig) {
    move |config| {
        config.source.group_protocol = protocol;
        if protocol == GroupProtocol::Consumer {
            config.source.properties = Properties::default();
        }
    }
}

#[test]
fn a_zombie_that_wakes_up_writes_nothing_wrong_and_stops() -> Result<()> {
    a_zombie(GroupProtocol::Classic)
}

#[test]
fn a_zombie_writes_nothing_wrong_with_kip_848_either() -> Result<()> {
    a_zombie(GroupProtocol::Consumer)
}

fn a_zombie(group_protocol: GroupProtocol) -> Result<()> {
    let stack = shared();
    let scene = Scene::new((&stack.kafka, &stack.valkey), "zombie", 4, protocol(group_protocol))?;
    let zombie = scene.start_worker()?;
    let owner = std::thread::scope(|scope| -> Result<_> {
        let load = scope.spawn(|| scene.load(rough_mix(6, 500), 60_000, 4_000.0));
        until("the zombie to work", LIMIT, || {
            Ok((zombie.metric("plaudit_records_total")? > 5_000.0).then_some(()))
        })?;
        zombie.pause()?;
        let owner = scene.start_worker()?;
        until("the partitions to be taken over", LIMIT, || {
            Ok((owner.metric("plaudit_records_total")? > 5_000.0).then_some(()))
        })?;
        zombie.resume()?;
        load.join().expect("the load does not panic")?;
        Ok(owner)
    })?;
    scene.wait_until_committed(LIMIT)?;
    scene.assert_exact()?;
    zombie.stop()?;
    owner.stop()
}

#[test]
fn a_rebalance_while_the_store_is_down_loses_nothing() -> Result<()> {
    a_rebalance_without_a_store(GroupProtocol::Classic)
}

#[test]
fn a_rebalance_while_the_store_is_down_loses_nothing_with_kip_848_either() -> Result<()> {
    a_rebalance_without_a_store(GroupProtocol::Consumer)
}

fn a_rebalance_without_a_store(group_protocol: GroupProtocol) -> Result<()> {
    let stack = shared();
    let valkey = Valkey::start(ValkeyOptions { append_fsync: "always", ..ValkeyOptions::default() })?;
    let scene = Scene::new((&stack.kafka, &valkey), "down", 4, protocol(group_protocol))?;
    let first = scene.start_worker()?;
    scene.load(rough_mix(7, 300), 10_000, 0.0)?;
    until("the worker to work", LIMIT, || Ok((first.metric("plaudit_records_total")? > 0.0).then_some(())))?;
    valkey.kill()?;
    scene.load(rough_mix(8, 300), 10_000, 0.0)?;
    first.wait_for_lane(0, LIMIT, |lane| lane["reason"] == "StoreUnavailable")?;
    let second = scene.start_worker()?;
    until("the second worker to get partitions", LIMIT, || {
        Ok(second.lanes()?["lanes"].as_array().is_some_and(|lanes| !lanes.is_empty()).then_some(()))
    })?;
    ensure!(first.get("/livez")?.0 == 200, "waiting for the store is alive");
    valkey.restart()?;
    scene.wait_until_committed(LIMIT)?;
    scene.assert_exact()?;
    first.stop()?;
    second.stop()
}

#[test]
fn a_store_that_lost_writes_is_noticed_and_repaired_exactly() -> Result<()> {
    let stack = shared();
    let valkey = Valkey::start(ValkeyOptions::default())?;
    let scene = Scene::new((&stack.kafka, &valkey), "suffix", 4, |_| ())?;
    let worker = scene.start_worker()?;
    scene.load(smooth_mix(9, 300), 10_000, 0.0)?;
    scene.wait_until_committed(LIMIT)?;
    let older = valkey.snapshot()?;
    scene.load(smooth_mix(10, 300), 10_000, 0.0)?;
    scene.wait_until_committed(LIMIT)?;
    valkey.restart_from(&older)?;
    until("the loss to be noticed", LIMIT, || {
        Ok((worker.metric("plaudit_fence_mismatches_total")? >= 1.0).then_some(()))
    })?;
    scene.load(smooth_mix(11, 300), 1_000, 0.0)?;
    until("everything to be stored again", LIMIT, || {
        let verdict = scene.check()?;
        Ok((verdict.passed() && verdict.not_stored_yet == 0).then_some(()))
    })?;
    worker.stop()
}

#[test]
fn workers_that_come_and_go_hand_over_with_both_protocols() -> Result<()> {
    for group_protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
        let stack = shared();
        let scene = Scene::new((&stack.kafka, &stack.valkey), "handover", 6, protocol(group_protocol))?;
        let first = scene.start_worker()?;
        std::thread::scope(|scope| -> Result<()> {
            let load = scope.spawn(|| scene.load(rough_mix(14, 500), 40_000, 5_000.0));
            until("the first to work", LIMIT, || {
                Ok((first.metric("plaudit_records_total")? > 3_000.0).then_some(()))
            })?;
            let second = scene.start_worker()?;
            until("the second to work", LIMIT, || {
                Ok((second.metric("plaudit_records_total")? > 3_000.0).then_some(()))
            })?;
            let third = scene.start_worker()?;
            first.stop()?;
            until("the third to work", LIMIT, || {
                Ok((third.metric("plaudit_records_total")? > 3_000.0).then_some(()))
            })?;
            second.stop()?;
            load.join().expect("the load does not panic")?;
            scene.wait_until_committed(LIMIT)?;
            scene.assert_exact()?;
            third.stop()
        })?;
    }
    Ok(())
}
