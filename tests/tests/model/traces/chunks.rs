//! Players that are split.

use crate::found;

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
