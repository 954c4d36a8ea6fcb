use k8s_openapi::api::coordination::v1::Lease;

use super::*;

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn clock() -> Timestamp {
    Timestamp::from_second(1_000).unwrap()
}

fn machine() -> Machine {
    Machine::new("plaudit", "me".to_owned(), Times::default())
}

/// A stored record in version `version`.
fn stored(record: &Record, version: u64) -> Record {
    let mut lease: Lease = record.lease().clone();
    lease.metadata.resource_version = Some(version.to_string());
    Record::read(lease)
}

fn held(holder: &str, version: u64) -> Record {
    stored(&Record::new("plaudit").taken(holder, s(15), clock()), version)
}

fn steps<const N: usize>(machine: &Machine, seconds: [u64; N]) -> [Step; N] {
    seconds.map(|second| machine.step(s(second), clock()))
}

fn write(record: Record) -> Step {
    Step::Write(Box::new(record))
}

/// A machine whose write was sent at second 100 and acknowledged at 101, as version 1.
fn leader() -> Machine {
    let mut machine = machine();
    machine.saw(None, s(99));
    machine.sends(&Record::new("plaudit").taken("me", s(15), clock()));
    machine.stored(held("me", 1), s(100), s(101), 1.0);
    machine
}

#[test]
fn a_lease_that_never_was_is_created_at_once() {
    let mut machine = machine();
    let before = machine.step(s(0), clock());
    machine.saw(None, s(1));

    let after = machine.step(s(1), clock());

    assert_eq!([before, after], [Step::Read, write(Record::new("plaudit").taken("me", s(15), clock()))]);
}

#[test]
fn a_held_lease_is_taken_when_it_was_not_seen_to_change_for_its_whole_duration() {
    let mut machine = machine();
    machine.saw(Some(held("other", 1)), s(100));
    // Seen again, unchanged: the wait goes on.
    machine.saw(Some(held("other", 1)), s(113));

    let steps = steps(&machine, [113, 114, 115]);

    let taken = write(held("other", 1).taken("me", s(15), clock()));
    assert_eq!(steps, [Step::Wait(s(115)), Step::Wait(s(115)), taken]);
}

#[test]
fn each_change_starts_the_wait_anew() {
    let mut machine = machine();
    machine.saw(Some(held("other", 1)), s(100));
    machine.saw(Some(held("other", 2)), s(114));

    assert_eq!(machine.step(s(116), clock()), Step::Wait(s(117)));
    machine.saw(Some(held("other", 2)), s(128));
    assert_eq!(machine.step(s(128), clock()), Step::Wait(s(129)));
}

#[test]
fn a_silent_lease_is_looked_at_again() {
    let mut machine = machine();
    machine.saw(Some(held("other", 1)), s(100));

    assert_eq!(steps(&machine, [102, 103, 110]), [Step::Wait(s(103)), Step::Read, Step::Read]);
}

#[test]
fn a_released_lease_is_taken_at_once_and_an_emptied_one_is_not() {
    let released = stored(&held("other", 1).released(clock()), 2);
    let mut emptied = held("other", 1).lease().clone();
    emptied.spec.as_mut().unwrap().holder_identity = None;
    emptied.metadata.resource_version = Some("2".to_owned());
    let step = |record: &Record| {
        let mut machine = machine();
        machine.saw(Some(held("other", 1)), s(100));
        machine.saw(Some(record.clone()), s(101));
        machine.step(s(101), clock())
    };

    let steps = [step(&released), step(&Record::read(emptied))];

    let taken = write(released.taken("me", s(15), clock()));
    assert_eq!(steps, [taken, Step::Wait(s(104))]);
}

#[test]
fn a_lease_deleted_under_its_holder_is_created_without_one_and_waited_for() {
    let mut machine = machine();
    machine.saw(Some(held("other", 1)), s(100));
    machine.saw(None, s(101));
    let unheld = Record::new("plaudit").unheld(s(15), clock());
    let created = machine.step(s(101), clock());
    machine.sends(&unheld);
    machine.stored(stored(&unheld, 2), s(101), s(102), 1.0);
    let leads = machine.deadline();
    machine.saw(Some(stored(&unheld, 2)), s(116));

    let steps = steps(&machine, [116, 117]);

    let taken = write(stored(&unheld, 2).taken("me", s(15), clock()));
    assert_eq!((created, leads, steps), (write(unheld), None, [Step::Wait(s(117)), taken]));
}

#[test]
fn the_lease_of_an_earlier_start_of_this_pod_is_somebody_elses() {
    let mut machine = machine();
    machine.saw(Some(held("me_before", 1)), s(100));

    assert_eq!(machine.step(s(100), clock()), Step::Wait(s(103)));
}

