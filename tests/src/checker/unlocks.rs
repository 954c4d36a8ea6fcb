//! The unlocks of a topic, held against the tiers that players reached.

use std::collections::{BTreeMap, HashMap, HashSet};

use plaudit_crds::Format;
use plaudit_worker::proto;
use prost::Message as _;

use super::compare::{Class, Difference, Subject};
use super::fold::Player;
use super::player::PlayerId;
use super::record::SourceRecord;
use super::rules::Rules;

/// All unlocks of one topic.
#[derive(Debug, Default)]
pub struct Unlocks {
    ids: HashMap<(PlayerId, u32, i64), String>,
    summary: UnlockSummary,
    /// What contradicts itself.
    faults: Vec<Difference>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnlockSummary {
    pub unlocks: u64,
    /// Further records of an unlock that was there already.
    pub duplicates: u64,
    pub unreadable: u64,
}

/// The JSON form.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Json {
    id: String,
    uin: u64,
    platform: u32,
    zone: u32,
    server: u32,
    role: String,
    r#type: u32,
    tier: i64,
    value: i64,
    timestamp: i64,
}

impl Unlocks {
    /// Takes in a record of the topic.
    pub fn add(&mut self, record: &SourceRecord<'_>, rules: &Rules) {
        let Some(unlock) = read(record.payload.unwrap_or_default(), rules.format) else {
            self.summary.unreadable += 1;
            return;
        };
        let player = PlayerId {
            uin: unlock.uin,
            platform: unlock.platform,
            zone: unlock.zone,
            server: unlock.server,
            role: unlock.role.into(),
        };
        let subject = Subject::Unlock(player.clone(), unlock.r#type, unlock.tier);
        let keyed = record.key == Some(player.uin.to_string().as_bytes())
            && record.header("plaudit-id") == Some(unlock.id.as_bytes());
        if !keyed || !rules.reached(unlock.r#type, unlock.value).contains(&unlock.tier) {
            self.fault(subject.clone(), "the UIN as key, its ID as header, a value that reaches the tier");
        }
        match self.ids.entry((player, unlock.r#type, unlock.tier)) {
            std::collections::hash_map::Entry::Vacant(entry) => {
                self.summary.unlocks += 1;
                entry.insert(unlock.id);
            }
            std::collections::hash_map::Entry::Occupied(entry) => {
                self.summary.duplicates += 1;
                if *entry.get() != unlock.id {
                    self.fault(subject, "the same ID each time");
                }
            }
        }
    }

    /// Everything wrong with them, when all players are known: spurious ones, missing ones, an ID used twice.
    pub fn settle(
        mut self,
        players: &HashMap<PlayerId, Player>,
        rules: &Rules,
    ) -> (UnlockSummary, Vec<Difference>) {
        let distinct: HashSet<&String> = self.ids.values().collect();
        if distinct.len() < self.ids.len() {
            let subject = Subject::Unlock(PlayerId::default(), 0, 0);
            self.fault(subject, "an ID of its own for each unlock");
        }
        let spurious: Vec<_> = self
            .ids
            .keys()
            .filter(|(player, r#type, tier)| {
                players.get(player).is_none_or(|player| {
                    !player.several_partitions && !player.reached.contains(&(*r#type, *tier))
                })
            })
            .cloned()
            .collect();
        for (player, r#type, tier) in spurious {
            self.fault(Subject::Unlock(player, r#type, tier), "no unlock: no value reached the tier");
        }
        // Sorted, so that the same topic shows the same differences.
        let due: BTreeMap<_, _> = players.iter().filter(|(_, player)| !player.undecided).collect();
        for (id, player) in due {
            for achievement in &player.achievements {
                for tier in rules.reached(achievement.r#type, achievement.value) {
                    if !self.ids.contains_key(&(id.clone(), achievement.r#type, tier)) {
                        self.faults.push(Difference {
                            class: Class::Lost,
                            subject: Subject::Unlock(id.clone(), achievement.r#type, tier),
                            expected: format!("an unlock: {} is stored", achievement.value),
                            found: "none".to_owned(),
                        });
                    }
                }
            }
        }
        (self.summary, self.faults)
    }

    fn fault(&mut self, subject: Subject, expected: &str) {
        let (expected, found) = (expected.to_owned(), "something else".to_owned());
        self.faults.push(Difference { class: Class::Wrong, subject, expected, found });
    }
}

fn read(payload: &[u8], format: Format) -> Option<proto::Unlock> {
    match format {
        Format::Protobuf => proto::Unlock::decode(payload).ok(),
        Format::Json => {
            let Json { id, uin, platform, zone, server, role, r#type, tier, value, timestamp } =
                serde_json::from_slice(payload).ok()?;
            Some(proto::Unlock { id, uin, platform, zone, server, role, r#type, tier, value, timestamp })
        }
    }
}
