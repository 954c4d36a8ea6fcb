//! Settings of the Kafka clients, each with its reason.

use plaudit_crds::worker::WorkerConfig;
use plaudit_crds::{GroupProtocol, Properties};
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use super::Access;
use crate::lane::letter::MOST_BYTES;

/// Settings of the consumer of a worker that may come to own all `partitions` of its topic; `name` is what the group's other
/// members and the operator know it by.
pub fn consumer_config(
    access: &Access,
    config: &WorkerConfig,
    name: Option<&str>,
    partitions: usize,
) -> ClientConfig {
    let mut client = base(access);
    if let Some(name) = name {
        client.set("client.id", name);
    }
    let queues = Queues::new(config.memory_budget_bytes, partitions, config.batch.max_records);
    client
        .set("group.id", &config.source.consumer_group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // A missing offset must stop a lane, never move it silently.
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "false")
        .set("max.poll.interval.ms", max_poll_interval_ms(&config.source.properties).to_string())
        // The client queues by partition, and goes over by one fetch.
        .set("queued.min.messages", queues.records.to_string())
        .set("queued.max.messages.kbytes", queues.kbytes.to_string())
        .set("fetch.message.max.bytes", queues.fetch_bytes.to_string())
        // The default of a second stalls small queues: throughput falls to a quarter.
        .set("fetch.queue.backoff.ms", "5")
        .set("fetch.wait.max.ms", "100");
    match config.source.group_protocol {
        GroupProtocol::Classic => {
            client
                .set("group.protocol", "classic")
                .set("partition.assignment.strategy", "cooperative-sticky")
                .set("session.timeout.ms", "10000")
                .set("heartbeat.interval.ms", "500");
        }
        // Session, heartbeat and assignor are the broker's.
        GroupProtocol::Consumer => {
            client.set("group.protocol", "consumer");
        }
    }
    for (name, value) in config.source.properties.iter() {
        client.set(name, value);
    }
    client
}

/// Without a poll for so long a worker leaves its group. The client takes no shorter time than the session's.
fn max_poll_interval_ms(properties: &Properties) -> i32 {
    properties.session_timeout_ms.unwrap_or(0).max(60_000)
}

/// Settings of a client that asks one question.
pub fn admin_config(access: &Access) -> ClientConfig {
    base(access)
}

/// Settings of a consumer without a group, for reading single records.
pub fn reader_config(access: &Access) -> ClientConfig {
    let mut client = base(access);
    client
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .set("fetch.wait.max.ms", "50")
        // It reads a few records and goes: the defaults would fetch 64 MiB ahead.
        .set("queued.min.messages", "500")
        .set("queued.max.messages.kbytes", "1024")
        .set("fetch.message.max.bytes", "262144");
    // The library wants a group name to assign; nothing is ever joined or committed under it.
    client.set("group.id", "plaudit-reader").set("enable.auto.commit", "false");
    client
}

/// Settings of the producer of dead letters.
pub fn letters_config(access: &Access) -> ClientConfig {
    let mut client = producer(access);
    client
        // Each letter is a batch of its own, sent at once: a topic that finds a batch too large does not say which of
        // its letters is.
        .set("batch.num.messages", "1")
        .set("linger.ms", "0")
        // Each request takes several times its letter: a thousand at once would be tens of megabytes.
        .set("max.in.flight.requests.per.connection", "32")
        // Whether a letter is too large is for its topic to say.
        .set("message.max.bytes", MOST_BYTES.to_string());
    client
}

/// Settings of the producer of unlocks, which are small.
pub fn unlocks_config(access: &Access) -> ClientConfig {
    let mut client = producer(access);
    client.set("linger.ms", "1").set("compression.type", "lz4");
    client
}

fn producer(access: &Access) -> ClientConfig {
    let mut client = base(access);
    client
        // At least once needs no more than acknowledgements: an idempotent producer that loses its sequence fails for
        // good, and every later record with it.
        .set("enable.idempotence", "false")
        .set("acks", "all")
        // Lanes wait for acknowledgements and try again themselves.
        .set("message.timeout.ms", "10000");
    client
}

fn base(access: &Access) -> ClientConfig {
    let mut client = ClientConfig::new();
    access.configure(&mut client);
    client
        .set("client.id", "plaudit")
        .set("topic.metadata.refresh.interval.ms", "10000")
        // A client that forgot its broker while that was starting asks the bootstrap servers again after this: by default
        // it is five minutes without a connection.
        .set("metadata.recovery.rebootstrap.trigger.ms", "10000")
        .set("allow.auto.create.topics", "false")
        .set_log_level(RDKafkaLogLevel::Warning);
    client
}

