//! The merge: what a player record becomes when records of one partition are applied to it.
//!
//! Pure and in offset order. Items below the player's watermark are skipped; what is left is applied by the policy of
//! its type. Everything here is decided by the record, the stored state and the policies, never by a clock.

use hashbrown::HashMap;
use plaudit_crds::{Achievements, Policy};

use crate::batch::{Item, Record};
use crate::player::{PlayerState, SourcePartition};
use crate::proto::{Achievement, PendingDeadLetter};

/// Policies by type, ready for look-up.
#[derive(Clone, Debug)]
pub struct Policies {
    listed: HashMap<u32, Policy>,
    default: Policy,
}

impl Policies {
    pub fn new(achievements: &Achievements) -> Self {
        let listed = achievements
            .types
            .iter()
            .filter_map(|listed| Some((u32::try_from(listed.r#type).ok()?, listed.policy)))
            .collect();
        Self { listed, default: achievements.default_policy }
    }

    pub fn of(&self, kind: u32) -> Policy {
        self.listed.get(&kind).copied().unwrap_or(self.default)
    }

    pub fn lists(&self, kind: u32) -> bool {
        self.listed.contains_key(&kind)
    }
}

/// A record that was not applied because of what is stored; its dead letter is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow {
    pub offset: i64,
    /// The type whose sum would leave the range of int64.
    pub kind: u32,
}

/// What applying a player's records did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Whether the state has to be written.
    pub changed: bool,
    /// Types that differ from what was loaded, in no order, each once.
    pub touched: Vec<u32>,
    /// Offsets of records without items at or above the watermark: their verdicts are new.
    pub verdicts: Vec<i64>,
}

/// Applies one player's records, ascending by offset, and moves the watermark to `upper` if anything changed. Records
/// below `watermark`, which is the state's own, are skipped.
pub fn apply<'a>(
    state: &mut PlayerState,
    source: SourcePartition,
    watermark: i64,
    records: impl Iterator<Item = Record<'a>>,
    upper: i64,
    policies: &Policies,
) -> Applied {
    let mut applied = Applied::default();
    let exists = state.version > 0;
    let mut table = Table::new(&mut state.achievements);
    for record in records.skip_while(|record| record.offset < watermark) {
        if record.items().len() == 0 {
            // A verdict that a clock or a new configuration could change: the first one stands for a player that exists.
            applied.verdicts.push(record.offset);
            applied.changed |= exists;
        } else if let Some(kind) = overflowing(&table, &record, policies) {
            state.pending.push(PendingDeadLetter {
                incarnation: source.incarnation,
                partition: source.partition,
                offset: record.offset,
                r#type: kind,
            });
            applied.changed = true;
        } else {
            for item in record.items() {
                if apply_item(&mut table, source, &record, item, policies.of(item.kind)) {
                    applied.touched.push(item.kind);
                }
            }
        }
    }
    table.close();
    applied.touched.sort_unstable();
    applied.touched.dedup();
    applied.changed |= !applied.touched.is_empty();
    if applied.changed {
        state.raise_watermark(source, upper);
    }
    applied
}

/// The achievements of a player while records are applied: sorted ones, and behind them those that are new.
struct Table<'a> {
    achievements: &'a mut Vec<Achievement>,
    sorted: usize,
    /// Positions of the new ones once they are too many to be searched one by one.
    new: HashMap<u32, usize>,
}

/// New achievements of a player that are searched one by one.
const FEW: usize = 16;

impl<'a> Table<'a> {
    fn new(achievements: &'a mut Vec<Achievement>) -> Self {
        Self { sorted: achievements.len(), achievements, new: HashMap::new() }
    }

