//! The topics a lane sends to, and waiting for the acknowledgements.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use plaudit_crds::worker::WorkerConfig;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use tokio::sync::Semaphore;

use super::access::Access;
use super::config::{letters_config, unlocks_config};
use super::letters::{Cut, Envelope, Origin};
use super::link::LinkContext;
use super::refetch;
use super::unlocks::{self, Announcement};
use crate::lane::ports::{DeadLetter, Outbox, Refused, SourceError, Unlock};

/// Room in the producer's queue is waited for so long; the lane tries again.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);
/// Letters under way, over all lanes. The producer copies each, and lanes with large records to refuse would together double
/// what they hold; of common ones these are thousands.
const LETTERS_KBYTES: u32 = 2_048;

/// Producers of dead letters and unlocks; cheap to clone.
#[derive(Clone)]
pub struct KafkaOutbox {
    letters: Sending,
    /// Kilobytes that letters under way may still take.
    room: Arc<Semaphore>,
    /// None where there is no topic of unlocks.
    unlocks: Option<Sending>,
    access: Arc<Access>,
    config: Arc<WorkerConfig>,
    origin: Origin,
}

/// A producer and its way back to its brokers.
#[derive(Clone)]
struct Sending {
    producer: FutureProducer<LinkContext>,
    link: LinkContext,
}

impl std::fmt::Debug for KafkaOutbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaOutbox").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl KafkaOutbox {
    /// Sends to the topics of `config`; reads refused records of its source topic again.
    ///
    /// # Errors
    /// When a client refuses its settings.
    pub fn new(access: &Arc<Access>, config: Arc<WorkerConfig>) -> Result<Self, KafkaError> {
        let source = &config.source;
        let origin =
            Origin { topic: source.topic.as_str().into(), group: source.consumer_group.as_str().into() };
        let letters = Sending::new(&letters_config(access), access)?;
        let unlocks = config.unlocks.topic.as_ref();
        let unlocks = unlocks.map(|_| Sending::new(&unlocks_config(access), access)).transpose()?;
        let room = Arc::new(Semaphore::new(LETTERS_KBYTES as usize));
        Ok(Self { letters, room, unlocks, access: access.clone(), config, origin })
    }

    /// Gives the producers what they lack. They do so themselves when they send, but one that sends nothing would go on with an old
    /// password, and complain.
    pub fn tend(&self) {
        for Sending { producer, link } in [Some(&self.letters), self.unlocks.as_ref()].into_iter().flatten() {
            link.0.tend(producer.client());
        }
    }

    /// Sends one letter and waits for its acknowledgement, smaller and smaller while its topic finds it too large.
    async fn deliver(&self, letter: &DeadLetter) -> Result<(), SourceError> {
        let topic = &self.config.dead_letters.topic;
        let _room = self.room.acquire_many(kbytes(letter)).await;
        let mut sent = Ok(());
        for cut in [Cut::Nothing, Cut::Value, Cut::Everything] {
            sent = self.letters.produce(topic, self.origin.envelope(letter, cut)).await;
            let is_too_large = |error: &KafkaError| {
                error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge)
            };
            if !sent.as_ref().is_err_and(is_too_large) {
                break;
            }
        }
        sent.map_err(|error| {
            SourceError::Kafka(format!("cannot send to the dead-letter topic {topic}: {error}"))
        })
    }

    async fn announce_one(&self, unlock: &Unlock) -> Result<(), SourceError> {
        let (Some(topic), Some(producer)) = (&self.config.unlocks.topic, &self.unlocks) else {
            return Ok(());
        };
        let Announcement { id, key, value } =
            unlocks::announcement(unlock, &self.origin.group, self.config.source.format);
        let headers = OwnedHeaders::new().insert(Header { key: "plaudit-id", value: Some(&id) });
        let envelope = Envelope { key: Some(key.as_bytes()), value: Some(&value), headers };
        producer
            .produce(topic, envelope)
            .await
            .map_err(|error| SourceError::Kafka(format!("cannot send to the unlock topic {topic}: {error}")))
    }
}

/// A letter's part of [`LETTERS_KBYTES`]; one that is larger goes alone.
fn kbytes(letter: &DeadLetter) -> u32 {
    u32::try_from(letter.bytes() / 1_024).unwrap_or(u32::MAX).clamp(1, LETTERS_KBYTES)
}

impl Sending {
    fn new(config: &ClientConfig, access: &Arc<Access>) -> Result<Self, KafkaError> {
        let link = LinkContext::new(access);
        let producer = config.create_with_context(link.clone())?;
        Ok(Self { producer, link })
    }

    async fn produce(&self, topic: &str, envelope: Envelope<'_>) -> Result<(), KafkaError> {
        let mut record = FutureRecord::<[u8], [u8]>::to(topic).headers(envelope.headers);
        if let Some(key) = envelope.key {
            record = record.key(key);
        }
        if let Some(value) = envelope.value {
            record = record.payload(value);
        }
        self.link.0.tend(self.producer.client());
        let sent = self.producer.send(record, QUEUE_TIMEOUT).await;
        sent.map(|_| ()).map_err(|(error, _)| error)
    }
}

impl Outbox for KafkaOutbox {
    async fn send(&mut self, letters: &[DeadLetter]) -> Result<(), (usize, SourceError)> {
        let sends: Vec<_> = letters.iter().map(|letter| self.deliver(letter)).collect();
        all(join_all(sends).await)
    }

    async fn announce(&mut self, unlocks: &[Unlock]) -> Result<(), (usize, SourceError)> {
        let sends: Vec<_> = unlocks.iter().map(|unlock| self.announce_one(unlock)).collect();
        all(join_all(sends).await)
    }

    async fn fetch(&mut self, partition: i32, refused: &[Refused]) -> Result<Vec<DeadLetter>, SourceError> {
        let (access, topic, refused) = (self.access.clone(), self.origin.topic.clone(), refused.to_vec());
        let letters =
            tokio::task::spawn_blocking(move || refetch::fetch(&access, &topic, partition, &refused));
        letters
            .await
            .map_err(|error| SourceError::Kafka(error.to_string()))?
            .map_err(|error| SourceError::Kafka(format!("cannot read refused records again: {error}")))
    }
}

/// How far the first failure lets one count, if there is any.
fn all(sent: Vec<Result<(), SourceError>>) -> Result<(), (usize, SourceError)> {
    let acknowledged = sent.iter().take_while(|sent| sent.is_ok()).count();
    match sent.into_iter().nth(acknowledged) {
        Some(Err(error)) => Err((acknowledged, error)),
        Some(Ok(())) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::ports::{OwnHeaders, Part};
    use crate::report::Reason;

    #[test]
    fn a_letter_takes_room_by_its_size_and_a_large_one_all_of_it() {
        let of = |bytes: usize| DeadLetter {
            partition: 0,
            offset: 0,
            timestamp: None,
            key: None,
            value: Some(Part::of_value(&vec![0; bytes])),
            headers: OwnHeaders::default(),
            reason: Reason::Malformed,
            detail: String::new(),
        };
        let taken = [10, 10 << 10, 1 << 20, 5 << 20].map(|bytes| kbytes(&of(bytes)));
        assert_eq!(taken, [1, 10, 1_024, LETTERS_KBYTES]);
    }
}
