//! Dead letters: what the topic holds, and whether each refused record has the right one.

use std::collections::{BTreeMap, HashMap};

use super::record::{SourceRecord, fingerprint};
use super::rules::{Reason, Reasons};

/// How much later than the verdict a dead letter may have been produced: it may have waited for a broker.
const LETTER_DELAY_MS: i64 = 60_000;

/// The dead letters of one source topic, by the record they belong to.
#[derive(Debug)]
pub struct Letters {
    topic: String,
    consumer_group: Option<String>,
    letters: HashMap<(i32, i64), Letter>,
    summary: LetterSummary,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LetterSummary {
    /// Refused records by the reason that their dead letter gives.
    pub by_reason: BTreeMap<&'static str, u64>,
    /// Further dead letters of a record that has one.
    pub duplicates: u64,
    /// Dead letters of other topics.
    pub foreign: u64,
}

/// What is remembered of a dead letter: fingerprints, not contents.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Letter {
    reason: Option<Reason>,
    detailed: bool,
    key: Content,
    payload: Content,
    headers: u64,
    /// How many headers of the record it left out.
    headers_dropped: Option<usize>,
    timestamp_ms: Option<i64>,
    consumer_group: u64,
    produced_ms: i64,
    /// A refused record was found for it.
    due: bool,
    /// Another dead letter of the same record says something else.
    contradicted: bool,
}

/// Key or value of a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Content {
    fingerprint: u64,
    bytes: usize,
    /// The size before it was cut; none where it was not.
    original: Option<usize>,
}

impl Letters {
    /// `consumer_group`: what the header of that name has to be; none: anything.
    pub fn new(topic: &str, consumer_group: Option<&str>) -> Self {
        Self {
            topic: topic.to_owned(),
            consumer_group: consumer_group.map(str::to_owned),
            letters: HashMap::new(),
            summary: LetterSummary::default(),
        }
    }

    /// Takes in a record of the dead-letter topic; false where its headers do not say whose it is.
    pub fn add(&mut self, record: &SourceRecord<'_>) -> bool {
        let topic = record.header("plaudit-topic");
        let (Some(topic), Some(partition), Some(offset)) =
            (topic, record.header_number("plaudit-partition"), record.header_number("plaudit-offset"))
        else {
            return false;
        };
        if topic != self.topic.as_bytes() {
            self.summary.foreign += 1;
            return true;
        }
        let letter = Letter::of(record);
        match self.letters.entry((partition, offset)) {
            std::collections::hash_map::Entry::Vacant(entry) => drop(entry.insert(letter)),
            std::collections::hash_map::Entry::Occupied(mut entry) => {
                self.summary.duplicates += 1;
                let first = entry.get_mut();
                let same = letter.reason == first.reason && letter.payload == first.payload;
                first.contradicted |= !same || letter.key != first.key;
            }
        }
        true
    }

    /// Whether a record has a dead letter.
    pub fn exists(&self, record: &SourceRecord<'_>) -> bool {
        self.letter(record).is_some()
    }

    /// Whether a record has a dead letter for this reason.
    pub fn has(&self, record: &SourceRecord<'_>, reason: Reason) -> bool {
        self.letter(record).is_some_and(|letter| letter.reason == Some(reason))
    }

    /// Whether a dead letter calls this record's timestamp too far ahead, and could when it was produced.
    pub fn justly_future(&self, record: &SourceRecord<'_>, max_clock_skew_ms: i64) -> bool {
        self.letter(record).is_some_and(|letter| {
            letter.reason == Some(Reason::FutureTimestamp)
                && record.timestamp_ms > Some(letter.produced_ms + max_clock_skew_ms - LETTER_DELAY_MS)
        })
    }

    /// Holds a refused record against its dead letter: what is wrong with that, if anything.
    pub fn settle(&mut self, record: &SourceRecord<'_>, reasons: Reasons) -> Result<(), String> {
        let group = self.consumer_group.as_ref().map(|group| fingerprint(&Some(group.as_bytes())));
        let Some(letter) = self.letters.get_mut(&(record.partition, record.offset)) else {
            return Err("there is none".to_owned());
        };
        letter.due = true;
        let Some(reason) = letter.reason.filter(|&reason| reasons.contains(reason)) else {
            let named = letter.reason.map_or("one that does not exist", Reason::name);
            return Err(format!("its reason is {named}"));
        };
        *self.summary.by_reason.entry(reason.name()).or_default() += 1;
        letter.compare(record, group)
    }

