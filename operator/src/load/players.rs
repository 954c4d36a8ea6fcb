//! Players from elsewhere: reports with their own timestamps, one a line.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;

use plaudit_crds::Format;
use plaudit_worker::report;

use super::generator::Record;
use super::report::{Item, Report};

/// The lines of a file as records; empty ones are skipped.
#[derive(Debug)]
pub struct Players {
    input: BufReader<File>,
    format: Format,
    line: Vec<u8>,
    /// Of the last line read, from 1.
    pub number: usize,
}

/// A line that is no report with a timestamp: why.
pub type Refused = String;

/// All of a line that is not the report's.
#[derive(serde::Deserialize)]
struct Stamp {
    timestamp: Option<i64>,
}

impl Players {
    /// Records are encoded in `format`, whatever the lines: those are JSON.
    pub fn open(path: &Path, format: Format) -> io::Result<Self> {
        Ok(Self { input: BufReader::new(File::open(path)?), format, line: Vec::new(), number: 0 })
    }

    /// The next line; none at the end.
    pub fn read(&mut self) -> io::Result<Option<Result<Record, Refused>>> {
        loop {
            self.line.clear();
            if self.input.read_until(b'\n', &mut self.line)? == 0 {
                return Ok(None);
            }
            self.number += 1;
            let line = self.line.trim_ascii();
            if !line.is_empty() {
                return Ok(Some(record(line, self.format)));
            }
        }
    }
}

fn record(line: &[u8], format: Format) -> Result<Record, Refused> {
    let report = report::decode(Some(line), Format::Json)
        .map_err(|refusal| format!("{} ({})", refusal.detail, refusal.reason.as_str()))?;
    let missing = "timestamp is missing or negative; write milliseconds since 1970";
    let stamp: Stamp = serde_json::from_slice(line).map_err(|_| missing.to_owned())?;
    let timestamp_ms = stamp.timestamp.filter(|timestamp| *timestamp >= 0).ok_or(missing)?;
    let items = report.items.iter().map(|item| Item {
        r#type: item.kind,
        value: item.value,
        data: item.data.clone().into_owned(),
    });
    let report = Report {
        uin: report.uin,
        platform: report.platform,
        zone: report.zone,
        server: report.server,
        role: report.role.clone().into_owned(),
        items: items.collect(),
        delete: report.delete,
    };
    let key = Some(report.uin.to_string().into_bytes());
    Ok(Record { key, payload: Some(report.encode(format)), timestamp_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_becomes_a_record_of_the_pipelines_format_with_its_own_timestamp() {
        let line =
            br#"{"uin":7,"role":"r","timestamp":1500000000000,"items":[{"type":1,"value":-5,"data":"d"}]}"#;
        for format in [Format::Json, Format::Protobuf] {
            let record = record(line, format).unwrap();
            let report = report::decode(record.payload.as_deref(), format).unwrap();
            assert_eq!((record.key.as_deref(), record.timestamp_ms), (Some(&b"7"[..]), 1_500_000_000_000));
            assert_eq!((report.uin, &*report.role, report.items[0].value), (7, "r", -5));
        }
    }

    #[test]
    fn a_line_without_a_timestamp_is_refused() {
        for stamp in ["", r#""timestamp":-1,"#, r#""timestamp":1.5,"#, r#""timestamp":null,"#] {
            let line = format!(r#"{{"uin":7,{stamp}"items":[{{"type":1,"value":1}}]}}"#);
            assert!(record(line.as_bytes(), Format::Json).unwrap_err().starts_with("timestamp is missing"));
        }
    }
}
