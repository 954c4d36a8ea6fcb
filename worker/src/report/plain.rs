//! Plain JSON reports: known fields, no escapes and no fractions, decoded in one pass.
//!
//! This is the common case, and JSON is what a report costs most. What is anything else, or not a report at all, is left to
//! the whole decoder ([`super::json`]), which alone refuses, and says why: whatever this one accepts, that one accepts with
//! the same result.

use std::borrow::Cow;

use memchr::memchr;

use super::{Items, Report, ReportItem};

/// The report, if it is a plain one.
pub(super) fn decode(text: &str) -> Option<Report<'_>> {
    let mut scan = Scan { text, at: 0 };
    let report = report(&mut scan)?;
    scan.space();
    (scan.at == text.len()).then_some(report)
}

fn report<'a>(scan: &mut Scan<'a>) -> Option<Report<'a>> {
    let (mut uin, mut platform, mut zone, mut server) = (None, None, None, None);
    let (mut role, mut items) = (None, None);
    scan.byte(b'{')?;
    loop {
        scan.space();
        match scan.second()? {
            b'u' => once(&mut uin, scan.name(br#""uin""#)?.unsigned()?)?,
            b'p' => once(&mut platform, scan.name(br#""platform""#)?.short()?)?,
            b'z' => once(&mut zone, scan.name(br#""zone""#)?.short()?)?,
            b's' => once(&mut server, scan.name(br#""server""#)?.short()?)?,
            b'r' => once(&mut role, scan.name(br#""role""#)?.string()?)?,
            b'i' => once(&mut items, scan.name(br#""items""#)?.items()?)?,
            _ => return None,
        }
        if scan.is_last(b'}')? {
            break;
        }
    }
    Some(Report {
        uin: uin?,
        platform: platform.unwrap_or(0),
        zone: zone.unwrap_or(0),
        server: server.unwrap_or(0),
        role: Cow::Borrowed(role.unwrap_or_default()),
        items: items?,
        delete: false,
    })
}

fn once<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.replace(value).is_none().then_some(())
}

/// Text with the place that is read next.
struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    #[inline]
    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.rest().first() {
            self.at += 1;
        }
    }

    /// Takes a byte that has to come, with the space before it.
    #[inline]
    fn byte(&mut self, wanted: u8) -> Option<()> {
        self.space();
        (*self.rest().first()? == wanted).then(|| self.at += 1)
    }

    /// The byte after the next, which tells field names apart.
    #[inline]
    fn second(&self) -> Option<u8> {
        self.rest().get(1).copied()
    }

    /// Takes the name of a field, and stands before its value then.
    #[inline]
    fn name<const LEN: usize>(&mut self, quoted: &[u8; LEN]) -> Option<&mut Self> {
        // One comparison of eight bytes, which a report has after each name, and of a ninth and tenth.
        let mut wanted = [0; 8];
        wanted[..LEN.min(8)].copy_from_slice(&quoted[..LEN.min(8)]);
        let rest = self.rest();
        let differ = u64::from_le_bytes(*rest.first_chunk()?) ^ u64::from_le_bytes(wanted);
        let is_begun = differ << (64 - 8 * LEN.min(8)) == 0;
        let is_whole = (8..LEN).all(|at| rest.get(at) == Some(&quoted[at]));
        (is_begun && is_whole).then_some(())?;
        self.at += LEN;
        self.byte(b':')?;
        self.space();
        Some(self)
    }

    /// After a value: whether it was the last before `end`, or a comma follows.
    #[inline]
    fn is_last(&mut self, end: u8) -> Option<bool> {
        self.space();
        let found = *self.rest().first()?;
        self.at += 1;
        match found {
            b',' => Some(false),
            found if found == end => Some(true),
            _ => None,
        }
    }

    /// A number without sign, fraction and exponent, of at most 19 digits.
    #[inline]
    fn unsigned(&mut self) -> Option<u64> {
        /// All that are sure to fit.
        const DIGITS: usize = 19;
        let rest = self.rest();
        let (mut value, mut len) = (0, 0);
        while let Some(digit) = rest.get(len).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10)
        {
            if len == DIGITS {
                return None;
            }
            value = 10 * value + u64::from(digit);
            len += 1;
        }
        // What follows is no fraction and no exponent: a comma or a bracket is looked for.
        let has_leading_zero = len > 1 && rest[0] == b'0';
        self.at += len;
        (len > 0 && !has_leading_zero).then_some(value)
    }

    #[inline]
    fn short(&mut self) -> Option<u32> {
        u32::try_from(self.unsigned()?).ok()
    }

    #[inline]
    fn signed(&mut self) -> Option<i64> {
        if self.rest().first() != Some(&b'-') {
            return i64::try_from(self.unsigned()?).ok();
        }
        self.at += 1;
        // A negative zero is a fraction to JSON.
        i64::try_from(self.unsigned()?).ok().filter(|value| *value > 0).map(|value| -value)
    }

    /// A string without escapes.
    #[inline]
    fn string(&mut self) -> Option<&'a str> {
        (*self.rest().first()? == b'"').then_some(())?;
        let start = self.at + 1;
        let len = memchr(b'"', &self.rest()[1..])?;
        let string = self.text.get(start..start + len)?;
        // Without a way out of the loop, so that it compares many bytes at once.
        let is_special = |byte: u8| byte < b' ' || byte == b'\\';
        let special = string.bytes().fold(false, |seen, byte| seen | is_special(byte));
        self.at = start + len + 1;
        (!special).then_some(string)
    }

    fn items(&mut self) -> Option<Items<'a>> {
        let mut items = Items::new();
        self.byte(b'[')?;
        loop {
            self.byte(b'{')?;
            items.push(self.item()?);
            if self.is_last(b']')? {
                return Some(items);
            }
        }
    }

    #[inline]
    fn item(&mut self) -> Option<ReportItem<'a>> {
        let (mut kind, mut value, mut data) = (None, None, None);
        loop {
            self.space();
            match self.second()? {
                b't' => once(&mut kind, self.name(br#""type""#)?.short()?)?,
                b'v' => once(&mut value, self.name(br#""value""#)?.signed()?)?,
                b'd' => once(&mut data, self.name(br#""data""#)?.string()?)?,
                _ => return None,
            }
            if self.is_last(b'}')? {
                break;
            }
        }
        Some(ReportItem { kind: kind?, value: value?, data: Cow::Borrowed(data.unwrap_or_default()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORTS: [&str; 6] = [
        r#"{"uin":10001,"platform":1,"zone":3,"server":12,"role":"987654","items":[{"type":1001,"value":37,"data":"optional text"}]}"#,
        r#" { "items" : [ { "value" : -9223372036854775807 , "type" : 4294967295 } , {"type":0,"value":0} ] , "uin" : 0 } "#,
        r#"{"uin":18446744073709551615,"role":"rôle \"2\"","items":[{"type":1,"value":-9223372036854775808,"data":"a\u0041"}]}"#,
        r#"{"uin":7,"match":{"ignored":[1,{"a":null}]},"items":[{"type":1,"value":1,"more":-0.5e3}]}"#,
        r#"{"uin":7,"delete":true}"#,
        r#"{"uin":9999999999999999999,"role":"","items":[{"type":1,"value":10},{"type":2,"value":-1,"data":"你好"}]}"#,
    ];
    /// What a mutation puts in.
    const PIECES: [&str; 38] = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "\\u0041",
        " ",
        "\n",
        "\t",
        "\u{b}",
        "\u{0}",
        "\u{1f}",
        "0",
        "00",
        "-",
        "-0",
        "1",
        "9",
        "4294967296",
        "9223372036854775808",
        "18446744073709551616",
        ".",
        ".0",
        "e1",
        "E",
        "+",
        "null",
        "true",
        "\"uin\":1,",
        "\"type\":1,",
        "\"role\":\"x\",",
        "\"data\":\"x\",",
        "\"other\":1,",
        "é",
        "\u{7f}",
    ];

    #[test]
    fn the_documented_report_is_plain() {
        let decoded = decode(REPORTS[0]).map(|report| (report.uin, report.role, report.items.len()));
        assert_eq!(decoded, Some((10_001, Cow::Borrowed("987654"), 1)));
    }

    #[test]
    fn what_is_accepted_the_whole_decoder_accepts_with_the_same_result() {
        let mut random = fastrand::Rng::with_seed(4);
        let (mut accepted, mut differ) = (0, Vec::new());
        for round in 0..50_000 {
            let mut text = REPORTS[round % REPORTS.len()].to_owned();
            for _ in 0..random.usize(..4) {
                mutate(&mut text, &mut random);
            }
            let Some(report) = decode(&text) else { continue };
            accepted += 1;
            if serde_json::from_str::<Report<'_>>(&text).ok() != Some(report) {
                differ.push(text);
            }
        }
        assert_eq!((accepted > 5_000, differ), (true, Vec::<String>::new()));
    }

    /// Puts something in, takes something out, or doubles something, at a random place.
    fn mutate(text: &mut String, random: &mut fastrand::Rng) {
        let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let mut place = || places[random.usize(..places.len())];
        let (from, to) = (place(), place());
        let (from, to) = (from.min(to), from.max(to));
        match random.u8(..4) {
            0 => text.insert_str(from, PIECES[random.usize(..PIECES.len())]),
            1 => text.replace_range(from..to, ""),
            2 => {
                let again = text[from..to].to_owned();
                text.insert_str(to, &again);
            }
            _ => text.replace_range(from..to, PIECES[random.usize(..PIECES.len())]),
        }
    }
}
