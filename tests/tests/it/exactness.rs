//! Everything reported is stored exactly once.

use std::time::Duration;

use anyhow::{Result, ensure};
use plaudit::load::{Mix, PlayerOrder};
use plaudit_crds::Format;
use plaudit_tests::scene::{Scene, rough_mix, smooth_mix};
use plaudit_tests::stack::shared;

const LIMIT: Duration = Duration::from_secs(90);

#[test]
fn a_rough_load_is_stored_exactly_once() -> Result<()> {
    let stack = shared();
    let scene = Scene::new((&stack.kafka, &stack.valkey), "rough", 6, |_| ())?;
    let worker = scene.start_worker()?;
    scene.load(rough_mix(1, 2_000), 60_000, 0.0)?;
    scene.wait_until_committed(LIMIT)?;
    scene.assert_exact()?;
    worker.stop()
}

#[test]
fn protobuf_reports_are_stored_like_json_ones() -> Result<()> {
    let stack = shared();
    let scene = Scene::new((&stack.kafka, &stack.valkey), "protobuf", 3, |config| {
        config.source.format = Format::Protobuf;
    })?;
    let worker = scene.start_worker()?;
    let mix = Mix { format: Format::Protobuf, ..rough_mix(2, 500) };
    scene.load(mix, 20_000, 0.0)?;
    scene.wait_until_committed(LIMIT)?;
    scene.assert_exact()?;
    worker.stop()
}

#[test]
fn a_million_steady_reports_meet_no_conflict() -> Result<()> {
    let stack = shared();
    let scene = Scene::new((&stack.kafka, &stack.valkey), "steady", 12, |_| ())?;
    let worker = scene.start_worker()?;
    scene.load(smooth_mix(3, 50_000), 1_000_000, 0.0)?;
    scene.wait_until_committed(LIMIT)?;
    let conflicts =
        worker.metric("plaudit_conflicts_total")? + worker.metric("plaudit_fence_mismatches_total")?;
    ensure!(conflicts == 0.0, "{conflicts} conflicts");
    scene.assert_exact()?;
    worker.stop()
}

#[test]
fn newcomers_are_written_without_a_read_and_a_wrong_guess_is_mended() -> Result<()> {
    let stack = shared();
    let scene = Scene::new((&stack.kafka, &stack.valkey), "newcomers", 1, |_| ())?;
    let worker = scene.start_worker()?;
    let order = PlayerOrder::InTurn { reports_each: 1 };
    scene.load(Mix { order, ..smooth_mix(6, 10_000) }, 20_000, 0.0)?;
    scene.wait_until_committed(LIMIT)?;
    let presumed = worker.metric("plaudit_presumed_new_total")?;
    let refused = worker.metric("plaudit_presumed_new_refused_total")?;
    let conflicts = worker.metric("plaudit_conflicts_total")?;
    ensure!(presumed >= 5_000.0, "only {presumed} of 10,000 new players were written without a read");
    ensure!(refused > 0.0 && refused < presumed / 2.0, "{refused} of {presumed} guesses were wrong");
    ensure!(conflicts == 0.0, "a wrong guess is no conflict: {conflicts}");
    scene.assert_exact()?;
    worker.stop()
}

#[test]
fn a_worker_that_starts_again_after_a_clean_stop_replays_nothing() -> Result<()> {
    let stack = shared();
    let scene = Scene::new((&stack.kafka, &stack.valkey), "again", 3, |_| ())?;
    let worker = scene.start_worker()?;
    scene.load(smooth_mix(4, 100), 5_000, 0.0)?;
    scene.wait_until_committed(LIMIT)?;
    worker.stop()?;
    scene.load(smooth_mix(5, 100), 1_000, 0.0)?;
    let worker = scene.start_worker()?;
    scene.wait_until_committed(LIMIT)?;
    let records = worker.metric("plaudit_records_total")?;
    ensure!(records == 1_000.0, "{records} records read, not 1000");
    scene.assert_exact()?;
    worker.stop()
}
