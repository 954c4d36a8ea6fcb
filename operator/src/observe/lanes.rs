//! A worker's lanes as they are read: no more than a topic has, and texts that may be shown.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

use super::{Lane, Trouble};
use crate::plain;

/// Lanes that one worker is believed to have: partitions of one topic, generously.
pub const MOST_LANES: usize = 10_000;

/// The first lanes of a list.
pub(super) fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Lane>, D::Error> {
    deserializer.deserialize_seq(Lanes)
}

struct Lanes;

impl<'de> Visitor<'de> for Lanes {
    type Value = Vec<Lane>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of lanes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Lane>, A::Error> {
        let mut lanes = Vec::new();
        while let Some(lane) = list.next_element()? {
            if lanes.len() < MOST_LANES {
                lanes.push(lane);
            }
        }
        Ok(lanes)
    }
}

/// One word.
pub(super) fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(plain::word(&text(deserializer)?.unwrap_or_default(), "unknown"))
}

/// One word and one line.
pub(super) fn trouble<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<Trouble>>, D::Error> {
    let trouble = Option::<Trouble>::deserialize(deserializer)?;
    Ok(trouble.map(|Trouble { reason, message }| {
        Box::new(Trouble { reason: plain::word(&reason, "UnknownReason"), message: plain::line(&message) })
    }))
}

/// One word, as a condition's reason.
pub(super) fn reason<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(text(deserializer)?.map(|text| plain::word(&text, "UnknownReason")))
}

/// One line.
pub(super) fn message<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(text(deserializer)?.map(|text| plain::line(&text)))
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cow<'de, str>>, D::Error> {
    Option::<Cow<'de, str>>::deserialize(deserializer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::read_lanes;

    #[test]
    fn a_worker_that_says_too_much_is_believed_in_part() {
        let long = "x".repeat(5_000);
        let lane = format!(
            r#"{{"partition": 3, "state": "run\nning", "reason": "two words", "message": "a\u001b\n{long}"}}"#
        );
        let lanes = vec![lane; MOST_LANES + 7].join(",");

        let report = read_lanes(format!("HTTP/1.0 200 OK\r\n\r\n{{\"lanes\": [{lanes}]}}").as_bytes());

        let report = report.expect("it is an answer");
        let expected = Lane {
            partition: 3,
            state: "unknown".to_owned(),
            reason: Some("UnknownReason".to_owned()),
            message: Some(format!("a  {}", "x".repeat(1_021))),
            position: None,
        };
        assert_eq!(
            (report.lanes.len(), report.lanes.first(), report.lanes.last()),
            (MOST_LANES, Some(&expected), Some(&expected))
        );
    }
}
