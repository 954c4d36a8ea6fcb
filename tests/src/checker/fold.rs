//! What the store has to hold: every record of the topic, merged one after the other by the words of the contract.

use std::collections::{BTreeSet, HashMap, HashSet};

use plaudit_crds::Policy;

use super::decode::{Item, Report, decode};
use super::letters::Letters;
use super::player::PlayerId;
use super::record::SourceRecord;
use super::rules::{Reason, Reasons, Rules};

/// Types of a player that are kept at most.
const MAX_ACHIEVEMENTS: usize = 4_096;

/// The order of a player's items. All partitions are of one incarnation, so that this needs none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ItemKey {
    pub timestamp_ms: i64,
    pub partition: i32,
    pub offset: i64,
    pub index: u32,
}

/// The expected state of one type of one player.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Achievement {
    pub r#type: u32,
    pub value: i64,
    pub data: Box<str>,
    pub key: ItemKey,
    pub first_time_ms: i64,
    /// For sums: whether a term was negative, so that the sign of a difference says nothing.
    pub negative_terms: bool,
}

/// The expected state of one player.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Player {
    /// Ascending by type.
    pub achievements: Vec<Achievement>,
    /// By partition: the offset after the last record that was added to a sum.
    pub summed_to: Vec<(i32, i64)>,
    /// The partition of the first report; reports came from others too.
    pub partition: i32,
    pub several_partitions: bool,
    /// Timestamp, partition and offset of the last deletion.
    pub deleted: Option<(i64, i32, i64)>,
    /// Type and tier: everything that a value reached which may have been stored, between any two records.
    pub reached: BTreeSet<(u32, i64)>,
    /// Which records overflow a sum, find no room, or come before a deletion, depends on the order of two partitions.
    pub undecided: bool,
    /// A stored record was found.
    pub seen: bool,
}

/// Everything that should be stored.
#[derive(Debug)]
pub struct Fold {
    pub rules: Rules,
    /// When this check began: no worker has judged a record later.
    now_ms: i64,
    /// Also those none of whose reports counted: what was refused for what is stored may be noted in a player's record.
    pub players: HashMap<PlayerId, Player>,
    /// Partition and offset of records refused for a sum, or for want of room.
    pub overflowed: HashSet<(i32, i64)>,
    disputed: Vec<Disputed>,
    pub records: u64,
    /// Records that count.
    pub reports: u64,
    pub items: u64,
    pub refused: u64,
}

/// A record whose refusal depends on what was stored before it.
#[derive(Debug)]
struct Disputed {
    player: PlayerId,
    partition: i32,
    offset: i64,
    fault: Option<LetterFault>,
}

/// A refused record without its dead letter, or with a wrong one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterFault {
    pub partition: i32,
    pub offset: i64,
    pub reasons: Reasons,
    /// There is no dead letter at all.
    pub missing: bool,
    /// What is wrong with the dead letter.
    pub fault: String,
}

impl Fold {
    pub fn new(rules: Rules, now_ms: i64) -> Self {
        Self {
            rules,
            now_ms,
            players: HashMap::new(),
            overflowed: HashSet::new(),
            disputed: Vec::new(),
            records: 0,
            reports: 0,
            items: 0,
            refused: 0,
        }
    }

    /// Adds the next record of its partition; records of different partitions may come in any order.
    pub fn add(&mut self, record: &SourceRecord<'_>, letters: &mut Letters) -> Result<(), LetterFault> {
        self.records += 1;
        let (reasons, player) = match judge(record, &self.rules, self.now_ms, letters) {
            Err(reasons) => (reasons, None),
            Ok(report) => {
                let items = report.items.len() as u64;
                let player = report.player.clone();
                let Some(reason) = self.merge(report, record) else {
                    self.reports += 1;
                    self.items += items;
                    if [Reason::SumOverflow, Reason::PlayerFull]
                        .iter()
                        .any(|reason| letters.has(record, *reason))
                    {
                        self.disputed.push(Disputed::new(player, record, None));
                    }
                    return Ok(());
                };
                self.overflowed.insert((record.partition, record.offset));
                (reason.into(), Some(player))
            }
        };
        self.refused += 1;
        let missing = !letters.exists(record);
        let (partition, offset) = (record.partition, record.offset);
        let settled = letters.settle(record, reasons);
        let settled = settled.map_err(|fault| LetterFault { partition, offset, reasons, missing, fault });
        match player {
            None => settled,
            Some(player) => {
                self.disputed.push(Disputed::new(player, record, settled.err()));
                Ok(())
            }
        }
    }

    /// Decides about the records that were refused for what is stored, here or by a worker, when all records are added.
    ///
    /// Where a player's reports lie in several partitions, nobody knows in which order they came: such
    /// players become undecided, and the dead letters of their records are as right as none.
    pub fn decide(&mut self, letters: &mut Letters) -> Vec<LetterFault> {
        for player in self.players.values_mut() {
            player.undecided |= player.several_partitions && player.deleted.is_some();
        }
        let mut faults = Vec::new();
        for disputed in std::mem::take(&mut self.disputed) {
            let Some(player) = self.players.get_mut(&disputed.player) else { continue };
            if player.several_partitions {
                player.undecided = true;
                letters.excuse(disputed.partition, disputed.offset);
            } else {
                faults.extend(disputed.fault);
            }
        }
        faults
    }

