//! Topics and stores made by hand: good ones pass, and each way of being wrong is caught.

mod damage;
mod letters;
mod unlocks;
mod world;

use std::time::Duration;

use plaudit::load::{Bad, Mix};
use plaudit_crds::{Format, Policy, Unlisted};
use plaudit_worker::proto;
use prost::Message as _;

use super::decode::{Item, Report};
use super::*;
use world::{NOW_MS, OwnedRecord, World, report};

/// Everything a load can be made of.
fn mix(seed: u64, format: Format) -> Mix {
    Mix {
        seed,
        format,
        players: 20,
        spread: true,
        negative_share: 0.3,
        late_share: 0.3,
        late_by: Duration::from_millis(50),
        duplicate_share: 0.2,
        misrouted_share: 0.1,
        bad_share: 0.1,
        bad_kinds: Bad::ALWAYS.into_iter().filter(|&bad| bad != Bad::Huge).collect(),
        ..Mix::default()
    }
}

#[test]
fn a_store_made_by_the_definitions_passes() {
    for seed in 0..40 {
        let format = if seed % 2 == 0 { Format::Json } else { Format::Protobuf };
        let world = World::generated(mix(seed, format), 600);
        let verdict = world.check();
        assert!(verdict.passed(), "seed {seed}: {verdict}");
        assert_eq!(verdict.records, 600);
        assert_eq!(verdict.reports + verdict.refused, 600);
        assert!(verdict.refused > 20 && verdict.players > 20, "seed {seed}: {verdict}");
        assert_eq!(verdict.letters.by_reason.values().sum::<u64>(), verdict.refused);
    }
}

#[test]
fn the_verdict_is_one_line_where_nothing_is_wrong() {
    let world = World::of(&[report(1, &[(1, 5)]), report(1, &[(3, 5)]), report(2, &[(2, 5)])]);
    assert_eq!(world.check().to_string(), "3 reports, 2 players, 0 lost, 0 applied twice");
}

#[test]
fn an_overflowing_record_is_refused_whole_and_the_next_counts_again() {
    let mut world = World::of(&[
        report(1, &[(3, i64::MAX - 1)]),
        report(1, &[(1, 7), (3, 1), (3, 1)]),
        report(1, &[(3, 1)]),
        report(2, &[(3, i64::MIN), (3, -1)]),
    ]);
    world.refuse(1, Reason::SumOverflow);
    world.refuse(3, Reason::SumOverflow);
    let verdict = world.check();
    assert!(verdict.passed(), "{verdict}");
    assert_eq!((verdict.reports, verdict.refused, verdict.players), (2, 2, 1));
}

