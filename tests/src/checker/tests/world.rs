//! A topic, its dead letters and the store they make, computed player by player from the definitions of the policies.

use std::collections::BTreeMap;

use plaudit::load::{Generator, Mix};
use plaudit_crds::{AchievementType, Achievements, Format, Policy, Unlisted};
use plaudit_worker::proto;

use super::super::fold::judge;
use super::super::letters::Letters;
use super::super::{Check, Layout, PlayerId, Reason, Rules, SourceRecord, Stored, Verdict};

/// When the checks of these tests begin.
pub const NOW_MS: i64 = 1_700_000_000_000;
const PARTITIONS: i32 = 3;
const INCARNATION: u32 = 4;

#[derive(Clone, Debug, Default)]
pub struct OwnedRecord {
    pub partition: i32,
    pub offset: i64,
    pub timestamp_ms: Option<i64>,
    pub key: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}

#[derive(Clone, Debug)]
pub struct World {
    pub rules: Rules,
    pub records: Vec<OwnedRecord>,
    pub letters: Vec<OwnedRecord>,
    pub fences: BTreeMap<i32, proto::Fence>,
    pub store: BTreeMap<String, Stored>,
    /// Keys with something that cannot be read.
    pub damaged: Vec<String>,
    /// Refused for what is stored, which takes more than the record to see.
    pub overflows: Vec<(usize, Reason)>,
    /// The topic of unlocks, if there is one.
    pub unlocks: Option<Vec<OwnedRecord>>,
}

