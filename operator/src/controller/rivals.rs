//! Pipelines that would take each other's reports or overwrite each other's players: the older one works, the younger one waits.

use std::collections::{BTreeSet, HashMap};

use k8s_openapi::jiff::Timestamp;
use plaudit_crds::AchievementPipeline;

/// What a pipeline must have for itself, and how old it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Claim {
    /// namespace/name.
    pub object: String,
    created: Option<Timestamp>,
    uid: String,
    brokers: Vec<String>,
    group: String,
    stores: Vec<String>,
    key_prefix: String,
}

/// The claims of all pipelines, found by what is claimed: a look at one pipeline must not cost one at all others.
#[derive(Debug, Default)]
pub struct Claims {
    claims: HashMap<String, Claim>,
    /// UIDs by what they claim.
    claimed: HashMap<Claimed, BTreeSet<String>>,
}

/// Something only one pipeline can have.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Claimed {
    Group { broker: String, group: String },
    Keys { store: String, prefix: String },
}

/// Why a pipeline must not run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Conflict {
    /// The sentence for the condition.
    pub message: String,
}

impl Claim {
    /// What `object` claims, whether or not the rest of it is in order.
    #[must_use]
    pub fn of(object: &AchievementPipeline) -> Self {
        let namespace = object.metadata.namespace.clone().unwrap_or_default();
        let name = object.metadata.name.clone().unwrap_or_default();
        let spec = &object.spec;
        let group = spec.source.consumer_group.clone().unwrap_or_else(|| format!("{namespace}.{name}"));
        let lower = |address: &str| address.trim().to_ascii_lowercase();
        Self {
            object: format!("{namespace}/{name}"),
            created: object.metadata.creation_timestamp.as_ref().map(|time| time.0),
            uid: object.metadata.uid.clone().unwrap_or_default(),
            brokers: spec.source.bootstrap_servers.split(',').map(lower).collect(),
            group,
            stores: spec.store.addresses.iter().map(|address| lower(address)).collect(),
            key_prefix: spec.store.key_prefix.clone(),
        }
    }

    fn claimed(&self) -> Vec<Claimed> {
        let groups = self
            .brokers
            .iter()
            .map(|broker| Claimed::Group { broker: broker.clone(), group: self.group.clone() });
        let keys = self
            .stores
            .iter()
            .map(|store| Claimed::Keys { store: store.clone(), prefix: self.key_prefix.clone() });
        groups.chain(keys).collect()
    }

    /// An object that has not been created yet is younger than all others; of two created in one second the lesser UID counts as older.
    fn is_older_than(&self, other: &Self) -> bool {
        let age = |claim: &Self| (claim.created.is_none(), claim.created, claim.uid.clone());
        age(self) < age(other)
    }
}

impl Claims {
    /// Takes a pipeline's claim in the place of its last one; gives the pipelines for which that may change something.
    pub fn put(&mut self, claim: Claim) -> Vec<String> {
        if self.claims.get(&claim.uid) == Some(&claim) {
            return Vec::new();
        }
        let mut touched = self.remove(&claim.uid.clone());
        for claimed in claim.claimed() {
            self.claimed.entry(claimed).or_default().insert(claim.uid.clone());
        }
        touched.extend(self.rivals(&claim).map(|rival| rival.object.clone()));
        self.claims.insert(claim.uid.clone(), claim);
        touched
    }

    /// Drops a pipeline's claim; gives the pipelines for which that may change something.
    pub fn remove(&mut self, uid: &str) -> Vec<String> {
        let Some(claim) = self.claims.remove(uid) else { return Vec::new() };
        let touched = self.rivals(&claim).map(|rival| rival.object.clone()).collect();
        for claimed in claim.claimed() {
            if let Some(uids) = self.claimed.get_mut(&claimed) {
                uids.remove(uid);
                if uids.is_empty() {
                    self.claimed.remove(&claimed);
                }
            }
        }
        touched
    }

    /// Drops the claims of all pipelines that are not `present`.
    pub fn retain(&mut self, present: &BTreeSet<String>) -> Vec<String> {
        let gone: Vec<String> = self.claims.keys().filter(|uid| !present.contains(*uid)).cloned().collect();
        gone.iter().flat_map(|uid| self.remove(uid)).collect()
    }

