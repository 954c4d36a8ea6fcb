//! The formats stay: bytes that were stored or sent once are read for ever, and the hand-written messages are those of
//! the `.proto` files. The bytes below were made from the texts by `protoc --encode`.

use std::fmt::{Debug, Write as _};

use anyhow::{Result, ensure};
use plaudit_worker::player::{Layout, PlayerId};
use plaudit_worker::proto::{
    Achievement, Chunk, ChunkRef, Deletion, Fence, Item, PendingDeadLetter, PendingUnlock, PlayerRecord,
    Report, Unlock, Watermark,
};
use prost::Message;

use crate::protoc;

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

const RECORD_BYTES: &str = "\
    0d0100000011020100000000000019f0debc9a7856341221060000000000000028914e30013803400c4a063938373635\
    3452080802100518c0843d5204100718015a2408e90710491a05636166c3a92080d095ffbc312802300538bf843d4003\
    48ffcf95ffbc315a0e08ea0710feffffffffffffffff016a0d0802100518be843d20eb072801";

const RECORD_TEXT: &str = r#"format: 1
version: 258
write_id_high: 1311768467463790320
write_id_low: 6
uin: 10001
platform: 1
zone: 3
server: 12
role: "987654"
watermarks {
  incarnation: 2
  partition: 5
  offset: 1000000
}
watermarks {
  partition: 7
  offset: 1
}
achievements {
  type: 1001
  value: -37
  data: "caf\303\251"
  timestamp: 1700000000000
  incarnation: 2
  partition: 5
  offset: 999999
  index: 3
  first_time: 1699999999999
}
achievements {
  type: 1002
  value: 9223372036854775807
}
pending_dead_letters {
  incarnation: 2
  partition: 5
  offset: 999998
  type: 1003
  why: 1
}
"#;

const MANIFEST_BYTES: &str = "\
    0d01000000110300000000000000192a0000000000000021060000000000000028914e30013803400c4a063938373635\
    34520410051809621b092a0000000000000011060000000000000020022880d095ffbc31622109290000000000000011\
    04000000000000001801201128ffffffffffffffffff01";

const MANIFEST_TEXT: &str = r#"format: 1
version: 3
write_id_high: 42
write_id_low: 6
uin: 10001
platform: 1
zone: 3
server: 12
role: "987654"
watermarks {
  partition: 5
  offset: 9
}
chunks {
  write_id_high: 42
  write_id_low: 6
  achievements: 2
  oldest: 1700000000000
}
chunks {
  write_id_high: 41
  write_id_low: 4
  index: 1
  achievements: 17
  oldest: -1
}
"#;

const CHUNK_BYTES: &str = "\
    0d01000000112a00000000000000190600000000000000221708ea0710022081d095ffbc31300538084881d095ffbc31\
    222108e90710011a04746578742080d095ffbc312802300538074001488080babbc82e";

const CHUNK_TEXT: &str = r#"format: 1
write_id_high: 42
write_id_low: 6
achievements {
  type: 1002
  value: 1
  timestamp: 1700000000001
  partition: 5
  offset: 8
  first_time: 1700000000001
}
achievements {
  type: 1001
  value: -1
  data: "text"
  timestamp: 1700000000000
  incarnation: 2
  partition: 5
  offset: 7
  index: 1
  first_time: 1600000000000
}
"#;

const FENCE_BYTES: &str = "\
    0d01000000112a0000000000000019070000000000000020c0843d28d8fc3c321464656661756c742e61636869657665\
    6d656e74733a10000102030405060708090a0b0c0d0e0f40024864500c";

const FENCE_TEXT: &str = r#"format: 1
id_high: 42
id_low: 7
position: 1000000
settled: 999000
owner: "default.achievements"
topic_id: "\000\001\002\003\004\005\006\007\010\t\n\013\014\r\016\017"
incarnation: 2
first: 100
partitions: 12
"#;

const REPORT_BYTES: &str = "\
    08914e10011803200c2a06393837363534320b08e90710491a0474657874321108ffffffff0f10ffffffffffffffffff\
    01";

const REPORT_TEXT: &str = r#"uin: 10001
platform: 1
zone: 3
server: 12
role: "987654"
items {
  type: 1001
  value: -37
  data: "text"
}
items {
  type: 4294967295
  value: -9223372036854775808
}
"#;

const REACHED_BYTES: &str = "\
    0d01000000110400000000000000192a0000000000000021080000000000000028914e52041005180c5a1908e907100d\
    2082d095ffbc313005380b4882d095ffbc315009721408021005180b20e9072809300d3882d095ffbc317a0d0881d095\
    ffbc3110021805200a";

const REACHED_TEXT: &str = r#"format: 1
version: 4
write_id_high: 42
write_id_low: 8
uin: 10001
watermarks {
  partition: 5
  offset: 12
}
achievements {
  type: 1001
  value: -7
  timestamp: 1700000000002
  partition: 5
  offset: 11
  first_time: 1700000000002
  announced: -5
}
pending_unlocks {
  incarnation: 2
  partition: 5
  offset: 11
  type: 1001
  tier: -5
  value: -7
  timestamp: 1700000000002
}
deleted {
  timestamp: 1700000000001
  incarnation: 2
  partition: 5
  offset: 10
}
"#;

const DELETION_BYTES: &str = "\
    08914e3801";

const DELETION_TEXT: &str = r#"uin: 10001
delete: true
"#;

const UNLOCK_BYTES: &str = "\
    0a2436363231663132372d393035342d356561352d383036622d31353439666138386231366410914e18012003280c32\
    0639383736353438e90740c70148ef015080d095ffbc31";

const UNLOCK_TEXT: &str = r#"id: "6621f127-9054-5ea5-806b-1549fa88b16d"
uin: 10001
platform: 1
zone: 3
server: 12
role: "987654"
type: 1001
tier: -100
value: -120
timestamp: 1700000000000
"#;
