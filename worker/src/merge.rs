//! The merge: what a player record becomes when records of one partition are applied to it.
//!
//! Pure and in offset order. Items below the player's watermark are skipped; what is left is applied by the policy of
//! its type. Everything here is decided by the record, the stored state and the policies, never by a clock.

mod refusal;
mod table;

use hashbrown::HashMap;
use plaudit_crds::{Achievements, Policy};
use smallvec::SmallVec;

use crate::batch::{Item, Record};
use crate::player::{PlayerState, SourcePartition};
use crate::proto::{Achievement, Deletion, PendingDeadLetter, PendingUnlock};
use refusal::refusal;
pub use refusal::{MAX_ACHIEVEMENTS, Refused, Why};
use table::Table;

/// Policies by type, ready for look-up.
#[derive(Clone, Debug)]
pub struct Policies {
    listed: HashMap<u32, Policy>,
    default: Policy,
    /// In the order in which they are reached.
    tiers: HashMap<u32, Box<[i64]>>,
}

impl Policies {
    pub fn new(achievements: &Achievements) -> Self {
        let (mut policies, mut tiers) = (HashMap::new(), HashMap::new());
        for listed in &achievements.types {
            let Ok(kind) = u32::try_from(listed.r#type) else { continue };
            policies.insert(kind, listed.policy);
            if !listed.tiers.is_empty() {
                tiers.insert(kind, listed.tiers.clone().into_boxed_slice());
            }
        }
        Self { listed: policies, default: achievements.default_policy, tiers }
    }

    pub fn of(&self, kind: u32) -> Policy {
        self.listed.get(&kind).copied().unwrap_or(self.default)
    }

    pub fn lists(&self, kind: u32) -> bool {
        self.listed.contains_key(&kind)
    }
}

/// What applying a player's records did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Whether the state has to be written.
    pub changed: bool,
    /// Types that differ from what was loaded, in no order, each once.
    pub touched: SmallVec<[u32; 8]>,
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
    let mut is_new = false;
    let mut table = Table::new(&mut state.achievements);
    for record in records.skip_while(|record| record.offset < watermark) {
        is_new = true;
        let is_verdict = !record.delete && record.items().len() == 0;
        let is_before = |deleted| deletion_of(source, &record) <= deletion_key(deleted);
        // A refused record gets its letter, whatever was deleted since.
        if !is_verdict && state.deleted.is_some_and(is_before) {
            continue;
        }
        if record.delete {
            table.clear();
            // Their chunks hold nothing any more: the next write drops them.
            state.chunks.iter_mut().for_each(|chunk| chunk.types.clear());
            state.deleted = Some(deletion(source, &record));
            applied.touched.clear();
            applied.changed = true;
        } else if is_verdict {
            // A verdict that a clock or a new configuration could change: the first one stands for a player that exists.
            applied.verdicts.push(record.offset);
            applied.changed |= exists;
        } else if let Some((why, kind)) = refusal(&table, &record, policies) {
            state.pending.push(PendingDeadLetter {
                incarnation: source.incarnation,
                partition: source.partition,
                offset: record.offset,
                r#type: kind,
                why: why.number(),
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
    if is_new && !policies.tiers.is_empty() {
        reach(state, source, upper - 1, policies, &mut applied);
    }
    applied.touched.sort_unstable();
    applied.touched.dedup();
    applied.changed |= !applied.touched.is_empty();
    if applied.changed {
        state.raise_watermark(source, upper);
    }
    applied
}

/// Notes the unlocks of tiers that the values about to be stored reach for the first time.
fn reach(
    state: &mut PlayerState,
    source: SourcePartition,
    offset: i64,
    policies: &Policies,
    applied: &mut Applied,
) {
    for stored in &mut state.achievements {
        let kind = stored.r#type;
        let Some(tiers) = policies.tiers.get(&kind) else { continue };
        let policy = policies.of(kind);
        let is_due = |tier: i64| {
            policy.reaches(stored.value, tier)
                && !stored.announced.is_some_and(|announced| policy.reaches(announced, tier))
        };
        let due: Vec<i64> = tiers.iter().copied().filter(|tier| is_due(*tier)).collect();
        let Some(furthest) = due.last() else { continue };
        stored.announced = Some(*furthest);
        applied.touched.push(kind);
        let SourcePartition { incarnation, partition } = source;
        let (value, timestamp) = (stored.value, stored.timestamp);
        let unlock =
            |tier| PendingUnlock { incarnation, partition, offset, r#type: kind, tier, value, timestamp };
        state.unlocks.extend(due.into_iter().map(unlock));
    }
}

/// Timestamp, incarnation, partition, offset: where a deletion stands in the order of items.
type DeletionKey = (i64, u32, u32, i64);

fn deletion(source: SourcePartition, record: &Record<'_>) -> Deletion {
    let SourcePartition { incarnation, partition } = source;
    Deletion { timestamp: record.timestamp, incarnation, partition, offset: record.offset }
}

fn deletion_of(source: SourcePartition, record: &Record<'_>) -> DeletionKey {
    deletion_key(deletion(source, record))
}

fn deletion_key(deletion: Deletion) -> DeletionKey {
    (deletion.timestamp, deletion.incarnation, deletion.partition, deletion.offset)
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
    let older = item_key(source, record, item) < stored_key(stored);
    let mut changed = false;
    if record.timestamp < stored.first_time {
        stored.first_time = record.timestamp;
        changed = true;
    }
    let wins = match policy {
        Policy::Latest => newer,
        Policy::First => older,
        Policy::Max => item.value > stored.value || (item.value == stored.value && older),
        Policy::Min => item.value < stored.value || (item.value == stored.value && older),
        Policy::BitOr => {
            let adds = item.value & !stored.value != 0;
            stored.value |= item.value;
            adds
        }
        Policy::Sum => {
            // Checked for the whole record before. A net zero is a change: only a written watermark fences.
            stored.value = stored.value.wrapping_add(item.value);
            changed = true;
            newer
        }
    };
    if wins {
        let value = if matches!(policy, Policy::Sum | Policy::BitOr) { stored.value } else { item.value };
        let (first_time, announced) = (stored.first_time, stored.announced);
        *stored = Achievement { value, first_time, announced, ..new_achievement(source, record, item) };
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
        announced: None,
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
    const FIRST: u32 = 4;
    const MIN: u32 = 5;
    const BITS: u32 = 6;
    const TIERED_MAX: u32 = 7;
    const TIERED_MIN: u32 = 8;
    const TIERED_LATEST: u32 = 9;
    const KINDS: u32 = 9;

    fn policies() -> Policies {
        let listed = |r#type: u32, policy, tiers: &[i64]| AchievementType {
            r#type: i64::from(r#type),
            policy,
            tiers: tiers.to_vec(),
        };
        Policies::new(&Achievements {
            default_policy: Policy::Latest,
            unlisted: Unlisted::Accept,
            types: vec![
                listed(MAX, Policy::Max, &[]),
                listed(SUM, Policy::Sum, &[]),
                listed(FIRST, Policy::First, &[]),
                listed(MIN, Policy::Min, &[]),
                listed(BITS, Policy::BitOr, &[]),
                listed(TIERED_MAX, Policy::Max, &[0, 5, 10]),
                listed(TIERED_MIN, Policy::Min, &[5, -5]),
                listed(TIERED_LATEST, Policy::Latest, &[5]),
            ],
        })
    }

    /// offset, timestamp, items (type, value, data)
    type Given<'a> = (i64, i64, Vec<(u32, i64, &'a str)>);

    /// An item of this kind stands for a deletion.
    const DELETION: u32 = 99;

    fn run(state: &mut PlayerState, records: &[Given<'_>]) -> Applied {
        run_from(SOURCE, state, records)
    }

    fn run_from(source: SourcePartition, state: &mut PlayerState, records: &[Given<'_>]) -> Applied {
        let mut batch = Batch::default();
        for (offset, timestamp, items) in records {
            let player = PlayerRef { uin: 1, platform: 0, zone: 0, server: 0, role: "" };
            if items.first().is_some_and(|(kind, ..)| *kind == DELETION) {
                batch.push_deletion(player, *offset, *timestamp);
            } else {
                batch.push(player, *offset, *timestamp, items.iter().copied());
            }
        }
        let watermark = state.watermark(source);
        let applied = apply(state, source, watermark, batch.records(0), batch.group(0).upper, &policies());
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
    fn a_record_that_overfills_a_player_is_refused_whole_and_one_of_known_types_is_not() {
        let most = MAX_ACHIEVEMENTS as u32;
        let full: Vec<_> = (0..most - 1).map(|kind| (1_000 + kind, 1, "")).collect();
        let mut state = PlayerState::default();
        run(&mut state, &[(0, 100, full)]);

        run(
            &mut state,
            &[
                (1, 101, vec![(1_000, 2, ""), (LATEST, 7, ""), (LATEST, 8, ""), (MAX, 7, "")]),
                (2, 102, vec![(LATEST, 9, ""), (LATEST, 10, "")]),
                (3, 103, vec![(1_001, 3, ""), (LATEST, 11, "")]),
                (4, 104, vec![(MIN, 1, "")]),
                (5, 105, vec![(DELETION, 0, "")]),
                (6, 106, vec![(MIN, 1, "")]),
            ],
        );

        let refused: Vec<_> = state.pending.iter().map(Refused::of).collect();
        let full = |offset, kind| Refused { offset, why: Why::PlayerFull, kind };
        assert_eq!(
            (refused, values(&state)),
            (vec![full(1, MAX), full(4, MIN)], vec![(MIN, 1, "", 106, 106)])
        );
    }

    #[test]
    fn a_player_from_before_the_limit_may_change_and_not_grow() {
        let achievement = |kind| Achievement { r#type: kind, ..Achievement::default() };
        let achievements = (0..MAX_ACHIEVEMENTS as u32 + 10).map(|at| achievement(1_000 + at)).collect();
        let mut state = PlayerState { version: 1, achievements, ..PlayerState::default() };

        run(&mut state, &[(0, 100, vec![(1_000, 5, ""), (1_001, 6, "")]), (1, 101, vec![(MIN, 1, "")])]);

        let refused: Vec<_> = state.pending.iter().map(Refused::of).collect();
        let changed = [state.achievements[0].value, state.achievements[1].value];
        assert_eq!(
            (refused, changed),
            (vec![Refused { offset: 1, why: Why::PlayerFull, kind: MIN }], [5, 6])
        );
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
    fn first_min_and_bits_follow_their_policy() {
        let mut state = PlayerState::default();
        let records = [
            (0, 100, vec![(FIRST, 1, "a"), (MIN, 5, "a"), (BITS, 0b001, "a")]),
            (1, 90, vec![(FIRST, 2, "b"), (MIN, 5, "b"), (BITS, 0b001, "b")]),
            (2, 110, vec![(FIRST, 3, "c"), (MIN, 6, "c"), (BITS, 0b110, "c")]),
            (3, 95, vec![(FIRST, 4, "d"), (MIN, -1, "d"), (BITS, 0b100, "d")]),
        ];
        run(&mut state, &records);
        assert_eq!(
            values(&state),
            vec![(FIRST, 2, "b", 90, 90), (MIN, -1, "d", 95, 90), (BITS, 0b111, "c", 110, 90)]
        );
    }

    #[test]
    fn a_tier_is_announced_once_when_a_stored_value_reaches_it() {
        let mut state = PlayerState::default();
        let reached = |state: &PlayerState| -> Vec<_> {
            state.unlocks.iter().map(|unlock| (unlock.r#type, unlock.tier, unlock.value)).collect()
        };
        // 12 is never stored: only what a batch leaves counts.
        run(&mut state, &[(0, 100, vec![(TIERED_LATEST, 12, "")]), (1, 101, vec![(TIERED_LATEST, 2, "")])]);
        assert_eq!(reached(&state), vec![]);
        run(&mut state, &[(2, 102, vec![(TIERED_MAX, 7, ""), (TIERED_MIN, 4, ""), (TIERED_LATEST, 5, "")])]);
        let first = vec![(TIERED_MAX, 0, 7), (TIERED_MAX, 5, 7), (TIERED_MIN, 5, 4), (TIERED_LATEST, 5, 5)];
        assert_eq!(reached(&state), first);
        state.unlocks.clear();
        run(&mut state, &[(3, 103, vec![(TIERED_LATEST, 0, "")]), (4, 104, vec![(TIERED_LATEST, 9, "")])]);
        assert_eq!(reached(&state), vec![]);
        run(&mut state, &[(5, 105, vec![(TIERED_MAX, 10, ""), (TIERED_MIN, -9, "")])]);
        assert_eq!(reached(&state), vec![(TIERED_MAX, 10, 10), (TIERED_MIN, -5, -9)]);
    }

    #[test]
    fn a_tier_added_later_is_found_at_the_next_report_even_without_a_change() {
        let mut state = PlayerState::default();
        run(&mut state, &[(0, 100, vec![(TIERED_MAX, 7, "")])]);
        state.unlocks.clear();
        state.achievements[0].announced = Some(0);
        let applied = run(&mut state, &[(1, 99, vec![(TIERED_MAX, 1, "")])]);
        assert_eq!((applied.changed, state.unlocks[0].tier), (true, 5));
        assert!(!run(&mut state, &[(1, 99, vec![(TIERED_MAX, 1, "")])]).changed);
    }

    #[test]
    fn a_deletion_removes_what_came_before_and_keeps_out_what_is_older() {
        let mut state = PlayerState::default();
        let records = [
            (0, 100, vec![(LATEST, 1, ""), (SUM, 5, "")]),
            (1, 90, vec![(DELETION, 0, "")]),
            (2, 80, vec![(SUM, 7, "")]),
            (3, 90, vec![(SUM, 2, "")]),
        ];
        run(&mut state, &records);
        assert_eq!(values(&state), vec![(SUM, 2, "", 90, 90)]);
        assert_eq!(state.deleted.map(|deleted| (deleted.timestamp, deleted.offset)), Some((90, 1)));
        // An older deletion that comes later changes nothing, and neither does a replay.
        let late = run(&mut state, &[(4, 70, vec![(DELETION, 0, "")])]);
        assert_eq!((late.changed, run(&mut state, &records).changed), (false, false));
    }

    #[test]
    fn a_deletion_of_an_unknown_player_is_kept() {
        let mut state = PlayerState::default();
        assert!(run(&mut state, &[(0, 100, vec![(DELETION, 0, "")])]).changed);
        run(&mut state, &[(1, 99, vec![(MAX, 1, "")])]);
        assert_eq!(values(&state), vec![]);
    }

    /// Kinds whose state does not depend on the order in which two partitions are read.
    const COMMUTATIVE: [u32; 5] = [LATEST, MAX, SUM, FIRST, MIN];

    #[test]
    fn two_partitions_may_be_read_in_any_order() {
        let mut rng = fastrand::Rng::with_seed(11);
        for _ in 0..300 {
            let mut partition = |source| -> (SourcePartition, Vec<Given<'_>>) {
                let record = |offset| {
                    let timestamp = rng.i64(0..20);
                    let item = |kind| (kind, rng.i64(-9..9), ["", "x"][rng.usize(0..2)]);
                    (offset, timestamp, COMMUTATIVE.map(item).to_vec())
                };
                (source, (0..6).map(record).collect())
            };
            let both = [partition(SOURCE), partition(SourcePartition { incarnation: 1, partition: 0 })];
            let (mut forth, mut back) = (PlayerState::default(), PlayerState::default());
            for (source, records) in &both {
                run_from(*source, &mut forth, records);
            }
            for (source, records) in both.iter().rev() {
                run_from(*source, &mut back, records);
            }
            assert_eq!(forth.achievements, back.achievements, "{both:?}");
        }
    }

    #[test]
    fn policies_but_sum_take_a_report_twice_without_a_trace() {
        let mut rng = fastrand::Rng::with_seed(12);
        for _ in 0..300 {
            let kinds = [LATEST, MAX, FIRST, MIN, BITS];
            let record = |offset, rng: &mut fastrand::Rng| {
                (offset, rng.i64(0..20), kinds.map(|kind| (kind, rng.i64(0..9), "")).to_vec())
            };
            let records: Vec<Given<'_>> = (0..6).map(|offset| record(offset, &mut rng)).collect();
            let mut state = PlayerState::default();
            run(&mut state, &records);
            let once = state.achievements.clone();
            // Without a watermark, as if nothing were known of what is applied.
            state.watermarks.clear();
            run(&mut state, &records);
            assert_eq!(state.achievements, once, "{records:?}");
        }
    }

    #[test]
    fn the_borders_of_batches_do_not_matter() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..400 {
            let records: Vec<Given<'_>> = (0..12)
                .map(|offset| {
                    let items =
                        (0..rng.usize(1..4)).map(|_| (rng.u32(1..=KINDS), rng.i64(-9..9), "")).collect();
                    let deletes = rng.u8(0..12) == 0;
                    (offset, rng.i64(0..20), if deletes { vec![(DELETION, 0, "")] } else { items })
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
            // Which tiers were reached on the way depends on the borders, as documented.
            let state = |state: &PlayerState| {
                let mut achievements = state.achievements.clone();
                achievements.iter_mut().for_each(|stored| stored.announced = None);
                (achievements, state.deleted)
            };
            assert_eq!(state(&whole), state(&parts), "{records:?}");
        }
    }
}
