//! Readers see whole player records, and read them with ordinary tools.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use plaudit_tests::scene::{Outgoing, Scene};
use plaudit_tests::stack::shared;
use plaudit_worker::player::{Layout, PlayerId};
use plaudit_worker::reader::PlayerReader;
use plaudit_worker::store::Connector;

use crate::protoc;

const LIMIT: Duration = Duration::from_secs(60);
/// Types a report of this test sets to one value: half a record would show two.
const TYPES: u32 = 120;
/// The reader is to see so many values of them, while at most so many are written.
const ENOUGH: usize = 50;
const MOST: u64 = 5_000;

#[test]
fn a_reader_of_split_records_never_sees_half_of_one() -> Result<()> {
    let stack = shared();
    let scene = Scene::new((&stack.kafka, &stack.valkey), "split", 1, |config| {
        config.store.max_value_bytes = 1_024;
        config.batch.max_records = 1;
        config.achievements.types.clear();
    })?;
    let worker = scene.start_worker()?;
    let (done, seen) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (reads, rounds) = std::thread::scope(|scope| -> Result<(usize, usize)> {
        let reader = scope.spawn(|| read_until(&scene, &done, &seen));
        let log = scene.log()?;
        for value in (1..=MOST).take_while(|_| seen.load(Ordering::Relaxed) <= ENOUGH) {
            log.send(&[Outgoing {
                key: Some(b"7"),
                value: Some(report(value).as_bytes()),
                ..Outgoing::default()
            }])?;
        }
        scene.wait_until_committed(LIMIT)?;
        done.store(true, Ordering::Relaxed);
        reader.join().expect("the reader does not panic")
    })?;
    ensure!(reads > 100 && rounds > ENOUGH, "{reads} reads saw {rounds} values: too few to tell");
    let verdict = scene.assert_exact()?;
    ensure!(verdict.split_players == 1 && verdict.stray_chunks == 0, "{verdict}");
    let (status, body) = worker.get("/players/7/0/0/0")?;
    ensure!(status == 200 && body.contains("\"chunks\":"), "{status} {body}");
    ensure!(worker.get("/players/8/0/0/0/")?.0 == 404);
    worker.stop()
}

#[test]
fn a_player_of_hundreds_of_chunks_is_stored_read_and_changed() -> Result<()> {
    const REPORTS: u32 = 5;
    const ITEMS: u32 = 60;
    let stack = shared();
    let scene = Scene::new((&stack.kafka, &stack.valkey), "chunks", 1, |config| {
        config.store.max_value_bytes = 1_024;
        config.achievements.types.clear();
    })?;
    // each achievement alone is larger than a value should be
    let report = |first: u32, count: u32, value: u32| {
        let data = "x".repeat(1_000);
        let items: Vec<String> = (first..first + count)
            .map(|kind| format!(r#"{{"type":{kind},"value":{value},"data":"{data}{value:024}"}}"#))
            .collect();
        format!(r#"{{"uin":7,"items":[{}]}}"#, items.join(","))
    };
    let mut reports: Vec<String> = (0..REPORTS).map(|at| report(at * ITEMS, ITEMS, 1)).collect();
    reports.push(report(17, 1, 2));
    let worker = scene.start_worker()?;
    for report in &reports {
        let value = Some(report.as_bytes());
        scene.log()?.send(&[Outgoing { key: Some(b"7"), value, ..Outgoing::default() }])?;
        scene.wait_until_committed(LIMIT)?;
    }
    let verdict = scene.assert_exact()?;
    ensure!(verdict.split_players == 1 && verdict.stray_chunks == 0, "{verdict}");
    let (_, body) = worker.get("/players/7/0/0/0")?;
    let player: serde_json::Value = serde_json::from_str(&body)?;
    let (chunks, achievements) = (player["chunks"].as_u64(), player["achievements"].as_array());
    let found = (chunks, achievements.map(Vec::len));
    ensure!(found == (Some(u64::from(REPORTS * ITEMS)), Some((REPORTS * ITEMS) as usize)), "{found:?}");
    worker.stop()
}

fn report(value: u64) -> String {
    let items: Vec<String> = (1..=TYPES)
        .map(|kind| format!(r#"{{"type":{kind},"value":{value},"data":"{value:020}"}}"#))
        .collect();
    format!(r#"{{"uin":7,"items":[{}]}}"#, items.join(","))
}

/// Reads the player again and again; how often, and how many different values were seen, which it also counts in `count`.
fn read_until(scene: &Scene<'_>, done: &AtomicBool, count: &AtomicUsize) -> Result<(usize, usize)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let layout =
            Layout { key_prefix: scene.config.store.key_prefix.clone(), buckets: scene.config.store.buckets };
        let mut reader = PlayerReader::new(&Connector::plain(&scene.valkey.address()), layout);
        let (mut reads, mut seen) = (0, std::collections::BTreeSet::new());
        while !done.load(Ordering::Relaxed) {
            let Some(player) = reader.get(&PlayerId { uin: 7, ..PlayerId::default() }).await? else {
                continue;
            };
            let values: std::collections::BTreeSet<i64> =
                player.achievements.iter().map(|stored| stored.value).collect();
            ensure!(
                values.len() == 1 && player.achievements.len() == TYPES as usize,
                "half a record: {values:?}"
            );
            seen.extend(values);
            count.store(seen.len(), Ordering::Relaxed);
            reads += 1;
        }
        Ok((reads, seen.len()))
    })
}

#[test]
fn protoc_reads_a_stored_record() -> Result<()> {
    let stack = shared();
    let scene = Scene::new((&stack.kafka, &stack.valkey), "protoc", 1, |_| ())?;
    let worker = scene.start_worker()?;
    let value = br#"{"uin":10001,"platform":1,"zone":3,"server":12,"role":"987654","items":[{"type":1001,"value":-37,"data":"text"}]}"#;
    let record = Outgoing {
        key: Some(b"10001"),
        value: Some(value),
        timestamp: Some(1_700_000_000_000),
        ..Outgoing::default()
    };
    scene.log()?.send(&[record])?;
    scene.wait_until_committed(LIMIT)?;
    let key = format!("{}{{239}}10001:1:3:12:987654", scene.config.store.key_prefix);
    let mut connection =
        redis::Client::open(format!("redis://{}/", scene.valkey.address()))?.get_connection()?;
    let stored: Vec<u8> = redis::cmd("GET").arg(&key).query(&mut connection)?;
    let text = protoc::decode("player.proto", "PlayerRecord", &stored)?;
    for line in [
        "format: 1",
        "version: 1",
        "uin: 10001",
        "role: \"987654\"",
        "value: -37",
        "data: \"text\"",
        "first_time: 1700000000000",
    ] {
        ensure!(text.contains(line), "{line} is missing in\n{text}");
    }
    worker.stop()
}
