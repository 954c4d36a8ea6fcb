//! Reads refused records again, with a consumer of its own, because their payload was let go before the verdict.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedHeaders, BorrowedMessage};
use rdkafka::{Message, Offset, TopicPartitionList};

use super::access::Access;
use super::link::LinkContext;
use super::native::own_headers;
use crate::lane::ports::{DeadLetter, OwnHeaders, Part, Refused};

/// Without a record for so long the lane has to try again.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Records up to this many offsets away are read past: cheaper than a seek, which throws away what was fetched.
const NEAR: i64 = 1_000;

/// Letters held at a time, in bytes of their records: what comes after is fetched by the next call.
const ENOUGH_BYTES: usize = 4 << 20;

/// A letter for each refused record, which ascend by offset: for the first of them at least.
///
/// # Errors
/// When not every record was read and not every other is known to be gone.
pub(super) fn fetch(
    access: &Arc<Access>,
    topic: &str,
    partition: i32,
    refused: &[Refused],
) -> Result<Vec<DeadLetter>, KafkaError> {
    let mut replay = Replay { partition, refused, letters: Vec::new(), bytes: 0 };
    if replay.due().is_some() {
        let consumer = access.reader()?;
        let (low, _) = consumer.fetch_watermarks(topic, partition, TIMEOUT)?;
        replay.log_starts_at(low);
        read(&consumer, topic, &mut replay)?;
    }
    Ok(replay.letters)
}

fn read(
    consumer: &BaseConsumer<LinkContext>,
    topic: &str,
    replay: &mut Replay<'_>,
) -> Result<(), KafkaError> {
    let Some(first) = replay.due() else { return Ok(()) };
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, replay.partition, Offset::Offset(first))?;
    consumer.assign(&list)?;
    let mut until = Instant::now() + TIMEOUT;
    let mut trouble = KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut);
    while replay.due().is_some() {
        if Instant::now() >= until {
            return Err(trouble);
        }
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(record)) => {
                until = Instant::now() + TIMEOUT;
                replay.see(record.offset(), || Content::of(&record));
                if let Some(next) = replay.due().filter(|next| next - record.offset() > NEAR) {
                    consumer.seek(topic, replay.partition, Offset::Offset(next), TIMEOUT)?;
                }
            }
            // The end is not the end: after a change of leader the high watermark may lag behind what was read before.
            Some(Err(KafkaError::PartitionEOF(_))) | None => {}
            Some(Err(error)) => trouble = error,
        }
    }
    Ok(())
}

/// What a dead letter takes over from its record.
#[derive(Debug, Default)]
struct Content {
    timestamp: Option<i64>,
    key: Option<Part>,
    value: Option<Part>,
    headers: OwnHeaders,
}

impl Content {
    fn of(record: &BorrowedMessage<'_>) -> Self {
        Self {
            timestamp: record.timestamp().to_millis(),
            key: record.key().map(Part::of_key),
            value: record.payload().map(Part::of_value),
            headers: record.headers().map(headers_of).unwrap_or_default(),
        }
    }
}

/// The wrapper's own look at a header panics where its name is not UTF-8.
fn headers_of(headers: &BorrowedHeaders) -> OwnHeaders {
    // SAFETY: that is what the wrapper makes of the client's pointer, and the list lives as long as its message.
    unsafe { own_headers(std::ptr::from_ref(headers).cast::<sys::rd_kafka_headers_t>()) }
}

/// Refused records still to be read, and the letters of the others.
#[derive(Debug)]
struct Replay<'a> {
    partition: i32,
    refused: &'a [Refused],
    letters: Vec<DeadLetter>,
    /// Of the letters.
    bytes: usize,
}

impl Replay<'_> {
    /// The next offset to read.
    fn due(&self) -> Option<i64> {
        self.refused.first().filter(|_| self.bytes < ENOUGH_BYTES).map(|refused| refused.offset)
    }

    /// Retention has removed what lies below.
    fn log_starts_at(&mut self, low: i64) {
        while self.due().is_some_and(|due| due < low) {
            self.settle(None);
        }
    }

    /// Takes in the record at an offset. Records come in order: what is due before it has been compacted away.
    fn see(&mut self, offset: i64, content: impl FnOnce() -> Content) {
        self.log_starts_at(offset);
        if self.due() == Some(offset) {
            self.settle(Some(content()));
        }
    }

    /// Writes the letter of the record that is due; none: the log no longer has it.
    fn settle(&mut self, content: Option<Content>) {
        let Some((refused, rest)) = self.refused.split_first() else { return };
        self.refused = rest;
        let detail = match &content {
            Some(_) => refused.detail.clone(),
            None => format!("{}; the record itself is no longer in the log", refused.detail),
        };
        let Content { timestamp, key, value, headers } = content.unwrap_or_default();
        let (partition, offset, reason) = (self.partition, refused.offset, refused.reason);
        let letter = DeadLetter { partition, offset, timestamp, key, value, headers, reason, detail };
        self.bytes += letter.bytes();
        self.letters.push(letter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Reason;

    /// The letters after reading a log that starts at `low` and holds these offsets, and what is due then.
    fn replayed(offsets: &[i64], low: i64, log: &[i64]) -> (Vec<DeadLetter>, Option<i64>) {
        let refused: Vec<Refused> = offsets
            .iter()
            .map(|offset| Refused { offset: *offset, reason: Reason::SumOverflow, detail: "too much".into() })
            .collect();
        let mut replay = Replay { partition: 3, refused: &refused, letters: Vec::new(), bytes: 0 };
        replay.log_starts_at(low);
        for offset in log {
            let value = Some(Part::of_value(offset.to_string().as_bytes()));
            replay.see(*offset, || Content { value, ..Content::default() });
        }
        let due = replay.due();
        (replay.letters, due)
    }

    #[test]
    fn each_refused_record_is_read_or_known_to_be_gone() {
        let (letters, due) = replayed(&[3, 7, 8, 12], 5, &[6, 7, 10, 12]);
        let letters: Vec<_> = letters
            .iter()
            .map(|letter| {
                (letter.offset, letter.value.as_ref().map(|value| &value.bytes[..]), &*letter.detail)
            })
            .collect();
        let gone = "too much; the record itself is no longer in the log";
        let expected = [
            (3, None, gone),
            (7, Some(&b"7"[..]), "too much"),
            (8, None, gone),
            (12, Some(&b"12"[..]), "too much"),
        ];
        assert_eq!((&*letters, due), (&expected[..], None));
    }

    #[test]
    fn large_records_are_fetched_a_few_at_a_time() {
        let refused: Vec<Refused> = (0..9)
            .map(|offset| Refused { offset, reason: Reason::SumOverflow, detail: String::new() })
            .collect();
        let mut replay = Replay { partition: 3, refused: &refused, letters: Vec::new(), bytes: 0 };

        for offset in 0..9 {
            let key = Some(Part::of_key(&vec![b'k'; 1 << 20]));
            replay.see(offset, || Content { key, ..Content::default() });
        }

        assert_eq!((replay.letters.len(), replay.due(), replay.refused.len()), (4, None, 5));
    }

    #[test]
    fn a_record_past_the_end_of_the_log_is_still_due() {
        let (letters, due) = replayed(&[7, 9], 0, &[7, 8]);
        assert_eq!(letters.len(), 1);
        assert_eq!(due, Some(9));
    }
}
