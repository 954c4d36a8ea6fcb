//! Records that what is stored keeps out.

use plaudit_crds::Policy;

use super::Policies;
use super::table::Table;
use crate::batch::Record;
use crate::proto::PendingDeadLetter;

/// Achievements of a player at most: as many types as a pipeline may list. Every report of a player may cost reading all of them.
pub const MAX_ACHIEVEMENTS: usize = 4_096;

/// A record that was not applied because of what is stored; its dead letter is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    pub offset: i64,
    pub why: Why,
    /// The type that it is about.
    pub kind: u32,
}

/// Why what is stored keeps a record out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The sum of the type would leave the range of int64.
    SumOverflow,
    /// The player would have more than [`MAX_ACHIEVEMENTS`].
    PlayerFull,
}

impl Why {
    /// As it stands in a [`PendingDeadLetter`].
    pub(super) fn number(self) -> u32 {
        match self {
            Self::SumOverflow => 0,
            Self::PlayerFull => 1,
        }
    }
}

impl Refused {
    /// What a player record notes.
    pub fn of(pending: &PendingDeadLetter) -> Self {
        let is_full = pending.why == Why::PlayerFull.number();
        let why = if is_full { Why::PlayerFull } else { Why::SumOverflow };
        Self { offset: pending.offset, why, kind: pending.r#type }
    }
}

/// Why the record cannot be applied, and the type that it is about.
pub(super) fn refusal(table: &Table<'_>, record: &Record<'_>, policies: &Policies) -> Option<(Why, u32)> {
    let overflowing = overflowing(table, record, policies).map(|kind| (Why::SumOverflow, kind));
    overflowing.or_else(|| overfilling(table, record).map(|kind| (Why::PlayerFull, kind)))
}

/// The first type of the record that the player has no room for, items taken in order.
fn overfilling(table: &Table<'_>, record: &Record<'_>) -> Option<u32> {
    let stored = table.achievements.len();
    if stored + record.items().len() <= MAX_ACHIEVEMENTS {
        return None;
    }
    let mut new: Vec<u32> = Vec::new();
    record.items().map(|item| item.kind).find(|kind| {
        if table.position(*kind).is_none() && !new.contains(kind) {
            new.push(*kind);
        }
        !new.is_empty() && stored + new.len() > MAX_ACHIEVEMENTS
    })
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
