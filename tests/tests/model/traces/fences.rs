//! What tells that a store has lost writes.

use crate::found;

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
