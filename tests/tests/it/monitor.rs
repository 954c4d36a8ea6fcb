//! The lag monitor on real Kafka: what it says of topics and groups, and what that costs.

mod watched;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use plaudit::observe::{Committed, GroupState, Monitors, PartitionOffsets, Settings, SourceState, Watch};
use plaudit_tests::scene::{Scene, smooth_mix};
use plaudit_tests::stack::{Kafka, KafkaOptions, shared, unique_name, until};
use plaudit_worker::security::KafkaCredentials;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use self::watched::{
    LIMIT, after_polls, commit, lags, monitors, pipeline, send, topic, wait_for_failure, wait_for_lags,
    wait_for_topic,
};

#[test]
fn two_hundred_idle_pipelines_cost_one_request_a_poll() -> Result<()> {
    const PIPELINES: usize = 200;
    let kafka = &shared().kafka;
    let topics: Vec<String> = (0..PIPELINES).map(|_| unique_name("idle")).collect();
    kafka.create_topics(&topics, 2)?;
    // Metadata as rarely as in production.
    let settings = Settings { period: Duration::from_millis(500), ..Settings::default() };
    let monitors = Monitors::new(settings);
    let pipelines: Vec<_> =
        topics.iter().map(|topic| pipeline(&kafka.bootstrap(), topic, "")).collect::<Result<_>>()?;
    let watches: Vec<Watch> =
        pipelines.iter().map(|pipeline| monitors.watch(pipeline, KafkaCredentials::default())).collect();
    for (watch, pipeline) in watches.iter().zip(&pipelines) {
        wait_for_topic(watch, "first offsets", |topic| {
            lags(topic, pipeline) == [Some(0); 2]
                && topic.partitions.iter().all(|one| one.committed == Committed::Offset(0))
        })?;
    }
    // The statistics of what it took to get there.
    after_polls(&monitors, 11);
    let (before, begin) = (monitors.counts(), Instant::now());
    until("20 more polls in the statistics", LIMIT, || {
        let polls = |counts: &plaudit::observe::Counts| counts.requests.get("ListOffsets").copied();
        Ok((polls(&monitors.counts()) >= polls(&before).map(|polls| polls + 20)).then_some(()))
    })?;
    let after = monitors.counts();
    let polls = begin.elapsed().as_secs_f64() / settings.period.as_secs_f64();

    let more = |name: &str| after.requests.get(name).unwrap_or(&0) - before.requests.get(name).unwrap_or(&0);
    let all = after.requests_total() - before.requests_total();
    #[expect(clippy::cast_precision_loss, reason = "a few dozen")]
    let asked = more("ListOffsets") as f64;
    // Statistics come every fifth poll.
    ensure!(asked <= polls + 7.0, "{asked} questions in {polls} polls");
    ensure!(all - more("ListOffsets") <= 3, "{before:?}\n{after:?}");
    ensure!(monitors.clusters() == 1);
    drop(watches);
    ensure!(monitors.clusters() == 0);
    Ok(())
}

#[test]
fn a_topic_that_is_missing_and_a_cluster_that_is_dead_harm_no_other() -> Result<()> {
    let kafka = &shared().kafka;
    let monitors = monitors(false);
    let good = topic(kafka, "good", 1, "")?;
    let missing = pipeline(&kafka.bootstrap(), &unique_name("missing"), "")?;
    let dead = pipeline("127.0.0.1:1", "dead", "")?;
    let [good_watch, missing_watch, dead_watch] =
        [&good, &missing, &dead].map(|pipeline| monitors.watch(pipeline, KafkaCredentials::default()));

    wait_for_lags(&good_watch, &good, &[Some(0)])?;
    wait_for_failure(&missing_watch, "TopicMissing")?;
    wait_for_failure(&dead_watch, "KafkaUnreachable")?;
    send(&good, 0, 3)?;
    wait_for_lags(&good_watch, &good, &[Some(3)])?;
    kafka.create_topic(&missing.source.topic, 2, &[])?;
    wait_for_lags(&missing_watch, &missing, &[Some(0), Some(0)])?;

    let fresh = good_watch.last().1;
    ensure!(fresh < Duration::from_secs(2) && monitors.clusters() == 2, "{fresh:?}");
    Ok(())
}

