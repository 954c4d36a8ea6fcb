//! One player as it should be, held against what is stored.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use plaudit_crds::Policy;
use plaudit_worker::proto;

use super::fold::{Achievement, LetterFault, Player};
use super::player::PlayerId;
use super::rules::Rules;
use super::stored::Stored;

/// What a difference means for somebody whose reports these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The effect of a report is missing.
    Lost,
    /// A report had its effect more than once.
    AppliedTwice,
    /// Neither can be told, or something else is not as it should be.
    Wrong,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub class: Class,
    pub subject: Subject,
    pub expected: String,
    pub found: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    Player(PlayerId),
    Achievement(PlayerId, u32),
    Watermark(PlayerId, i32),
    Unlock(PlayerId, u32, i64),
    DeadLetter { partition: i32, offset: i64 },
    Fence(i32),
    Key(String),
}

/// The source partitions as they were when the check began.
#[derive(Clone, Debug, Default)]
pub struct Partitions {
    /// The offset after the last record.
    pub ends: BTreeMap<i32, i64>,
    /// From the fences.
    pub incarnations: BTreeMap<i32, u32>,
}

/// All differences of one player.
pub fn compare(
    expected: &Player,
    stored: &Stored,
    rules: &Rules,
    partitions: &Partitions,
    differences: &mut Vec<Difference>,
) {
    if expected.undecided {
        return;
    }
    let mut all: BTreeMap<u32, (Option<&Achievement>, Option<&proto::Achievement>)> = BTreeMap::new();
    for achievement in &expected.achievements {
        all.entry(achievement.r#type).or_default().0 = Some(achievement);
    }
    for achievement in &stored.achievements {
        all.entry(achievement.r#type).or_default().1 = Some(achievement);
    }
    let loose = expected.several_partitions;
    for (r#type, (expected, found)) in all {
        // Which item of two partitions added the last bit depends on who was read first.
        let any_key = loose && rules.policy(r#type) == Some(Policy::BitOr);
        if !same(expected, found, partitions, any_key) {
            differences.push(Difference {
                class: classify(expected, found, rules.policy(r#type)),
                subject: Subject::Achievement(stored.player.clone(), r#type),
                expected: expected.map_or_else(|| "none".to_owned(), ToString::to_string),
                found: found.map_or_else(|| "none".to_owned(), |found| Shown(found).to_string()),
            });
        }
    }
    let found = stored
        .deleted
        .map(|deleted| (deleted.timestamp, i32::try_from(deleted.partition).unwrap_or(-1), deleted.offset));
    if expected.deleted != found {
        differences.push(Difference {
            class: if expected.deleted > found { Class::Lost } else { Class::Wrong },
            subject: Subject::Player(stored.player.clone()),
            expected: format!("deleted {:?}", expected.deleted),
            found: format!("{found:?}"),
        });
    }
    compare_watermarks(expected, stored, rules, partitions, differences);
}

/// A player's record notes refused records until their dead letters are known to be sent.
pub fn compare_pending(stored: &Stored, overflowed: &HashSet<(i32, i64)>, differences: &mut Vec<Difference>) {
    for &(partition, offset) in stored.pending.iter().filter(|at| !overflowed.contains(at)) {
        differences.push(Difference {
            class: Class::Wrong,
            subject: Subject::Player(stored.player.clone()),
            expected: format!(
                "no pending dead letter of {partition}@{offset}: nothing is refused there for what is stored"
            ),
            found: "one".to_owned(),
        });
    }
}

/// The difference that a player makes who is not stored at all.
pub fn missing(id: &PlayerId, expected: &Player) -> Difference {
    Difference {
        class: Class::Lost,
        subject: Subject::Player(id.clone()),
        expected: format!("{} achievements", expected.achievements.len()),
        found: "no record".to_owned(),
    }
}

/// The difference that a missing or wrong dead letter makes.
pub fn letter(fault: &LetterFault) -> Difference {
    Difference {
        class: if fault.missing { Class::Lost } else { Class::Wrong },
        subject: Subject::DeadLetter { partition: fault.partition, offset: fault.offset },
        expected: format!("a dead letter, {}", fault.reasons),
        found: fault.fault.clone(),
    }
}

/// The difference that the dead letter of a good record makes.
pub fn undue_letter((partition, offset): (i32, i64)) -> Difference {
    Difference {
        class: Class::Wrong,
        subject: Subject::DeadLetter { partition, offset },
        expected: "no dead letter: the record is good".to_owned(),
        found: "one".to_owned(),
    }
}

fn same(
    expected: Option<&Achievement>,
    found: Option<&proto::Achievement>,
    partitions: &Partitions,
    any_key: bool,
) -> bool {
    let (Some(expected), Some(found)) = (expected, found) else { return false };
    if any_key {
        return expected.value == found.value && expected.first_time_ms == found.first_time;
    }
    let key = &expected.key;
    let incarnation = partitions.incarnations.get(&key.partition);
    expected.value == found.value
        && *expected.data == *found.data
        && expected.first_time_ms == found.first_time
        && (key.timestamp_ms, key.offset, key.index) == (found.timestamp, found.offset, found.index)
        && i64::from(key.partition) == i64::from(found.partition)
        && incarnation.is_none_or(|&incarnation| incarnation == found.incarnation)
}

fn classify(
    expected: Option<&Achievement>,
    found: Option<&proto::Achievement>,
    policy: Option<Policy>,
) -> Class {
    let (Some(expected), found) = (expected, found) else { return Class::Wrong };
    let Some(found) = found else { return Class::Lost };
    let found_key = (found.timestamp, i64::from(found.partition), found.offset, found.index);
    let key = &expected.key;
    let older = found_key < (key.timestamp_ms, i64::from(key.partition), key.offset, key.index);
    match policy {
        Some(Policy::Sum) if expected.negative_terms && expected.value != found.value => Class::Wrong,
        Some(Policy::Sum) if found.value > expected.value => Class::AppliedTwice,
        Some(Policy::Sum) if found.value < expected.value || older => Class::Lost,
        Some(Policy::Max) if found.value < expected.value => Class::Lost,
        Some(Policy::Min) if found.value > expected.value => Class::Lost,
        Some(Policy::BitOr) if expected.value & !found.value != 0 => Class::Lost,
        Some(Policy::Latest) if older => Class::Lost,
        Some(_) | None => Class::Wrong,
    }
}

/// A watermark lies above everything that shows in the state, and not above the end of its partition.
fn compare_watermarks(
    expected: &Player,
    stored: &Stored,
    rules: &Rules,
    partitions: &Partitions,
    differences: &mut Vec<Difference>,
) {
    let mut least: BTreeMap<i32, i64> = expected.summed_to.iter().copied().collect();
    // Which item of two partitions added the last bit depends on who was read first: what shows is what is stored.
    let any_key = |r#type| expected.several_partitions && rules.policy(r#type) == Some(Policy::BitOr);
    let known = expected.achievements.iter().filter(|achievement| !any_key(achievement.r#type));
    let known = known.map(|achievement| (achievement.key.partition, achievement.key.offset));
    let found = stored.achievements.iter().filter(|achievement| any_key(achievement.r#type));
    let found = found.map(|found| (i32::try_from(found.partition).unwrap_or(-1), found.offset));
    for (partition, offset) in known.chain(found) {
        let applied_to = least.entry(partition).or_default();
        *applied_to = (*applied_to).max(offset + 1);
    }
    let mut report = |partition: i32, class, expected: String, found: String| {
        let subject = Subject::Watermark(stored.player.clone(), partition);
        differences.push(Difference { class, subject, expected, found });
    };
    for (&partition, &least) in &least {
        let found = stored.watermarks.iter().find(|mark| i64::from(mark.partition) == i64::from(partition));
        if found.is_none_or(|mark| mark.offset < least) {
            let found = found.map_or_else(|| "none".to_owned(), |mark| mark.offset.to_string());
            report(partition, Class::Wrong, format!("{least} or above"), found);
        }
    }
    for mark in &stored.watermarks {
        let partition = i32::try_from(mark.partition).unwrap_or(-1);
        let end = partitions.ends.get(&partition).copied();
        if end.is_none_or(|end| mark.offset > end) {
            let end = end.map_or_else(|| "no such partition".to_owned(), |end| format!("{end} or below"));
            report(partition, Class::Wrong, end, mark.offset.to_string());
        }
    }
}

/// The same words for both sides of a difference.
struct Shown<'a>(&'a proto::Achievement);

impl fmt::Display for Achievement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        write!(
            out,
            "{} {:?} of {}@{} item {} at {}, first at {}",
            self.value, self.data, key.partition, key.offset, key.index, key.timestamp_ms, self.first_time_ms
        )
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proto::Achievement { value, data, partition, offset, index, timestamp, first_time, .. } = self.0;
        write!(
            out,
            "{value} {data:?} of {partition}@{offset} item {index} at {timestamp}, first at {first_time}"
        )
    }
}

impl Subject {
    pub fn player(&self) -> Option<&PlayerId> {
        match self {
            Self::Player(player)
            | Self::Achievement(player, _)
            | Self::Unlock(player, ..)
            | Self::Watermark(player, _) => Some(player),
            Self::DeadLetter { .. } | Self::Fence(_) | Self::Key(_) => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Player(player) => write!(out, "player {player}"),
            Self::Achievement(player, r#type) => write!(out, "player {player}, type {type}"),
            Self::Unlock(player, r#type, tier) => write!(out, "player {player}, type {type}, tier {tier}"),
            Self::Watermark(player, partition) => {
                write!(out, "player {player}, watermark of partition {partition}")
            }
            Self::DeadLetter { partition, offset } => write!(out, "record {partition}@{offset}"),
            Self::Fence(partition) => write!(out, "fence of partition {partition}"),
            Self::Key(key) => write!(out, "key {key}"),
        }
    }
}