    fn position(&self, kind: u32) -> Option<usize> {
        let (sorted, new) = self.achievements.split_at(self.sorted);
        if let Ok(at) = sorted.binary_search_by_key(&kind, |stored| stored.r#type) {
            return Some(at);
        }
        if new.len() > FEW {
            return self.new.get(&kind).copied();
        }
        new.iter().position(|stored| stored.r#type == kind).map(|at| self.sorted + at)
    }

    fn value(&self, kind: u32) -> Option<i64> {
        self.position(kind).map(|at| self.achievements[at].value)
    }

    fn push(&mut self, achievement: Achievement) {
        self.achievements.push(achievement);
        let new = &self.achievements[self.sorted..];
        if new.len() > FEW {
            let unmapped = new.iter().enumerate().skip(self.new.len());
            let positions = unmapped.map(|(at, stored)| (stored.r#type, self.sorted + at));
            self.new.extend(positions);
        }
    }

    fn close(self) {
        if self.achievements.len() > self.sorted {
            self.achievements.sort_unstable_by_key(|stored| stored.r#type);
        }
    }
}

/// The first type of the record whose sum would overflow, items taken in order.
fn overflowing(table: &Table<'_>, record: &Record<'_>, policies: &Policies) -> Option<u32> {
    let mut running: Vec<(u32, i64)> = Vec::new();
    for item in record.items().filter(|item| policies.of(item.kind) == Policy::Sum) {
        let at = running.iter().position(|(kind, _)| *kind == item.kind).unwrap_or_else(|| {
            running.push((item.kind, table.value(item.kind).unwrap_or(0)));
            running.len() - 1
        });
        match running[at].1.checked_add(item.value) {
            Some(sum) => running[at].1 = sum,
            None => return Some(item.kind),
        }
    }
    None
}

/// Applies one item; true if the achievement has to be written.
fn apply_item(
    table: &mut Table<'_>,
    source: SourcePartition,
    record: &Record<'_>,
    item: Item<'_>,
    policy: Policy,
) -> bool {
    let Some(at) = table.position(item.kind) else {
        table.push(new_achievement(source, record, item));
        return true;
    };
    let stored = &mut table.achievements[at];
    let newer = item_key(source, record, item) > stored_key(stored);
    let mut changed = false;
    if record.timestamp < stored.first_time {
        stored.first_time = record.timestamp;
        changed = true;
    }
    let wins = match policy {
        Policy::Latest => newer,
        Policy::Max => {
            let older = item_key(source, record, item) < stored_key(stored);
            item.value > stored.value || (item.value == stored.value && older)
        }
        Policy::Sum => {
            // Checked for the whole record before. A net zero is a change: only a written watermark fences.
            stored.value = stored.value.wrapping_add(item.value);
            changed = true;
            newer
        }
    };
    if wins {
        let value = if policy == Policy::Sum { stored.value } else { item.value };
        let first_time = stored.first_time;
        *stored = Achievement { value, first_time, ..new_achievement(source, record, item) };
    }
    changed || wins
}

fn new_achievement(source: SourcePartition, record: &Record<'_>, item: Item<'_>) -> Achievement {
    Achievement {
        r#type: item.kind,
        value: item.value,
        data: item.data.to_owned(),
        timestamp: record.timestamp,
        incarnation: source.incarnation,
        partition: source.partition,
        offset: record.offset,
        index: item.index,
        first_time: record.timestamp,
    }
}

/// Timestamp, incarnation, partition, offset, index: the order of a player's items.
type Key = (i64, u32, u32, i64, u32);

fn item_key(source: SourcePartition, record: &Record<'_>, item: Item<'_>) -> Key {
    (record.timestamp, source.incarnation, source.partition, record.offset, item.index)
}

fn stored_key(stored: &Achievement) -> Key {
    (stored.timestamp, stored.incarnation, stored.partition, stored.offset, stored.index)
}

#[cfg(test)]
mod tests {
    use plaudit_crds::{AchievementType, Unlisted};

    use super::*;
    use crate::batch::{Batch, PlayerRef};

    const SOURCE: SourcePartition = SourcePartition { incarnation: 0, partition: 3 };
    const LATEST: u32 = 1;
    const MAX: u32 = 2;
    const SUM: u32 = 3;

    fn policies() -> Policies {
        let listed = |r#type: u32, policy| AchievementType { r#type: i64::from(r#type), policy };
        Policies::new(&Achievements {
            default_policy: Policy::Latest,
            unlisted: Unlisted::Accept,
            types: vec![listed(MAX, Policy::Max), listed(SUM, Policy::Sum)],
        })
    }

    /// offset, timestamp, items (type, value, data)
    type Given<'a> = (i64, i64, Vec<(u32, i64, &'a str)>);

    fn run(state: &mut PlayerState, records: &[Given<'_>]) -> Applied {
        let mut batch = Batch::default();
        for (offset, timestamp, items) in records {
            let player = PlayerRef { uin: 1, platform: 0, zone: 0, server: 0, role: "" };
            batch.push(player, *offset, *timestamp, items.iter().copied());
        }
        let watermark = state.watermark(SOURCE);
        let applied = apply(state, SOURCE, watermark, batch.records(0), batch.group(0).upper, &policies());
        if applied.changed {
            state.version += 1;
        }
        applied
    }

    fn values(state: &PlayerState) -> Vec<(u32, i64, &str, i64, i64)> {
        let view = |stored: &Achievement| (stored.r#type, stored.value, stored.timestamp, stored.first_time);
        state
            .achievements
            .iter()
            .map(|stored| {
                let (kind, value, timestamp, first) = view(stored);
                (kind, value, stored.data.as_str(), timestamp, first)
            })
            .collect()
    }

    #[test]
    fn an_older_report_never_overwrites_a_newer_one() {
        let mut state = PlayerState::default();
        run(&mut state, &[(0, 100, vec![(LATEST, 5, "new")]), (1, 50, vec![(LATEST, 9, "old")])]);
        assert_eq!(values(&state), vec![(LATEST, 5, "new", 100, 50)]);
    }

    #[test]
    fn equal_timestamps_are_ordered_by_offset_then_index() {
        let mut state = PlayerState::default();
        run(&mut state, &[(0, 100, vec![(LATEST, 1, ""), (LATEST, 2, "")]), (1, 100, vec![(LATEST, 3, "")])]);
        assert_eq!(values(&state), vec![(LATEST, 3, "", 100, 100)]);
    }

    #[test]
    fn max_keeps_the_least_key_among_equals() {
        let mut state = PlayerState::default();
        let records = [
            (0, 100, vec![(MAX, 5, "a")]),
            (1, 90, vec![(MAX, 5, "b")]),
            (2, 110, vec![(MAX, 5, "c")]),
            (3, 80, vec![(MAX, 4, "d")]),
        ];
        run(&mut state, &records);
        assert_eq!(values(&state), vec![(MAX, 5, "b", 90, 80)]);
    }

    #[test]
    fn a_net_zero_sum_is_a_change_and_moves_the_watermark() {
        let mut state = PlayerState::default();
        run(&mut state, &[(0, 100, vec![(SUM, 5, "")])]);
        let applied = run(&mut state, &[(1, 90, vec![(SUM, 5, "")]), (2, 80, vec![(SUM, -5, "")])]);
        assert!(applied.changed);
        assert_eq!(state.watermark(SOURCE), 3);
    }

    #[test]
    fn records_below_the_watermark_are_skipped_even_inside_a_batch() {
        let mut state = PlayerState::default();
        let records = [(0, 100, vec![(SUM, 5, "")]), (1, 101, vec![(SUM, 7, "")])];
        run(&mut state, &records);
        let replayed = [records[0].clone(), records[1].clone(), (2, 102, vec![(SUM, 1, "")])];
        let applied = run(&mut state, &replayed);
        assert!(applied.changed);
        assert_eq!(values(&state), vec![(SUM, 13, "", 102, 100)]);
    }

    #[test]
    fn a_replay_of_everything_changes_nothing() {
        let mut state = PlayerState::default();
        let records = [(0, 100, vec![(SUM, 5, ""), (MAX, 1, "")]), (1, 101, vec![(LATEST, 7, "")])];
        run(&mut state, &records);
        let before = state.clone();
        let applied = run(&mut state, &records);
        assert_eq!((applied.changed, state), (false, before));
    }

    #[test]
    fn an_item_without_effect_writes_nothing() {
        let mut state = PlayerState::default();
        run(&mut state, &[(0, 100, vec![(LATEST, 5, ""), (MAX, 5, "")])]);
        let applied = run(&mut state, &[(1, 100, vec![(MAX, 4, "")])]);
        assert!(!applied.changed);
        assert_eq!(state.watermark(SOURCE), 1);
    }

    #[test]
    fn an_overflowing_sum_refuses_the_whole_record_and_only_that() {
        let mut state = PlayerState::default();
        run(
            &mut state,
            &[
                (0, 100, vec![(SUM, i64::MAX, "")]),
                (1, 101, vec![(LATEST, 7, ""), (SUM, -1, ""), (SUM, 2, "")]),
                (2, 102, vec![(SUM, -1, "")]),
            ],
        );
        assert_eq!(values(&state), vec![(SUM, i64::MAX - 1, "", 102, 100)]);
        let pending: Vec<_> = state.pending.iter().map(|pending| (pending.offset, pending.r#type)).collect();
        assert_eq!(pending, vec![(1, SUM)]);
    }

    #[test]
    fn a_verdict_by_the_clock_moves_the_watermark_of_a_player_that_exists_only() {
        let mut unknown = PlayerState::default();
        assert!(!run(&mut unknown, &[(0, 100, vec![])]).changed);
        let mut known = PlayerState::default();
        run(&mut known, &[(0, 100, vec![(MAX, 1, "")])]);
        assert!(run(&mut known, &[(1, 100, vec![])]).changed);
        assert_eq!(known.watermark(SOURCE), 2);
        let replayed = run(&mut known, &[(1, 100, vec![])]);
        assert_eq!((replayed.changed, replayed.verdicts), (false, vec![]));
    }

    #[test]
    fn many_new_types_are_found_again() {
        let items = |value| (0..60).map(|kind| (100 - kind, value, "")).collect::<Vec<_>>();
        let mut state = PlayerState::default();
        run(&mut state, &[(0, 100, items(1)), (1, 101, items(2))]);
        let kinds: Vec<_> = state.achievements.iter().map(|stored| (stored.r#type, stored.value)).collect();
        assert_eq!(kinds, (41..=100).map(|kind| (kind, 2)).collect::<Vec<_>>());
    }

    #[test]
    fn the_borders_of_batches_do_not_matter() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let records: Vec<Given<'_>> = (0..12)
                .map(|offset| {
                    let items = (0..rng.usize(1..4)).map(|_| (rng.u32(1..4), rng.i64(-9..9), "")).collect();
                    (offset, rng.i64(0..20), items)
                })
                .collect();
            let (mut whole, mut parts) = (PlayerState::default(), PlayerState::default());
            run(&mut whole, &records);
            let mut rest = &records[..];
            while !rest.is_empty() {
                let (part, tail) = rest.split_at(rng.usize(1..=rest.len()));
                run(&mut parts, part);
                rest = tail;
            }
            assert_eq!(whole.achievements, parts.achievements, "{records:?}");
        }
    }
}