/// The value of a record.
pub fn report(uin: u64, items: &[(u32, i64)]) -> Option<Vec<u8>> {
    let items = items.iter().map(|(r#type, value)| format!(r#"{{"type":{type},"value":{value}}}"#));
    Some(format!(r#"{{"uin":{uin},"items":[{}]}}"#, items.collect::<Vec<_>>().join(",")).into_bytes())
}

impl OwnedRecord {
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

    pub fn set_header(&mut self, name: &str, value: &str) {
        self.headers.retain(|(found, _)| found != name);
        self.headers.push((name.to_owned(), value.into()));
    }
}

impl World {
    /// These values in partition 0, a second before the check. Types 1, 2 and 3 are latest, max and sum.
    pub fn of(payloads: &[Option<Vec<u8>>]) -> Self {
        let record = |(offset, payload): (i64, &Option<Vec<u8>>)| OwnedRecord {
            offset,
            timestamp_ms: Some(NOW_MS - 1_000),
            payload: payload.clone(),
            ..OwnedRecord::default()
        };
        Self::new(Format::Json, (0..).zip(payloads).map(record).collect())
    }

    /// A generated load; records lie where their key leads to, in the order of their making.
    pub fn generated(mix: Mix, count: i32) -> Self {
        let format = mix.format;
        let mut generator = Generator::new(mix);
        let mut next = BTreeMap::<i32, i64>::new();
        let mut records = Vec::new();
        for index in 0..count {
            // Sometimes several within a millisecond, so that partition, offset and index decide.
            let made = generator.next(NOW_MS - 10_000 + i64::from(index / 3));
            let sum: i32 = made.key.iter().flatten().map(|&byte| i32::from(byte)).sum();
            let partition = made.key.as_ref().map_or(index, |_| sum) % PARTITIONS;
            let offset = next.entry(partition).or_default();
            let mut record = OwnedRecord {
                partition,
                offset: *offset,
                timestamp_ms: Some(made.timestamp_ms),
                key: made.key,
                payload: made.payload,
                headers: Vec::new(),
            };
            if index % 5 == 0 {
                record.set_header("trace", "x");
            }
            records.push(record);
            *offset += 1;
        }
        Self::new(format, records)
    }

    fn new(format: Format, records: Vec<OwnedRecord>) -> Self {
        let policies = [Policy::Latest, Policy::Max, Policy::Sum, Policy::First, Policy::Min, Policy::BitOr];
        let types = (1..=6).chain(1_001..=1_006).zip(policies.into_iter().cycle());
        let types = types.map(|(id, policy)| AchievementType { r#type: id, policy, tiers: vec![] });
        let achievements = Achievements {
            default_policy: Policy::Latest,
            unlisted: Unlisted::Accept,
            types: types.collect(),
        };
        let mut world = Self {
            rules: Rules::new(format, 300, &achievements),
            records,
            letters: Vec::new(),
            fences: BTreeMap::new(),
            store: BTreeMap::new(),
            damaged: Vec::new(),
            overflows: Vec::new(),
            unlocks: None,
        };
        for index in 0..world.records.len() {
            if let Some(reason) = world.refusal(index) {
                world.letters.push(world.letter(index, reason));
            }
        }
        world.settle();
        world
    }

    /// Makes the record at `index` one that was refused.
    pub fn refuse(&mut self, index: usize, reason: Reason) {
        if [Reason::SumOverflow, Reason::PlayerFull].contains(&reason) {
            self.overflows.push((index, reason));
        }
        self.letters.push(self.letter(index, reason));
        self.settle();
    }

    /// Computes the store and the fences from the records that were not refused.
    pub fn settle(&mut self) {
        self.store.clear();
        for (id, (deleted, items)) in self.items() {
            let mut stored = Stored { player: id, deleted, ..Stored::default() };
            if let Some(deleted) = deleted {
                watermark(&mut stored.watermarks, deleted.partition.cast_signed(), deleted.offset + 1);
            }
            for (r#type, items) in items {
                for (key, ..) in &items {
                    watermark(&mut stored.watermarks, key.1, key.2 + 1);
                }
                stored.achievements.push(achievement(r#type, &items, self.rules.policy(r#type)));
            }
            self.store.insert(stored.player.key("p:", 7), stored);
        }
        for (&partition, &(_, end)) in &self.ranges() {
            let fence = proto::Fence {
                position: end,
                settled: end,
                owner: "group".into(),
                incarnation: INCARNATION,
                ..proto::Fence::default()
            };
            self.fences.insert(partition, fence);
        }
    }

    pub fn check(&self) -> Verdict {
        let layout = Layout { key_prefix: "p:".into(), buckets: 7, consumer_group: Some("group".into()) };
        let mut check = Check::new("reports", layout, self.rules.clone(), &self.ranges(), NOW_MS);
        self.letters.iter().for_each(|letter| check.add_letter(&letter.borrow()));
        if let Some(unlocks) = &self.unlocks {
            check.expect_unlocks();
            unlocks.iter().for_each(|unlock| check.add_unlock(&unlock.borrow()));
        }
        self.records.iter().for_each(|record| check.add_record(&record.borrow()));
        check.end_records();
        for &partition in self.ranges().keys() {
            check.add_fence(partition, self.fences.get(&partition));
        }
        // Twice, as SCAN may.
        for _ in 0..2 {
            self.store.iter().for_each(|(key, stored)| check.add_player(key, Ok(stored)));
            self.damaged.iter().for_each(|key| check.add_player(key, Err("damaged".into())));
        }
        check.finish()
    }

    /// The right dead letter of the record at `index`.
    pub fn letter(&self, index: usize, reason: Reason) -> OwnedRecord {
        let record = &self.records[index];
        let mut letter = OwnedRecord { timestamp_ms: Some(NOW_MS - 500), ..record.clone() };
        for (name, value) in [
            ("plaudit-reason", reason.name().to_owned()),
            ("plaudit-detail", "because".to_owned()),
            ("plaudit-topic", "reports".to_owned()),
            ("plaudit-partition", record.partition.to_string()),
            ("plaudit-offset", record.offset.to_string()),
            ("plaudit-timestamp", record.timestamp_ms.unwrap_or(-1).to_string()),
            ("plaudit-consumer-group", "group".to_owned()),
        ] {
            letter.set_header(name, &value);
        }
        letter
    }

    pub fn player(&mut self, uin: u64) -> &mut Stored {
        self.store.values_mut().find(|stored| stored.player.uin == uin).expect("a player of this UIN")
    }

    pub fn achievement(&mut self, uin: u64, r#type: u32) -> &mut proto::Achievement {
        let achievements = &mut self.player(uin).achievements;
        achievements.iter_mut().find(|found| found.r#type == r#type).expect("an achievement of this type")
    }

    pub fn ranges(&self) -> BTreeMap<i32, (i64, i64)> {
        let mut ranges = BTreeMap::new();
        for record in &self.records {
            let (_, end) = ranges.entry(record.partition).or_insert((0, 0));
            *end = (*end).max(record.offset + 1);
        }
        ranges
    }

    fn refusal(&self, index: usize) -> Option<Reason> {
        if let Some((_, reason)) = self.overflows.iter().find(|(refused, _)| *refused == index) {
            return Some(*reason);
        }
        let mut letters = Letters::new("reports", None);
        for letter in &self.letters {
            letters.add(&letter.borrow());
        }
        let reasons = judge(&self.records[index].borrow(), &self.rules, NOW_MS, &letters).err()?;
        Reason::ALL.into_iter().find(|&reason| reasons.contains(reason))
    }

    /// By player the last deletion, and by type the key, value and data of every item that counts.
    fn items(&self) -> BTreeMap<PlayerId, Counts> {
        let mut players = BTreeMap::<PlayerId, Counts>::new();
        for index in 0..self.records.len() {
            let record = self.records[index].borrow();
            if self.refusal(index).is_some() {
                continue;
            }
            let report =
                judge(&record, &self.rules, NOW_MS, &Letters::new("reports", None)).expect("a good report");
            let (deleted, types) = players.entry(report.player).or_default();
            if report.delete {
                types.clear();
                *deleted = Some(proto::Deletion {
                    timestamp: record.timestamp_ms.unwrap_or_default(),
                    incarnation: INCARNATION,
                    partition: record.partition.unsigned_abs(),
                    offset: record.offset,
                });
            }
            for (item, at) in report.items.into_iter().zip(0..) {
                let key = (record.timestamp_ms.unwrap_or_default(), record.partition, record.offset, at);
                types.entry(item.r#type).or_default().push((key, item.value, item.data.into()));
            }
        }
        players
    }
}

type Counts = (Option<proto::Deletion>, BTreeMap<u32, Vec<Counted>>);

type Counted = ((i64, i32, i64, u32), i64, String);

/// What the items of one type come to, looking at all of them at once.
fn achievement(r#type: u32, items: &[Counted], policy: Option<Policy>) -> proto::Achievement {
    let newest = items.iter().max_by_key(|(key, ..)| *key);
    let greatest = items.iter().map(|(_, value, _)| *value).max();
    let least = items.iter().map(|(_, value, _)| *value).min();
    let first_with = |wanted: Option<i64>| {
        items.iter().filter(|(_, value, _)| Some(*value) == wanted).min_by_key(|(key, ..)| *key)
    };
    // In the order of one partition, which is that of the records here.
    let mut in_order: Vec<&Counted> = items.iter().collect();
    in_order.sort_by_key(|((_, partition, offset, index), ..)| (*partition, *offset, *index));
    let (mut bits, mut last_bit) = (0, in_order[0]);
    for item in in_order {
        if bits | item.1 != bits {
            (bits, last_bit) = (bits | item.1, item);
        }
    }
    let winner = match policy {
        Some(Policy::Max) => first_with(greatest),
        Some(Policy::Min) => first_with(least),
        Some(Policy::First) => items.iter().min_by_key(|(key, ..)| *key),
        Some(Policy::BitOr) => Some(last_bit),
        _ => newest,
    };
    let (key, value, data) = winner.expect("an item");
    // Wraps only where the test has yet to say which record is refused.
    let sum = items.iter().fold(0_i64, |sum, (_, value, _)| sum.wrapping_add(*value));
    proto::Achievement {
        r#type,
        value: match policy {
            Some(Policy::Sum) => sum,
            Some(Policy::BitOr) => bits,
            _ => *value,
        },
        data: data.clone(),
        timestamp: key.0,
        incarnation: INCARNATION,
        partition: key.1.unsigned_abs(),
        offset: key.2,
        index: key.3,
        announced: None,
        first_time: items.iter().map(|(key, ..)| key.0).min().unwrap_or_default(),
    }
}

fn watermark(watermarks: &mut Vec<proto::Watermark>, partition: i32, offset: i64) {
    let partition = partition.unsigned_abs();
    match watermarks.iter_mut().find(|mark| mark.partition == partition) {
        Some(mark) => mark.offset = mark.offset.max(offset),
        None => watermarks.push(proto::Watermark { incarnation: INCARNATION, partition, offset }),
    }
}
