//! What the other tests rely on: servers that answer, come back with their data, and leave nothing behind.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Result;
use plaudit_tests::stack::background;
use plaudit_tests::stack::{Kafka, KafkaOptions, Valkey, ValkeyOptions, shared, unique_name, until};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn the_shared_pair_serves_a_new_topic_and_a_key() -> Result<()> {
    let stack = shared();
    let topic = unique_name("harness");
    stack.kafka.create_topic(&topic, 3, &[("retention.ms", "3600000")])?;

    produce(&stack.kafka, &topic, "one")?;
    set(&stack.valkey, &topic, "two")?;

    assert_eq!(
        (consume(&stack.kafka, &topic)?, get(&stack.valkey, &topic)?),
        ("one".to_owned(), Some("two".to_owned()))
    );
    Ok(())
}

#[test]
fn kafka_keeps_its_address_and_records_through_kill_and_stop() -> Result<()> {
    let kafka = Kafka::start(KafkaOptions::default())?;
    let address = kafka.bootstrap();
    kafka.create_topic("kept", 1, &[])?;
    produce(&kafka, "kept", "still here")?;

    kafka.kill()?;
    kafka.restart()?;
    kafka.restart()?;

    assert_eq!((kafka.bootstrap(), consume(&kafka, "kept")?), (address, "still here".to_owned()));
    Ok(())
}

#[test]
fn valkey_keeps_its_address_and_data_through_kill_and_stop() -> Result<()> {
    let valkey = Valkey::start(ValkeyOptions { append_fsync: "always", ..ValkeyOptions::default() })?;
    let address = valkey.address();
    set(&valkey, "kept", "still here")?;

    valkey.kill()?;
    valkey.restart()?;
    valkey.restart()?;

    assert_eq!((valkey.address(), get(&valkey, "kept")?), (address, Some("still here".to_owned())));
    Ok(())
}

#[test]
fn valkey_without_a_file_forgets_when_restarted() -> Result<()> {
    let valkey = Valkey::start(ValkeyOptions { append_only: false, ..ValkeyOptions::default() })?;
    set(&valkey, "kept", "no")?;

    valkey.restart()?;

    assert_eq!(get(&valkey, "kept")?, None);
    Ok(())
}

#[test]
fn a_promoted_replica_holds_what_it_had_received_and_outlives_a_kill() -> Result<()> {
    let options = ValkeyOptions { append_fsync: "always", ..ValkeyOptions::default() };
    let (primary, replica) = (Valkey::start(options.clone())?, Valkey::start(options)?);
    set(&primary, "received", "yes")?;

    replica.follow(&primary)?;
    replica.wait_for_sync(&primary)?;
    replica.promote()?;
    set(&primary, "written later", "lost")?;
    set(&replica, "written there", "kept")?;
    replica.kill()?;
    replica.restart()?;

    let found = ["received", "written later", "written there"].map(|key| get(&replica, key).ok().flatten());
    assert_eq!(found, [Some("yes".to_owned()), None, Some("kept".to_owned())]);
    Ok(())
}

#[test]
fn a_client_on_a_route_meets_the_broker_only_there() -> Result<()> {
    let kafka = Kafka::start(KafkaOptions { routes: 2, ..KafkaOptions::default() })?;
    kafka.create_topic("routed", 1, &[])?;
    kafka.add_partitions("routed", 3)?;
    kafka.route(0).cut();
    let partitions = |route: usize| -> Result<usize> {
        let client: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", kafka.route(route).address()).create()?;
        let metadata = client.fetch_metadata(Some("routed"), Duration::from_secs(3))?;
        let brokers: Vec<String> =
            metadata.brokers().iter().map(|broker| format!("{}:{}", broker.host(), broker.port())).collect();
        assert_eq!(brokers, [kafka.route(route).address()]);
        Ok(metadata.topics().iter().map(|topic| topic.partitions().len()).sum())
    };

    let (cut, open) = (partitions(0), partitions(1)?);
    kafka.route(0).heal();

    assert_eq!((cut.is_err(), open, partitions(0)?), (true, 3, 3));
    Ok(())
}

#[test]
fn a_paused_server_keeps_connections_and_answers_when_resumed() -> Result<()> {
    let valkey = Valkey::start(ValkeyOptions::default())?;
    let mut connection = connect(&valkey)?;
    connection.set_read_timeout(Some(Duration::from_millis(200)))?;

    valkey.pause()?;
    let paused: redis::RedisResult<String> = redis::cmd("PING").query(&mut connection);
    valkey.resume()?;

    assert!(paused.is_err_and(|error| error.is_timeout()));
    assert_eq!(get(&valkey, "nothing")?, None);
    Ok(())
}

