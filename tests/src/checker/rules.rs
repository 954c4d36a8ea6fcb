//! What a pipeline promises about a record: the words of the contract, and nothing of how a worker keeps them.

use std::collections::BTreeMap;
use std::fmt;

use plaudit_crds::{Achievements, Format, Policy, Unlisted};

/// What decides about records and players.
#[derive(Clone, Debug)]
pub struct Rules {
    pub format: Format,
    pub max_clock_skew_ms: i64,
    pub default_policy: Policy,
    pub unlisted: Unlisted,
    pub policies: BTreeMap<u32, Policy>,
    pub tiers: BTreeMap<u32, Vec<i64>>,
}

impl Rules {
    pub fn new(format: Format, max_clock_skew_seconds: u32, achievements: &Achievements) -> Self {
        let policies = achievements.types.iter().filter_map(|listed| {
            let id = u32::try_from(listed.r#type).ok()?;
            Some((id, listed.policy))
        });
        let tiers =
            achievements.types.iter().filter(|listed| !listed.tiers.is_empty()).filter_map(|listed| {
                let id = u32::try_from(listed.r#type).ok()?;
                Some((id, listed.tiers.clone()))
            });
        Self {
            tiers: tiers.collect(),
            format,
            max_clock_skew_ms: i64::from(max_clock_skew_seconds) * 1_000,
            default_policy: achievements.default_policy,
            unlisted: achievements.unlisted,
            policies: policies.collect(),
        }
    }

    /// The tiers of a type that a stored value has reached.
    pub fn reached(&self, r#type: u32, value: i64) -> Vec<i64> {
        let downward = self.policy(r#type) == Some(Policy::Min);
        let tiers = self.tiers.get(&r#type).into_iter().flatten().copied();
        tiers.filter(|&tier| if downward { value <= tier } else { value >= tier }).collect()
    }

    /// The policy of a type; none where its record has to be refused.
    pub fn policy(&self, r#type: u32) -> Option<Policy> {
        let listed = self.policies.get(&r#type).copied();
        listed.or(match self.unlisted {
            Unlisted::Accept => Some(self.default_policy),
            Unlisted::DeadLetter => None,
        })
    }
}

/// Why a record is refused: header `plaudit-reason` of its dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    Empty,
    NotUtf8,
    Malformed,
    LimitExceeded,
    NoTimestamp,
    FutureTimestamp,
    UnlistedType,
    SumOverflow,
    PlayerFull,
}

impl Reason {
    pub const ALL: [Self; 9] = [
        Self::Empty,
        Self::NotUtf8,
        Self::Malformed,
        Self::LimitExceeded,
        Self::NoTimestamp,
        Self::FutureTimestamp,
        Self::UnlistedType,
        Self::SumOverflow,
        Self::PlayerFull,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NotUtf8 => "not_utf8",
            Self::Malformed => "malformed",
            Self::LimitExceeded => "limit_exceeded",
            Self::NoTimestamp => "no_timestamp",
            Self::FutureTimestamp => "future_timestamp",
            Self::UnlistedType => "unlisted_type",
            Self::SumOverflow => "sum_overflow",
            Self::PlayerFull => "player_full",
        }
    }

    pub fn named(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name().as_bytes() == name)
    }
}

/// All that is wrong with a record; its dead letter may name any of it. Empty: the record is good.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Reasons(u16);

impl Reasons {
    pub fn add(&mut self, reason: Reason) {
        self.0 |= 1 << reason as u8;
    }

    pub fn contains(self, reason: Reason) -> bool {
        self.0 & (1 << reason as u8) != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl From<Reason> for Reasons {
    fn from(reason: Reason) -> Self {
        let mut reasons = Self::default();
        reasons.add(reason);
        reasons
    }
}

impl fmt::Debug for Reasons {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl fmt::Display for Reasons {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Reason::ALL.into_iter().filter(|&reason| self.contains(reason)).map(Reason::name);
        out.write_str(&names.collect::<Vec<_>>().join(" or "))
    }
}
