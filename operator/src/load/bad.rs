//! Records that a pipeline must refuse, one defect each.

use clap::ValueEnum;
use fastrand::Rng;
use plaudit_crds::Format;

use super::report::{Item, Report};

/// Just below what a topic accepts by default with `max.message.bytes` = 1 MiB + 12, key and headers included.
const HUGE_BYTES: usize = 1_040_000;
/// Deeper than any reader of reports goes (128).
const NESTING: usize = 600;

/// What is wrong with a record. The comment names the reason a pipeline gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Bad {
    /// `empty`: a value of no bytes.
    Empty,
    /// `empty`: no value.
    Null,
    /// `not_utf8` (protobuf: or `malformed`).
    NotUtf8,
    /// `malformed`: ends in the middle.
    Truncated,
    /// `malformed`: 600 arrays inside each other (JSON only; a truncated report in protobuf).
    DeepNesting,
    /// `malformed`: `uin` twice (JSON only; a truncated report in protobuf).
    DuplicateKeys,
    /// `limit_exceeded`: a role of 129 bytes.
    LongRole,
    /// `limit_exceeded`: data of 1,025 bytes.
    LongData,
    /// `limit_exceeded`: 257 items.
    ManyItems,
    /// `limit_exceeded`: no items.
    NoItems,
    /// `limit_exceeded`: about 1 MiB.
    Huge,
    /// `future_timestamp`: as far ahead as [`Mix::ahead_by`](super::Mix) says.
    Future,
    /// `sum_overflow` where the policy of the type is `sum`: the greatest value, twice.
    Overflow,
    /// `unlisted_type` where the pipeline refuses those: type 4294967295.
    Unlisted,
}

impl Bad {
    /// The kinds every pipeline refuses, whatever its policies; the huge one is drawn rarely.
    pub const ALWAYS: [Self; 12] = [
        Self::Empty,
        Self::Null,
        Self::NotUtf8,
        Self::Truncated,
        Self::DeepNesting,
        Self::DuplicateKeys,
        Self::LongRole,
        Self::LongData,
        Self::ManyItems,
        Self::NoItems,
        Self::Huge,
        Self::Future,
    ];

    /// One of `kinds`; [`Bad::Huge`] a hundredth as often as another, for the sake of everybody's disk.
    pub fn draw(kinds: &[Self], rng: &mut Rng) -> Option<Self> {
        let drawn = *rng.choice(kinds)?;
        let too_often = drawn == Self::Huge && kinds.len() > 1 && rng.u8(..100) > 0;
        if too_often { kinds.iter().copied().find(|&kind| kind != Self::Huge) } else { Some(drawn) }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Null => "null",
            Self::NotUtf8 => "not-utf8",
            Self::Truncated => "truncated",
            Self::DeepNesting => "deep-nesting",
            Self::DuplicateKeys => "duplicate-keys",
            Self::LongRole => "long-role",
            Self::LongData => "long-data",
            Self::ManyItems => "many-items",
            Self::NoItems => "no-items",
            Self::Huge => "huge",
            Self::Future => "future",
            Self::Overflow => "overflow",
            Self::Unlisted => "unlisted",
        }
    }

    /// The value of a record that is wrong in this way; `report` is a good one with at least one item.
    pub fn spoil(self, mut report: Report, format: Format) -> Option<Vec<u8>> {
        let first = report.items.first().cloned().unwrap_or_default();
        match self {
            Self::Null => return None,
            Self::Empty => return Some(Vec::new()),
            Self::NotUtf8 => return Some(not_utf8(report, format)),
            Self::Truncated => return Some(truncated(&report, format)),
            Self::DeepNesting | Self::DuplicateKeys if format == Format::Protobuf => {
                return Some(truncated(&report, format));
            }
            Self::DeepNesting => {
                let (open, close) = ("[".repeat(NESTING), "]".repeat(NESTING));
                return Some(format!(r#"{{"uin":{},"items":{open}{close}}}"#, report.uin).into_bytes());
            }
            Self::DuplicateKeys => {
                let mut payload = format!(r#"{{"uin":{},"#, report.uin).into_bytes();
                payload.extend_from_slice(&report.to_json()[1..]);
                return Some(payload);
            }
            Self::LongRole => report.role = "r".repeat(129),
            Self::LongData => report.items[0].data = "d".repeat(1_025),
            Self::ManyItems => report.items = vec![first; 257],
            Self::NoItems => report.items.clear(),
            Self::Huge => report.items[0].data = "d".repeat(HUGE_BYTES),
            Self::Future => {}
            Self::Overflow => {
                report.items = vec![Item { value: i64::MAX, ..first }; 2];
            }
            Self::Unlisted => report.items.push(Item { r#type: u32::MAX, value: 1, data: String::new() }),
        }
        Some(report.encode(format))
    }
}

fn not_utf8(mut report: Report, format: Format) -> Vec<u8> {
    const MARK: &str = "mark-of-what-is-not-text";
    report.role = MARK.into();
    let mut payload = report.encode(format);
    if let Some(at) = payload.windows(MARK.len()).position(|window| window == MARK.as_bytes()) {
        payload[at..at + 2].copy_from_slice(&[0xc3, 0x28]);
    }
    payload
}

fn truncated(report: &Report, format: Format) -> Vec<u8> {
    let mut payload = report.encode(format);
    payload.pop();
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncated_protobuf_report_ends_inside_its_last_item() {
        let report = Report {
            uin: 1,
            items: vec![Item { r#type: 1, value: 1, data: String::new() }],
            ..Report::default()
        };
        let payload = Bad::Truncated.spoil(report, Format::Protobuf);
        assert_eq!(payload, Some(vec![0x08, 1, 0x32, 4, 0x08, 1, 0x10]));
    }

    #[test]
    fn huge_records_are_rare_unless_they_are_all_that_is_asked_for() {
        let mut rng = Rng::with_seed(3);
        let huge = (0..10_000).filter(|_| Bad::draw(&Bad::ALWAYS, &mut rng) == Some(Bad::Huge)).count();
        assert!(huge < 50, "{huge} of 10,000");
        assert_eq!(Bad::draw(&[Bad::Huge], &mut rng), Some(Bad::Huge));
        assert_eq!(Bad::draw(&[], &mut rng), None);
    }
}
