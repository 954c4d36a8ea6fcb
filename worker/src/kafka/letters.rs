//! Dead letters as they are sent: the record with headers that say why, cut where its topic finds it too large.

use std::sync::Arc;

use rdkafka::message::{Header, Headers as _, OwnedHeaders};

use crate::lane::ports::DeadLetter;

/// A letter too large for its topic keeps this much of its value.
const VALUE_BYTES: usize = 4_096;
/// One that is still too large keeps this much of its key, and of its detail.
const KEY_BYTES: usize = 1_024;

/// Where letters come from.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub topic: Arc<str>,
    pub group: Arc<str>,
}

/// How much of a letter its topic lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    Nothing,
    Value,
    /// The value, the key and the record's own headers.
    Everything,
}

/// A letter as it is sent.
#[derive(Debug)]
pub(super) struct Envelope<'a> {
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: OwnedHeaders,
}

impl Origin {
    pub fn envelope<'a>(&self, letter: &'a DeadLetter, cut: Cut) -> Envelope<'a> {
        let (mut key, mut value) = (letter.key.as_deref(), letter.value.as_deref());
        let (mut own, mut detail) = (letter.headers.clone().unwrap_or_default(), letter.detail.as_str());
        let mut notes = Vec::new();
        if cut != Cut::Nothing {
            notes.push(("plaudit-truncated", "true".to_owned()));
            notes.push(("plaudit-original-size", value.unwrap_or_default().len().to_string()));
            value = value.map(|value| shortened(value, VALUE_BYTES));
        }
        if cut == Cut::Everything {
            if let Some(long) = key.filter(|key| key.len() > KEY_BYTES) {
                notes.push(("plaudit-original-key-size", long.len().to_string()));
                key = Some(shortened(long, KEY_BYTES));
            }
            if own.count() > 0 {
                notes.push(("plaudit-headers-dropped", own.count().to_string()));
                own = OwnedHeaders::new();
            }
            // A detail may quote the record.
            detail = &detail[..detail.floor_char_boundary(KEY_BYTES)];
        }
        let headers = notes.iter().fold(self.stamp(own, letter, detail), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        Envelope { key, value, headers }
    }

    /// The headers that every letter has.
    fn stamp(&self, headers: OwnedHeaders, letter: &DeadLetter, detail: &str) -> OwnedHeaders {
        let text = |headers: OwnedHeaders, key: &str, value: &str| {
            headers.insert(Header { key, value: Some(value) })
        };
        let mut headers = text(headers, "plaudit-reason", letter.reason.as_str());
        headers = text(headers, "plaudit-detail", detail);
        headers = text(headers, "plaudit-topic", &self.topic);
        headers = text(headers, "plaudit-partition", &letter.partition.to_string());
        headers = text(headers, "plaudit-offset", &letter.offset.to_string());
        if let Some(timestamp) = letter.timestamp {
            headers = text(headers, "plaudit-timestamp", &timestamp.to_string());
        }
        text(headers, "plaudit-consumer-group", &self.group)
    }
}

fn shortened(bytes: &[u8], most: usize) -> &[u8] {
    &bytes[..bytes.len().min(most)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Reason;

    fn letter() -> DeadLetter {
        let own = OwnedHeaders::new().insert(Header { key: "trace", value: Some("1") });
        DeadLetter {
            partition: 2,
            offset: 40,
            timestamp: Some(1_000),
            key: Some(vec![b'k'; 2_000]),
            value: Some(vec![b'v'; 9_000]),
            headers: Some(own),
            reason: Reason::Malformed,
            detail: "ä".repeat(600),
        }
    }

    /// Sizes of key, value and detail, and the headers that not every letter has.
    fn look(letter: &DeadLetter, cut: Cut) -> ([usize; 3], Vec<(String, String)>) {
        let envelope = Origin { topic: "t".into(), group: "g".into() }.envelope(letter, cut);
        let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap_or_default().to_vec()).unwrap();
        let headers: Vec<_> =
            envelope.headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect();
        let detail = headers.iter().find(|(key, _)| key == "plaudit-detail").unwrap().1.len();
        let usual = ["reason", "detail", "topic", "partition", "offset", "timestamp", "consumer-group"]
            .map(|name| format!("plaudit-{name}"));
        let len = |bytes: Option<&[u8]>| bytes.unwrap_or_default().len();
        let sizes = [len(envelope.key), len(envelope.value), detail];
        (sizes, headers.into_iter().filter(|(key, _)| !usual.contains(key)).collect())
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_letter_shrinks_step_by_step_and_says_what_it_lost() {
        let letter = letter();
        assert_eq!(look(&letter, Cut::Nothing), ([2_000, 9_000, 1_200], pairs(&[("trace", "1")])));
        let cut = [("trace", "1"), ("plaudit-truncated", "true"), ("plaudit-original-size", "9000")];
        assert_eq!(look(&letter, Cut::Value), ([2_000, 4_096, 1_200], pairs(&cut)));
        let cut = [
            ("plaudit-truncated", "true"),
            ("plaudit-original-size", "9000"),
            ("plaudit-original-key-size", "2000"),
            ("plaudit-headers-dropped", "1"),
        ];
        assert_eq!(look(&letter, Cut::Everything), ([1_024, 4_096, 1_024], pairs(&cut)));
    }

    #[test]
    fn a_short_key_stays_whole_and_an_absent_value_stays_absent() {
        let letter = DeadLetter { key: Some(b"17".to_vec()), value: None, headers: None, ..letter() };
        let envelope = Origin { topic: "t".into(), group: "g".into() }.envelope(&letter, Cut::Everything);
        assert_eq!((envelope.key, envelope.value), (Some(&b"17"[..]), None));
    }
}
