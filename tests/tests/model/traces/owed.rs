//! What a batch owes besides its players: unlocks and dead letters.

use crate::found;

#[test]
fn an_unlock_sent_before_the_write_announces_what_never_happens() {
    found(
        "unlock before CAS",
        "player 0 was told of an unlock that never happened",
        &[
            "A reads the commit",
            "A takes the fence",
            "A loads a batch of 1",
            "partition 0 goes to another worker",
            "B reads the commit",
            "B takes the fence",
            "B loads a batch of 2",
            "B's script runs",
            "B gets its answers",
            "B commits",
        ],
    );
}

#[test]
fn an_unlock_without_an_outbox_is_lost_in_a_crash() {
    found(
        "unlock without outbox",
        "the unlock of player 0 is lost",
        &[
            "A reads the commit",
            "A takes the fence",
            "A loads a batch of 1",
            "A's script runs",
            "A dies and is replaced",
            "A reads the commit",
            "A takes the fence",
            "A loads a batch of 1",
            "A commits",
        ],
    );
}

#[test]
fn an_unlock_taken_for_sent_by_its_offset_alone_is_lost() {
    found(
        "unlock taken for sent by its offset alone",
        "the unlock of player 0 is lost",
        &[
            "A reads the commit",
            "A takes the fence",
            "B reads the commit",
            "B takes the fence",
            "B loads a batch of 1",
            "B's script runs",
            "A loads a batch of 1",
            "A's script runs",
            "A dies and is replaced",
            "A reads the commit",
            "A takes the fence",
            "B gets its answers",
            "B loads a batch of 1",
            "B's script runs",
            "A loads a batch of 1",
            "A commits",
            "B gets its answers",
            "B commits",
        ],
    );
}

#[test]
fn a_restart_at_the_position_skips_unsent_unlocks() {
    found(
        "restart at position",
        "the unlock of player 0 is lost",
        &[
            "A reads the commit",
            "partition 0 goes to another worker",
            "B reads the commit",
            "B takes the fence",
            "A takes the fence",
            "A loads a batch of 1",
            "A's script runs",
            "B loads a batch of 1",
            "B is confirmed",
            "B reads the commit",
            "B takes the fence",
            "B shows its start",
            "B commits",
        ],
    );
}

#[test]
fn a_start_without_settled_skips_what_a_dead_lane_owed() {
    found(
        "start without settled",
        "the unlock of player 0 is lost",
        &[
            "A reads the commit",
            "A takes the fence",
            "A loads a batch of 1",
            "A's script runs",
            "A dies and is replaced",
            "A reads the commit",
            "A takes the fence",
            "A shows its start",
            "A commits",
        ],
    );
}

#[test]
fn a_dead_letter_sent_after_the_script_is_lost_in_a_crash() {
    found(
        "dead letter after the script",
        "the commit of partition 0 is above record 1, which is missing",
        &[
            "A reads the commit",
            "A takes the fence",
            "A loads a batch of 2, its clock refuses",
            "A's script runs",
            "A dies and is replaced",
            "A reads the commit",
            "A takes the fence",
            "A loads a batch of 2",
            "A commits",
        ],
    );
}

#[test]
fn a_verdict_forgotten_with_a_failed_round_is_never_sent() {
    found(
        "verdict forgotten with a failed round",
        "the fence of partition 0 is above record 0, which is missing",
        &[
            "A reads the commit",
            "A takes the fence",
            "A loads a batch of 2 but cannot read the last player, its clock refuses",
            "A loads what is left",
            "A's script runs",
        ],
    );
}

#[test]
fn an_overflows_dead_letter_sent_before_the_script_may_be_applied_after_all() {
    found(
        "overflow's dead letter before the script",
        "record 1 of partition 0 is applied and a dead letter",
        &[
            "A reads the commit",
            "A takes the fence",
            "A loads a batch of 1",
            "A's script runs",
            "A gets its answers",
            "A loads a batch of 1",
            "B reads the commit",
            "B takes the fence",
            "B loads a batch of 2",
            "B's script runs",
            "A's script runs",
            "A gets its answers",
            "A loads what is left",
            "A's script runs",
        ],
    );
}
