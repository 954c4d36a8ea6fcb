//! The formats stay: bytes that were stored or sent once are read for ever, and the hand-written messages are those of
//! the `.proto` files. The bytes below were made from the texts by `protoc --encode`.

mod golden;

use std::fmt::{Debug, Write as _};

use anyhow::{Result, ensure};
use plaudit_worker::player::{Layout, PlayerId};
use plaudit_worker::proto::{
    Achievement, Chunk, ChunkRef, Deletion, Fence, Item, PendingDeadLetter, PendingUnlock, PlayerRecord,
    Report, Unlock, Watermark,
};
use prost::Message;

use crate::protoc;

use golden::*;

#[test]
fn a_player_record_keeps_its_bytes() -> Result<()> {
    let record = PlayerRecord {
        format: 1,
        version: 258,
        write_id_high: 0x1234_5678_9abc_def0,
        write_id_low: 6,
        uin: 10_001,
        platform: 1,
        zone: 3,
        server: 12,
        role: "987654".to_owned(),
        watermarks: vec![
            Watermark { incarnation: 2, partition: 5, offset: 1_000_000 },
            Watermark { incarnation: 0, partition: 7, offset: 1 },
        ],
        achievements: vec![
            Achievement {
                r#type: 1_001,
                value: -37,
                data: "caf\u{e9}".to_owned(),
                timestamp: 1_700_000_000_000,
                incarnation: 2,
                partition: 5,
                offset: 999_999,
                index: 3,
                first_time: 1_699_999_999_999,
                announced: None,
            },
            Achievement { r#type: 1_002, value: i64::MAX, ..Achievement::default() },
        ],
        chunks: Vec::new(),
        pending_dead_letters: vec![PendingDeadLetter {
            incarnation: 2,
            partition: 5,
            offset: 999_998,
            r#type: 1_003,
            why: 1,
        }],
        ..PlayerRecord::default()
    };
    keeps_its_bytes(&record, "player.proto", "PlayerRecord", RECORD_BYTES, RECORD_TEXT)
}

#[test]
fn a_record_with_a_reached_tier_and_a_deletion_keeps_its_bytes() -> Result<()> {
    let record = PlayerRecord {
        format: 1,
        version: 4,
        write_id_high: 42,
        write_id_low: 8,
        uin: 10_001,
        watermarks: vec![Watermark { incarnation: 0, partition: 5, offset: 12 }],
        achievements: vec![Achievement {
            r#type: 1_001,
            value: -7,
            timestamp: 1_700_000_000_002,
            partition: 5,
            offset: 11,
            first_time: 1_700_000_000_002,
            announced: Some(-5),
            ..Achievement::default()
        }],
        pending_unlocks: vec![PendingUnlock {
            incarnation: 2,
            partition: 5,
            offset: 11,
            r#type: 1_001,
            tier: -5,
            value: -7,
            timestamp: 1_700_000_000_002,
        }],
        deleted: Some(Deletion { timestamp: 1_700_000_000_001, incarnation: 2, partition: 5, offset: 10 }),
        ..PlayerRecord::default()
    };
    keeps_its_bytes(&record, "player.proto", "PlayerRecord", REACHED_BYTES, REACHED_TEXT)
}

#[test]
fn a_manifest_keeps_its_bytes() -> Result<()> {
    let manifest = PlayerRecord {
        format: 1,
        version: 3,
        write_id_high: 42,
        write_id_low: 6,
        uin: 10_001,
        platform: 1,
        zone: 3,
        server: 12,
        role: "987654".to_owned(),
        watermarks: vec![Watermark { incarnation: 0, partition: 5, offset: 9 }],
        achievements: Vec::new(),
        chunks: vec![
            ChunkRef {
                write_id_high: 42,
                write_id_low: 6,
                index: 0,
                achievements: 2,
                oldest: 1_700_000_000_000,
            },
            ChunkRef { write_id_high: 41, write_id_low: 4, index: 1, achievements: 17, oldest: -1 },
        ],
        ..PlayerRecord::default()
    };
    keeps_its_bytes(&manifest, "player.proto", "PlayerRecord", MANIFEST_BYTES, MANIFEST_TEXT)
}

#[test]
fn a_chunk_keeps_its_bytes() -> Result<()> {
    let chunk = Chunk {
        format: 1,
        write_id_high: 42,
        write_id_low: 6,
        achievements: vec![
            Achievement {
                r#type: 1_002,
                value: 1,
                timestamp: 1_700_000_000_001,
                partition: 5,
                offset: 8,
                first_time: 1_700_000_000_001,
                ..Achievement::default()
            },
            Achievement {
                r#type: 1_001,
                value: -1,
                data: "text".to_owned(),
                timestamp: 1_700_000_000_000,
                incarnation: 2,
                partition: 5,
                offset: 7,
                index: 1,
                first_time: 1_600_000_000_000,
                announced: None,
            },
        ],
    };
    keeps_its_bytes(&chunk, "player.proto", "Chunk", CHUNK_BYTES, CHUNK_TEXT)
}

#[test]
fn a_fence_keeps_its_bytes() -> Result<()> {
    let fence = Fence {
        format: 1,
        id_high: 42,
        id_low: 7,
        position: 1_000_000,
        settled: 999_000,
        owner: "default.achievements".to_owned(),
        topic_id: (0..16).collect(),
        incarnation: 2,
        first: 100,
        partitions: 12,
    };
    keeps_its_bytes(&fence, "player.proto", "Fence", FENCE_BYTES, FENCE_TEXT)
}

#[test]
fn a_report_keeps_its_bytes() -> Result<()> {
    let report = Report {
        uin: 10_001,
        platform: 1,
        zone: 3,
        server: 12,
        role: "987654".to_owned(),
        items: vec![
            Item { r#type: 1_001, value: -37, data: "text".to_owned() },
            Item { r#type: u32::MAX, value: i64::MIN, data: String::new() },
        ],
        delete: false,
    };
    keeps_its_bytes(&report, "report.proto", "Report", REPORT_BYTES, REPORT_TEXT)
}

#[test]
fn a_deletion_keeps_its_bytes() -> Result<()> {
    let report = Report { uin: 10_001, delete: true, ..Report::default() };
    keeps_its_bytes(&report, "report.proto", "Report", DELETION_BYTES, DELETION_TEXT)
}

#[test]
fn an_unlock_keeps_its_bytes() -> Result<()> {
    let unlock = Unlock {
        id: "6621f127-9054-5ea5-806b-1549fa88b16d".to_owned(),
        uin: 10_001,
        platform: 1,
        zone: 3,
        server: 12,
        role: "987654".to_owned(),
        r#type: 1_001,
        tier: -100,
        value: -120,
        timestamp: 1_700_000_000_000,
    };
    keeps_its_bytes(&unlock, "unlock.proto", "Unlock", UNLOCK_BYTES, UNLOCK_TEXT)
}

#[test]
fn the_documented_keys_stay() {
    let layout = Layout { key_prefix: "plaudit:".to_owned(), buckets: 240 };
    let id = PlayerId { uin: 10_001, platform: 1, zone: 3, server: 12, role: "987654".into() };
    let chunk = ChunkRef { write_id_high: 42, write_id_low: 6, ..ChunkRef::default() };

    let player = layout.player_key(&id);

    assert_eq!(
        [&player, &Layout::chunk_key(&player, &chunk), &layout.fence_key(5)],
        [
            "plaudit:{239}10001:1:3:12:987654",
            "plaudit:{239}10001:1:3:12:987654#000000000000002a0000000000000006.0",
            "plaudit:{5}fence:5"
        ]
    );
}

/// Otherwise a field added to a `.proto` file alone would go unnoticed.
#[test]
fn every_field_of_the_proto_files_is_set_here() -> Result<()> {
    let texts = [
        RECORD_TEXT,
        REACHED_TEXT,
        MANIFEST_TEXT,
        CHUNK_TEXT,
        FENCE_TEXT,
        REPORT_TEXT,
        DELETION_TEXT,
        UNLOCK_TEXT,
    ]
    .concat();
    let files = ["player.proto", "report.proto", "unlock.proto"];
    let declared = files.map(protoc::fields).into_iter().collect::<Result<Vec<_>>>()?.concat();
    let is_set = |field: &String| {
        texts.lines().any(|line| line.trim().split([' ', ':']).next() == Some(field.as_str()))
    };
    let missing: Vec<&String> = declared.iter().filter(|field| !is_set(field)).collect();
    ensure!(declared.len() > 40 && missing.is_empty(), "{} fields; not set: {missing:?}", declared.len());
    Ok(())
}

fn keeps_its_bytes<M: Message + Default + Debug + PartialEq>(
    message: &M,
    file: &str,
    name: &str,
    bytes: &str,
    text: &str,
) -> Result<()> {
    let encoded = hex(&message.encode_to_vec());
    ensure!(encoded == bytes, "{encoded}\nis not\n{bytes}");
    let golden = unhex(bytes)?;
    let decoded = M::decode(golden.as_slice())?;
    ensure!(&decoded == message, "{decoded:?}\nis not\n{message:?}");
    let shown = protoc::decode(file, name, &golden)?;
    ensure!(shown == text, "protoc says\n{shown}\nnot\n{text}");
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    (0..text.len()).step_by(2).map(|at| Ok(u8::from_str_radix(&text[at..at + 2], 16)?)).collect()
}
