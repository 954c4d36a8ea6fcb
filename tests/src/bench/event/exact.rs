//! Whether `direct` stored what was reported: the checker's fold over the trace, held against the store.

use std::collections::BTreeMap;

use anyhow::Result;
use plaudit_crds::worker::WorkerConfig;

use super::trace::Trace;
use crate::checker::{Check, Layout, Rules, SourceRecord, Store, Verdict};

/// Compares everything below the configuration's key prefix with the trace. `address`: the store's own, past any proxy.
///
/// `direct` has no topic: to the checker the trace is one partition, and a report's number its offset.
pub fn check(trace: &Trace, config: &WorkerConfig, address: &str) -> Result<Verdict> {
    let layout = Layout {
        key_prefix: config.store.key_prefix.clone(),
        buckets: config.store.buckets,
        consumer_group: None,
    };
    let rules = Rules::new(config.source.format, config.source.max_clock_skew_seconds, &config.achievements);
    let end = (0..).zip(&trace.reports).last().map_or(0, |(offset, _)| offset + 1);
    let ranges = BTreeMap::from([(0, (0, end))]);
    // Game servers' times are taken as they are: nothing is too far in the future.
    let mut check = Check::new("direct", layout, rules, &ranges, i64::MAX / 2);
    for (offset, due) in (0..).zip(&trace.reports) {
        check.add_record(&SourceRecord {
            partition: 0,
            offset,
            timestamp_ms: Some(due.record.timestamp_ms),
            key: due.record.key.as_deref(),
            payload: due.record.payload.as_deref(),
            headers: Vec::new(),
        });
    }
    check.end_records();
    let mut store = Store::connect(address, &config.store.key_prefix)?;
    let stray_chunks = store.players(|key, stored| check.add_player(key, stored))?;
    check.add_stray_chunks(stray_chunks);
    Ok(check.finish())
}
