//! The yardstick: a bare consumer and one pipelined SET for each record, tuned like a worker.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message as _, Offset, TopicPartitionList};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo as _, Pipeline};
use tokio::sync::{Semaphore, mpsc};

/// SETs that share one write to the store.
const PIPELINE: usize = 500;
/// Pipelines sent and not yet answered: enough that neither side waits for the other.
const IN_FLIGHT: usize = 8;

/// What the yardstick has to know.
#[derive(Clone, Debug, clap::Args)]
pub struct BaselineArgs {
    #[arg(long)]
    pub bootstrap_servers: String,
    #[arg(long)]
    pub topic: String,
    #[arg(long)]
    pub store_address: String,
    #[arg(long)]
    pub key_prefix: String,
}

/// Where the yardstick counts what it has stored.
pub fn counter_key(key_prefix: &str) -> String {
    format!("{key_prefix}stored")
}

/// Copies records from the topic to the store until it is killed.
pub fn run(args: &BaselineArgs) -> Result<()> {
    let consumer = assigned(args)?;
    let (send, receive) = mpsc::channel(IN_FLIGHT);
    let own = args.clone();
    let storing = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(store(&own, receive))
    });
    let mut pipeline = Pipeline::with_capacity(PIPELINE);
    let mut key = Vec::new();
    loop {
        let message =
            consumer.poll(Duration::from_millis(5)).transpose().context("cannot read the backlog")?;
        let idle = message.is_none();
        if let Some(message) = message {
            set(&mut pipeline, &message, &args.key_prefix, &mut key);
        }
        if pipeline.len() >= PIPELINE || idle && !pipeline.is_empty() {
            let full = std::mem::replace(&mut pipeline, Pipeline::with_capacity(PIPELINE));
            if send.blocking_send(full).is_err() {
                break;
            }
        }
    }
    storing.join().map_err(|_| anyhow::anyhow!("the storing thread panicked"))?
}

fn set(pipeline: &mut Pipeline, message: &BorrowedMessage<'_>, key_prefix: &str, key: &mut Vec<u8>) {
    key.clear();
    key.extend_from_slice(key_prefix.as_bytes());
    key.extend_from_slice(message.key().unwrap_or_default());
    pipeline.cmd("SET").arg(&key[..]).arg(message.payload().unwrap_or_default()).ignore();
}

/// Sends pipelines as they come, several at a time; ends with an error, or when `pipelines` is closed.
async fn store(args: &BaselineArgs, mut pipelines: mpsc::Receiver<Pipeline>) -> Result<()> {
    let connection = connect(&args.store_address).await?;
    let counter = counter_key(&args.key_prefix);
    let permits = Arc::new(Semaphore::new(IN_FLIGHT));
    while let Some(mut pipeline) = pipelines.recv().await {
        let permit = permits.clone().acquire_owned().await.context("nobody closes the semaphore")?;
        let mut connection = connection.clone();
        let records = pipeline.len();
        pipeline.cmd("INCRBY").arg(&counter).arg(records).ignore();
        tokio::spawn(async move {
            // What is not stored is never counted, and whoever waits for the count notices.
            if let Err(error) = pipeline.query_async::<()>(&mut connection).await {
                eprintln!("a pipeline failed: {error}");
            }
            drop(permit);
        });
    }
    Ok(())
}

async fn connect(address: &str) -> Result<MultiplexedConnection> {
    let info = format!("redis://{address}").into_connection_info()?;
    let tcp = info.tcp_settings().clone().set_nodelay(true);
    let config = AsyncConnectionConfig::new()
        .set_response_timeout(Some(Duration::from_secs(10)))
        .set_write_backpressure_boundary(1 << 20);
    let client = Client::open(info.set_tcp_settings(tcp))?;
    let connected = client.get_multiplexed_async_connection_with_config(&config).await;
    connected.with_context(|| format!("cannot connect to the store at {address}"))
}

/// A consumer of all partitions from their beginnings, without a group.
fn assigned(args: &BaselineArgs) -> Result<BaseConsumer> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &args.bootstrap_servers)
        .set("client.id", "plaudit-bench")
        // The client wants a group before it assigns anything; it is never joined.
        .set("group.id", "plaudit-bench")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.queue.backoff.ms", "20")
        .set("fetch.message.max.bytes", "262144")
        .create()?;
    let metadata = consumer.fetch_metadata(Some(&args.topic), Duration::from_secs(10))?;
    let mut assignment = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        assignment.add_partition_offset(&args.topic, partition.id(), Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    Ok(consumer)
}
