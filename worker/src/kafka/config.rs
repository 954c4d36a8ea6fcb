//! Settings of the Kafka clients, each with its reason.

use plaudit_crds::GroupProtocol;
use plaudit_crds::worker::WorkerConfig;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

/// Settings of the consumer of a worker that may come to own all `partitions` of its topic.
pub fn consumer_config(config: &WorkerConfig, partitions: usize) -> ClientConfig {
    let mut client = base(&config.source.bootstrap_servers);
    client
        .set("group.id", &config.source.consumer_group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // A missing offset must stop a lane, never move it silently.
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "false")
        .set("max.poll.interval.ms", "60000")
        // The client queues by partition: two batches keep a lane busy, the rest would only be memory.
        .set("queued.min.messages", (config.batch.max_records * 2).to_string())
        .set("queued.max.messages.kbytes", queue_kbytes(config.memory_budget_bytes, partitions).to_string())
        // The default of a second stalls small queues: throughput falls to a quarter.
        .set("fetch.queue.backoff.ms", "20")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.message.max.bytes", "262144");
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

/// Settings of a consumer without a group, for reading single records.
pub fn reader_config(bootstrap_servers: &str) -> ClientConfig {
    let mut client = base(bootstrap_servers);
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
pub fn producer_config(bootstrap_servers: &str) -> ClientConfig {
    let mut client = base(bootstrap_servers);
    client
        // At least once needs no more than acknowledgements: an idempotent producer that loses its sequence fails for
        // good, and every later letter with it.
        .set("enable.idempotence", "false")
        .set("acks", "all")
        // Each letter is a batch of its own, sent at once: a topic that finds a batch too large does not say which of
        // its letters is.
        .set("batch.num.messages", "1")
        .set("linger.ms", "0")
        // Lanes wait for their letters and try again themselves.
        .set("message.timeout.ms", "10000")
        // Whether a letter is too large is for its topic to say.
        .set("message.max.bytes", "10485760");
    client
}

fn base(bootstrap_servers: &str) -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", bootstrap_servers)
        .set("client.id", "plaudit")
        .set("reconnect.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", "2000")
        .set("topic.metadata.refresh.interval.ms", "10000")
        .set("allow.auto.create.topics", "false")
        .set_log_level(RDKafkaLogLevel::Warning);
    client
}

/// Half of the budget is the client's queues; a worker may come to own every partition.
fn queue_kbytes(budget_bytes: u64, partitions: usize) -> u64 {
    (budget_bytes / 2 / 1_024 / partitions.max(1) as u64).clamp(64, 4_096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_of_all_partitions_stay_inside_half_the_budget() {
        assert_eq!(queue_kbytes(32 << 20, 12), 1_365);
        assert_eq!(queue_kbytes(32 << 20, 0), 4_096);
        assert_eq!(queue_kbytes(1 << 20, 100), 64);
    }
}