/// What the client may queue of one partition, and fetch at a time.
#[derive(Debug, PartialEq, Eq)]
struct Queues {
    /// With fewer than these the next fetch asks for more.
    records: u64,
    kbytes: u64,
    /// Of one partition in one fetch.
    fetch_bytes: u64,
}

/// What a queued record takes besides key and value, which are all that the client counts.
const RECORD_BYTES: u64 = 384;
/// A partition whose next batch is larger than its part of a fetch gives nothing, unless it is the first in the answer: each
/// request then brings a single batch, and the broker takes as much CPU as the worker. Producers' batches are a few
/// kilobytes to some hundred.
const LEAST_FETCH_BYTES: u64 = 128 << 10;

impl Queues {
    /// Half of the budget is for the client's queues. A worker may come to own every partition; a quarter of each one's share
    /// is kept ready, small records by their number, large ones by their bytes, and the rest is for what the fetches
    /// go over.
    fn new(budget_bytes: u64, partitions: usize, batch_records: i32) -> Self {
        let share = budget_bytes / 2 / partitions.max(1) as u64;
        let batch_records = u64::try_from(batch_records).unwrap_or(1);
        Self {
            // Two batches keep a lane busy; the rest would only be memory.
            records: (share / 4 / RECORD_BYTES).clamp(100, (2 * batch_records).max(100)),
            kbytes: (share / 4 / 1_024).clamp(64, 4_096),
            fetch_bytes: (share / 8).clamp(LEAST_FETCH_BYTES, 256 << 10),
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::consumer::BaseConsumer;

    use super::*;

    const CONFIG: &str = "
pipeline: default/p
source: {bootstrapServers: 'k:9092', topic: reports, consumerGroup: default.p, groupProtocol: PROTOCOL, properties: {PROPERTIES}}
store: {address: 'v:6379'}
deadLetters: {topic: reports.dead-letters}
";

    #[test]
    fn the_client_takes_whatever_a_configuration_may_say() {
        let mut rng = fastrand::Rng::with_seed(9);
        let bounds = [
            ("fetch.wait.max.ms", 0, 10_000),
            ("fetch.min.bytes", 1, 10_485_760),
            ("fetch.message.max.bytes", 1_024, 104_857_600),
            ("fetch.max.bytes", 1_000_000, 104_857_600),
            ("queued.min.messages", 1, 1_000_000),
            ("queued.max.messages.kbytes", 1, 1_048_576),
            ("socket.timeout.ms", 1_000, 300_000),
            ("session.timeout.ms", 6_000, 300_000),
            ("heartbeat.interval.ms", 100, 100_000),
            ("max.poll.interval.ms", 10_000, 3_600_000),
        ];
        let access = Access::plain("k:9092");
        let (mut accepted, mut refused) = (0, Vec::new());
        for round in 0..400 {
            // Mostly the bounds themselves, of which each at least once alone.
            let mut given = Vec::new();
            for (at, (name, least, most)) in bounds.iter().enumerate() {
                if round / 2 == at || rng.u8(..4) == 0 {
                    let value =
                        [*least, *most, rng.i32(*least..=*most)][round % 2 + usize::from(rng.u8(..4) == 0)];
                    given.push(format!("{name}: {value}"));
                }
            }
            let protocol = if rng.u8(..4) == 0 { "consumer" } else { "classic" };
            let text = CONFIG.replace("PROTOCOL", protocol).replace("PROPERTIES", &given.join(", "));
            let Ok(config) = WorkerConfig::from_yaml(&text) else { continue };
            accepted += 1;
            if let Err(error) = consumer_config(&access, &config, Some("w"), 3).create::<BaseConsumer>() {
                refused.push(format!("{given:?}: {error}"));
            }
        }
        assert_eq!((accepted > 100, refused), (true, Vec::<String>::new()));
    }

    #[test]
    fn queues_of_all_partitions_stay_inside_half_the_budget() {
        let queues = Queues { records: 910, kbytes: 341, fetch_bytes: 174_762 };
        assert_eq!(Queues::new(32 << 20, 12, 2_000), queues);
        assert_eq!(
            Queues::new(32 << 20, 1, 2_000),
            Queues { records: 4_000, kbytes: 4_096, fetch_bytes: 256 << 10 }
        );
        assert_eq!(
            Queues::new(1 << 20, 100, 2_000),
            Queues { records: 100, kbytes: 64, fetch_bytes: 128 << 10 }
        );
    }
}
