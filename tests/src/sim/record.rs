//! A record that a simulated topic keeps.

use crate::checker::SourceRecord;

/// What has to be there before an offset above a record may be committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Due {
    #[default]
    Nothing,
    Letter,
    /// A watermark over the record under this player key, or a letter.
    Stored(String),
}

/// One offset of a log.
#[derive(Clone, Debug, Default)]
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    /// When it is there, in milliseconds since the beginning.
    pub arrives_ms: u64,
    /// A transaction's marker: it takes an offset and is never handed over.
    pub control: bool,
    pub due: Due,
    pub timestamp_ms: Option<i64>,
    pub key: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Record {
    /// As the checker sees it.
    pub fn borrow(&self) -> SourceRecord<'_> {
        SourceRecord {
            partition: self.partition,
            offset: self.offset,
            timestamp_ms: self.timestamp_ms,
            key: self.key.as_deref(),
            payload: self.payload.as_deref(),
            headers: self.headers.iter().map(|(name, value)| (&**name, Some(&**value))).collect(),
        }
    }
}
