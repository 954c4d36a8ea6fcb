//! The load of a schedule: made-up reports by game servers whose clocks may step, on a topic that may grow.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use plaudit::load::{Generator, Mix};
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

/// What is sent where, and how fast.
#[derive(Debug)]
pub(super) struct Load<'a> {
    pub bootstrap: String,
    pub topic: &'a str,
    pub mix: Mix,
    pub reports: u64,
    /// Reports per second.
    pub rate: f64,
    /// How far the game servers' clocks are ahead, in milliseconds.
    pub clock: &'a AtomicI64,
}

/// Notes the first record that was not acknowledged.
#[derive(Clone, Default)]
struct Deliveries(Arc<Mutex<Option<KafkaError>>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            let mut failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            failed.get_or_insert_with(|| error.clone());
        }
    }
}

impl Load<'_> {
    /// Returns when all records are acknowledged.
    pub fn produce(self) -> Result<()> {
        let deliveries = Deliveries::default();
        let producer = producer(&self.bootstrap, deliveries.clone())?;
        let mut generator = Generator::new(self.mix);
        let begin = Instant::now();
        let mut sent = 0;
        while sent < self.reports {
            let due = ((begin.elapsed().as_secs_f64() * self.rate) as u64).min(self.reports);
            for _ in sent..due {
                let record = generator.next(now_ms() + self.clock.load(Ordering::Relaxed));
                let mut next = BaseRecord::to(self.topic).timestamp(record.timestamp_ms);
                next.key = record.key.as_deref();
                next.payload = record.payload.as_deref();
                send(&producer, next)?;
            }
            sent = due;
            producer.poll(Duration::from_millis(5));
        }
        while producer.in_flight_count() > 0 {
            producer.poll(Duration::from_millis(50));
        }
        let failed = deliveries.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        ensure!(failed.is_none(), "a report was not acknowledged: {failed:?}");
        Ok(())
    }
}

fn send(
    producer: &BaseProducer<Deliveries>,
    mut record: BaseRecord<'_, [u8], [u8]>,
) -> Result<(), KafkaError> {
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                producer.poll(Duration::from_millis(5));
            }
            Err((error, _)) => return Err(error),
        }
    }
}

fn producer(bootstrap: &str, deliveries: Deliveries) -> Result<BaseProducer<Deliveries>, KafkaError> {
    ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("metadata.recovery.rebootstrap.trigger.ms", "10000")
        .set("partitioner", "murmur2_random")
        .set("enable.idempotence", "true")
        .set("compression.type", "lz4")
        .set("linger.ms", "5")
        .set("message.max.bytes", "2097152")
        // new partitions are to be used while the load lasts
        .set("topic.metadata.refresh.interval.ms", "300")
        .set("reconnect.backoff.max.ms", "500")
        .create_with_context(deliveries)
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
