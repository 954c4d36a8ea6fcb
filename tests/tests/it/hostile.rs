//! What somebody who may send records, or reach an endpoint, can cost: a letter, a connection, and no more.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Result, ensure};
use plaudit_tests::scene::{Outgoing, Scene};
use plaudit_tests::stack::{shared, unique_name};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, FutureRecord};

const LIMIT: Duration = Duration::from_secs(30);
/// What a worker's pod may have, without another word in the pipeline.
const POD_MEBIBYTES: f64 = 128.0;

fn of_types(types: std::ops::Range<u32>) -> Vec<u8> {
    let items: Vec<String> = types.map(|r#type| format!(r#"{{"type":{type},"value":1}}"#)).collect();
    format!(r#"{{"uin":1,"items":[{}]}}"#, items.join(",")).into_bytes()
}

#[test]
fn a_player_who_is_full_takes_no_new_type_and_the_partition_goes_on() -> Result<()> {
    let stack = shared();
    let scene = Scene::new((&stack.kafka, &stack.valkey), "full", 1, |_| ())?;
    let mut values: Vec<_> = (0..16).map(|part| of_types(10_000 + 256 * part..10_256 + 256 * part)).collect();
    values.extend([of_types(9_999..10_001), of_types(10_000..10_256)]);
    let record = |value: &'static str| Outgoing {
        key: Some(b"1"),
        value: Some(value.as_bytes()),
        ..Outgoing::default()
    };
    let deletion = record(r#"{"uin":1,"delete":true}"#);
    let anew = record(r#"{"uin":1,"items":[{"type":9999,"value":1}]}"#);
    let mut records: Vec<_> =
        values.iter().map(|value| Outgoing { value: Some(value), ..deletion.clone() }).collect();
    let worker = scene.start_worker()?;
    let log = scene.log()?;
    log.send(&records)?;
    scene.wait_until_committed(LIMIT)?;
    let verdict = scene.assert_exact()?;
    ensure!((verdict.reports, verdict.refused) == (17, 1), "{verdict}");
    ensure!(worker.metric(r#"plaudit_dead_letters_total{reason="player_full"}"#)? == 1.0);
    records = vec![deletion, anew];
    log.send(&records)?;
    scene.wait_until_committed(LIMIT)?;
    let verdict = scene.assert_exact()?;
    ensure!((verdict.reports, verdict.refused) == (19, 1), "{verdict}");
    worker.stop()
}

#[test]
fn a_record_with_a_hundred_thousand_headers_becomes_a_letter_without_them() -> Result<()> {
    let stack = shared();
    let scene = Scene::new((&stack.kafka, &stack.valkey), "headers", 1, |_| ())?;
    let good = Outgoing {
        key: Some(b"1"),
        value: Some(br#"{"uin":1,"items":[{"type":1003,"value":5}]}"#),
        ..Outgoing::default()
    };
    let bad = Outgoing { value: Some(b"{"), empty_headers: 99_999, ..good.clone() };
    let overflow = Outgoing {
        value: Some(br#"{"uin":1,"items":[{"type":1003,"value":9223372036854775807}]}"#),
        empty_headers: 99_999,
        ..good.clone()
    };
    let worker = scene.start_worker()?;
    scene.log()?.send(&[good.clone(), bad.clone(), bad, overflow.clone(), overflow, good])?;
    scene.wait_until_committed(LIMIT)?;

    // The checker compares what a letter says of the headers that it left out.
    let verdict = scene.assert_exact()?;
    ensure!((verdict.reports, verdict.refused) == (2, 4), "{verdict}");
    let peak = worker.peak_mebibytes()?;
    ensure!(peak < POD_MEBIBYTES, "{peak} MiB");
    worker.stop()
}

#[test]
fn a_record_that_unpacks_to_twenty_megabytes_becomes_a_letter_of_its_beginning() -> Result<()> {
    let stack = shared();
    let scene = Scene::new((&stack.kafka, &stack.valkey), "unpacks", 1, |_| ())?;
    let bootstrap = stack.kafka.bootstrap();
    let good = Outgoing {
        key: Some(b"1"),
        value: Some(br#"{"uin":1,"items":[{"type":1,"value":5}]}"#),
        ..Outgoing::default()
    };
    let worker = scene.start_worker()?;
    send_packed(&bootstrap, &scene.config.source.topic, 20 << 20)?;
    scene.log()?.send(&[good])?;
    scene.wait_until_committed(LIMIT)?;

    let verdict = scene.assert_exact()?;
    ensure!((verdict.reports, verdict.refused) == (1, 1), "{verdict}");
    let peak = worker.peak_mebibytes()?;
    ensure!(peak < POD_MEBIBYTES, "{peak} MiB");
    worker.stop()
}

#[test]
fn a_topic_that_stores_batches_unpacked_refuses_one_that_is_too_large_then() -> Result<()> {
    let stack = shared();
    let topic = unique_name("unpacked");
    stack.kafka.create_topic(&topic, 1, &[("compression.type", "uncompressed")])?;

    let sent = send_packed(&stack.kafka.bootstrap(), &topic, 20 << 20);

    let error = sent.err().and_then(|error| error.downcast::<KafkaError>().ok());
    let code = error.and_then(|error| error.rdkafka_error_code());
    ensure!(code == Some(RDKafkaErrorCode::MessageSizeTooLarge), "{code:?}");
    Ok(())
}

/// Sends a record of spaces, which takes a thousandth while it is packed.
fn send_packed(bootstrap: &str, topic: &str, bytes: usize) -> Result<()> {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("message.max.bytes", "100000000")
        .set("compression.type", "gzip")
        .create()?;
    let value = vec![b' '; bytes];
    let record = FutureRecord::<[u8], [u8]>::to(topic).key(b"1").payload(&value).partition(0);
    let sent = producer.send_result(record).map_err(|(error, _)| error)?;
    futures::executor::block_on(sent)?.map_err(|(error, _)| error)?;
    Ok(())
}

#[test]
fn the_endpoints_of_a_worker_only_read_and_keep_nobody_waiting() -> Result<()> {
    let stack = shared();
    let scene = Scene::new((&stack.kafka, &stack.valkey), "endpoints", 1, |_| ())?;
    let worker = scene.start_worker()?;
    let address = worker.address()?;
    let ask = |question: &str| -> Result<String> {
        let mut stream = TcpStream::connect(&address)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.write_all(question.as_bytes())?;
        let mut answer = Vec::new();
        // A reset is an end as well.
        let _ = stream.read_to_end(&mut answer);
        Ok(String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned())
    };
    // More than are served at a time, and each says half a word.
    let mut held = Vec::new();
    for _ in 0..80 {
        let mut stream = TcpStream::connect(&address)?;
        stream.write_all(b"GET /lanes HT")?;
        held.push(stream);
    }

    let answers = [
        ask("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")?,
        ask("POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")?,
        ask("DELETE /players/1/0/0/0/ HTTP/1.1\r\nHost: x\r\n\r\n")?,
        ask(&format!("GET /players/1/0/0/0/{} HTTP/1.1\r\nHost: x\r\n\r\n", "r".repeat(129)))?,
        ask("GET /players/-1/0/0/0/ HTTP/1.1\r\nHost: x\r\n\r\n")?,
        ask(&format!("GET /livez HTTP/1.1\r\nHost: {}\r\n\r\n", "x".repeat(20_000)))?,
    ];
    // Whoever does not finish a question is hung up on.
    let last = held.last_mut().expect("eighty");
    last.set_read_timeout(Some(LIMIT))?;
    let hung_up = last.read_to_end(&mut Vec::new());

    let status = |answer: &String| answer.split(' ').nth(1).unwrap_or_default().to_owned();
    let statuses = answers.each_ref().map(status);
    ensure!(statuses == ["200", "405", "405", "404", "400", "431"], "{answers:?}");
    ensure!(
        hung_up.as_ref().map_or_else(|error| error.kind() == std::io::ErrorKind::ConnectionReset, |_| true),
        "{hung_up:?}"
    );
    worker.stop()
}