#[test]
fn a_record_of_a_new_type_is_refused_where_the_player_is_full() {
    let types: Vec<(u32, i64)> = (100..4_196).map(|r#type| (r#type, 1)).collect();
    let mut records: Vec<_> = types.chunks(256).map(|items| report(1, items)).collect();
    records.extend([report(1, &[(1, 7)]), report(1, &[(100, 8), (4_195, 9)])]);
    let mut world = World::of(&records);
    world.refuse(records.len() - 2, Reason::PlayerFull);
    let verdict = world.check();
    assert!(verdict.passed(), "{verdict}");
    assert_eq!((verdict.reports, verdict.refused), (records.len() as u64 - 1, 1));
}

#[test]
fn a_record_may_note_what_was_refused_for_a_sum_and_nothing_else() {
    let mut world = World::of(&[report(1, &[(3, i64::MAX), (3, 1)]), report(2, &[(3, 1)])]);
    world.refuse(0, Reason::SumOverflow);
    let player = PlayerId { uin: 1, ..PlayerId::default() };
    let noted = Stored { player, pending: vec![(0, 0)], ..Stored::default() };
    world.store.insert(noted.player.key("p:", 7), noted);
    let verdict = world.check();
    assert!(verdict.passed(), "{verdict}");
    assert_eq!(verdict.players, 1);
    world.player(2).pending = vec![(0, 1)];
    assert_eq!(world.check().wrong, 1);
}

#[test]
fn an_overflow_whose_order_nobody_knows_is_not_decided() {
    let mut world = World::of(&[report(1, &[(3, i64::MAX)]), report(1, &[(3, 1)]), report(2, &[(3, 1)])]);
    world.records[1].partition = 1;
    world.records[1].offset = 0;
    for refused in [0, 1] {
        let mut world = world.clone();
        world.refuse(refused, Reason::SumOverflow);
        let verdict = world.check();
        assert!(verdict.passed(), "record {refused} refused: {verdict}");
        assert_eq!((verdict.undecided_players, verdict.players), (1, 2), "record {refused} refused");
    }
}

#[test]
fn types_that_are_not_listed_are_refused_where_the_pipeline_says_so() {
    let mut world = World::of(&[report(1, &[(1, 7)]), report(1, &[(1, 8), (9, 1)])]);
    world.rules.unlisted = Unlisted::DeadLetter;
    assert_eq!(world.rules.policy(9), None);
    world.refuse(1, Reason::UnlistedType);
    let verdict = world.check();
    assert!(verdict.passed(), "{verdict}");
    world.rules.unlisted = Unlisted::Accept;
    assert_eq!(world.rules.policy(9), Some(Policy::Latest));
    assert!(!world.check().passed());
}

#[test]
fn a_timestamp_ahead_may_be_refused_once_and_good_later() {
    // With 300 s of skew this is too far ahead until 100 s before the check.
    let ahead = |by_ms: i64, letter_at_ms: Option<i64>| {
        let mut world = World::of(&[report(1, &[(1, 7)])]);
        world.records[0].timestamp_ms = Some(NOW_MS + by_ms);
        if let Some(letter_at_ms) = letter_at_ms {
            let letter =
                OwnedRecord { timestamp_ms: Some(letter_at_ms), ..world.letter(0, Reason::FutureTimestamp) };
            world.letters = vec![letter];
        }
        world.settle();
        let verdict = world.check();
        (verdict.lost, verdict.wrong, verdict.refused)
    };
    assert_eq!(ahead(200_000, None), (0, 0, 0), "judged just now: good");
    assert_eq!(ahead(200_000, Some(NOW_MS - 150_000)), (0, 0, 1), "judged 150 s ago: refused");
    assert_eq!(ahead(200_000, Some(NOW_MS)), (0, 1, 0), "a dead letter of just now is not just");
    assert_eq!(ahead(301_000, Some(NOW_MS)), (0, 0, 1), "beyond what any worker may take");
    assert_eq!(ahead(301_000, None), (1, 0, 1), "beyond what any worker may take, and not refused");
}

#[test]
fn a_record_without_a_timestamp_is_refused() {
    let mut world = World::of(&[report(1, &[(1, 7)])]);
    world.records[0].timestamp_ms = None;
    world.refuse(0, Reason::NoTimestamp);
    let verdict = world.check();
    assert!(verdict.passed(), "{verdict}");
}

#[test]
fn what_is_not_stored_yet_is_counted() {
    let mut world = World::of(&[report(1, &[(1, 7)]), report(1, &[(1, 8)])]);
    world.fences.insert(0, proto::Fence { position: 1, settled: 1, ..world.fences[&0].clone() });
    assert_eq!(world.check().not_stored_yet, 1);
    world.fences.clear();
    assert_eq!(world.check().not_stored_yet, 2);
}

#[test]
fn a_difference_comes_with_the_records_that_touch_it() {
    let mut world = World::of(&[report(1, &[(3, 5), (1, 1)]), report(2, &[(3, 5)]), report(1, &[(3, 6)])]);
    world.achievement(1, 3).value = 16;
    let mut verdict = world.check();
    world.records.iter().for_each(|record| explain(&mut verdict, &record.borrow(), &world.rules));
    let sources: Vec<_> = verdict.first.iter().map(|explained| explained.sources.clone()).collect();
    let at = NOW_MS - 1_000;
    assert_eq!(sources, [[format!("0@0 at {at}: 3=5 \"\""), format!("0@2 at {at}: 3=6 \"\"")]]);
    let text = verdict.to_string();
    assert!(
        text.starts_with(
            "3 reports, 2 players, 0 lost, 1 applied twice\nAppliedTwice: player 1:0:0:0:, type 3\n"
        ),
        "{text}"
    );
}

#[test]
fn a_split_record_is_put_together_and_checked() {
    let achievement =
        |r#type, timestamp| proto::Achievement { r#type, timestamp, ..proto::Achievement::default() };
    let chunk = |index, achievements: Vec<proto::Achievement>| {
        let reference = proto::ChunkRef {
            write_id_high: 7,
            write_id_low: index,
            index: index as u32,
            achievements: achievements.len() as u32,
            oldest: achievements.last().map_or(0, |oldest| oldest.timestamp),
        };
        (reference, proto::Chunk { format: 1, write_id_high: 7, write_id_low: index, achievements })
    };
    let (first, newer) = chunk(0, vec![achievement(9, 30), achievement(2, 20)]);
    let (second, older) = chunk(1, vec![achievement(5, 20), achievement(1, 10)]);
    let manifest = proto::PlayerRecord { chunks: vec![first, second], ..proto::PlayerRecord::default() };
    let values = [Some(newer.encode_to_vec()), Some(older.encode_to_vec())];
    let types = |stored: Stored| stored.achievements.iter().map(|found| found.r#type).collect::<Vec<_>>();
    let put_together = |manifest: &proto::PlayerRecord, values: &[Option<Vec<u8>>]| {
        assemble(manifest.clone(), values).map(types)
    };
    assert_eq!(put_together(&manifest, &values), Ok(vec![1, 2, 5, 9]));
    assert_eq!(put_together(&manifest, &[values[0].clone(), None]), Err("chunk 1 is missing".to_owned()));
    assert_eq!(
        put_together(&manifest, &[values[1].clone(), values[0].clone()]),
        Err("chunk 0: another write ID than its name".to_owned())
    );
    let swapped = proto::PlayerRecord { chunks: vec![second, first], ..manifest };
    assert_eq!(
        put_together(&swapped, &[values[1].clone(), values[0].clone()]),
        Err("chunk 0: achievements are not newest first".to_owned())
    );
}

#[test]
fn a_value_whose_head_a_script_cannot_compare_is_damaged() {
    let record = proto::PlayerRecord {
        format: 1,
        version: 1,
        write_id_high: 1,
        write_id_low: 1,
        uin: 1,
        ..proto::PlayerRecord::default()
    };
    assert!(open(&record.encode_to_vec()).is_ok());
    for damaged in [
        proto::PlayerRecord { write_id_low: 0, ..record.clone() },
        proto::PlayerRecord { version: 0, ..record.clone() },
        proto::PlayerRecord { format: 2, ..record },
    ] {
        assert!(open(&damaged.encode_to_vec()).is_err(), "{damaged:?}");
    }
    assert!(open(b"").is_err());
}

/// A report of `uin` as it is decoded; the merge is held against the definitions in [`world`].
fn decoded(uin: u64, items: &[(u32, i64)]) -> Report {
    let items = items.iter().map(|&(r#type, value)| Item { r#type, value, data: Box::default() });
    Report { player: PlayerId { uin, ..PlayerId::default() }, items: items.collect(), delete: false }
}

#[test]
fn a_made_up_report_decodes_to_what_it_was_made_from() {
    let made = report(7, &[(1, -5), (2, 6)]);
    assert_eq!(decode::decode(made.as_deref(), Format::Json), Ok(decoded(7, &[(1, -5), (2, 6)])));
}