    /// Takes the dead letter of a record, if there is one, as neither due nor undue.
    pub fn excuse(&mut self, partition: i32, offset: i64) {
        if let Some(letter) = self.letters.get_mut(&(partition, offset)) {
            letter.due = true;
        }
    }

    /// The records below `ends` (by partition) that have a dead letter without having been refused.
    pub fn undue(&self, ends: &BTreeMap<i32, i64>) -> Vec<(i32, i64)> {
        let below_end =
            |(partition, offset): &(i32, i64)| ends.get(partition).is_some_and(|end| offset < end);
        let undue = self.letters.iter().filter(|(at, letter)| !letter.due && below_end(at));
        let mut undue: Vec<_> = undue.map(|(&at, _)| at).collect();
        undue.sort_unstable();
        undue
    }

    pub fn summary(&self) -> &LetterSummary {
        &self.summary
    }

    fn letter(&self, record: &SourceRecord<'_>) -> Option<&Letter> {
        self.letters.get(&(record.partition, record.offset))
    }
}

impl Letter {
    fn of(record: &SourceRecord<'_>) -> Self {
        let truncated = record.header("plaudit-truncated") == Some(b"true");
        Self {
            reason: record.header("plaudit-reason").and_then(Reason::named),
            detailed: record.header("plaudit-detail").is_some_and(|detail| !detail.is_empty()),
            key: Content::of(record.key, record.header_number("plaudit-original-key-size")),
            // A cut letter that does not say of what size is as wrong as one with a wrong size.
            payload: Content::of(
                record.payload,
                truncated.then(|| record.header_number("plaudit-original-size").unwrap_or(0)),
            ),
            headers: record.foreign_headers(),
            headers_dropped: record.header_number("plaudit-headers-dropped"),
            timestamp_ms: record.header_number("plaudit-timestamp"),
            consumer_group: fingerprint(&record.header("plaudit-consumer-group")),
            produced_ms: record.timestamp_ms.unwrap_or(i64::MIN / 2),
            due: false,
            contradicted: false,
        }
    }

    fn compare(&self, record: &SourceRecord<'_>, group: Option<u64>) -> Result<(), String> {
        self.key.compare("key", record.key)?;
        self.payload.compare("value", record.payload)?;
        let headers = match self.headers_dropped {
            None => self.headers == record.foreign_headers(),
            Some(dropped) => dropped == record.foreign_header_count(),
        };
        let wrong = [
            (self.contradicted, "another one of the same record differs"),
            (!self.detailed, "it has no detail"),
            (!headers, "the record's own headers differ"),
            (
                self.timestamp_ms != record.timestamp_ms && record.timestamp_ms.is_some(),
                "its timestamp differs",
            ),
            (group.is_some_and(|group| group != self.consumer_group), "its consumer group differs"),
        ];
        match wrong.into_iter().find(|(wrong, _)| *wrong) {
            Some((_, what)) => Err(what.to_owned()),
            None => Ok(()),
        }
    }
}

impl Content {
    fn of(content: Option<&[u8]>, original: Option<usize>) -> Self {
        Self { fingerprint: fingerprint(&content), bytes: content.map_or(0, <[u8]>::len), original }
    }

    /// `what` it is, and what the record has.
    fn compare(&self, what: &str, record: Option<&[u8]>) -> Result<(), String> {
        let whole = record.map_or(0, <[u8]>::len);
        let kept = match self.original {
            None => record,
            Some(size) if size == whole => record.map(|content| &content[..self.bytes.min(whole)]),
            Some(size) => return Err(format!("it says the {what} had {size} bytes, and it had {whole}")),
        };
        if self.fingerprint == fingerprint(&kept) { Ok(()) } else { Err(format!("its {what} differs")) }
    }
}
