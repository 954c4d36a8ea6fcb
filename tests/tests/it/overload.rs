//! A backlog larger than the worker's memory, and lanes that wait for each other in nothing.

use std::time::Duration;

use anyhow::{Result, ensure};
use plaudit::load::{Mix, PlayerOrder};
use plaudit_tests::scene::{Outgoing, Scene, Worker, smooth_mix};
use plaudit_tests::stack::{shared, until};

const LIMIT: Duration = Duration::from_secs(90);
const PARTITIONS: i32 = 12;
/// What a worker may take with its default budget.
const MOST_MEBIBYTES: f64 = 48.0;

#[test]
fn a_backlog_of_small_records_takes_no_more_memory_than_a_quarter_of_it() -> Result<()> {
    let peak = |records| peak_over(|scene| scene.load(smooth_mix(1, 20_000), records, 0.0).map(drop));
    let (quarter, whole) = (peak(150_000)?, peak(600_000)?);
    ensure!(whole < quarter * 1.3, "{whole:.0} MiB for four times the records of {quarter:.0} MiB");
    Ok(())
}

#[test]
fn a_backlog_of_records_of_a_megabyte_takes_no_more_memory_than_a_quarter_of_it() -> Result<()> {
    /// Records of a partition: queues, batches and letters on their way are full long before a quarter is done.
    const EACH: i64 = 20;
    let stack = shared();
    let scene = Scene::new((&stack.kafka, &stack.valkey), "overload", PARTITIONS, |_| ())?;
    let padding = "x".repeat(1_000_000);
    let value = format!(r#"{{"uin":7,"padding":"{padding}","items":[{{"type":1003,"value":1}}]}}"#);
    let record = |partition| Outgoing {
        key: Some(b"7"),
        value: Some(value.as_bytes()),
        partition: Some(partition),
        ..Outgoing::default()
    };
    let records: Vec<_> = (0..PARTITIONS).map(record).collect();
    let log = scene.log()?;
    (0..EACH).try_for_each(|_| log.send(&records))?;
    let worker = scene.start_worker()?;

    until("a quarter to be done", LIMIT, || {
        let committed = log.committed(&scene.config.source.consumer_group)?;
        Ok((committed.values().sum::<i64>() >= EACH * i64::from(PARTITIONS) / 4).then_some(()))
    })?;
    let quarter = worker.peak_mebibytes()?;
    scene.wait_until_committed(LIMIT)?;
    let whole = worker.peak_mebibytes()?;
    ensure!(
        whole < quarter * 1.3 && whole <= MOST_MEBIBYTES,
        "{whole:.0} MiB for 240 MB, {quarter:.0} MiB for the first quarter"
    );
    scene.assert_exact()?;
    worker.stop()
}

#[test]
fn a_player_who_reports_all_the_time_is_written_once_a_batch() -> Result<()> {
    const HOT: u64 = 50_000;
    let stack = shared();
    let scene = Scene::new((&stack.kafka, &stack.valkey), "hot", PARTITIONS, |_| ())?;
    let hot = Mix { spread: false, order: PlayerOrder::InTurn { reports_each: HOT }, ..smooth_mix(2, 1) };
    scene.load(hot, HOT, 0.0)?;
    scene.load(Mix { first_uin: 1_000_000, ..smooth_mix(3, 5_000) }, 20_000, 0.0)?;
    let worker = scene.start_worker()?;
    scene.wait_until_committed(LIMIT)?;
    let verdict = scene.assert_exact()?;
    let written = worker.metric("plaudit_players_written_total")?;
    let most = worker.metric("plaudit_batches_total")? + 20_000.0;
    ensure!(written <= most, "{written} writes of {} players", verdict.players);
    worker.stop()
}

#[test]
fn a_lane_that_has_to_wait_holds_up_no_other() -> Result<()> {
    let stack = shared();
    let scene = Scene::new((&stack.kafka, &stack.valkey), "waits", PARTITIONS, |_| ())?;
    let letters = &scene.config.dead_letters.topic;
    stack.kafka.delete_topic(letters)?;
    // no letter is as small
    stack.kafka.create_topic(letters, 1, &[("max.message.bytes", "10")])?;
    let log = scene.log()?;
    let bad = Outgoing { value: Some(b"{"), partition: Some(0), ..Outgoing::default() };
    log.send(&[bad])?;
    scene.load(smooth_mix(4, 20_000), 120_000, 0.0)?;
    let worker = scene.start_worker()?;

    until("all lanes but one to be done", LIMIT, || {
        let (ends, committed) = (log.ends()?, log.committed(&scene.config.source.consumer_group)?);
        let behind = ends.iter().filter(|(partition, end)| committed.get(partition) != Some(end));
        Ok((behind.map(|(partition, _)| *partition).collect::<Vec<_>>() == [0]).then_some(()))
    })?;
    stack.kafka.delete_topic(letters)?;
    stack.kafka.create_topic(letters, 1, &[])?;
    scene.wait_until_committed(LIMIT)?;
    scene.assert_exact()?;
    worker.stop()
}

/// The most memory that a worker takes while it works a backlog off, in MiB.
fn peak_over(backlog: impl FnOnce(&Scene<'_>) -> Result<()>) -> Result<f64> {
    let stack = shared();
    let scene = Scene::new((&stack.kafka, &stack.valkey), "overload", PARTITIONS, |_| ())?;
    backlog(&scene)?;
    let worker: Worker = scene.start_worker()?;
    scene.wait_until_committed(LIMIT)?;
    let peak = worker.peak_mebibytes()?;
    scene.assert_exact()?;
    worker.stop()?;
    Ok(peak)
}
