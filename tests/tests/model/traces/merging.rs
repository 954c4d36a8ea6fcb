//! What is applied to a player: watermarks, the order of commit and write, policies.

use crate::found;

#[test]
fn without_a_watermark_a_replay_applies_a_record_twice() {
    found(
        "no watermark",
        "a record was applied twice to player 0",
        &[
            "A reads the commit",
            "A takes the fence",
            "A loads a batch of 1",
            "A's script runs",
            "A gives up waiting",
            "A loads what is left",
            "A's script runs",
        ],
    );
}

#[test]
fn one_watermark_for_all_partitions_skips_the_other_partitions_records() {
    found(
        "one watermark for all partitions",
        "the fence of partition 1 is above record 0, which is missing",
        &[
            "A reads the commit",
            "A takes the fence",
            "A loads a batch of 1",
            "A's script runs",
            "B reads the commit",
            "B takes the fence",
            "B loads a batch of 1",
            "B moves its fence",
            "B's script runs",
        ],
    );
}

#[test]
fn a_commit_before_the_write_is_above_a_missing_record() {
    found(
        "commit before write",
        "the commit of partition 0 is above record 0, which is missing",
        &["A reads the commit", "A takes the fence", "A loads a batch of 1", "A commits"],
    );
}

#[test]
fn a_timeout_taken_for_success_commits_what_never_ran() {
    found(
        "timeout as success",
        "the commit of partition 0 is above record 0, which is missing",
        &[
            "A reads the commit",
            "A takes the fence",
            "A loads a batch of 1",
            "A gives up waiting",
            "A commits",
        ],
    );
}

#[test]
fn latest_by_arrival_lets_an_older_report_overwrite_a_newer_one() {
    found(
        "latest by arrival",
        "an older report overwrote a newer one of player 0",
        &["A reads the commit", "A takes the fence", "A loads a batch of 2", "A's script runs"],
    );
}

#[test]
fn a_net_zero_sum_that_is_not_written_lets_a_zombies_half_land() {
    found(
        "net-zero sum not written, no fence",
        "player 0 is not the fold of the log",
        &[
            "A reads the commit",
            "A takes the fence",
            "A loads a batch of 1",
            "partition 0 goes to another worker",
            "B reads the commit",
            "B takes the fence",
            "B loads a batch of 2",
            "A's script runs",
            "B moves its fence",
            "B's script runs",
            "B gets its answers",
            "B commits",
        ],
    );
}

#[test]
fn a_net_zero_sum_that_is_not_written_comes_apart_over_a_failover_even_with_a_fence() {
    found(
        "net-zero sum not written",
        "player 0 is not the fold of the log",
        &[
            "A reads the commit",
            "A takes the fence",
            "A loads a batch of 1",
            "the replica has all so far",
            "A's script runs",
            "A gets its answers",
            "the store falls back to the replica",
            "A loads a batch of 1",
            "A is confirmed",
            "A reads the commit",
            "A takes the fence",
            "A loads a batch of 2",
            "A moves its fence",
            "A's script runs",
            "partition 0 goes to another worker",
            "B reads the commit",
            "B takes the fence",
            "B loads a batch of 1",
            "B's script runs",
            "B gets its answers",
            "B commits",
        ],
    );
}
