//! Each part of the protocol left out, and the shortest way to what then goes wrong.
//!
//! `plaudit-tests model --only NAME` prints the steps again after a change of the model.

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
fn a_batch_kept_over_a_rewind_moves_the_fence_over_lost_records() {
    found(
        "batch kept over a rewind",
        "the fence of partition 0 is above record 0, which is missing",
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
            "A loads what is left",
            "A's script runs",
        ],
    );
}

#[test]
fn without_a_fence_a_store_loss_goes_unnoticed() {
    found(
        "no fence",
        "the fence of partition 0 is above record 0, which is missing",
        &[
            "A reads the commit",
            "A takes the fence",
            "A loads a batch of 2",
            "the replica has all so far",
            "A's script runs",
            "the store falls back to the replica",
            "A's script runs",
        ],
    );
}

#[test]
fn a_fence_compared_by_position_misses_a_loss() {
    found(
        "fence by position",
        "the fence of partition 0 is above record 0, which is missing",
        &[
            "A reads the commit",
            "A takes the fence",
            "A loads a batch of 2",
            "the replica has all so far",
            "A's script runs",
            "the store falls back to the replica",
            "A's script runs",
        ],
    );
}

#[test]
fn a_fence_compared_by_nonce_misses_a_loss() {
    found(
        "fence by nonce",
        "the fence of partition 0 is above record 0, which is missing",
        &[
            "A reads the commit",
            "A takes the fence",
            "A loads a batch of 2",
            "the replica has all so far",
            "A's script runs",
            "the store falls back to the replica",
            "A's script runs",
        ],
    );
}

#[test]
fn a_position_set_after_a_partial_script_is_above_a_missing_record() {
    found(
        "position set after a partial script",
        "the fence of partition 0 is above record 0, which is missing",
        &[
            "A reads the commit",
            "A takes the fence",
            "A loads a batch of 2",
            "B reads the commit",
            "B takes the fence",
            "B loads a batch of 1",
            "B's script runs",
            "A's script runs",
            "A's script runs",
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

#[test]
fn an_id_expected_for_ever_hides_a_loss() {
    found(
        "expected IDs never forgotten",
        "the fence of partition 0 is above record 1, which is missing",
        &[
            "A reads the commit",
            "A takes the fence",
            "A loads a batch of 2",
            "A's script runs",
            "A gives up waiting",
            "the replica has all so far",
            "late script 0 runs",
            "A loads what is left",
            "the store falls back to the replica",
            "A looks at its fence",
            "A moves its fence",
            "A's script runs",
        ],
    );
}

#[test]
fn a_newcomer_written_without_a_look_overwrites_a_player() {
    found(
        "newcomers written without a look",
        "the fence of partition 0 is above record 1, which is missing",
        &[
            "A reads the commit",
            "A takes the fence",
            "A loads a batch of 2",
            "A's script runs",
            "A dies and is replaced",
            "A reads the commit",
            "A takes the fence",
            "A loads a batch of 1 taking players for new",
            "A's script runs",
        ],
    );
}

#[test]
fn a_cache_kept_over_a_store_loss_hides_it() {
    found(
        "cache kept over a store loss",
        "the fence of partition 0 is above record 0, which is missing",
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
            "A loads a batch of 2 from its cache",
            "A's script runs",
        ],
    );
}

#[test]
fn a_write_id_per_lane_lets_another_partitions_script_overwrite_after_a_loss() {
    found(
        "write ID per lane, two partitions",
        "the fence of partition 0 is above record 1, which is missing",
        &[
            "A reads the commit",
            "A takes the fence",
            "A loads a batch of 1",
            "B reads the commit",
            "B takes the fence",
            "the replica has all so far",
            "A's script runs",
            "A gets its answers",
            "B loads a batch of 1",
            "the store falls back to the replica",
            "A loads a batch of 1",
            "A is confirmed",
            "A reads the commit",
            "A takes the fence",
            "A loads a batch of 2",
            "A's script runs",
            "B's script runs",
        ],
    );
}

#[test]
fn a_cas_by_version_lets_another_partitions_script_overwrite_after_a_loss() {
    found(
        "CAS by version, two partitions",
        "the fence of partition 0 is above record 1, which is missing",
        &[
            "A reads the commit",
            "A takes the fence",
            "A loads a batch of 1",
            "B reads the commit",
            "B takes the fence",
            "the replica has all so far",
            "A's script runs",
            "A gets its answers",
            "B loads a batch of 1",
            "the store falls back to the replica",
            "A loads a batch of 1",
            "A is confirmed",
            "A reads the commit",
            "A takes the fence",
            "A loads a batch of 2",
            "A's script runs",
            "B's script runs",
        ],
    );
}

#[test]
fn a_chunk_named_by_version_mixes_two_writes() {
    found(
        "split: chunk named by version",
        "chunk 0 of the record is another write's",
        &[
            "A sends both chunks and the script",
            "A's next command runs",
            "B sends both chunks and the script",
            "B's next command runs",
            "B's next command runs",
            "B's next command runs",
        ],
    );
}

#[test]
fn a_chunk_overwritten_in_place_shows_half_a_write() {
    found(
        "split: chunk overwritten in place",
        "chunk 0 of the record is another write's",
        &[
            "A sends both chunks and the script",
            "A's next command runs",
            "A's next command runs",
            "A's next command runs",
            "B sends both chunks and the script",
            "B's next command runs",
        ],
    );
}

#[test]
fn a_chunk_set_without_nx_expires_under_its_manifest() {
    found(
        "split: chunk SET without NX",
        "chunk 1 of the record is gone",
        &[
            "A sends both chunks and the script",
            "A's next command runs",
            "A's commands are sent twice",
            "A's next command runs",
            "A's next command runs",
            "the next of late commands 0 runs",
            "chunk 1 in the store expires",
        ],
    );
}

#[test]
fn a_manifest_set_without_looking_for_its_chunks_may_lack_one() {
    found(
        "split: no existence check",
        "chunk 0 of the record is gone",
        &[
            "A sends both chunks and the script",
            "A's next command runs",
            "A's next command runs",
            "chunk 0 in the store expires",
            "A's next command runs",
        ],
    );
}

#[test]
fn a_chunk_persisted_in_its_own_step_may_expire_before() {
    found(
        "split: PERSIST in its own step",
        "chunk 0 of the record is gone",
        &[
            "A sends both chunks and the script",
            "A's next command runs",
            "A's next command runs",
            "A's next command runs",
            "chunk 0 in the store expires",
        ],
    );
}
