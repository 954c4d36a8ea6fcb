//! What producers and topics are warned of while everything still works: it is told of, and harms nothing.

use std::time::Duration;

use anyhow::{Result, ensure};
use plaudit_tests::scene::{Scene, smooth_mix};
use plaudit_tests::stack::{shared, until};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};

const LIMIT: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 6;
const REPORTS: u64 = 20_000;

#[test]
fn two_partitioners_on_one_topic_are_named_and_every_report_counts_once() -> Result<()> {
    let stack = shared();
    let scene = Scene::new((&stack.kafka, &stack.valkey), "partitioners", PARTITIONS, |_| ())?;
    let worker = scene.start_worker()?;
    scene.load(smooth_mix(3, 5_000), REPORTS, 0.0)?;
    scene.wait_until_committed(LIMIT)?;
    let before = worker.lanes()?["sourceWarning"].clone();

    // The partitioner that librdkafka has where nobody chose one.
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", stack.kafka.bootstrap())
        .set("queue.buffering.max.messages", REPORTS.to_string())
        .create()?;
    for report in 0..REPORTS {
        let key = (10_001 + report % 5_000).to_string();
        let value = format!(r#"{{"uin":{key},"items":[{{"type":1003,"value":{report}}}]}}"#);
        let record = BaseRecord::to(&scene.config.source.topic).key(&key).payload(&value);
        producer.send(record).map_err(|(error, _)| error)?;
    }
    producer.flush(LIMIT)?;
    scene.wait_until_committed(LIMIT)?;
    let after = worker.lanes()?["sourceWarning"].clone();
    let verdict = scene.assert_exact()?;

    ensure!(before.is_null(), "{before}");
    ensure!(after["reason"] == "MixedPartitioners", "{after}");
    let message = after["message"].as_str().unwrap_or_default();
    ensure!(message.contains("murmur2") && message.contains("crc32"), "{message}");
    ensure!(verdict.reports == 2 * REPORTS, "{verdict}");
    worker.stop()
}

#[test]
fn a_topic_that_may_lose_acknowledged_reports_is_warned_of() -> Result<()> {
    let stack = shared();
    let scene = Scene::new((&stack.kafka, &stack.valkey), "unclean", 1, |_| ())?;
    let worker = scene.start_worker()?;
    worker.wait_for_lane(0, LIMIT, |lane| lane["state"] == "running")?;
    let before = worker.lanes()?["sourceWarning"].clone();
    worker.stop()?;
    let topic = &scene.config.source.topic;
    let risky =
        AlterConfig::new(ResourceSpecifier::Topic(topic)).set("unclean.leader.election.enable", "true");
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", stack.kafka.bootstrap()).create()?;
    let altered = futures::executor::block_on(admin.alter_configs([&risky], &AdminOptions::new()))?;
    ensure!(altered.iter().all(Result::is_ok), "{altered:?}");

    let worker = scene.start_worker()?;
    let warning = until("the warning", LIMIT, || {
        Ok(Some(worker.lanes()?["sourceWarning"].clone()).filter(|warning| !warning.is_null()))
    })?;

    ensure!(before.is_null(), "{before}");
    ensure!(warning["reason"] == "UncleanElectionAllowed", "{warning}");
    worker.stop()
}
