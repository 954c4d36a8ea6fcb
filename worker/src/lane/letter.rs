//! A dead letter: a record that cannot be processed, copied as far as a topic would take it.
//!
//! A record may be as large as its batch is once it is unpacked, and have a hundred thousand headers. Its letter is held until it is
//! acknowledged, beside those of all lanes.

use std::borrow::Cow;

use rdkafka::message::{Header, OwnedHeaders};

use crate::report::Reason;

/// A letter that is larger is sent nowhere: a larger value, or key, is cut when it is copied.
pub const MOST_BYTES: usize = 10 << 20;
/// A value that has to be cut keeps this much.
pub const VALUE_BYTES: usize = 4_096;
/// A key that has to be cut keeps this much, and so does a detail.
pub const KEY_BYTES: usize = 1_024;
/// Of more headers none is copied: each takes some hundred bytes, however short it is, in the letter and in the client.
pub const MOST_HEADERS: usize = 1_000;
/// Of longer ones neither: they would be longer than the longest report.
pub const MOST_HEADER_BYTES: usize = 64 << 10;

/// A record that cannot be processed, on its way to the dead-letter topic.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    pub partition: i32,
    pub offset: i64,
    pub timestamp: Option<i64>,
    pub key: Option<Part>,
    pub value: Option<Part>,
    pub headers: OwnHeaders,
    pub reason: Reason,
    pub detail: String,
}

/// Key or value of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// All of it, or its beginning.
    pub bytes: Vec<u8>,
    /// Bytes that the record's has.
    pub whole: usize,
}

/// A record's own headers.
#[derive(Clone, Debug, Default)]
pub struct OwnHeaders {
    pub list: Option<OwnedHeaders>,
    /// Bytes of their names and values.
    pub bytes: usize,
    /// How many there are, if they are not in the list.
    pub left_out: usize,
}

impl Part {
    /// A copy of a value.
    pub fn of_value(value: &[u8]) -> Self {
        Self::copy(value, VALUE_BYTES)
    }

    /// A copy of a key.
    pub fn of_key(key: &[u8]) -> Self {
        Self::copy(key, KEY_BYTES)
    }

    fn copy(bytes: &[u8], least: usize) -> Self {
        let kept = if bytes.len() > MOST_BYTES { least } else { bytes.len() };
        Self { bytes: bytes[..kept].to_vec(), whole: bytes.len() }
    }
}

impl OwnHeaders {
    /// A copy of a record's headers, names and values, which are looked at twice.
    pub fn copy<'a>(headers: impl Iterator<Item = (Cow<'a, str>, Option<&'a [u8]>)> + Clone) -> Self {
        let (count, bytes) = headers.clone().fold((0, 0_usize), |(count, bytes), (name, value)| {
            (count + 1, bytes.saturating_add(name.len() + value.map_or(0, <[u8]>::len)))
        });
        if count > MOST_HEADERS || bytes > MOST_HEADER_BYTES {
            return Self { list: None, bytes: 0, left_out: count };
        }
        let list = headers.fold(OwnedHeaders::new_with_capacity(count), |list, (name, value)| {
            list.insert(Header { key: &name, value })
        });
        Self { list: (count > 0).then_some(list), bytes, left_out: 0 }
    }
}

impl DeadLetter {
    /// Bytes that it holds of its record.
    pub fn bytes(&self) -> usize {
        let held = |part: &Option<Part>| part.as_ref().map_or(0, |part| part.bytes.len());
        held(&self.key) + held(&self.value) + self.headers.bytes
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::message::Headers as _;

    use super::*;

    fn headers(count: usize, bytes: usize) -> OwnHeaders {
        let value = vec![b'v'; bytes];
        OwnHeaders::copy(std::iter::repeat_n((Cow::Borrowed("k"), Some(&value[..])), count))
    }

    #[test]
    fn headers_are_copied_or_counted() {
        let copied = [(0, 0), (2, 9), (MOST_HEADERS, 0), (MOST_HEADERS + 1, 0), (2, MOST_HEADER_BYTES / 2)]
            .map(|(count, bytes)| headers(count, bytes))
            .map(|headers| (headers.list.map(|list| list.count()), headers.bytes, headers.left_out));

        assert_eq!(
            copied,
            [
                (None, 0, 0),
                (Some(2), 20, 0),
                (Some(MOST_HEADERS), MOST_HEADERS, 0),
                (None, 0, MOST_HEADERS + 1),
                (None, 0, 2)
            ]
        );
    }

    #[test]
    fn what_no_topic_would_take_is_cut_when_it_is_copied() {
        let (small, large) = (vec![b'x'; MOST_BYTES], vec![b'x'; MOST_BYTES + 1]);

        let parts = [Part::of_value(&small), Part::of_value(&large), Part::of_key(&large)];

        let sizes = parts.map(|part| (part.bytes.len(), part.whole));
        assert_eq!(
            sizes,
            [(MOST_BYTES, MOST_BYTES), (VALUE_BYTES, MOST_BYTES + 1), (KEY_BYTES, MOST_BYTES + 1)]
        );
    }
}
