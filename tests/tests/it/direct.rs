//! The synchronous design that Plaudit is compared with: it works, and fails only as that design has to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use plaudit::load::Record;
use plaudit_tests::bench::event::{self, Bed, Due, FOUND, GameServers, Options, Phase, Shape, Span, Trace};
use plaudit_tests::direct::{Cas, Settings};
use plaudit_tests::programs;
use plaudit_tests::stack::{Valkey, ValkeyOptions, shared};

const ROUND_TRIP: Duration = Duration::from_millis(1);

#[test]
fn everything_replied_to_is_stored_and_merged_through_conflicts() -> Result<()> {
    let stack = shared();
    let bed = Bed::new((&stack.kafka, &stack.valkey), ROUND_TRIP)?;
    let none = (1.0, Duration::ZERO);
    let shape = Shape {
        seed: 5,
        players: 200,
        together_share: 0.5,
        quiet: none,
        usual: none,
        burst: (1_000.0, Duration::from_secs(1)),
        after: Duration::ZERO,
        flood: 2_000,
    };
    let trace = Arc::new(Trace::new(&shape, 1_700_000_000_000));
    for settings in [
        Settings { cas: Cas::Script, ..FOUND },
        Settings { cas: Cas::Ifeq, ..FOUND },
        Settings { cas: Cas::Script, backoff_milliseconds: 0, ..FOUND },
        Settings { cas: Cas::Ifeq, backoff_milliseconds: 0, ..FOUND },
    ] {
        let run = bed.run_direct(&trace, settings)?;

        ensure!(run.wrong.is_none(), "{settings:?}: {:?}", run.wrong);
        ensure!(run.stored_reports() == 3_000, "{settings:?}: {} reports stored", run.stored_reports());
        ensure!(run.writes.conflicts > 0, "{settings:?}: nothing met a conflict: {:?}", run.writes);
    }
    Ok(())
}

#[test]
fn a_report_that_is_sent_again_counts_twice() -> Result<()> {
    let stack = shared();
    let bed = Bed::new((&stack.kafka, &stack.valkey), ROUND_TRIP)?;
    let direct = bed.start_direct(FOUND)?;
    let trace = one_report();

    for _ in 0..2 {
        ensure!(send(&direct.address, &trace)? == 1);
    }

    let verdict = event::check(&trace, &direct.config, &stack.valkey.address())?;
    ensure!(verdict.applied_twice == 1, "{verdict}");
    Ok(())
}

#[test]
fn a_store_that_does_not_answer_leaves_a_report_unknown_and_the_next_one_is_stored() -> Result<()> {
    let valkey = Valkey::start(ValkeyOptions::default())?;
    let bed = Bed::new((&shared().kafka, &valkey), ROUND_TRIP)?;
    let direct = bed.start_direct(FOUND)?;
    let trace = one_report();
    ensure!(send(&direct.address, &trace)? == 1, "it is not even stored while the store answers");

    valkey.pause()?;
    let stored_meanwhile = send(&direct.address, &trace);
    valkey.resume()?;

    ensure!(stored_meanwhile? == 0, "nobody can know that it is stored");
    let counted = direct.counted()?;
    ensure!((counted.stored, counted.unknown) == (1, 1), "{counted:?}");
    ensure!(send(&direct.address, &trace)? == 1, "direct does not go on");
    Ok(())
}

#[test]
fn an_event_without_contention_is_invalid_and_prints_no_ratio() -> Result<()> {
    let stack = shared();
    let options = Options {
        event_rate: 200.0,
        event_burst: 1.0,
        event_flood: 2_000,
        event_together: 0.0,
        ..Options::short()
    };
    let worker = programs::find("worker-under-test")?;

    let outcome = event::run(&options, (&stack.kafka, &stack.valkey), &worker, |_| ())?;

    let text = outcome.to_string();
    let stored = (outcome.direct.stored, outcome.plaudit.stored);
    ensure!(stored == (outcome.direct.reports, outcome.plaudit.reports), "{text}");
    ensure!(outcome.direct.wrong.is_none() && outcome.plaudit.wrong.is_none(), "{text}");
    let why = text.split_once("INVALID").context("it is not called invalid")?.1;
    ensure!(why.contains("direct met conflicts in "), "{text}");
    let table: Vec<&str> = text.lines().take_while(|line| !line.starts_with("Trace:")).collect();
    ensure!(table.len() > 10 && !text.contains("difference "), "{text}");
    let ratios = table.iter().filter(|line| line.ends_with('%') && !line.starts_with("conflicts"));
    ensure!(ratios.count() == 0, "{text}");
    Ok(())
}

/// A sum of 5.
fn one_report() -> Arc<Trace> {
    let record = Record {
        key: Some(b"7".to_vec()),
        payload: Some(br#"{"uin":7,"items":[{"type":1003,"value":5}]}"#.to_vec()),
        timestamp_ms: 1_700_000_000_000,
    };
    let span = Span { phase: Phase::Usual, reports: 0..1, end: Duration::ZERO };
    Arc::new(Trace { reports: vec![Due { at: Duration::ZERO, record }], spans: vec![span], flood: 1..1 })
}

/// Reports stored.
fn send(address: &str, trace: &Arc<Trace>) -> Result<u64> {
    let mut senders = GameServers::connect(address, trace)?;
    senders.play(Instant::now(), |_, _| Ok(()))?;
    let stored = senders.stored();
    senders.end();
    Ok(stored)
}
