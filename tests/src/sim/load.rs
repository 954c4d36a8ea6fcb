//! The log of a schedule: reports of every policy, deletions, sums that overflow, and records that are no reports.

use std::fmt::Write as _;

use fastrand::Rng;
use plaudit_crds::{AchievementType, Achievements, Policy, Unlisted};
use plaudit_worker::player::{Layout, PlayerId};

use super::plan::Knobs;
use super::record::{Due, Record};

/// The one moment at which all verdicts of a simulation fall.
pub const NOW_MS: i64 = 1_700_000_000_000;
/// Ahead of any clock.
const FAR_MS: i64 = 86_400_000;
/// Every report has an item of this type, so that it always changes its player.
pub const COUNTED: u32 = 3;
/// Sums of values so large that the third or so does not fit.
const LARGE: u32 = 9;
const UNLISTED: u32 = 99;

/// Where every simulated pipeline keeps its players.
pub fn layout() -> Layout {
    Layout { key_prefix: "p:".into(), buckets: 7 }
}

/// What every simulated pipeline says about types.
pub fn achievements() -> Achievements {
    let types: [(i64, Policy, &[i64]); 9] = [
        (1, Policy::Latest, &[]),
        (2, Policy::Max, &[]),
        (COUNTED.into(), Policy::Sum, &[]),
        (4, Policy::First, &[]),
        (5, Policy::Min, &[]),
        (6, Policy::BitOr, &[]),
        (7, Policy::Sum, &[10, 40, 90]),
        (8, Policy::Max, &[50, 80]),
        (LARGE.into(), Policy::Sum, &[]),
    ];
    let listed = |(id, policy, tiers): (i64, Policy, &[i64])| AchievementType {
        r#type: id,
        policy,
        tiers: tiers.to_vec(),
    };
    Achievements {
        default_policy: Policy::Latest,
        unlisted: Unlisted::DeadLetter,
        types: types.into_iter().map(listed).collect(),
    }
}

/// The whole log of each partition.
pub fn draw(rng: &mut Rng, partitions: u32, knobs: &Knobs) -> Vec<Vec<Record>> {
    let backlog = rng.bool();
    (0..partitions)
        .map(|partition| {
            let count = rng.i64(4..40);
            let mut arrives_ms = 0;
            (0..count)
                .map(|offset| {
                    arrives_ms += if backlog { 0 } else { rng.u64(0..1_200) };
                    let mut record = one(rng, partition, partitions, knobs);
                    (record.offset, record.arrives_ms) = (offset, arrives_ms);
                    record
                })
                .collect()
        })
        .collect()
}

fn one(rng: &mut Rng, partition: u32, partitions: u32, knobs: &Knobs) -> Record {
    let mut uin = rng.u64(1..=knobs.players);
    if !knobs.shared_players {
        uin = uin * u64::from(partitions) + u64::from(partition);
    }
    let player = PlayerId { uin, ..PlayerId::default() };
    // What lies before a deletion changes nothing, and need not show.
    let due = if knobs.deletions { Due::Nothing } else { Due::Stored(layout().player_key(&player)) };
    let mut record = Record {
        due,
        partition: partition.cast_signed(),
        timestamp_ms: Some(NOW_MS - rng.i64(0..60)),
        key: Some(uin.to_string().into_bytes()),
        payload: Some(report(rng, uin, None)),
        ..Record::default()
    };
    let kind = rng.u8(0..100);
    if kind < 17 {
        record.due = Due::Letter;
    }
    match kind {
        0..3 => (record.control, record.due) = (true, Due::Nothing),
        3..5 => record.payload = None,
        5..7 => record.payload = Some(b"{\"uin\":".to_vec()),
        7..9 => record.payload = Some(vec![0xff, 0xfe]),
        9..11 => record.timestamp_ms = None,
        11..14 => record.timestamp_ms = Some(NOW_MS + FAR_MS),
        14..17 => record.payload = Some(report(rng, uin, Some((UNLISTED, 1)))),
        17..23 if knobs.overflows => {
            record.payload = Some(report(rng, uin, Some((LARGE, i64::MAX / 2))));
        }
        23..26 if knobs.deletions => {
            record.payload = Some(format!(r#"{{"uin":{uin},"delete":true}}"#).into_bytes());
        }
        _ => {}
    }
    record
}

fn report(rng: &mut Rng, uin: u64, besides: Option<(u32, i64)>) -> Vec<u8> {
    let mut items = format!(r#"{{"type":{COUNTED},"value":{}}}"#, rng.i64(1..5));
    for _ in 0..rng.usize(0..4) {
        let kind = rng.u32(1..=8);
        let value = if kind == 6 { 1 << rng.u32(0..8) } else { rng.i64(0..100) };
        // Net-zero sums count too.
        let value = if kind == 7 { value / 5 - 4 } else { value };
        let data = "d".repeat(rng.usize(0..40));
        let _ = write!(items, r#",{{"type":{kind},"value":{value},"data":"{data}"}}"#);
    }
    if let Some((kind, value)) = besides {
        let _ = write!(items, r#",{{"type":{kind},"value":{value}}}"#);
    }
    format!(r#"{{"uin":{uin},"items":[{items}]}}"#).into_bytes()
}
