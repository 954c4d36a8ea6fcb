//! One idempotent producer, and what became of each record given to it.

use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use plaudit_worker::kafka::Link;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use super::generator::Record;
use super::latency::Histogram;
use super::producer::{Load, LoadError};

/// How long to wait for a broker that should be there.
const METADATA_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends records to one topic.
pub(super) struct Sender {
    producer: BaseProducer<Deliveries>,
    topic: String,
    pub(super) start: Instant,
    outcome: Arc<Mutex<Outcome>>,
}

/// What acknowledgements have told so far.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) acknowledged: u64,
    pub(super) failed: u64,
    pub(super) first_failure: Option<String>,
    pub(super) latency: Histogram,
}

struct Deliveries {
    start: Instant,
    outcome: Arc<Mutex<Outcome>>,
    link: Arc<Link>,
}

impl ClientContext for Deliveries {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn error(&self, error: KafkaError, reason: &str) {
        self.link.note(&error, reason);
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.link.token()
    }
}

impl ProducerContext for Deliveries {
    /// Microseconds from the start to the sending: a number needs no allocation.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, sent_micros: usize) {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(_) => {
                outcome.acknowledged += 1;
                let sent = Duration::from_micros(sent_micros as u64);
                outcome.latency.add(self.start.elapsed().saturating_sub(sent));
            }
            Err((error, _)) => outcome.fail(error),
        }
    }
}

impl Outcome {
    fn fail(&mut self, error: &KafkaError) {
        self.failed += 1;
        self.first_failure.get_or_insert_with(|| error.to_string());
    }
}

impl Sender {
    pub(super) fn connect(load: &Load) -> Result<Self, LoadError> {
        let bootstrap_servers = load.access.servers().to_owned();
        let start = Instant::now();
        let outcome = Arc::<Mutex<Outcome>>::default();
        let link = Arc::new(Link::new(&load.access));
        let context = Deliveries { start, outcome: outcome.clone(), link: link.clone() };
        let producer: BaseProducer<Deliveries> =
            config(load).create_with_context(context).map_err(|source| LoadError::Producer {
                bootstrap_servers: bootstrap_servers.clone(),
                source: Box::new(source),
            })?;
        let topic = load.topic.clone();
        let refused = |source| LoadError::Security {
            bootstrap_servers: bootstrap_servers.clone(),
            topic: topic.clone(),
            source,
        };
        link.log_in(producer.client()).map_err(refused)?;
        let metadata =
            producer.client().fetch_metadata(Some(&topic), METADATA_TIMEOUT).map_err(|source| match load
                .access
                .explain(|| producer.poll(Duration::ZERO))
            {
                Some(trouble) => refused(trouble),
                None => LoadError::Topic {
                    bootstrap_servers: bootstrap_servers.clone(),
                    topic: topic.clone(),
                    source: Box::new(source),
                },
            })?;
        let exists =
            metadata.topics().iter().any(|found| found.error().is_none() && !found.partitions().is_empty());
        if !exists {
            return Err(LoadError::NoTopic { bootstrap_servers, topic });
        }
        Ok(Self { producer, topic, start, outcome })
    }

    /// Queues a record, waiting for room where there is none.
    pub(super) fn send(&self, record: &Record) {
        let sent_micros = self.start.elapsed().as_micros() as usize;
        let mut next = BaseRecord::with_opaque_to(&self.topic, sent_micros).timestamp(record.timestamp_ms);
        if let Some(key) = &record.key {
            next = next.key(key);
        }
        if let Some(payload) = &record.payload {
            next = next.payload(payload);
        }
        loop {
            match self.producer.send::<Vec<u8>, Vec<u8>>(next) {
                Ok(()) => return,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    next = back;
                    self.producer.poll(Duration::from_millis(5));
                }
                Err((error, _)) => {
                    self.outcome().fail(&error);
                    return;
                }
            }
        }
    }

    /// Collects acknowledgements, waiting up to `timeout` for the first.
    pub(super) fn collect(&self, timeout: Duration) {
        self.producer.poll(timeout);
    }

    /// Records neither acknowledged nor given up.
    pub(super) fn in_flight(&self) -> bool {
        self.producer.in_flight_count() > 0
    }

    pub(super) fn outcome(&self) -> MutexGuard<'_, Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn config(load: &Load) -> ClientConfig {
    let mut config = ClientConfig::new();
    load.access.configure(&mut config);
    config
        .set("client.id", "plaudit-load")
        // A client that forgot its broker while that was starting would look for it again after five minutes.
        .set("metadata.recovery.rebootstrap.trigger.ms", "10000")
        .set("acks", "all")
        // A retry of the client's own must not look like a duplicate report.
        .set("enable.idempotence", "true")
        // The Java client's choice of partition, which the whole topic has to share.
        .set("partitioner", "murmur2_random")
        .set("compression.type", &load.compression)
        .set("linger.ms", "5")
        .set("batch.size", "262144")
        // What a load may hold in memory: some tenths of a second flat out.
        .set("queue.buffering.max.messages", "50000")
        .set("queue.buffering.max.kbytes", "65536")
        // Above the greatest record a load makes; the broker's own limit decides.
        .set("message.max.bytes", "2097152");
    config
}
