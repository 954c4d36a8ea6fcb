//! Unlocks and deletions that are not as they should be are found.

use super::super::{Class, Verdict};
use super::world::{OwnedRecord, World, report};

/// Type 2 is a maximum with the tiers 5, 8 and 20; player 1 comes to 10.
fn world(unlocks: &[OwnedRecord]) -> World {
    let mut world = World::of(&[report(1, &[(2, 7)]), report(1, &[(2, 10)]), report(2, &[(2, 1)])]);
    world.rules.tiers.insert(2, vec![5, 8, 20]);
    world.unlocks = Some(unlocks.to_vec());
    world
}

fn unlock(id: &str, uin: u64, tier: i64, value: i64) -> OwnedRecord {
    let text = format!(
        r#"{{"id":"{id}","uin":{uin},"platform":0,"zone":0,"server":0,"role":"","type":2,"tier":{tier},"value":{value},"timestamp":1}}"#
    );
    let mut record = OwnedRecord {
        key: Some(uin.to_string().into_bytes()),
        payload: Some(text.into_bytes()),
        ..OwnedRecord::default()
    };
    record.set_header("plaudit-id", id);
    record
}

fn found(verdict: &Verdict) -> Vec<(Class, String)> {
    let first = verdict.first.iter().map(|explained| &explained.difference);
    first.map(|difference| (difference.class, difference.subject.to_string())).collect()
}

#[test]
fn every_tier_that_is_stored_is_announced_at_least_once() {
    let good = [unlock("a", 1, 5, 7), unlock("b", 1, 8, 10), unlock("a", 1, 5, 7)];
    let verdict = world(&good).check();
    assert!(verdict.passed(), "{verdict}");
    assert_eq!((verdict.unlocks.unlocks, verdict.unlocks.duplicates), (2, 1));
    let missing = vec![(Class::Lost, "player 1:0:0:0:, type 2, tier 8".to_owned())];
    assert_eq!(found(&world(&good[..1]).check()), missing);
}

#[test]
fn an_unlock_that_no_value_reached_or_that_contradicts_itself_is_wrong() {
    let good = [unlock("a", 1, 5, 7), unlock("b", 1, 8, 10)];
    let mut unkeyed = unlock("b", 1, 8, 10);
    unkeyed.key = None;
    let cases = [
        (unlock("c", 1, 20, 25), "player 1:0:0:0:, type 2, tier 20"),
        (unlock("c", 2, 5, 6), "player 2:0:0:0:, type 2, tier 5"),
        (unlock("c", 1, 8, 10), "player 1:0:0:0:, type 2, tier 8"),
        (unlock("b", 1, 8, 7), "player 1:0:0:0:, type 2, tier 8"),
        (unkeyed, "player 1:0:0:0:, type 2, tier 8"),
    ];
    for (wrong, subject) in cases {
        let verdict = world(&[&good[..], &[wrong]].concat()).check();
        assert_eq!(found(&verdict), [(Class::Wrong, subject.to_owned())], "{verdict}");
    }
    let same = world(&[unlock("a", 1, 5, 7), unlock("a", 1, 8, 10)]).check();
    assert_eq!(same.wrong, 1, "{same}");
}

#[test]
fn what_a_deletion_removes_must_be_gone() {
    let deletion = || Some(br#"{"uin":1,"delete":true}"#.to_vec());
    let world = World::of(&[report(1, &[(2, 7)]), deletion(), report(1, &[(3, 4)])]);
    let verdict = world.check();
    assert!(verdict.passed(), "{verdict}");

    let mut kept = world.clone();
    let before = World::of(&[report(1, &[(2, 7)])]).player(1).achievements.clone();
    kept.player(1).achievements.splice(0..0, before);
    assert_eq!(found(&kept.check()), [(Class::Wrong, "player 1:0:0:0:, type 2".to_owned())]);

    let mut forgotten = world.clone();
    forgotten.player(1).deleted = None;
    assert_eq!(found(&forgotten.check()), [(Class::Lost, "player 1:0:0:0:".to_owned())]);

    let mut gone = world;
    gone.store.clear();
    assert_eq!(gone.check().lost, 1);
}
