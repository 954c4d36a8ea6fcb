//! Game servers of Plaudit's design: a producer that sends each report to Kafka when it is due.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use plaudit::load::Histogram;
use rdkafka::ClientConfig;
use rdkafka::Message as _;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use super::open_loop::{Sender, Times, send_all};
use super::trace::{Span, Trace};

const METADATA_TIMEOUT: Duration = Duration::from_secs(10);
/// Enough to touch nearly every partition.
const PRIMING: usize = 100;
/// Stands for reports whose times are not kept.
const NO_REPORT: usize = usize::MAX;
/// Bits of an offset in a [`Place`]: more records than a trace can have.
const OFFSET_BITS: u32 = 40;

/// A producer for one trace, and what it was told.
pub struct GameServers {
    trace: Arc<Trace>,
    sender: Records,
    /// When each report was acknowledged.
    pub times: Arc<Times>,
    pub places: Arc<Places>,
}

impl std::fmt::Debug for GameServers {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("GameServers").field("topic", &self.sender.topic).finish_non_exhaustive()
    }
}

/// Where in the topic each report lies.
#[derive(Debug)]
pub struct Places(Box<[AtomicU64]>);

impl Places {
    fn new(reports: usize) -> Self {
        Self((0..reports).map(|_| AtomicU64::new(u64::MAX)).collect())
    }

    fn put(&self, report: usize, partition: i32, offset: i64) {
        let place = u64::from(partition.unsigned_abs()) << OFFSET_BITS | offset.unsigned_abs();
        if let Some(known) = self.0.get(report) {
            known.store(place, Ordering::Relaxed);
        }
    }

    /// Partition and offset; none: it was not acknowledged.
    pub fn get(&self, report: usize) -> Option<(usize, i64)> {
        let place = self.0[report].load(Ordering::Relaxed);
        let offset = place & ((1 << OFFSET_BITS) - 1);
        (place != u64::MAX).then_some(((place >> OFFSET_BITS) as usize, offset.cast_signed()))
    }
}

impl GameServers {
    /// `linger_ms`: how long a record waits for company.
    pub fn connect(bootstrap_servers: &str, topic: &str, trace: &Arc<Trace>, linger_ms: f64) -> Result<Self> {
        let times = Arc::new(Times::new(trace.reports.len(), Instant::now()));
        let places = Arc::new(Places::new(trace.reports.len()));
        let deliveries =
            Deliveries { times: times.clone(), places: places.clone(), count: AtomicU64::new(0) };
        let producer: BaseProducer<Deliveries> =
            config(bootstrap_servers, linger_ms).create_with_context(deliveries)?;
        producer.client().fetch_metadata(Some(topic), METADATA_TIMEOUT).context("cannot reach the topic")?;
        let sender = Records { producer, topic: topic.to_owned(), trace: trace.clone() };
        Ok(Self { trace: trace.clone(), sender, times, places })
    }

    /// Sends some reports of the flood ahead: what a producer does once in its life is no part of the trace.
    pub fn prime(&mut self) -> Result<()> {
        let first = self.trace.flood.clone().take(PRIMING);
        first.into_iter().try_for_each(|report| self.sender.send_as(report, NO_REPORT))?;
        self.flush();
        Ok(())
    }

    /// Sends each report when it is due and waits for all acknowledgements; how late reports were sent. `passed` is called
    /// at the end of each phase.
    pub fn play(&mut self, start: Instant, passed: impl FnMut(&Span) -> Result<()>) -> Result<Histogram> {
        let lateness = send_all(&self.trace, start, &mut self.sender, passed)?;
        self.flush();
        Ok(lateness)
    }

    /// Sends reports of the flood one by one, each once the last is acknowledged, for so long.
    pub fn warm_up(&mut self, length: Duration) -> Result<()> {
        let begin = Instant::now();
        for report in self.trace.flood.clone().take_while(|_| begin.elapsed() < length) {
            self.sender.send(report)?;
            self.flush();
        }
        Ok(())
    }

    /// Sends the flood as fast as it goes.
    pub fn flood(&mut self) -> Result<()> {
        for report in self.trace.flood.clone() {
            self.sender.send(report)?;
        }
        self.flush();
        Ok(())
    }

    pub fn acknowledged(&self) -> u64 {
        self.sender.producer.context().count.load(Ordering::Relaxed)
    }

    /// Ends: a record is given up after the client's message.timeout.ms.
    fn flush(&self) {
        while self.sender.producer.in_flight_count() > 0 {
            self.sender.producer.poll(Duration::from_millis(5));
        }
    }
}

struct Records {
    producer: BaseProducer<Deliveries>,
    topic: String,
    trace: Arc<Trace>,
}

impl Records {
    /// Sends a report; what becomes of it is noted for `noted`.
    fn send_as(&mut self, report: usize, noted: usize) -> Result<()> {
        let record = &self.trace.reports[report].record;
        let mut next = BaseRecord::with_opaque_to(&self.topic, noted)
            .key(record.key.as_deref().unwrap_or_default())
            .payload(record.payload.as_deref().unwrap_or_default())
            .timestamp(record.timestamp_ms);
        loop {
            match self.producer.send::<[u8], [u8]>(next) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    next = back;
                    self.producer.poll(Duration::from_millis(5));
                }
                Err((error, _)) => return Err(error).context("cannot send a report to Kafka"),
            }
        }
    }
}

impl Sender for Records {
    fn send(&mut self, report: usize) -> Result<()> {
        self.send_as(report, report)
    }

    fn tend(&mut self) {
        self.producer.poll(Duration::ZERO);
    }
}

struct Deliveries {
    times: Arc<Times>,
    places: Arc<Places>,
    count: AtomicU64,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, report: usize) {
        // A report that failed keeps no time, and the count tells.
        let Ok(message) = result else { return };
        self.times.note(report);
        self.places.put(report, message.partition(), message.offset());
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}

fn config(bootstrap_servers: &str, linger_ms: f64) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap_servers)
        .set("client.id", "plaudit-bench-event")
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("partitioner", "murmur2_random")
        .set("compression.type", "lz4")
        .set("linger.ms", linger_ms.to_string())
        .set("queue.buffering.max.messages", "1000000");
    config
}
