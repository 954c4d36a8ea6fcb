//! Reports from a file, one a line, sent as they are.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use super::generator::Record;

/// Reads records from NDJSON; empty lines are skipped.
#[derive(Debug)]
pub struct Lines<R> {
    input: R,
    line: Vec<u8>,
}

/// All of a report that its key depends on.
#[derive(serde::Deserialize)]
struct Addressee {
    uin: u64,
}

impl Lines<BufReader<File>> {
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self::new(BufReader::new(File::open(path)?)))
    }
}

impl<R: BufRead> Lines<R> {
    pub fn new(input: R) -> Self {
        Self { input, line: Vec::new() }
    }

    /// The next report with the key of its UIN (none where it cannot be read); none at the end.
    pub fn next(&mut self, now_ms: i64) -> io::Result<Option<Record>> {
        loop {
            self.line.clear();
            if self.input.read_until(b'\n', &mut self.line)? == 0 {
                return Ok(None);
            }
            let report = self.line.trim_ascii();
            if !report.is_empty() {
                let addressee: Option<Addressee> = serde_json::from_slice(report).ok();
                let key = addressee.map(|addressee| addressee.uin.to_string().into_bytes());
                return Ok(Some(Record { key, payload: Some(report.to_vec()), timestamp_ms: now_ms }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_sent_as_they_are_with_the_key_of_their_uin() {
        let mut lines = Lines::new(&b"{\"uin\":7,\"x\": 1}\n\n  not a report\r\n{\"uin\":8}"[..]);
        let mut found = Vec::new();
        while let Some(record) = lines.next(5).unwrap() {
            found.push(record);
        }
        let record = |key: Option<&str>, payload: &str| Record {
            key: key.map(Into::into),
            payload: Some(payload.into()),
            timestamp_ms: 5,
        };
        let expected = [
            record(Some("7"), "{\"uin\":7,\"x\": 1}"),
            record(None, "not a report"),
            record(Some("8"), "{\"uin\":8}"),
        ];
        assert_eq!(found, expected);
    }
}