    /// Why `mine` must not run, if so.
    #[must_use]
    pub fn conflict(&self, mine: &Claim) -> Option<Conflict> {
        conflict(mine, self.rivals(mine))
    }

    fn rivals<'a>(&'a self, claim: &'a Claim) -> impl Iterator<Item = &'a Claim> {
        let uids: BTreeSet<&String> =
            claim.claimed().iter().filter_map(|claimed| self.claimed.get(claimed)).flatten().collect();
        uids.into_iter().filter(|uid| **uid != claim.uid).filter_map(|uid| self.claims.get(uid))
    }
}

/// The conflict of `mine` with the oldest of `others` that claims the same. Addresses are compared as they are written: two names of
/// one server are only told apart by the workers, which find the fences of another group (`StoreInUse`).
#[must_use]
pub fn conflict<'a>(mine: &Claim, others: impl Iterator<Item = &'a Claim>) -> Option<Conflict> {
    let share = |one: &[String], other: &[String]| one.iter().any(|address| other.contains(address));
    let reason = |other: &Claim| {
        if other.group == mine.group && share(&other.brokers, &mine.brokers) {
            Some(format!(
                "consumer group {} is used by the older pipeline {}; give this one another source.consumerGroup, or delete one of the two",
                mine.group, other.object
            ))
        } else if other.key_prefix == mine.key_prefix && share(&other.stores, &mine.stores) {
            Some(format!(
                "keys {} in {} belong to the older pipeline {}; give this one another store.keyPrefix, or delete one of the two",
                mine.key_prefix,
                mine.stores.join(","),
                other.object
            ))
        } else {
            None
        }
    };
    others
        .filter(|other| other.uid != mine.uid && other.is_older_than(mine))
        .filter_map(|other| Some((other, reason(other)?)))
        .reduce(|oldest, next| if next.0.is_older_than(oldest.0) { next } else { oldest })
        .map(|(_, message)| Conflict { message })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(name: &str, second: i64) -> Claim {
        Claim {
            object: format!("games/{name}"),
            created: Timestamp::from_second(second).ok(),
            uid: name.to_owned(),
            brokers: vec!["k:9092".to_owned()],
            group: format!("games.{name}"),
            stores: vec!["v:6379".to_owned()],
            key_prefix: format!("{name}:"),
        }
    }

    #[test]
    fn the_younger_of_two_waits_and_the_older_does_not() {
        let (old, mut young) = (claim("old", 1), claim("young", 2));
        young.group = old.group.clone();

        let both = [old.clone(), young.clone()];

        assert_eq!(
            [conflict(&old, both.iter()), conflict(&young, both.iter())],
            [
                None,
                Some(Conflict {
                    message: "consumer group games.old is used by the older pipeline games/old; give this one another \
                              source.consumerGroup, or delete one of the two"
                        .to_owned()
                })
            ]
        );
    }

    #[test]
    fn whoever_waits_for_a_claim_is_told_when_it_is_dropped() {
        let (old, mut young) = (claim("old", 1), claim("young", 2));
        young.group = old.group.clone();
        let mut claims = Claims::default();

        let steps = [
            claims.put(claim("other", 0)),
            claims.put(old),
            claims.put(young.clone()),
            claims.put(young.clone()),
            claims.remove("old"),
        ];

        let expected: [Vec<&str>; 5] = [vec![], vec![], vec!["games/old"], vec![], vec!["games/young"]];
        assert_eq!(
            (steps.map(|step| step), claims.conflict(&young)),
            (expected.map(|step| step.into_iter().map(str::to_owned).collect()), None)
        );
    }

    #[test]
    fn the_same_names_elsewhere_are_no_conflict() {
        let old = claim("old", 1);
        let young = |change: fn(&mut Claim)| {
            let mut young = claim("young", 2);
            young.group = "games.old".to_owned();
            young.key_prefix = "old:".to_owned();
            change(&mut young);
            conflict(&young, [&old].into_iter()).is_some()
        };

        let found = [
            young(|_| ()),
            young(|young| young.brokers = vec!["other:9092".to_owned()]),
            young(|young| {
                young.brokers = vec!["other:9092".to_owned()];
                young.stores = vec!["other:6379".to_owned()];
            }),
            young(|young| young.brokers = vec!["a:1".to_owned(), "k:9092".to_owned()]),
        ];

        assert_eq!(found, [true, true, false, true]);
    }
}