    /// Why nothing of the report counts, if it does not: a sum would overflow, or the player has no room.
    fn merge(&mut self, report: Report, record: &SourceRecord<'_>) -> Option<Reason> {
        let new = Player { partition: record.partition, ..Player::default() };
        let player = self.players.entry(report.player).or_insert(new);
        player.several_partitions |= player.partition != record.partition;
        let at = (record.timestamp_ms.unwrap_or_default(), record.partition, record.offset);
        if player.deleted >= Some(at) {
            return None;
        }
        if report.delete {
            player.achievements.clear();
            player.deleted = Some(at);
            return None;
        }
        if player.overflows(&report.items, &self.rules) {
            return Some(Reason::SumOverflow);
        }
        if player.overfills(&report.items) {
            return Some(Reason::PlayerFull);
        }
        for (item, index) in report.items.into_iter().zip(0..) {
            let key = ItemKey {
                timestamp_ms: record.timestamp_ms.unwrap_or_default(),
                partition: record.partition,
                offset: record.offset,
                index,
            };
            player.apply(item, key, &self.rules);
        }
        player.reach(&self.rules);
        None
    }
}

/// The report in a record, or all reasons to refuse it that need no stored state.
pub fn judge(
    record: &SourceRecord<'_>,
    rules: &Rules,
    now_ms: i64,
    letters: &Letters,
) -> Result<Report, Reasons> {
    let decoded = decode(record.payload, rules.format);
    let mut reasons = decoded.as_ref().err().copied().unwrap_or_default();
    match record.timestamp_ms {
        None => reasons.add(Reason::NoTimestamp),
        Some(timestamp_ms)
            if timestamp_ms > now_ms + rules.max_clock_skew_ms
                || letters.justly_future(record, rules.max_clock_skew_ms) =>
        {
            reasons.add(Reason::FutureTimestamp);
        }
        Some(_) => {}
    }
    if decoded
        .as_ref()
        .is_ok_and(|report| report.items.iter().any(|item| rules.policy(item.r#type).is_none()))
    {
        reasons.add(Reason::UnlistedType);
    }
    if reasons.is_empty() { decoded } else { Err(reasons) }
}

impl Disputed {
    fn new(player: PlayerId, record: &SourceRecord<'_>, fault: Option<LetterFault>) -> Self {
        Self { player, partition: record.partition, offset: record.offset, fault }
    }
}

impl Player {
    /// Whether there has to be a record of this player.
    pub fn is_due(&self) -> bool {
        (!self.achievements.is_empty() || self.deleted.is_some()) && !self.undecided
    }

    fn reach(&mut self, rules: &Rules) {
        for achievement in &self.achievements {
            let tiers = rules.reached(achievement.r#type, achievement.value);
            self.reached.extend(tiers.into_iter().map(|tier| (achievement.r#type, tier)));
        }
    }

    fn overflows(&self, items: &[Item], rules: &Rules) -> bool {
        let mut sums: Vec<(u32, i64)> = Vec::new();
        for item in items.iter().filter(|item| rules.policy(item.r#type) == Some(Policy::Sum)) {
            let known = sums.iter().position(|(r#type, _)| *r#type == item.r#type).unwrap_or_else(|| {
                let stored = self.achievement(item.r#type).map_or(0, |achievement| achievement.value);
                sums.push((item.r#type, stored));
                sums.len() - 1
            });
            match sums[known].1.checked_add(item.value) {
                Some(sum) => sums[known].1 = sum,
                None => return true,
            }
        }
        false
    }

    fn overfills(&self, items: &[Item]) -> bool {
        let new = items.iter().map(|item| item.r#type).filter(|r#type| self.achievement(*r#type).is_none());
        let new = new.collect::<BTreeSet<_>>().len();
        new > 0 && self.achievements.len() + new > MAX_ACHIEVEMENTS
    }

    fn achievement(&self, r#type: u32) -> Option<&Achievement> {
        let at = self.achievements.binary_search_by_key(&r#type, |achievement| achievement.r#type);
        at.ok().map(|at| &self.achievements[at])
    }

    fn apply(&mut self, item: Item, key: ItemKey, rules: &Rules) {
        let Some(policy) = rules.policy(item.r#type) else { return };
        if policy == Policy::Sum {
            let after = key.offset + 1;
            match self.summed_to.iter_mut().find(|(partition, _)| *partition == key.partition) {
                Some((_, offset)) => *offset = after,
                None => self.summed_to.push((key.partition, after)),
            }
        }
        let at = match self.achievements.binary_search_by_key(&item.r#type, |achievement| achievement.r#type)
        {
            Ok(at) => at,
            Err(at) => {
                let Item { r#type, value, data } = item;
                let achievement = Achievement {
                    r#type,
                    value,
                    data,
                    key,
                    first_time_ms: key.timestamp_ms,
                    negative_terms: value < 0,
                };
                return self.achievements.insert(at, achievement);
            }
        };
        self.achievements[at].merge(item, key, policy);
    }
}

impl Achievement {
    fn merge(&mut self, item: Item, key: ItemKey, policy: Policy) {
        self.first_time_ms = self.first_time_ms.min(key.timestamp_ms);
        let wins = match policy {
            Policy::Latest | Policy::Sum => key > self.key,
            Policy::First => key < self.key,
            Policy::Max => item.value > self.value || item.value == self.value && key < self.key,
            Policy::Min => item.value < self.value || item.value == self.value && key < self.key,
            Policy::BitOr => self.value | item.value != self.value,
        };
        match policy {
            Policy::Sum => {
                self.value += item.value;
                self.negative_terms |= item.value < 0;
            }
            Policy::BitOr => self.value |= item.value,
            _ if wins => self.value = item.value,
            _ => {}
        }
        if wins {
            (self.data, self.key) = (item.data, key);
        }
    }
}
