//! A bad record gets its documented answer, and its partition goes on.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use plaudit_crds::OnError;
use plaudit_tests::scene::{Outgoing, Scene};
use plaudit_tests::stack::{shared, until};

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn each_bad_record_becomes_a_dead_letter_with_its_reason() -> Result<()> {
    let stack = shared();
    let scene = Scene::new((&stack.kafka, &stack.valkey), "bad", 1, |_| ())?;
    let deep =
        format!(r#"{{"x":{}{},"uin":1,"items":[{{"type":1,"value":1}}]}}"#, "[".repeat(200), "]".repeat(200));
    let large =
        format!(r#"{{"uin":1,"items":[{{"type":1,"value":1}}],"x":"{}"}}"#, "x".repeat((1 << 20) - 200));
    let good = br#"{"uin":1,"items":[{"type":1003,"value":5}]}"#;
    let values: [(Option<&[u8]>, &str); 12] = [
        (None, "empty"),
        (Some(b""), "empty"),
        (Some(b"\xff\xfe\x00"), "not_utf8"),
        (Some(br#"{"uin":1,"items":[{"type":1"#), "malformed"),
        (Some(deep.as_bytes()), "malformed"),
        (Some(br#"{"uin":1,"uin":1,"items":[{"type":1,"value":1}]}"#), "malformed"),
        // fields without their names
        (Some(br#"[1,1,3,12,"r",[[1003,1]]]"#), "malformed"),
        (Some(br#"[1,1,3,12,"r",[{"type":1003,"value":1}]]"#), "malformed"),
        (Some(br#"{"uin":1,"items":[[1003,1]]}"#), "malformed"),
        (Some(large.as_bytes()), "limit_exceeded"),
        (Some(br#"{"uin":1,"items":[]}"#), "limit_exceeded"),
        (Some(br#"{"uin":1,"items":[{"type":1003,"value":9223372036854775807}]}"#), "sum_overflow"),
    ];
    let worker = scene.start_worker()?;
    let record =
        |value| Outgoing { key: Some(b"1"), value, header: Some(("trace", "7")), ..Outgoing::default() };
    let mut records = vec![record(Some(good.as_slice()))];
    records.extend(values.iter().map(|(value, _)| record(*value)));
    let soon = Outgoing { timestamp: Some(now_ms() + 1_800_000), ..record(Some(good.as_slice())) };
    records.extend([
        soon,
        Outgoing { key: None, ..record(Some(good.as_slice())) },
        Outgoing { key: Some(b"2"), ..record(Some(good.as_slice())) },
    ]);
    scene.log()?.send(&records)?;
    scene.wait_until_committed(LIMIT)?;

    let verdict = scene.assert_exact()?;
    ensure!((verdict.reports, verdict.refused) == (3, 13), "{verdict}");
    for (_, reason) in values.iter().chain([&(None, "future_timestamp")]) {
        let sent = worker.metric(&format!("plaudit_dead_letters_total{{reason=\"{reason}\"}}"))?;
        let expected = values.iter().filter(|(_, other)| other == reason).count().max(1) as f64;
        ensure!(sent == expected, "{sent} dead letters for {reason}, not {expected}");
    }
    ensure!(worker.metric("plaudit_misrouted_total")? == 2.0);
    worker.stop()
}

#[test]
fn with_on_error_stop_the_lane_stops_at_the_bad_record_and_says_why() -> Result<()> {
    let stack = shared();
    let scene = Scene::new((&stack.kafka, &stack.valkey), "stop", 1, |config| {
        config.dead_letters.on_error = OnError::Stop;
    })?;
    let good = Outgoing {
        key: Some(b"1"),
        value: Some(br#"{"uin":1,"items":[{"type":1,"value":5}]}"#),
        ..Outgoing::default()
    };
    let bad = Outgoing { key: Some(b"1"), value: Some(b"{"), ..Outgoing::default() };
    scene.log()?.send(&[good.clone(), good.clone(), bad, good])?;
    let worker = scene.start_worker()?;
    let lane = worker.wait_for_lane(0, LIMIT, |lane| lane["state"] == "stopped")?;
    ensure!(lane["reason"] == "BadRecord" && lane["position"] == 2, "{lane}");
    let (status, text) = worker.get("/readyz")?;
    ensure!(status == 503 && text.contains("offset 2 is refused (malformed"), "{status} {text}");
    ensure!(worker.get("/livez")?.0 == 200);
    ensure!(scene.log()?.letters()? == 0);
    worker.stop()
}

#[test]
fn with_on_error_stop_a_lone_bad_record_is_not_passed_however_often_the_lane_looks() -> Result<()> {
    let stack = shared();
    let scene = Scene::new((&stack.kafka, &stack.valkey), "lone", 2, |config| {
        config.dead_letters.on_error = OnError::Stop;
    })?;
    let good: &[u8] = br#"{"uin":1,"items":[{"type":1,"value":5}]}"#;
    let record = |partition, value| Outgoing {
        key: Some(b"1"),
        value: Some(value),
        partition: Some(partition),
        ..Outgoing::default()
    };
    scene.log()?.send(&[record(0, good), record(0, b"{"), record(1, b"{")])?;
    let worker = scene.start_mutant("park-briefly")?;
    until("each lane to look four times", LIMIT, || {
        let log = worker.log();
        let looks = |partition| {
            let stopped = |line: &&str| {
                line.contains("lane stopped") && line.contains(&format!("partition={partition} "))
            };
            log.lines().filter(stopped).count()
        };
        Ok((looks(0) >= 4 && looks(1) >= 4).then_some(()))
    })
    .with_context(|| worker.log())?;
    ensure!(worker.get("/readyz")?.0 == 503);
    worker.stop()?;
    let committed = scene.log()?.committed(&scene.config.source.consumer_group)?;
    ensure!(committed == [(0, 1), (1, 0)].into(), "{committed:?}");
    ensure!(scene.log()?.letters()? == 0);
    Ok(())
}

#[test]
fn a_bad_record_whose_key_fills_a_message_becomes_a_dead_letter_all_the_same() -> Result<()> {
    let stack = shared();
    let scene = Scene::new((&stack.kafka, &stack.valkey), "key", 1, |_| ())?;
    let key = vec![b'k'; (1 << 20) - 200];
    let bad = Outgoing { key: Some(&key), header: Some(("trace", "7")), ..Outgoing::default() };
    let good = Outgoing {
        key: Some(b"1"),
        value: Some(br#"{"uin":1,"items":[{"type":1,"value":5}]}"#),
        ..Outgoing::default()
    };
    let worker = scene.start_worker()?;
    scene.log()?.send(&[bad, good])?;
    scene.wait_until_committed(LIMIT)?;
    let verdict = scene.assert_exact()?;
    ensure!((verdict.reports, verdict.refused) == (1, 1), "{verdict}");
    worker.stop()
}

#[test]
fn thousands_of_bad_records_in_a_row_are_passed_quickly() -> Result<()> {
    const MANY: usize = 2_000;
    let stack = shared();
    let scene = Scene::new((&stack.kafka, &stack.valkey), "many", 1, |_| ())?;
    let full: &[u8] = br#"{"uin":1,"items":[{"type":1003,"value":9223372036854775807}]}"#;
    let one_more: &[u8] = br#"{"uin":1,"items":[{"type":1003,"value":1}]}"#;
    let record = |value| Outgoing { key: Some(b"1"), value: Some(value), ..Outgoing::default() };
    let mut records = vec![record(full)];
    records.extend(std::iter::repeat_n(record(b"{"), MANY));
    records.extend(std::iter::repeat_n(record(one_more), MANY));
    let worker = scene.start_worker()?;
    let log = scene.log()?;
    log.send(&records)?;
    // one by one they take minutes
    until("all to be passed", LIMIT, || {
        ensure!(worker.get("/livez")?.0 == 200, "the worker is not alive");
        let committed = log.committed(&scene.config.source.consumer_group)?;
        Ok((committed == log.ends()?).then_some(()))
    })?;
    let verdict = scene.assert_exact()?;
    let by_reason: Vec<_> = verdict.letters.by_reason.values().copied().collect();
    ensure!((verdict.reports, by_reason) == (1, vec![MANY as u64; 2]), "{verdict}");
    worker.stop()
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
