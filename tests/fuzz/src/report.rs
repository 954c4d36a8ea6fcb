//! Reports: what is accepted is one thing in every format, and costs little whatever it is.

use plaudit_crds::Format;
use plaudit_worker::proto;
use plaudit_worker::report::{
    MAX_DATA_BYTES, MAX_ITEMS, MAX_REPORT_BYTES, MAX_ROLE_BYTES, Reason, Refusal, Report, decode,
};
use prost::Message as _;
use serde_json::json;

use super::memory::{within, within_what_it_may};

/// The value of a record, as JSON.
pub fn json(input: &[u8]) {
    // An item of 21 bytes takes 40, twice while its list grows; a text with escapes is copied. An error of the library quotes a text that
    // stands in the wrong place, six letters for one.
    let times = |decoded: &Result<_, _>| if decoded.is_ok() { 8 } else { 24 };
    let most = |decoded: &_| times(decoded) * input.len().min(MAX_REPORT_BYTES) + 4_096;
    let decoded = within_what_it_may(most, || decode(Some(input), Format::Json));
    if let Some(report) = accepted(&decoded) {
        let whole = serde_json::from_slice::<Report<'_>>(input).ok();
        assert_eq!(whole.as_ref(), Some(report), "the decoder of plain reports differs from the whole one");
    }
}

/// The value of a record, as protobuf.
pub fn protobuf(input: &[u8]) {
    // As many items as a report may have, once as they are read and once as they are kept; and texts.
    let most = 4 * input.len().min(MAX_REPORT_BYTES) + 3 * 40 * MAX_ITEMS + 4_096;
    let decoded = within(most, || decode(Some(input), Format::Protobuf));
    accepted(&decoded);
}

/// The report, if it is one: it holds every limit, and stays the same through both formats.
fn accepted<'a, 'b>(decoded: &'a Result<Report<'b>, Refusal>) -> Option<&'a Report<'b>> {
    let report = match decoded {
        Ok(report) => report,
        Err(refusal) => {
            assert!(refusal.detail.len() < 200, "a detail of {} bytes", refusal.detail.len());
            return None;
        }
    };
    assert!(report.items.len() <= MAX_ITEMS && report.items.is_empty() == report.delete);
    assert!(report.role.len() <= MAX_ROLE_BYTES);
    assert!(report.items.iter().all(|item| item.data.len() <= MAX_DATA_BYTES));
    for (format, bytes) in [(Format::Json, as_json(report)), (Format::Protobuf, as_protobuf(report))] {
        match decode(Some(&bytes), format) {
            Ok(again) => assert!(same(&again, report), "{format:?}: {again:?} is not {report:?}"),
            // Written plainly it may be longer than it was: an escape for each letter.
            Err(refusal) if bytes.len() > MAX_REPORT_BYTES => {
                assert_eq!(refusal.reason, Reason::LimitExceeded);
            }
            // All zero, a protobuf report has no bytes.
            Err(refusal) => assert!(bytes.is_empty(), "{format:?}: {refusal:?}"),
        }
    }
    Some(report)
}

/// Whether they say the same, whatever they borrow from.
fn same(one: &Report<'_>, other: &Report<'_>) -> bool {
    let who = |report: &Report<'_>| {
        let Report { uin, platform, zone, server, delete, .. } = *report;
        (uin, platform, zone, server, delete)
    };
    who(one) == who(other)
        && one.role == other.role
        && one.items.len() == other.items.len()
        && one.items.iter().zip(&other.items).all(|(one, other)| {
            (one.kind, one.value, one.data.as_ref()) == (other.kind, other.value, other.data.as_ref())
        })
}

fn as_json(report: &Report<'_>) -> Vec<u8> {
    let items: Vec<_> = report
        .items
        .iter()
        .map(|item| json!({"type": item.kind, "value": item.value, "data": item.data}))
        .collect();
    let mut document = json!({
        "uin": report.uin, "platform": report.platform, "zone": report.zone, "server": report.server, "role": report.role,
    });
    match report.delete {
        true => document["delete"] = true.into(),
        false => document["items"] = items.into(),
    }
    document.to_string().into_bytes()
}

fn as_protobuf(report: &Report<'_>) -> Vec<u8> {
    let item = |item: &plaudit_worker::report::ReportItem<'_>| proto::Item {
        r#type: item.kind,
        value: item.value,
        data: item.data.to_string(),
    };
    proto::Report {
        uin: report.uin,
        platform: report.platform,
        zone: report.zone,
        server: report.server,
        role: report.role.to_string(),
        items: report.items.iter().map(item).collect(),
        delete: report.delete,
    }
    .encode_to_vec()
}
