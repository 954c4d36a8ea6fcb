//! Where lanes start, whatever happened to topic, group or store before: each row of the table on real servers.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use plaudit::load::{Mix, PlayerOrder};
use plaudit_crds::worker::WorkerConfig;
use plaudit_crds::{InitialOffset, OnRetentionLoss, OnStoreLoss, OnTopicRecreated};
use plaudit_tests::scene::{Scene, Worker, smooth_mix};
use plaudit_tests::stack::{Stack, Valkey, ValkeyOptions, shared, until};

const LIMIT: Duration = Duration::from_secs(90);

fn scene(stack: &'static Stack, name: &str, tweak: impl FnOnce(&mut WorkerConfig)) -> Result<Scene<'static>> {
    Scene::new((&stack.kafka, &stack.valkey), name, 2, tweak)
}

/// The message of a lane that has stopped for this reason.
fn stopped(worker: &Worker, reason: &str) -> Result<String> {
    let lane =
        worker.wait_for_lane(0, LIMIT, |lane| lane["state"] == "stopped" && lane["reason"] == reason)?;
    Ok(lane["message"].as_str().context("no message")?.to_owned())
}

fn ends(scene: &Scene<'_>) -> Result<i64> {
    Ok(scene.log()?.ends()?.values().sum())
}

fn wait_for_reports(worker: &Worker, count: f64) -> Result<()> {
    until("the reports", LIMIT, || Ok((worker.metric("plaudit_reports_total")? >= count).then_some(())))
        .with_context(|| worker.log())
}

#[test]
fn a_group_that_begins_at_the_end_reads_an_added_partition_from_its_beginning() -> Result<()> {
    let stack = shared();
    let scene = scene(stack, "added", |config| config.source.initial_offset = InitialOffset::Latest)?;
    scene.load(smooth_mix(20, 100), 500, 0.0)?;
    let worker = scene.start_worker()?;
    worker.wait_for_lane(1, LIMIT, |lane| lane["state"] == "running")?;
    worker.wait_for_lane(0, LIMIT, |lane| lane["state"] == "running")?;
    let before = ends(&scene)?;
    stack.kafka.add_partitions(&scene.config.source.topic, 6)?;
    // Long before the worker looks for new partitions.
    scene.load(smooth_mix(21, 100), 1_000, 0.0)?;
    wait_for_reports(&worker, 1_000.0)?;
    scene.wait_until_committed(LIMIT)?;
    let records = worker.metric("plaudit_records_total")?;
    ensure!(records == 1_000.0, "{records} of {before} + 1000 records were read");
    worker.stop()
}

#[test]
fn offsets_that_somebody_else_committed_are_where_a_group_begins() -> Result<()> {
    let scene = scene(shared(), "foreign", |_| ())?;
    scene.load(smooth_mix(22, 100), 1_000, 0.0)?;
    let log = scene.log()?;
    let ends = log.ends()?;
    let half: Vec<(i32, i64)> = ends.iter().map(|(partition, end)| (*partition, end / 2)).collect();
    log.commit(&scene.config.source.consumer_group, &half)?;
    let worker = scene.start_worker()?;
    scene.wait_until_committed(LIMIT)?;
    let left: i64 = ends.values().sum::<i64>() - half.iter().map(|(_, offset)| offset).sum::<i64>();
    let records = worker.metric("plaudit_records_total")?;
    ensure!(records == left as f64, "{records} records were read, not {left}");
    worker.stop()
}

#[test]
fn an_emptied_store_stops_the_lanes_or_is_filled_again() -> Result<()> {
    let stack = shared();
    let valkey = Valkey::start(ValkeyOptions::default())?;
    let mut scene = Scene::new((&stack.kafka, &valkey), "emptied", 2, |_| ())?;
    let worker = scene.start_worker()?;
    scene.load(smooth_mix(23, 200), 3_000, 0.0)?;
    scene.wait_until_committed(LIMIT)?;
    valkey.empty()?;
    let message = stopped(&worker, "StoreLost")?;
    ensure!(message.contains("store.onStoreLoss"), "{message}");
    worker.stop()?;
    scene.config.store.on_store_loss = OnStoreLoss::Replay;
    let worker = scene.start_worker()?;
    wait_for_reports(&worker, 3_000.0)?;
    scene.wait_until_committed(LIMIT)?;
    scene.assert_exact()?;
    worker.stop()
}

#[test]
fn a_second_group_with_the_same_keys_writes_nothing() -> Result<()> {
    let stack = shared();
    let first = scene(stack, "owner", |_| ())?;
    let owner = first.start_worker()?;
    first.load(smooth_mix(24, 100), 1_000, 0.0)?;
    first.wait_until_committed(LIMIT)?;
    let prefix = first.config.store.key_prefix.clone();
    let second = scene(stack, "intruder", |config| config.store.key_prefix = prefix)?;
    let intruder = second.start_worker()?;
    let message = stopped(&intruder, "StoreInUse")?;
    ensure!(message.contains(&first.config.source.consumer_group), "{message}");
    first.assert_exact()?;
    intruder.stop()?;
    owner.stop()
}

#[test]
fn a_topic_created_again_stops_the_lanes_or_is_read_on_top() -> Result<()> {
    let stack = shared();
    let mut scene = scene(stack, "recreated", |_| ())?;
    let mix = |seed| Mix { order: PlayerOrder::InTurn { reports_each: 1 }, ..smooth_mix(seed, 500) };
    let worker = scene.start_worker()?;
    scene.load(mix(25), 2_000, 0.0)?;
    scene.wait_until_committed(LIMIT)?;
    worker.stop()?;
    stack.kafka.delete_topic(&scene.config.source.topic)?;
    stack.kafka.create_topic(&scene.config.source.topic, 2, &[])?;
    // More than before, so that offsets alone would not tell.
    scene.load(mix(26), 4_000, 0.0)?;
    let worker = scene.start_worker()?;
    let message = stopped(&worker, "TopicRecreated")?;
    ensure!(message.contains("source.onTopicRecreated"), "{message}");
    ensure!(worker.metric("plaudit_records_total")? == 0.0, "nothing is read before a person acts");
    worker.stop()?;
    scene.config.source.on_topic_recreated = OnTopicRecreated::Continue;
    let worker = scene.start_worker()?;
    scene.wait_until_committed(LIMIT)?;
    let records = worker.metric("plaudit_records_total")?;
    ensure!(records == 4_000.0, "{records} records were read, not 4000");
    worker.stop()
}

#[test]
fn what_retention_took_stops_the_lanes_or_is_skipped_and_counted() -> Result<()> {
    let stack = shared();
    let mut scene = Scene::new((&stack.kafka, &stack.valkey), "retention", 1, |_| ())?;
    let topic = scene.config.source.topic.clone();
    let worker = scene.start_worker()?;
    scene.load(smooth_mix(27, 100), 1_000, 0.0)?;
    scene.wait_until_committed(LIMIT)?;
    worker.stop()?;
    scene.load(smooth_mix(28, 100), 1_000, 0.0)?;
    stack.kafka.delete_records(&topic, 0, 1_400)?;
    let worker = scene.start_worker()?;
    let message = stopped(&worker, "RetentionLoss")?;
    ensure!(message.starts_with("offsets 1000 to 1399 are due but no longer in the log"), "{message}");
    worker.stop()?;
    scene.config.source.on_retention_loss = OnRetentionLoss::Skip;
    let worker = scene.start_worker()?;
    scene.wait_until_committed(LIMIT)?;
    let (lost, read) =
        (worker.metric("plaudit_lost_records_total")?, worker.metric("plaudit_records_total")?);
    ensure!((lost, read) == (400.0, 600.0), "{lost} lost, {read} read");
    worker.stop()
}

#[test]
fn a_running_lane_that_retention_overtakes_skips_and_reads_on() -> Result<()> {
    let stack = shared();
    let valkey = Valkey::start(ValkeyOptions::default())?;
    let scene = Scene::new((&stack.kafka, &valkey), "overtaken", 1, |config| {
        config.source.on_retention_loss = OnRetentionLoss::Skip;
    })?;
    let worker = scene.start_worker()?;
    scene.load(smooth_mix(29, 100), 1_000, 0.0)?;
    scene.wait_until_committed(LIMIT)?;
    valkey.pause()?;
    // More than the client queues for the lane.
    scene.load(smooth_mix(30, 100), 60_000, 0.0)?;
    stack.kafka.delete_records(&scene.config.source.topic, 0, 60_000)?;
    valkey.resume()?;
    scene.wait_until_committed(LIMIT).with_context(|| worker.log())?;
    scene.load(smooth_mix(31, 100), 500, 0.0)?;
    scene.wait_until_committed(LIMIT)?;
    let (lost, read) =
        (worker.metric("plaudit_lost_records_total")?, worker.metric("plaudit_reports_total")?);
    ensure!(lost > 0.0 && lost + read >= 61_500.0, "{lost} lost, {read} read");
    worker.stop()
}

#[test]
fn a_group_whose_offsets_expired_goes_on_from_the_fence() -> Result<()> {
    let stack = shared();
    let scene = scene(stack, "expired", |_| ())?;
    let worker = scene.start_worker()?;
    scene.load(smooth_mix(32, 100), 2_000, 0.0)?;
    scene.wait_until_committed(LIMIT)?;
    worker.stop()?;
    stack.kafka.delete_group(&scene.config.source.consumer_group)?;
    scene.load(smooth_mix(33, 100), 1_000, 0.0)?;
    let worker = scene.start_worker()?;
    scene.wait_until_committed(LIMIT)?;
    let records = worker.metric("plaudit_records_total")?;
    ensure!(records == 1_000.0, "{records} records were read, not 1000");
    scene.assert_exact()?;
    worker.stop()
}
