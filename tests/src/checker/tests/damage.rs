//! Stores that are wrong in one way, each caught and called by its name.

use std::collections::BTreeMap;

use plaudit::load::Mix;
use plaudit_crds::Format;
use plaudit_worker::proto;

use super::super::{Class, Stored, Subject};
use super::mix;
use super::world::{World, report};
use crate::checker::PlayerId;

fn world() -> World {
    World::of(&[
        report(1, &[(1, 10), (2, 10), (3, 10)]),
        report(1, &[(1, 11), (2, 9), (3, 5)]),
        report(2, &[(2, 7)]),
    ])
}

/// Class and subject of what is found wrong after `damage`.
fn found(damage: impl FnOnce(&mut World)) -> Vec<(Class, String)> {
    let mut world = world();
    damage(&mut world);
    let verdict = world.check();
    let first = verdict.first.iter().map(|explained| &explained.difference);
    first.map(|difference| (difference.class, difference.subject.to_string())).collect()
}

fn one(class: Class, subject: &str) -> Vec<(Class, String)> {
    vec![(class, subject.to_owned())]
}

#[test]
fn the_store_is_good_before_it_is_damaged() {
    assert_eq!(found(|_| {}), []);
}

#[test]
fn a_report_that_had_no_effect_is_lost() {
    let sum = found(|world| world.achievement(1, 3).value -= 5);
    assert_eq!(sum, one(Class::Lost, "player 1:0:0:0:, type 3"));
    let max = found(|world| world.achievement(1, 2).value = 9);
    assert_eq!(max, one(Class::Lost, "player 1:0:0:0:, type 2"));
    let latest = found(|world| {
        let achievement = world.achievement(1, 1);
        (achievement.value, achievement.offset) = (10, 0);
    });
    assert_eq!(latest, one(Class::Lost, "player 1:0:0:0:, type 1"));
    let item = found(|world| drop(world.player(1).achievements.remove(0)));
    assert_eq!(item, one(Class::Lost, "player 1:0:0:0:, type 1"));
    let player = found(|world| world.store.retain(|_, stored| stored.player.uin != 2));
    assert_eq!(player, one(Class::Lost, "player 2:0:0:0:"));
}

#[test]
fn a_report_that_was_added_again_is_applied_twice() {
    let sum = found(|world| world.achievement(1, 3).value += 5);
    assert_eq!(sum, one(Class::AppliedTwice, "player 1:0:0:0:, type 3"));
}

#[test]
fn a_sum_with_negative_terms_says_only_that_it_is_wrong() {
    let mut world = World::of(&[report(1, &[(3, 10)]), report(1, &[(3, -5)])]);
    world.achievement(1, 3).value += 5;
    let verdict = world.check();
    assert_eq!((verdict.lost, verdict.applied_twice, verdict.wrong), (0, 0, 1));
}

#[test]
fn every_field_of_an_achievement_counts() {
    type Damage = fn(&mut proto::Achievement);
    let damages: [Damage; 7] = [
        |achievement| achievement.data = "other".into(),
        |achievement| achievement.first_time += 1,
        |achievement| achievement.first_time -= 1,
        |achievement| achievement.incarnation += 1,
        |achievement| achievement.partition += 1,
        |achievement| achievement.index += 1,
        |achievement| achievement.timestamp += 1,
    ];
    for damage in damages {
        for r#type in [1, 2, 3] {
            let found = found(|world| damage(world.achievement(1, r#type)));
            assert_eq!(found, one(Class::Wrong, &format!("player 1:0:0:0:, type {type}")));
        }
    }
}

#[test]
fn what_nobody_reported_is_wrong() {
    let achievement = found(|world| {
        let other = world.achievement(1, 1).clone();
        world.player(2).achievements.push(other);
    });
    assert_eq!(achievement, one(Class::Wrong, "player 2:0:0:0:, type 1"));
    let player = found(|world| {
        let mut stranger = world.player(2).clone();
        stranger.player = PlayerId { uin: 3, ..PlayerId::default() };
        world.store.insert(stranger.player.key("p:", 7), stranger);
    });
    assert_eq!(player, one(Class::Wrong, "player 3:0:0:0:"));
}

#[test]
fn a_record_under_a_key_that_is_not_its_own_is_wrong() {
    let found = found(|world| {
        let record = world.player(2).clone();
        world.store.insert("p:{0}2:0:0:0:".into(), record);
    });
    assert_eq!(found, one(Class::Wrong, "key p:{0}2:0:0:0:"));
}

#[test]
fn a_record_that_cannot_be_read_is_one_difference() {
    let mut world = world();
    let key = world.player(2).player.key("p:", 7);
    world.store.remove(&key);
    world.damaged.push(key.clone());
    let verdict = world.check();
    assert_eq!((verdict.lost, verdict.wrong), (0, 1), "{verdict}");
    assert_eq!(verdict.first[0].difference.subject, Subject::Key(key));
}

#[test]
fn a_watermark_covers_what_was_applied_and_ends_with_its_partition() {
    let subject = "player 1:0:0:0:, watermark of partition 0";
    assert_eq!(found(|world| world.player(1).watermarks[0].offset = 1), one(Class::Wrong, subject));
    assert_eq!(found(|world| world.player(1).watermarks[0].offset = 4), one(Class::Wrong, subject));
    assert_eq!(found(|world| world.player(1).watermarks.clear()), one(Class::Wrong, subject));
    assert_eq!(found(|world| world.player(1).watermarks[0].offset = 3), []);
}

#[test]
fn a_fence_is_its_groups_and_ends_with_its_partition() {
    let fence = || one(Class::Wrong, &Subject::Fence(0).to_string());
    let damage = |change: fn(&mut proto::Fence)| found(|world| world.fences.values_mut().for_each(change));
    assert_eq!(damage(|fence| fence.position += 1), fence());
    assert_eq!(damage(|fence| fence.settled += 1), fence());
    assert_eq!(damage(|fence| fence.owner = "another".into()), fence());
}

#[test]
fn leaving_out_or_repeating_any_report_is_noticed() {
    for seed in 0..20 {
        // Which record of two partitions added the last bit is nobody's to say.
        let good = World::generated(Mix { misrouted_share: 0.0, ..mix(seed, Format::Json) }, 300);
        for index in [10, 100, 200, 299] {
            // As a worker that forgot the record, or took it for two.
            let mut forgetful = good.clone();
            forgetful.records.remove(index);
            forgetful.settle();
            let mut eager = good.clone();
            eager.records.push(good.records[index].clone());
            eager.settle();
            for (store, what) in [(forgetful.store, "forgot"), (eager.store, "repeated")] {
                // A watermark alone may lie elsewhere: the record had no effect.
                let changed = achievements(&store) != achievements(&good.store);
                let verdict = World { store, ..good.clone() }.check();
                assert_eq!(verdict.passed(), !changed, "seed {seed} {what} {index}: {verdict}");
            }
        }
    }
}

fn achievements(store: &BTreeMap<String, Stored>) -> BTreeMap<&str, &[proto::Achievement]> {
    store.iter().map(|(key, stored)| (&**key, &*stored.achievements)).collect()
}
