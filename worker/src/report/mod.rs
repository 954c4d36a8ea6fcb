//! A report: what a game server sends, decoded from a Kafka record's value.
//!
//! Decoding borrows from the payload. What cannot be a report is refused with a reason that becomes a metric label
//! and a dead letter's header.

mod json;
mod plain;

use std::borrow::Cow;

use plaudit_crds::Format;
use prost::Message;
use smallvec::SmallVec;

use crate::fields;
use crate::proto;

/// Longest value of a Kafka record that is decoded, in bytes.
pub const MAX_REPORT_BYTES: usize = 65_536;
/// Longest role, in bytes of UTF-8.
pub const MAX_ROLE_BYTES: usize = 128;
/// Longest `data` of an item, in bytes of UTF-8.
pub const MAX_DATA_BYTES: usize = 1_024;
/// Most items of a report; at least one is needed.
pub const MAX_ITEMS: usize = 256;

/// One player and items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report<'a> {
    pub uin: u64,
    pub platform: u32,
    pub zone: u32,
    pub server: u32,
    pub role: Cow<'a, str>,
    pub items: Items<'a>,
    /// Removes the player; there are no items then.
    pub delete: bool,
}

/// As many as a report has as a rule lie in it without an allocation.
pub type Items<'a> = SmallVec<[ReportItem<'a>; 4]>;

/// One achievement type with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportItem<'a> {
    pub kind: u32,
    pub value: i64,
    pub data: Cow<'a, str>,
}

/// Why a Kafka record is a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    Empty,
    NotUtf8,
    Malformed,
    LimitExceeded,
    NoTimestamp,
    FutureTimestamp,
    UnlistedType,
    SumOverflow,
    PlayerFull,
}

impl Reason {
    pub const ALL: [Self; 9] = [
        Self::Empty,
        Self::NotUtf8,
        Self::Malformed,
        Self::LimitExceeded,
        Self::NoTimestamp,
        Self::FutureTimestamp,
        Self::UnlistedType,
        Self::SumOverflow,
        Self::PlayerFull,
    ];

    /// The metric label and the value of the header `plaudit-reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NotUtf8 => "not_utf8",
            Self::Malformed => "malformed",
            Self::LimitExceeded => "limit_exceeded",
            Self::NoTimestamp => "no_timestamp",
            Self::FutureTimestamp => "future_timestamp",
            Self::UnlistedType => "unlisted_type",
            Self::SumOverflow => "sum_overflow",
            Self::PlayerFull => "player_full",
        }
    }
}

/// A reason with what a person needs to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Reason,
    /// One sentence; never holds the payload.
    pub detail: String,
}

impl Refusal {
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// Decodes a Kafka record's value.
///
/// # Errors
/// A [`Refusal`]: the record becomes a dead letter.
pub fn decode(payload: Option<&[u8]>, format: Format) -> Result<Report<'_>, Refusal> {
    let payload = payload.unwrap_or_default();
    if payload.is_empty() {
        return Err(Refusal::new(Reason::Empty, "the record has no value"));
    }
    if payload.len() > MAX_REPORT_BYTES {
        let detail = format!("the value has {} bytes, more than {MAX_REPORT_BYTES}", payload.len());
        return Err(Refusal::new(Reason::LimitExceeded, detail));
    }
    let report = match format {
        Format::Json => decode_json(payload)?,
        Format::Protobuf => decode_protobuf(payload)?,
    };
    check_limits(&report)?;
    Ok(report)
}

fn decode_json(payload: &[u8]) -> Result<Report<'_>, Refusal> {
    let text = std::str::from_utf8(payload).map_err(|error| {
        Refusal::new(Reason::NotUtf8, format!("byte {} is not UTF-8", error.valid_up_to()))
    })?;
    if let Some(report) = plain::decode(text) {
        return Ok(report);
    }
    let malformed = |error: serde_json::Error| Refusal::new(Reason::Malformed, json_detail(&error));
    if may_be_deep(payload) {
        // The decoder skips unknown fields without recursion, however deep they are.
        serde_json::from_str::<json::Shallow>(text).map_err(malformed)?;
    }
    serde_json::from_str(text).map_err(malformed)
}

