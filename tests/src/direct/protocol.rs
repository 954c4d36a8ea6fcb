//! What game servers and `direct` say to each other: reports one way, replies the other, many under way at once.
//!
//! A request is a length (u32, of what follows), the sender's number of the report (u64), its time (i64, milliseconds
//! since 1970) and the report as JSON. A reply is that number and one byte. All numbers are little-endian. A request of
//! length 0 asks for the [`Counters`](super::Counters), which come as one line of JSON.

use plaudit_worker::report::MAX_REPORT_BYTES;

const LENGTH_BYTES: usize = 4;
const HEAD_BYTES: usize = 16;
pub const REPLY_BYTES: usize = 9;

/// What a sender asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    Report { number: u64, timestamp_ms: i64, payload: &'a [u8] },
    Counters,
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Stored,
    /// It can never be stored: malformed, too large, or a sum would overflow, a player without room.
    Refused,
    /// Somebody else was faster too often; nothing of it is stored.
    Busy,
    /// The store did not answer: it may be stored or not, and nobody will ever know.
    Unknown,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a request of {bytes} bytes; one has 16 to {most}, or 0 to ask for the counters", most = HEAD_BYTES + MAX_REPORT_BYTES)]
pub struct BadRequest {
    bytes: usize,
}

/// Appends the request for a report.
pub fn put_report(number: u64, timestamp_ms: i64, payload: &[u8], out: &mut Vec<u8>) {
    let bytes = (HEAD_BYTES + payload.len()) as u32;
    out.extend_from_slice(&bytes.to_le_bytes());
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&timestamp_ms.to_le_bytes());
    out.extend_from_slice(payload);
}

/// The first request of `bytes` and how many bytes it takes; none while it is not whole.
pub fn take_request(bytes: &[u8]) -> Result<Option<(Request<'_>, usize)>, BadRequest> {
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let length = u32::from_le_bytes(*length) as usize;
    if length == 0 {
        return Ok(Some((Request::Counters, LENGTH_BYTES)));
    }
    if !(HEAD_BYTES..=HEAD_BYTES + MAX_REPORT_BYTES).contains(&length) {
        return Err(BadRequest { bytes: length });
    }
    let Some(request) = rest.get(..length) else { return Ok(None) };
    let ([number, timestamp_ms], payload) = words(request);
    let report = Request::Report { number, timestamp_ms: timestamp_ms.cast_signed(), payload };
    Ok(Some((report, LENGTH_BYTES + length)))
}

pub fn put_reply(number: u64, outcome: Outcome, out: &mut Vec<u8>) {
    out.extend_from_slice(&number.to_le_bytes());
    out.push(outcome as u8);
}

/// The number and the outcome in a reply; none where there is no such outcome.
pub fn reply(bytes: &[u8; REPLY_BYTES]) -> Option<(u64, Outcome)> {
    let ([number], outcome) = words(bytes);
    let outcome = match outcome {
        [0] => Outcome::Stored,
        [1] => Outcome::Refused,
        [2] => Outcome::Busy,
        [3] => Outcome::Unknown,
        _ => return None,
    };
    Some((number, outcome))
}

/// The first so many words, and the rest; zeros where there are fewer.
fn words<const N: usize>(bytes: &[u8]) -> ([u64; N], &[u8]) {
    let (words, _) = bytes.as_chunks::<8>();
    let mut found = [0; N];
    for (to, word) in found.iter_mut().zip(words) {
        *to = u64::from_le_bytes(*word);
    }
    (found, bytes.get(N * 8..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_come_out_as_they_went_in_once_they_are_whole() {
        let mut bytes = Vec::new();
        put_report(7, -5, b"{}", &mut bytes);
        bytes.extend_from_slice(&0_u32.to_le_bytes());

        let report = Request::Report { number: 7, timestamp_ms: -5, payload: b"{}" };
        assert_eq!(take_request(&bytes), Ok(Some((report, 22))));
        assert_eq!(take_request(&bytes[22..]), Ok(Some((Request::Counters, 4))));
        assert!((0..22).all(|cut| take_request(&bytes[..cut]) == Ok(None)));
    }

    #[test]
    fn a_length_that_no_request_has_is_an_error() {
        for bytes in [1, 15, (HEAD_BYTES + MAX_REPORT_BYTES + 1) as u32] {
            assert_eq!(take_request(&bytes.to_le_bytes()), Err(BadRequest { bytes: bytes as usize }));
        }
    }

    #[test]
    fn replies_come_out_as_they_went_in() {
        for outcome in [Outcome::Stored, Outcome::Refused, Outcome::Busy, Outcome::Unknown] {
            let mut bytes = Vec::new();
            put_reply(u64::MAX - 1, outcome, &mut bytes);
            assert_eq!(bytes.as_array().and_then(reply), Some((u64::MAX - 1, outcome)));
        }
        assert_eq!(reply(&[9; REPLY_BYTES]), None);
    }
}
