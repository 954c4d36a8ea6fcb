//! What one write of a player must not do to another one.

use crate::found;

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
