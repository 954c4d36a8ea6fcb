//! How items become achievements, and what happens to records that cannot.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::forms;
use crate::relations;

/// How items are merged.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Achievements {
    /// The policy of a type that has none of its own.
    #[serde(default)]
    pub default_policy: Policy,
    /// What happens to a type that is not listed.
    #[serde(default)]
    pub unlisted: Unlisted,
    /// The listed types.
    #[schemars(length(max = 4096))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    #[serde(default)]
    pub types: Vec<AchievementType>,
}

/// One listed type.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("!has(self.tiers) || size(self.tiers) == 0 || self.policy != 'bitOr'").message(relations::TIERS_OF_BITS))]
#[x_kube(validation = Rule::new("!has(self.tiers) || (self.policy == 'min' ? self.tiers.map(t, 0 - t).isSorted() : self.tiers.isSorted())").message(relations::TIERS_ORDER))]
#[serde(rename_all = "camelCase")]
pub struct AchievementType {
    /// The achievement type, an unsigned 32-bit number.
    #[schemars(range(min = 0, max = 4_294_967_295_i64))]
    #[serde(rename = "type")]
    pub r#type: i64,
    /// How its items are merged: latest, first, max, min, sum or bitOr.
    pub policy: Policy,
    /// Values that are announced once when the stored value reaches them, ascending; with min, descending.
    // The API server keeps a bound as a float64. This is the highest below 2^63; above, it takes the bound for -2^63 and refuses all.
    #[schemars(length(max = 32), inner(range(min = -9_223_372_036_854_774_784_i64, max = 9_223_372_036_854_774_784_i64)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tiers: Vec<i64>,
}

/// How the items of one achievement are merged into one.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, JsonSchema, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Policy {
    /// The newest item.
    #[default]
    Latest,
    /// The oldest item.
    First,
    /// The greatest value.
    Max,
    /// The least value.
    Min,
    /// The sum of all values.
    Sum,
    /// All bits that any value has.
    BitOr,
}

/// What happens to a type that is not listed.
#[derive(Clone, Copy, Debug, Default, Eq, JsonSchema, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Unlisted {
    /// It is merged by the default policy.
    #[default]
    Accept,
    /// Its record becomes a dead letter.
    DeadLetter,
}

/// Where reached tiers are announced.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unlocks {
    /// The topic of unlocks. Types with tiers need it.
    #[schemars(with = "String", length(min = 1, max = 249), regex(pattern = forms::TOPIC))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
}

/// What happens to a record that cannot be processed.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetters {
    /// The topic of dead letters. Default: the source topic with .dead-letters added.
    #[schemars(with = "String", length(min = 1, max = 249), regex(pattern = forms::TOPIC))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// deadLetter goes on after the record is in the topic; stop stops the partition at it.
    #[serde(default)]
    pub on_error: OnError,
}

/// What a bad record does to its partition.
#[derive(Clone, Copy, Debug, Default, Eq, JsonSchema, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OnError {
    /// It is sent to the dead-letter topic, and the partition goes on.
    #[default]
    DeadLetter,
    /// The partition stops at it.
    Stop,
}

impl Policy {
    /// Whether `value` is at least as far as `tier`; never with [`Self::BitOr`], whose values have no order.
    #[must_use]
    pub fn reaches(self, value: i64, tier: i64) -> bool {
        match self {
            Self::Min => value <= tier,
            Self::Latest | Self::First | Self::Max | Self::Sum => value >= tier,
            Self::BitOr => false,
        }
    }
}

impl Achievements {
    /// The policy of `achievement_type`, or `None` when it is not listed.
    #[must_use]
    pub fn listed(&self, achievement_type: u32) -> Option<Policy> {
        self.types
            .iter()
            .find(|listed| listed.r#type == i64::from(achievement_type))
            .map(|listed| listed.policy)
    }
}
