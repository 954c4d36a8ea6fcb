//! A local fleet's handling of real processes, with a shell script in the worker's place.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::process::StartError;
use super::*;
use crate::observe::LanesReport;

/// The script gets the worker's arguments: --config FILE --address-file FILE --log-format text.
fn script(dir: &Path, body: &str) -> PathBuf {
    let path = dir.join("fake-worker");
    std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("a script");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("it may run");
    path
}

/// Starts the script and calls `signal` once it is up; says how it ended.
fn run_to_end(body: &str, signal: fn(&Process)) -> (String, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let temporary = tempfile::tempdir().expect("a directory");
    let dir = StateDir::take(&temporary.path().join("state")).expect("it is free");
    let binary = script(temporary.path(), body);
    runtime.block_on(async {
        let mut children = tokio::signal::unix::signal(SignalKind::child()).expect("signals");
        let mut process = start(&binary, &dir).await;
        // Written once the script has set its traps.
        while !dir.address("w-0").exists() && process.collect().is_none() {
            tokio::task::yield_now().await;
        }
        signal(&process);
        loop {
            if let Some(how) = process.collect() {
                let log = std::fs::read_to_string(dir.log("w-0")).expect("a log");
                break (how, log);
            }
            children.recv().await;
        }
    })
}

/// Another test's fork may hold the script open for writing for a moment.
async fn start(binary: &Path, dir: &StateDir) -> Process {
    loop {
        match Process::start(binary, "w-0", "pipeline: games/p\n", dir, None) {
            Ok(process) => return process,
            Err(StartError::Spawn { source, .. })
                if source.kind() == std::io::ErrorKind::ExecutableFileBusy =>
            {
                tokio::task::yield_now().await;
            }
            Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
        }
    }
}

#[test]
fn a_worker_gets_its_configuration_and_its_output_is_kept() {
    let (how, log) = run_to_end(r#"cat "$2"; echo trouble >&2; echo "$1 $3 $5 $6""#, |_| ());

    assert_eq!(
        (how.as_str(), log.as_str()),
        ("exited with status 0", "pipeline: games/p\ntrouble\n--config --address-file --name w-0\n")
    );
}

#[test]
fn a_worker_that_is_asked_to_stop_may_drain() {
    // `wait` returns as soon as the signal is there; any other command would be waited for first.
    let body =
        r#"trap 'echo drained; kill $!; exit 0' TERM; tail -f /dev/null & echo 127.0.0.1:1 > "$4"; wait"#;

    let (how, log) = run_to_end(body, Process::terminate);

    assert_eq!((how.as_str(), log.as_str()), ("exited with status 0", "drained\n"));
}

#[test]
fn a_worker_that_does_not_listen_is_killed() {
    let body = r#"trap '' TERM; echo 127.0.0.1:1 > "$4"; exec tail -f /dev/null"#;

    let (how, _) = run_to_end(body, |process| {
        process.terminate();
        process.kill();
    });

    assert_eq!(how, "was killed by signal 9");
}

#[test]
fn a_worker_that_refuses_its_configuration_says_so() {
    let (how, log) = run_to_end("echo 'bad field' >&2; exit 2", |_| ());

    assert_eq!((how.as_str(), log.as_str()), ("refused its configuration (exit status 2)", "bad field\n"));
}

#[test]
fn a_binary_that_is_missing_is_an_error_that_names_it() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let temporary = tempfile::tempdir().expect("a directory");
    let dir = StateDir::take(temporary.path()).expect("it is free");

    let error =
        runtime.block_on(async { Process::start(Path::new("/nowhere/worker"), "w-0", "", &dir, None) });

    assert_eq!(error.expect_err("there is none").to_string(), "could not start /nowhere/worker");
}

#[test]
fn a_worker_is_asked_for_its_lanes_and_readiness() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let temporary = tempfile::tempdir().expect("a directory");
    let address_file = temporary.path().join("address");
    let address = listener.local_addr().expect("an address").to_string();
    std::fs::write(&address_file, format!("{address}\n")).expect("an address file");
    let server = std::thread::spawn(move || {
        for stream in listener.incoming().take(2) {
            let mut stream = stream.expect("a connection");
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).expect("a request");
            let body = if line.starts_with("GET /lanes ") {
                r#"{"lanes":[{"partition":7,"state":"running","position":5}],"records":9}"#
            } else {
                "ok"
            };
            write!(stream, "HTTP/1.0 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
                .expect("an answer");
        }
    });

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let answer = runtime.block_on(ask_worker(42, &address_file));
    server.join().expect("the server ends");

    let report = answer.report.expect("a report");
    assert_eq!(
        (answer.pid, answer.address, answer.ready, report.records, report.lanes[0].position),
        (42, Some(address), true, 9, Some(5))
    );
}

#[test]
fn a_worker_that_does_not_answer_is_unknown_not_empty() {
    let temporary = tempfile::tempdir().expect("a directory");
    let address_file = temporary.path().join("address");
    std::fs::write(&address_file, "127.0.0.1:1\n").expect("an address file");

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let answer = runtime.block_on(ask_worker(42, &address_file));

    assert_eq!((answer.ready, answer.report), (false, None));
}

#[test]
fn a_ready_worker_stays_ready_while_partitions_move_and_not_while_it_waits() {
    let answer = |ready, states: &[&str]| {
        let lane = |state: &&str| crate::observe::Lane {
            state: (*state).to_owned(),
            ..crate::observe::Lane::default()
        };
        let report = LanesReport { lanes: states.iter().map(lane).collect(), ..LanesReport::default() };
        Answer { pid: 1, ready, report: Some(report), ..Answer::default() }
    };
    let (before, silent) = (answer(true, &["running"]), Answer { pid: 1, ..Answer::default() });
    let now = [answer(false, &["running", "starting"]), answer(false, &["running", "waiting"]), silent];

    let ready = now.each_ref().map(|now| rebalances(&before, now));

    assert_eq!((ready, rebalances(&answer(false, &[]), &now[0])), ([true, false, false], false));
}
