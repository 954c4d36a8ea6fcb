//! What must hold: at each commit, and for the whole store at the end.

use std::collections::BTreeMap;

use plaudit_crds::Format;
use plaudit_worker::proto::{Fence, PlayerRecord};
use prost::Message as _;
use tokio::time::Instant;

use super::load::{NOW_MS, achievements, layout};
use super::record::{Due, Record};
use super::world::{State, World};
use crate::checker::{Check, Layout, Rules, Verdict, assemble, chunk_key, explain, open};

/// A record below a committed offset that has left no trace, before the store lost anything.
pub fn unsafe_commit(state: &State, log: &[Record], partition: i32, offset: i64) -> Option<String> {
    let get = |key: &str| state.data.get(key, Instant::now());
    let fence = get(&layout().fence_key(partition)).and_then(|value| Fence::decode(value).ok());
    let position = fence.map_or(0, |fence| fence.position);
    if position < offset {
        return Some(format!("{partition}: {offset} is committed, the fence is at {position}"));
    }
    let proven = state.partitions[usize::try_from(partition).unwrap_or(0)].proven;
    let range = log.iter().filter(|record| record.offset >= proven && record.offset < offset);
    let missing = range.into_iter().find(|record| {
        let lettered = state.lettered.contains(&(partition, record.offset));
        let stored = match &record.due {
            Due::Nothing => true,
            Due::Letter => false,
            Due::Stored(key) => watermark(get(key), partition) > record.offset,
        };
        !stored && !lettered
    })?;
    Some(format!("{partition}: {offset} is committed, and {} below it has no trace", missing.offset))
}

fn watermark(value: Option<&[u8]>, partition: i32) -> i64 {
    let record = value.and_then(|value| PlayerRecord::decode(value).ok()).unwrap_or_default();
    let mark = record.watermarks.iter().find(|mark| mark.partition == partition.unsigned_abs());
    mark.map_or(0, |mark| mark.offset)
}

/// The checker's verdict on everything, when all is quiet.
pub fn verdict(world: &World) -> Verdict {
    let rules = Rules::new(Format::Json, 300, &achievements());
    let own = layout();
    let layout = Layout {
        key_prefix: own.key_prefix.clone(),
        buckets: own.buckets,
        consumer_group: Some("group".into()),
    };
    let end = |log: &Vec<Record>| log.last().map_or(0, |record| record.offset + 1);
    let ranges: BTreeMap<i32, (i64, i64)> =
        (0..).zip(world.plan.log.iter().map(|log| (0, end(log)))).collect();
    let state = world.state();
    let now = Instant::now();
    let mut check = Check::new("reports", layout, rules.clone(), &ranges, NOW_MS);
    state.letters.iter().for_each(|letter| check.add_letter(&letter.borrow()));
    check.expect_unlocks();
    state.unlocks.iter().for_each(|unlock| check.add_unlock(&unlock.borrow()));
    let records = || world.plan.log.iter().flatten().filter(|record| !record.control);
    records().for_each(|record| check.add_record(&record.borrow()));
    check.end_records();
    for &partition in ranges.keys() {
        let value = state.data.get(&own.fence_key(partition), now);
        check.add_fence(partition, value.and_then(|value| Fence::decode(value).ok()).as_ref());
    }
    for key in state.data.keys().filter(|key| !key.contains('#') && !key.contains("}fence:")) {
        let value = state.data.get(key, now).unwrap_or_default();
        let stored = open(value).and_then(|record| {
            let chunk = |reference| state.data.get(&chunk_key(key, reference), now).map(<[u8]>::to_vec);
            let chunks: Vec<_> = record.chunks.iter().map(chunk).collect();
            assemble(record, &chunks)
        });
        check.add_player(key, stored.as_ref().map_err(Clone::clone));
    }
    let mut verdict = check.finish();
    if !verdict.passed() {
        records().for_each(|record| explain(&mut verdict, &record.borrow(), &rules));
    }
    verdict
}
