//! The steps from the formula to the number: every limit that changed it, and the reason that had the last word.

use plaudit_crds::{Clamp, Paused};

use super::formula::trimmed;
use super::seen::Seen;
use crate::pipeline::ScalingRules;

/// Why the number is what it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reason {
    Suspended,
    Fixed,
    UnknownLag,
    FollowsLoad,
    FollowsLag,
    Skewed,
    Stuck,
    StoreBound,
    AtMinimum,
    WaitsForIdle,
    Idle,
    WithinBand,
    Starting,
    Moving,
    CatchingUp,
    UnknownRate,
    ScaleInWindow,
    Unproven,
    Settling,
    AtMaximum,
    AtPartitions,
    Paused,
}

/// A decision on its way.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Steps {
    pub(super) formula: Option<u32>,
    pub(super) clamps: Vec<Clamp>,
    pub(super) result: u32,
    pub(super) reason: Reason,
}

impl Steps {
    pub(super) fn new(formula: Option<u32>, result: u32, reason: Reason) -> Self {
        Self { formula, clamps: Vec::new(), result, reason }
    }

    /// A limit that has the last word so far.
    pub(super) fn limit(&mut self, name: &str, value: u32, reason: Reason) {
        self.note(name, value);
        self.reason = reason;
    }

    /// A limit that changes the number, and not why it is about what it is.
    pub(super) fn note(&mut self, name: &str, value: u32) {
        self.clamps.push(clamp(name, value));
        self.result = value;
    }

    /// Not above it.
    pub(super) fn at_most(&mut self, name: &str, value: u32, reason: Reason) {
        if self.result > value {
            self.limit(name, value, reason);
        }
    }

    /// Not below it.
    pub(super) fn at_least(&mut self, name: &str, value: u32, reason: Reason) {
        if self.result < value {
            self.limit(name, value, reason);
        }
    }

    /// Where the number stays, what no number helps is what there is to say.
    pub(super) fn tell(&mut self, seen: &Seen, current: u32) {
        let everyday = match self.reason {
            Reason::WithinBand
            | Reason::CatchingUp
            | Reason::ScaleInWindow
            | Reason::Settling
            | Reason::FollowsLoad
            | Reason::FollowsLag => true,
            Reason::Suspended
            | Reason::Fixed
            | Reason::UnknownLag
            | Reason::Skewed
            | Reason::Stuck
            | Reason::StoreBound
            | Reason::AtMinimum
            | Reason::WaitsForIdle
            | Reason::Idle
            | Reason::Starting
            | Reason::Moving
            | Reason::UnknownRate
            | Reason::Unproven
            | Reason::AtMaximum
            | Reason::AtPartitions
            | Reason::Paused => false,
        };
        if everyday && self.result == current {
            self.reason = match (seen.stuck, seen.skewed) {
                (Some(_), _) => Reason::Stuck,
                (None, Some(_)) => Reason::Skewed,
                (None, None) => self.reason,
            };
        }
    }

    /// The limits from above and the pause. A worker without a partition would only wait, so the partitions come last.
    pub(super) fn bound(&mut self, rules: &ScalingRules, partitions: Option<u32>, current: Option<u32>) {
        if let Some(most) = rules.max_replicas {
            self.at_most("maxReplicas", most, Reason::AtMaximum);
        }
        if let Some(partitions) = partitions {
            self.at_most("partitions", partitions, Reason::AtPartitions);
            self.trim(rules, partitions, current);
        }
        if let Some(current) = current.filter(|current| is_paused(rules.paused, *current, self.result)) {
            self.limit("paused", current, Reason::Paused);
        }
    }

    /// Where the number changes, it becomes one whose last worker relieves the fullest one.
    fn trim(&mut self, rules: &ScalingRules, partitions: u32, current: Option<u32>) {
        let current = current.unwrap_or(0);
        if self.result == current {
            return;
        }
        // A step outwards never ends below where it began.
        let least = if self.result < current { rules.min_replicas } else { rules.min_replicas.max(current) };
        let fitting = trimmed(self.result, partitions).max(least);
        if fitting < self.result {
            self.note("wholePartitions", fitting);
        }
    }
}

pub(super) fn clamp(name: &str, value: u32) -> Clamp {
    Clamp { name: name.to_owned(), value: signed(value) }
}

pub(super) fn signed(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn is_paused(paused: Paused, from: u32, to: u32) -> bool {
    match paused {
        Paused::None => false,
        Paused::In => to < from,
        Paused::Out => to > from,
        Paused::Both => to != from,
    }
}

impl Reason {
    /// One word for machines.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Suspended => "Suspended",
            Self::Fixed => "Fixed",
            Self::UnknownLag => "UnknownLag",
            Self::FollowsLoad => "FollowsLoad",
            Self::FollowsLag => "FollowsLag",
            Self::Skewed => "Skewed",
            Self::Stuck => "Stuck",
            Self::StoreBound => "StoreBound",
            Self::AtMinimum => "AtMinimum",
            Self::WaitsForIdle => "WaitsForIdle",
            Self::Idle => "Idle",
            Self::WithinBand => "WithinBand",
            Self::Starting => "Starting",
            Self::Moving => "Moving",
            Self::CatchingUp => "CatchingUp",
            Self::UnknownRate => "UnknownRate",
            Self::ScaleInWindow => "ScaleInWindow",
            Self::Unproven => "Unproven",
            Self::Settling => "Settling",
            Self::AtMaximum => "AtMaximum",
            Self::AtPartitions => "AtPartitions",
            Self::Paused => "Paused",
        }
    }
}