#[test]
fn a_write_whose_answer_was_lost_is_looked_for_and_does_not_count() {
    let mut machine = machine();
    machine.saw(Some(held("other", 1)), s(100));
    machine.sends(&held("other", 1).taken("me", s(15), clock()));
    machine.failed(s(120), 1.0);
    let look = machine.step(s(120), clock());
    machine.saw(Some(held("me", 2)), s(120));

    let again = machine.step(s(120), clock());

    assert_eq!([look, again], [Step::Read, write(held("me", 2).renewed(s(15), clock()))]);
    assert_eq!(machine.deadline(), None);
}

#[test]
fn a_lease_that_may_have_been_created_late_is_held_after_its_duration() {
    let mut machine = machine();
    machine.saw(None, s(100));
    machine.sends(&Record::new("plaudit").taken("me", s(15), clock()));
    machine.failed(s(105), 1.0);
    machine.saw(Some(held("me", 1)), s(105));
    let before = machine.step(s(107), clock());
    machine.saw(Some(held("me", 1)), s(119));

    let steps = steps(&machine, [119, 120]);

    let renewed = write(held("me", 1).renewed(s(15), clock()));
    assert_eq!([vec![before], steps.to_vec()].concat(), [Step::Wait(s(108)), Step::Wait(s(120)), renewed]);
}

#[test]
fn who_claimed_the_lease_in_vain_and_finds_none_reckons_with_another_claim() {
    let step = |free: Option<Record>| {
        let claim = free.clone().unwrap_or_else(|| Record::new("plaudit")).taken("me", s(15), clock());
        let mut machine = machine();
        machine.saw(free, s(100));
        machine.sends(&claim);
        machine.failed(s(105), 1.0);
        machine.saw(None, s(106));
        machine.step(s(106), clock())
    };

    let steps = [step(None), step(Some(stored(&held("other", 1).released(clock()), 2)))];

    let unheld = write(Record::new("plaudit").unheld(s(15), clock()));
    assert_eq!(steps, [unheld.clone(), unheld]);
}

#[test]
fn a_lease_seen_in_nobodys_hands_but_not_free_was_held_when_it_is_gone() {
    let mut machine = machine();
    let unheld = Record::new("plaudit").unheld(s(15), clock());
    machine.saw(Some(stored(&unheld, 1)), s(100));
    machine.saw(None, s(101));

    assert_eq!(machine.step(s(101), clock()), write(unheld));
}

#[test]
fn a_leader_renews_each_retry_period_and_counts_from_before_it_sent() {
    let leader = leader();

    let steps = steps(&leader, [101, 103, 109, 110]);

    let renewed = write(held("me", 1).renewed(s(15), clock()));
    assert_eq!(steps, [Step::Wait(s(103)), renewed.clone(), renewed, Step::Lost(Loss::NotRenewed)]);
}

#[test]
fn a_leader_that_fails_looks_at_once_then_each_retry_period_and_gives_up_in_time() {
    let mut leader = leader();
    leader.failed(s(103), 1.0);
    let first = leader.step(s(103), clock());
    leader.failed(s(103), 1.0);
    let second = steps(&leader, [103, 105]);
    leader.failed(s(109), 1.0);

    let third = steps(&leader, [109, 110]);

    assert_eq!(first, Step::Read);
    assert_eq!(second, [Step::Wait(s(105)), Step::Read]);
    assert_eq!(third, [Step::Wait(s(110)), Step::Lost(Loss::NotRenewed)]);
}

#[test]
fn a_leader_whose_lease_is_anothers_or_gone_has_lost() {
    let step = |record: Option<Record>| {
        let mut leader = leader();
        leader.failed(s(103), 1.0);
        leader.saw(record, s(103));
        leader.step(s(103), clock())
    };

    let steps =
        [step(Some(held("other", 2))), step(None), step(Some(stored(&held("me", 1).released(clock()), 2)))];

    let taken = |by: &str| Step::Lost(Loss::Taken { by: by.to_owned() });
    assert_eq!(steps, [taken("other"), Step::Lost(Loss::Deleted), taken("")]);
}

#[test]
fn only_a_lease_that_may_be_held_is_released() {
    let mut standby = machine();
    standby.saw(Some(held("other", 1)), s(100));
    let mut unknown = machine();
    unknown.saw(Some(held("other", 1)), s(100));
    unknown.sends(&held("other", 1).taken("me", s(15), clock()));
    unknown.failed(s(116), 1.0);
    let look = unknown.release(clock());
    unknown.saw(Some(held("me", 2)), s(116));

    let steps = [standby.release(clock()), look, unknown.release(clock()), leader().release(clock())];

    let released = |version| Some(write(held("me", version).released(clock())));
    assert_eq!(steps, [None, Some(Step::Read), released(2), released(1)]);
}