/// Whether the JSON could be nested deeper than 128 levels, the most that any field may be.
fn may_be_deep(payload: &[u8]) -> bool {
    const DEEPEST: usize = 128;
    payload.len() > 2 * DEEPEST && payload.iter().filter(|byte| matches!(byte, b'[' | b'{')).count() > DEEPEST
}

/// Says where and what, without quoting the payload.
fn json_detail(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    let what = match error.classify() {
        Category::Eof => "the JSON ends too early",
        Category::Syntax => "the value is not JSON, or is nested too deep",
        Category::Data => "a field is missing, stands twice, or has the wrong type or range",
        Category::Io => "the value cannot be read",
    };
    format!("{what} (line {}, column {})", error.line(), error.column())
}

/// The number of the field `items` in `report.proto`.
const ITEMS: u32 = 6;

fn decode_protobuf(payload: &[u8]) -> Result<Report<'_>, Refusal> {
    if let Some(items) = fields::more_than(MAX_ITEMS, &[ITEMS], payload) {
        return Err(too_many(items));
    }
    let report = proto::Report::decode(payload)
        .map_err(|_| Refusal::new(Reason::Malformed, "the value is not a plaudit.v1.Report"))?;
    Ok(Report {
        uin: report.uin,
        platform: report.platform,
        zone: report.zone,
        server: report.server,
        role: Cow::Owned(report.role),
        delete: report.delete,
        items: report
            .items
            .into_iter()
            .map(|item| ReportItem { kind: item.r#type, value: item.value, data: Cow::Owned(item.data) })
            .collect(),
    })
}

fn too_many(items: usize) -> Refusal {
    Refusal::new(Reason::LimitExceeded, format!("the report has {items} items, not 1 to {MAX_ITEMS}"))
}

fn check_limits(report: &Report<'_>) -> Result<(), Refusal> {
    let refuse = |detail: String| Err(Refusal::new(Reason::LimitExceeded, detail));
    if report.delete && !report.items.is_empty() {
        let detail = "the report deletes the player and has items; send two reports";
        return Err(Refusal::new(Reason::Malformed, detail));
    }
    if report.items.is_empty() != report.delete || report.items.len() > MAX_ITEMS {
        return Err(too_many(report.items.len()));
    }
    if report.role.len() > MAX_ROLE_BYTES {
        return refuse(format!("role has {} bytes, more than {MAX_ROLE_BYTES}", report.role.len()));
    }
    match report.items.iter().position(|item| item.data.len() > MAX_DATA_BYTES) {
        Some(at) => refuse(format!(
            "data of item {at} has {} bytes, more than {MAX_DATA_BYTES}",
            report.items[at].data.len()
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(payload: &[u8]) -> Option<Reason> {
        decode(Some(payload), Format::Json).err().map(|refusal| refusal.reason)
    }

    #[test]
    fn the_documented_report_decodes_and_borrows() {
        let payload = br#"{"uin": 10001, "platform": 1, "zone": 3, "server": 12, "role": "987654",
            "items": [{"type": 1001, "value": 37, "data": "optional text"}], "match": {"ignored": [1]}}"#;
        let report = decode(Some(payload), Format::Json).unwrap();
        assert!(matches!(report.role, Cow::Borrowed("987654")));
        assert!(matches!(report.items[0].data, Cow::Borrowed("optional text")));
        assert_eq!((report.uin, report.items[0].kind, report.items[0].value), (10_001, 1_001, 37));
    }

    #[test]
    fn a_deletion_has_no_items() {
        for payload in [&br#"{"uin": 7, "delete": true}"#[..], br#"{"delete": true, "uin": 7, "items": []}"#]
        {
            let report = decode(Some(payload), Format::Json).unwrap();
            assert_eq!((report.uin, report.delete, report.items.len()), (7, true, 0));
        }
        let proto = proto::Report { uin: 7, delete: true, ..proto::Report::default() };
        assert!(decode(Some(&proto.encode_to_vec()), Format::Protobuf).unwrap().delete);
    }

    #[test]
    fn escapes_are_undone() {
        let payload =
            br#"{"uin": 1, "\u0072ole": "a\nb", "items": [{"type": 1, "value": 1, "data": "\u4f60"}]}"#;
        let report = decode(Some(payload), Format::Json).unwrap();
        assert_eq!((&*report.role, &*report.items[0].data), ("a\nb", "\u{4f60}"));
    }

    #[test]
    fn protobuf_says_the_same_as_json() {
        let json = br#"{"uin": 7, "role": "r", "items": [{"type": 1, "value": -5, "data": "d"}]}"#;
        let proto = proto::Report {
            uin: 7,
            role: "r".into(),
            items: vec![proto::Item { r#type: 1, value: -5, data: "d".into() }],
            ..proto::Report::default()
        };
        let bytes = proto.encode_to_vec();
        assert_eq!(decode(Some(&bytes), Format::Protobuf), decode(Some(json), Format::Json));
        assert_eq!(decode(Some(b"{}{}"), Format::Protobuf).unwrap_err().reason, Reason::Malformed);
    }

    #[test]
    fn every_kind_of_bad_record_has_its_reason() {
        let deep = format!(
            r#"{{"x":{}{},"uin":1,"items":[{{"type":1,"value":1}}]}}"#,
            "[".repeat(200),
            "]".repeat(200)
        );
        let long_role =
            format!(r#"{{"uin":1,"role":"{}","items":[{{"type":1,"value":1}}]}}"#, "r".repeat(129));
        let long_data =
            format!(r#"{{"uin":1,"items":[{{"type":1,"value":1,"data":"{}"}}]}}"#, "d".repeat(1_025));
        let cases: Vec<(&[u8], Reason)> = vec![
            (b"", Reason::Empty),
            (b"\xff\xfe", Reason::NotUtf8),
            (br#"{"uin":1,"items":[{"type":1,"#, Reason::Malformed),
            (deep.as_bytes(), Reason::Malformed),
            (br#"{"uin":1,"uin":2,"items":[{"type":1,"value":1}]}"#, Reason::Malformed),
            (br#"{"items":[{"type":1,"value":1}]}"#, Reason::Malformed),
            (br#"{"uin":-1,"items":[{"type":1,"value":1}]}"#, Reason::Malformed),
            (br#"{"uin":1,"items":[{"type":1,"value":1.5}]}"#, Reason::Malformed),
            (br#"{"uin":1,"items":[{"type":1,"value":9223372036854775808}]}"#, Reason::Malformed),
            (br#"[10001,1,3,12,"r",[[1,1]]]"#, Reason::Malformed),
            (br#"{"uin":1,"items":[[1,1]]}"#, Reason::Malformed),
            (br#"{"uin":1,"items":[{"type":1,"value":1,"value":1}]}"#, Reason::Malformed),
            (br#"{"uin":1,"items":[]} {}"#, Reason::Malformed),
            (br#"{"uin":1}"#, Reason::Malformed),
            (br#"{"uin":1,"delete":false}"#, Reason::Malformed),
            (br#"{"uin":1,"delete":1}"#, Reason::Malformed),
            (br#"{"uin":1,"delete":true,"items":[{"type":1,"value":1}]}"#, Reason::Malformed),
            (br#"{"uin":1,"items":[]}"#, Reason::LimitExceeded),
            (long_role.as_bytes(), Reason::LimitExceeded),
            (long_data.as_bytes(), Reason::LimitExceeded),
        ];
        for (payload, expected) in cases {
            assert_eq!(reason(payload), Some(expected), "{}", String::from_utf8_lossy(payload));
        }
        assert_eq!(reason(&vec![b' '; 1 << 20]), Some(Reason::LimitExceeded));
        assert_eq!(decode(None, Format::Json).unwrap_err().reason, Reason::Empty);
    }
}
