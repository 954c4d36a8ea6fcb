//! Dead letters as they are sent: the record with headers that say why, cut where its topic finds it too large.

use std::sync::Arc;

use rdkafka::message::{Header, Headers as _, OwnedHeaders};

use crate::lane::letter::{DeadLetter, KEY_BYTES, Part, VALUE_BYTES};

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
        let bytes = |part: &'a Option<Part>| part.as_ref().map(|part| &part.bytes[..]);
        let whole = |part: &Option<Part>| part.as_ref().map_or(0, |part| part.whole);
        let (mut key, mut value) = (bytes(&letter.key), bytes(&letter.value));
        let (mut own, mut left_out) =
            (letter.headers.list.clone().unwrap_or_default(), letter.headers.left_out);
        let mut detail = letter.detail.as_str();
        if cut != Cut::Nothing {
            value = value.map(|value| shortened(value, VALUE_BYTES));
        }
        if cut == Cut::Everything {
            key = key.map(|key| shortened(key, KEY_BYTES));
            left_out += own.count();
            own = OwnedHeaders::new();
            // A detail may quote the record.
            detail = &detail[..detail.floor_char_boundary(KEY_BYTES)];
        }
        let mut notes = Vec::new();
        if cut != Cut::Nothing || value.map_or(0, <[u8]>::len) < whole(&letter.value) {
            notes.push(("plaudit-truncated", "true".to_owned()));
            notes.push(("plaudit-original-size", whole(&letter.value).to_string()));
        }
        if key.map_or(0, <[u8]>::len) < whole(&letter.key) {
            notes.push(("plaudit-original-key-size", whole(&letter.key).to_string()));
        }
        if left_out > 0 {
            notes.push(("plaudit-headers-dropped", left_out.to_string()));
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
    use crate::lane::letter::OwnHeaders;
    use crate::report::Reason;

    fn letter() -> DeadLetter {
        let own = OwnedHeaders::new().insert(Header { key: "trace", value: Some("1") });
        DeadLetter {
            partition: 2,
            offset: 40,
            timestamp: Some(1_000),
            key: Some(Part::of_key(&[b'k'; 2_000])),
            value: Some(Part::of_value(&[b'v'; 9_000])),
            headers: OwnHeaders { list: Some(own), bytes: 6, left_out: 0 },
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
    fn what_was_left_out_when_the_record_was_copied_is_said_in_any_case() {
        let part = |kept| Some(Part { bytes: vec![b'x'; kept], whole: 20_000_000 });
        let headers = OwnHeaders { list: None, bytes: 0, left_out: 2_000 };
        let letter = DeadLetter { key: part(1_024), value: part(4_096), headers, ..letter() };

        let looks = [Cut::Nothing, Cut::Value, Cut::Everything].map(|cut| look(&letter, cut));

        let notes = pairs(&[
            ("plaudit-truncated", "true"),
            ("plaudit-original-size", "20000000"),
            ("plaudit-original-key-size", "20000000"),
            ("plaudit-headers-dropped", "2000"),
        ]);
        let look = |detail| ([1_024, 4_096, detail], notes.clone());
        assert_eq!(looks, [look(1_200), look(1_200), look(1_024)]);
    }

    #[test]
    fn a_short_key_stays_whole_and_an_absent_value_stays_absent() {
        let key = Some(Part::of_key(b"17"));
        let letter = DeadLetter { key, value: None, headers: OwnHeaders::default(), ..letter() };
        let envelope = Origin { topic: "t".into(), group: "g".into() }.envelope(&letter, Cut::Everything);
        assert_eq!((envelope.key, envelope.value), (Some(&b"17"[..]), None));
    }
}
