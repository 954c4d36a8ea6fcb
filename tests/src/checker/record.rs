//! A Kafka record as the checker sees it, whichever topic it comes from.

use std::hash::{DefaultHasher, Hash, Hasher};

/// One record; nothing of it is copied.
#[derive(Clone, Debug, Default)]
pub struct SourceRecord<'a> {
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since 1970; none where the record has no timestamp.
    pub timestamp_ms: Option<i64>,
    pub key: Option<&'a [u8]>,
    pub payload: Option<&'a [u8]>,
    pub headers: Vec<(&'a str, Option<&'a [u8]>)>,
}

/// Names of headers that Plaudit adds begin so.
const OWN_HEADERS: &str = "plaudit-";

impl<'a> SourceRecord<'a> {
    /// The value of the last header of this name, as Kafka's clients take it.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers.iter().rev().find(|(found, _)| *found == name).and_then(|(_, value)| *value)
    }

    /// The number that a header holds in decimal.
    pub fn header_number<N: std::str::FromStr>(&self, name: &str) -> Option<N> {
        std::str::from_utf8(self.header(name)?).ok()?.parse().ok()
    }

    /// A fingerprint of all headers but Plaudit's own.
    pub fn foreign_headers(&self) -> u64 {
        fingerprint(&self.foreign().collect::<Vec<_>>())
    }

    pub fn foreign_header_count(&self) -> usize {
        self.foreign().count()
    }

    fn foreign(&self) -> impl Iterator<Item = &(&'a str, Option<&'a [u8]>)> {
        self.headers.iter().filter(|(name, _)| !name.starts_with(OWN_HEADERS))
    }
}

/// Enough to tell two contents apart, in little memory.
pub fn fingerprint<T: Hash>(content: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    hasher.finish()
}