#[test]
fn added_partitions_and_a_topic_created_again_are_seen() -> Result<()> {
    let kafka = &shared().kafka;
    let monitors = monitors(true);
    let pipeline = topic(kafka, "grown", 1, "")?;
    let watch = monitors.watch(&pipeline, KafkaCredentials::default());
    send(&pipeline, 0, 5)?;
    let first = wait_for_lags(&watch, &pipeline, &[Some(5)])?;
    kafka.add_partitions(&pipeline.source.topic, 3)?;
    send(&pipeline, 2, 2)?;
    let grown = wait_for_lags(&watch, &pipeline, &[Some(5), Some(0), Some(2)])?;
    kafka.delete_topic(&pipeline.source.topic)?;
    wait_for_failure(&watch, "TopicMissing")?;
    kafka.create_topic(&pipeline.source.topic, 1, &[])?;
    send(&pipeline, 0, 9)?;
    let again = wait_for_lags(&watch, &pipeline, &[Some(9)])?;

    let told = [&first, &grown, &again].map(|topic| topic.recreated);
    ensure!(told == [false, false, true], "{told:?}");
    ensure!(first.id == grown.id && grown.id != again.id && again.id.is_some());
    ensure!(again.trouble().is_some_and(|(reason, _)| reason == "TopicRecreated"));
    Ok(())
}

#[test]
fn members_of_a_group_are_described_with_their_partitions() -> Result<()> {
    let stack = shared();
    let scene = Scene::new((&stack.kafka, &stack.valkey), "members", 2, |_| ())?;
    let mut pipeline = pipeline(&stack.kafka.bootstrap(), &scene.config.source.topic, "")?;
    pipeline.source.consumer_group.clone_from(&scene.config.source.consumer_group);
    let monitors = monitors(true);
    let watch = monitors.watch(&pipeline, KafkaCredentials::default());
    wait_for_topic(&watch, "an empty group", |topic| {
        topic.partitions.iter().all(|one| one.committed == Committed::Offset(0))
    })?;
    let worker = scene.start_worker()?;
    scene.load(smooth_mix(40, 100), 1_000, 0.0)?;
    watch.look_closer();

    let topic = wait_for_topic(&watch, "the worker with both partitions", |topic| {
        topic.group.members.iter().any(|member| member.partitions == [0, 1])
    })?;
    scene.wait_until_committed(LIMIT)?;
    wait_for_lags(&watch, &pipeline, &[Some(0), Some(0)])?;
    worker.stop()?;
    watch.look_closer();
    wait_for_topic(&watch, "the empty group", |topic| topic.group.state == GroupState::Empty)?;

    let member = &topic.group.members[0];
    ensure!(topic.group.state == GroupState::Stable && member.host.contains("127.0.0.1"), "{topic:?}");
    Ok(())
}

#[test]
fn first_offsets_pin_where_a_group_begins() -> Result<()> {
    let kafka = &shared().kafka;
    let monitors = monitors(true);
    let earliest = topic(kafka, "earliest", 2, "")?;
    let latest = topic(kafka, "latest", 2, ", initialOffset: latest")?;
    for pipeline in [&earliest, &latest] {
        send(pipeline, 0, 10)?;
    }
    kafka.delete_records(&earliest.source.topic, 0, 4)?;
    let watches = [&earliest, &latest].map(|pipeline| monitors.watch(pipeline, KafkaCredentials::default()));
    let committed = |watch: &Watch, expected: [i64; 2]| {
        wait_for_topic(watch, "first offsets", |topic| {
            let found = topic.partitions.iter().map(|one| one.committed);
            found.eq(expected.map(Committed::Offset))
        })
    };

    committed(&watches[0], [4, 0])?;
    committed(&watches[1], [10, 0])?;
    for pipeline in [&earliest, &latest] {
        send(pipeline, 0, 3)?;
    }

    wait_for_lags(&watches[0], &earliest, &[Some(9), Some(0)])?;
    wait_for_lags(&watches[1], &latest, &[Some(3), Some(0)])?;
    Ok(())
}

#[test]
fn a_broker_that_dies_and_comes_back_is_told_and_its_groups_go_on() -> Result<()> {
    let kafka = Kafka::start(KafkaOptions::default())?;
    let monitors = monitors(false);
    let pipeline = topic(&kafka, "killed", 2, "")?;
    send(&pipeline, 1, 4)?;
    commit(&pipeline, &[0, 1])?;
    let watch = monitors.watch(&pipeline, KafkaCredentials::default());
    wait_for_lags(&watch, &pipeline, &[Some(0), Some(3)])?;
    kafka.kill()?;
    wait_for_failure(&watch, "KafkaUnreachable")?;
    kafka.restart()?;
    wait_for_lags(&watch, &pipeline, &[Some(0), Some(3)])?;
    Ok(())
}