#[test]
fn a_server_that_cannot_start_is_reported_with_its_own_words() {
    let broker = KafkaOptions {
        properties: vec![("log.retention.hours".into(), "many".into())],
        ..KafkaOptions::default()
    };
    let store = ValkeyOptions {
        settings: vec![("maxmemory-policy".into(), "sometimes".into())],
        ..ValkeyOptions::default()
    };

    let kafka = format!("{:#}", Kafka::start(broker).expect_err("the setting is wrong"));
    let valkey = format!("{:#}", Valkey::start(store).expect_err("the setting is wrong"));

    assert!(kafka.contains("Invalid value many for configuration log.retention.hours"), "{kafka}");
    assert!(valkey.contains("maxmemory-policy"), "{valkey}");
}

#[test]
fn servers_and_files_are_gone_after_a_kill_of_the_process_that_holds_them() -> Result<()> {
    let scratch = std::env::temp_dir().join(unique_name("hold"));
    std::fs::create_dir(&scratch)?;
    let mut holder = Command::new(env!("CARGO_BIN_EXE_plaudit-tests"))
        .arg("hold")
        .env("TMPDIR", &scratch)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let lines = BufReader::new(holder.stdout.take().expect("stdout is piped")).lines();
    let pids: Vec<String> = lines.map_while(Result::ok).take_while(|line| line != "holding").collect();
    assert_eq!(pids.iter().filter(|pid| is_running(pid)).count(), 2, "before: {pids:?}");

    holder.kill()?;
    holder.wait()?;

    until("the end of both servers", LIMIT, || Ok((!pids.iter().any(|pid| is_running(pid))).then_some(())))?;
    until("the removal of their files", LIMIT, || {
        Ok(std::fs::read_dir(&scratch)?.next().is_none().then_some(()))
    })?;
    std::fs::remove_dir(&scratch)?;
    Ok(())
}

#[test]
fn a_background_stack_is_found_again_and_ended_with_its_data() -> Result<()> {
    let background = Background(std::env::temp_dir().join(unique_name("background")));
    let first = background::up(&background.0, |kafka| kafka.create_topic("made-once", 1, &[]))?;
    let state = std::fs::read_to_string(background.0.join("state.json"))?;
    let state: serde_json::Value = serde_json::from_str(&state)?;
    let pids: Vec<String> = (0..2).map(|server| state["servers"][server]["pid"].to_string()).collect();

    let second = background::up(&background.0, |_| panic!("it is up"))?;
    let running = pids.iter().filter(|pid| is_running(pid)).count();
    let ended = (background::down(&background.0)?, background::down(&background.0)?);

    let left = pids.iter().filter(|pid| is_running(pid)).count();
    assert_eq!((second, running, ended, left, background.0.exists()), (first, 2, (true, false), 0, false));
    Ok(())
}

/// Ends a background stack also when its test fails.
struct Background(PathBuf);

impl Drop for Background {
    fn drop(&mut self) {
        drop(background::down(&self.0));
    }
}

/// A process whose parent has not yet asked for its exit status has ended, too.
fn is_running(pid: &str) -> bool {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid).join("status"));
    status.is_ok_and(|status| !status.lines().any(|line| line.starts_with("State:\tZ")))
}

fn produce(kafka: &Kafka, topic: &str, payload: &str) -> Result<()> {
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", kafka.bootstrap()).create()?;
    let record = BaseRecord::<(), str>::to(topic).partition(0).payload(payload);
    producer.send(record).map_err(|(error, _)| error)?;
    producer.flush(LIMIT)?;
    Ok(())
}

fn consume(kafka: &Kafka, topic: &str) -> Result<String> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka.bootstrap())
        .set("group.id", unique_name("harness"))
        .set("session.timeout.ms", "2000")
        .set("heartbeat.interval.ms", "300")
        .set("auto.offset.reset", "earliest")
        .create()?;
    consumer.subscribe(&[topic])?;
    // a poll also ends without a record, for instance after a rebalance
    until("a record", LIMIT, || {
        let Some(record) = consumer.poll(Duration::from_millis(100)) else { return Ok(None) };
        Ok(Some(String::from_utf8(record?.payload().unwrap_or_default().to_vec())?))
    })
}

fn connect(valkey: &Valkey) -> Result<redis::Connection> {
    Ok(redis::Client::open(format!("redis://{}/", valkey.address()))?.get_connection()?)
}

fn set(valkey: &Valkey, key: &str, value: &str) -> Result<()> {
    Ok(redis::cmd("SET").arg(key).arg(value).query(&mut connect(valkey)?)?)
}

fn get(valkey: &Valkey, key: &str) -> Result<Option<String>> {
    Ok(redis::cmd("GET").arg(key).query(&mut connect(valkey)?)?)
}
