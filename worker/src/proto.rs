//! The messages of `proto/plaudit/v1`, for prost.
//!
//! Written by hand next to the `.proto` files, so that building needs no protoc; a test feeds every field through
//! `protoc --decode` and so holds the two together.

/// A decoded report (`report.proto`).
#[derive(Clone, PartialEq, prost::Message)]
pub struct Report {
    #[prost(uint64, tag = "1")]
    pub uin: u64,
    #[prost(uint32, tag = "2")]
    pub platform: u32,
    #[prost(uint32, tag = "3")]
    pub zone: u32,
    #[prost(uint32, tag = "4")]
    pub server: u32,
    #[prost(string, tag = "5")]
    pub role: String,
    #[prost(message, repeated, tag = "6")]
    pub items: Vec<Item>,
    #[prost(bool, tag = "7")]
    pub delete: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Item {
    #[prost(uint32, tag = "1")]
    pub r#type: u32,
    #[prost(sint64, tag = "2")]
    pub value: i64,
    #[prost(string, tag = "3")]
    pub data: String,
}

/// The value of a player key: a whole record, or the manifest of a split one.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PlayerRecord {
    #[prost(fixed32, tag = "1")]
    pub format: u32,
    #[prost(fixed64, tag = "2")]
    pub version: u64,
    #[prost(fixed64, tag = "3")]
    pub write_id_high: u64,
    #[prost(fixed64, tag = "4")]
    pub write_id_low: u64,
    #[prost(uint64, tag = "5")]
    pub uin: u64,
    #[prost(uint32, tag = "6")]
    pub platform: u32,
    #[prost(uint32, tag = "7")]
    pub zone: u32,
    #[prost(uint32, tag = "8")]
    pub server: u32,
    #[prost(string, tag = "9")]
    pub role: String,
    #[prost(message, repeated, tag = "10")]
    pub watermarks: Vec<Watermark>,
    #[prost(message, repeated, tag = "11")]
    pub achievements: Vec<Achievement>,
    #[prost(message, repeated, tag = "12")]
    pub chunks: Vec<ChunkRef>,
    #[prost(message, repeated, tag = "13")]
    pub pending_dead_letters: Vec<PendingDeadLetter>,
    #[prost(message, repeated, tag = "14")]
    pub pending_unlocks: Vec<PendingUnlock>,
    #[prost(message, optional, tag = "15")]
    pub deleted: Option<Deletion>,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Watermark {
    #[prost(uint32, tag = "1")]
    pub incarnation: u32,
    #[prost(uint32, tag = "2")]
    pub partition: u32,
    #[prost(int64, tag = "3")]
    pub offset: i64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Achievement {
    #[prost(uint32, tag = "1")]
    pub r#type: u32,
    #[prost(sint64, tag = "2")]
    pub value: i64,
    #[prost(string, tag = "3")]
    pub data: String,
    #[prost(int64, tag = "4")]
    pub timestamp: i64,
    #[prost(uint32, tag = "5")]
    pub incarnation: u32,
    #[prost(uint32, tag = "6")]
    pub partition: u32,
    #[prost(int64, tag = "7")]
    pub offset: i64,
    #[prost(uint32, tag = "8")]
    pub index: u32,
    #[prost(int64, tag = "9")]
    pub first_time: i64,
    #[prost(sint64, optional, tag = "10")]
    pub announced: Option<i64>,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct ChunkRef {
    #[prost(fixed64, tag = "1")]
    pub write_id_high: u64,
    #[prost(fixed64, tag = "2")]
    pub write_id_low: u64,
    #[prost(uint32, tag = "3")]
    pub index: u32,
    #[prost(uint32, tag = "4")]
    pub achievements: u32,
    #[prost(int64, tag = "5")]
    pub oldest: i64,
}

/// The value of a chunk key.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Chunk {
    #[prost(fixed32, tag = "1")]
    pub format: u32,
    #[prost(fixed64, tag = "2")]
    pub write_id_high: u64,
    #[prost(fixed64, tag = "3")]
    pub write_id_low: u64,
    #[prost(message, repeated, tag = "4")]
    pub achievements: Vec<Achievement>,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct PendingDeadLetter {
    #[prost(uint32, tag = "1")]
    pub incarnation: u32,
    #[prost(uint32, tag = "2")]
    pub partition: u32,
    #[prost(int64, tag = "3")]
    pub offset: i64,
    #[prost(uint32, tag = "4")]
    pub r#type: u32,
    #[prost(uint32, tag = "5")]
    pub why: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct PendingUnlock {
    #[prost(uint32, tag = "1")]
    pub incarnation: u32,
    #[prost(uint32, tag = "2")]
    pub partition: u32,
    #[prost(int64, tag = "3")]
    pub offset: i64,
    #[prost(uint32, tag = "4")]
    pub r#type: u32,
    #[prost(sint64, tag = "5")]
    pub tier: i64,
    #[prost(sint64, tag = "6")]
    pub value: i64,
    #[prost(int64, tag = "7")]
    pub timestamp: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Deletion {
    #[prost(int64, tag = "1")]
    pub timestamp: i64,
    #[prost(uint32, tag = "2")]
    pub incarnation: u32,
    #[prost(uint32, tag = "3")]
    pub partition: u32,
    #[prost(int64, tag = "4")]
    pub offset: i64,
}

/// A reached tier (`unlock.proto`).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Unlock {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(uint64, tag = "2")]
    pub uin: u64,
    #[prost(uint32, tag = "3")]
    pub platform: u32,
    #[prost(uint32, tag = "4")]
    pub zone: u32,
    #[prost(uint32, tag = "5")]
    pub server: u32,
    #[prost(string, tag = "6")]
    pub role: String,
    #[prost(uint32, tag = "7")]
    pub r#type: u32,
    #[prost(sint64, tag = "8")]
    pub tier: i64,
    #[prost(sint64, tag = "9")]
    pub value: i64,
    #[prost(int64, tag = "10")]
    pub timestamp: i64,
}

/// The value of a fence key.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Fence {
    #[prost(fixed32, tag = "1")]
    pub format: u32,
    #[prost(fixed64, tag = "2")]
    pub id_high: u64,
    #[prost(fixed64, tag = "3")]
    pub id_low: u64,
    #[prost(int64, tag = "4")]
    pub position: i64,
    #[prost(int64, tag = "5")]
    pub settled: i64,
    #[prost(string, tag = "6")]
    pub owner: String,
    #[prost(bytes = "vec", tag = "7")]
    pub topic_id: Vec<u8>,
    #[prost(uint32, tag = "8")]
    pub incarnation: u32,
    #[prost(int64, tag = "9")]
    pub first: i64,
    #[prost(uint32, tag = "10")]
    pub partitions: u32,
}