#[test]
fn records_that_retention_deleted_are_no_lag() -> Result<()> {
    let kafka = &shared().kafka;
    let monitors = monitors(false);
    let pipeline = topic(kafka, "deleted", 1, "")?;
    send(&pipeline, 0, 10)?;
    commit(&pipeline, &[2])?;
    let watch = monitors.watch(&pipeline, KafkaCredentials::default());
    wait_for_lags(&watch, &pipeline, &[Some(8)])?;
    kafka.delete_records(&pipeline.source.topic, 0, 7)?;

    let topic = wait_for_lags(&watch, &pipeline, &[Some(3)])?;

    ensure!(topic.partitions[0].overtaken() == Some((2, 7)), "{topic:?}");
    Ok(())
}

#[test]
fn records_of_an_open_transaction_are_no_lag() -> Result<()> {
    let monitors = monitors(true);
    let pipeline = topic(&shared().kafka, "transaction", 1, "")?;
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &pipeline.source.bootstrap_servers)
        .set("transactional.id", &pipeline.source.topic)
        .create()?;
    send(&pipeline, 0, 2)?;
    producer.init_transactions(LIMIT)?;
    producer.begin_transaction()?;
    let record = BaseRecord::<(), str>::to(&pipeline.source.topic).partition(0).payload("x");
    producer.send(record).map_err(|(error, _)| error)?;
    producer.flush(LIMIT)?;
    let watch = monitors.watch(&pipeline, KafkaCredentials::default());

    wait_for_lags(&watch, &pipeline, &[Some(2)])?;
    producer.commit_transaction(LIMIT)?;
    // The record and the marker that ends the transaction.
    wait_for_lags(&watch, &pipeline, &[Some(4)])?;
    Ok(())
}

// Cases of KEDA's own tests of its Kafka scaler, on what a decision is made from.

#[test]
fn without_a_commit_the_lag_is_the_whole_log_for_earliest_and_unknown_for_latest() -> Result<()> {
    let monitors = monitors(false);
    let kafka = &shared().kafka;
    let earliest = topic(kafka, "uncommitted", 2, "")?;
    let latest = topic(kafka, "uncommitted", 2, ", initialOffset: latest")?;
    for pipeline in [&earliest, &latest] {
        send(pipeline, 0, 6)?;
    }
    let watches = [&earliest, &latest].map(|pipeline| monitors.watch(pipeline, KafkaCredentials::default()));

    wait_for_lags(&watches[0], &earliest, &[Some(6), Some(0)])?;
    wait_for_lags(&watches[1], &latest, &[None, None])?;
    commit(&latest, &[6, 0])?;
    wait_for_lags(&watches[1], &latest, &[Some(0), Some(0)])?;
    Ok(())
}

#[test]
fn a_lag_that_nobody_works_on_stays_a_lag() -> Result<()> {
    let monitors = monitors(false);
    let pipeline = topic(&shared().kafka, "persistent", 2, "")?;
    send(&pipeline, 0, 8)?;
    commit(&pipeline, &[5, 0])?;
    let watch = monitors.watch(&pipeline, KafkaCredentials::default());
    wait_for_lags(&watch, &pipeline, &[Some(3), Some(0)])?;

    after_polls(&monitors, 15);

    let (state, age) = watch.last();
    let SourceState::Found(topic) = state else { anyhow::bail!("{state:?}") };
    ensure!(lags(&topic, &pipeline) == [Some(3), Some(0)] && age < Duration::from_secs(2), "{topic:?}");
    Ok(())
}

#[test]
fn partitions_without_lag_are_told_from_those_with_lag() -> Result<()> {
    let monitors = monitors(false);
    let pipeline = topic(&shared().kafka, "partial", 3, "")?;
    for (partition, count) in [(0, 4), (1, 4), (2, 9)] {
        send(&pipeline, partition, count)?;
    }
    commit(&pipeline, &[4, 1, 9])?;
    let watch = monitors.watch(&pipeline, KafkaCredentials::default());

    let topic = wait_for_lags(&watch, &pipeline, &[Some(0), Some(3), Some(0)])?;

    let offsets = |partition, committed, log_end| PartitionOffsets {
        partition,
        committed: Committed::Offset(committed),
        log_start: Some(0),
        log_end: Some(log_end),
        ..PartitionOffsets::default()
    };
    ensure!(topic.partitions == [offsets(0, 4, 4), offsets(1, 1, 4), offsets(2, 9, 9)], "{topic:?}");
    Ok(())
}
