//! Dead letters that are wrong in one way.

use super::super::{Class, Reason};
use super::world::{OwnedRecord, World, report};

/// One good record and one truncated one.
fn world() -> World {
    World::of(&[report(1, &[(1, 10)]), Some(b"{\"uin\":1,\"items\":[{".to_vec())])
}

/// Class and finding about the dead letter after `damage`.
fn found(damage: impl FnOnce(&mut World)) -> Vec<(Class, String)> {
    let mut world = world();
    damage(&mut world);
    let verdict = world.check();
    let first = verdict.first.into_iter().map(|explained| explained.difference);
    first.map(|difference| (difference.class, difference.found)).collect()
}

fn change(damage: impl FnOnce(&mut OwnedRecord)) -> Vec<(Class, String)> {
    found(|world| damage(&mut world.letters[0]))
}

fn one(class: Class, found: &str) -> Vec<(Class, String)> {
    vec![(class, found.to_owned())]
}

#[test]
fn the_right_dead_letter_is_right_also_twice() {
    assert_eq!(found(|_| {}), []);
    let mut world = world();
    world.letters.push(world.letters[0].clone());
    let verdict = world.check();
    assert!(verdict.passed(), "{verdict}");
    assert_eq!(verdict.letters.duplicates, 1);
}

#[test]
fn a_refused_record_without_a_dead_letter_is_lost() {
    assert_eq!(found(|world| world.letters.clear()), one(Class::Lost, "there is none"));
}

#[test]
fn a_good_record_with_a_dead_letter_is_wrong() {
    let found = found(|world| world.letters.push(world.letter(0, Reason::Malformed)));
    assert_eq!(found, one(Class::Wrong, "one"));
}

#[test]
fn every_part_of_a_dead_letter_counts() {
    let header = |name: &'static str, value: &'static str| change(|letter| letter.set_header(name, value));
    assert_eq!(header("plaudit-reason", "empty"), one(Class::Wrong, "its reason is empty"));
    assert_eq!(header("plaudit-reason", "bad"), one(Class::Wrong, "its reason is one that does not exist"));
    assert_eq!(header("plaudit-detail", ""), one(Class::Wrong, "it has no detail"));
    assert_eq!(header("plaudit-timestamp", "5"), one(Class::Wrong, "its timestamp differs"));
    assert_eq!(header("plaudit-consumer-group", "x"), one(Class::Wrong, "its consumer group differs"));
    assert_eq!(header("trace", "x"), one(Class::Wrong, "the record's own headers differ"));
    assert_eq!(header("plaudit-offset", "0").len(), 2);
    assert_eq!(change(|letter| letter.key = Some(b"2".to_vec())), one(Class::Wrong, "its key differs"));
    assert_eq!(change(|letter| letter.payload = None), one(Class::Wrong, "its value differs"));
    let another = found(|world| {
        let mut another = world.letters[0].clone();
        another.set_header("plaudit-reason", "not_utf8");
        world.letters.push(another);
    });
    assert_eq!(another, one(Class::Wrong, "another one of the same record differs"));
}

#[test]
fn a_cut_dead_letter_says_so_and_is_the_beginning() {
    let cut = |original_size: &'static str, payload: &'static [u8]| {
        change(|letter| {
            letter.payload = Some(payload.to_vec());
            letter.set_header("plaudit-truncated", "true");
            letter.set_header("plaudit-original-size", original_size);
        })
    };
    assert_eq!(cut("19", b"{\"uin\":1"), []);
    assert_eq!(cut("19", b"{\"uin\":2"), one(Class::Wrong, "its value differs"));
    assert_eq!(cut("20", b"{\"uin\":1"), one(Class::Wrong, "it says the value had 20 bytes, and it had 19"));
    let unsaid = change(|letter| letter.payload = Some(b"{\"uin\":1".to_vec()));
    assert_eq!(unsaid, one(Class::Wrong, "its value differs"));
}

#[test]
fn a_dead_letter_may_have_a_cut_key_and_no_headers_if_it_says_so() {
    let cut = |key: &str, headers_dropped: &str| {
        found(|world| {
            world.records[1].key = Some(b"long".to_vec());
            world.records[1].set_header("trace", "x");
            let letter = &mut world.letters[0];
            letter.key = Some(key.into());
            letter.set_header("plaudit-original-key-size", "4");
            letter.set_header("plaudit-headers-dropped", headers_dropped);
        })
    };
    assert_eq!(cut("lo", "1"), []);
    assert_eq!(cut("la", "1"), one(Class::Wrong, "its key differs"));
    assert_eq!(cut("lo", "2"), one(Class::Wrong, "the record's own headers differ"));
}

#[test]
fn dead_letters_of_others_are_counted_and_left_alone() {
    let mut world = world();
    let mut foreign = world.letters[0].clone();
    foreign.set_header("plaudit-topic", "another");
    let stray = OwnedRecord { payload: Some(b"hello".to_vec()), ..OwnedRecord::default() };
    world.letters.extend([foreign, stray]);
    let verdict = world.check();
    assert!(verdict.passed(), "{verdict}");
    assert_eq!((verdict.letters.foreign, verdict.unreadable_letters), (1, 1));
}
