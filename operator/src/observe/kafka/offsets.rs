//! What to commit for a group without members: first offsets, so that its lag is known and `latest` means the moment the pipeline
//! was made; and every day what is there already, so that Kafka does not forget it. Pure.
//!
//! With members this is their business, and Kafka refuses everybody else.

use plaudit_crds::InitialOffset;

use super::super::admin::{GroupOffset, NewCommit};

/// What is known of a group without members.
#[derive(Clone, Debug)]
pub(super) struct EmptyGroup<'a> {
    pub(super) initial: InitialOffset,
    /// The coordinator's answer for every partition.
    pub(super) committed: &'a [GroupOffset],
    /// Log start and log end by partition; `None` is unknown.
    pub(super) log: &'a [(Option<i64>, Option<i64>)],
    /// Its offsets were not renewed for long enough.
    pub(super) renewal_due: bool,
}

/// The offsets to commit; empty when there is nothing to do, or something of it is unknown.
pub(super) fn due(group: &EmptyGroup<'_>) -> Vec<NewCommit> {
    let mut commits = Vec::new();
    let Some(found) = complete(group) else { return commits };
    // Partitions that were added after the group began are read from their beginning, as lanes do.
    let begun = found.iter().any(|(offset, _)| offset.is_some());
    if group.initial == InitialOffset::Latest && !begun && group.log.iter().any(|(_, end)| end.is_none()) {
        // The rest would be taken for added partitions the next time.
        return commits;
    }
    for ((partition, (log_start, log_end)), (offset, metadata)) in (0..).zip(group.log).zip(found) {
        let first = match group.initial {
            InitialOffset::Latest if !begun => *log_end,
            InitialOffset::Latest | InitialOffset::Earliest => *log_start,
        };
        let commit = match offset {
            // With its metadata: without, a wiped store could not be told from a new one.
            Some(offset) if group.renewal_due => Some((offset, metadata.to_vec())),
            Some(_) => None,
            // Without metadata, which would say that a lane has been here.
            None => first.map(|first| (first, Vec::new())),
        };
        commits.extend(commit.map(|(offset, metadata)| NewCommit { partition, offset, metadata }));
    }
    commits
}

/// What the group committed, by partition; `None` unless all of it is known.
fn complete<'a>(group: &EmptyGroup<'a>) -> Option<Vec<(Option<i64>, &'a [u8])>> {
    let of = |partition: i32| {
        let found = group.committed.iter().find(|found| found.partition == partition)?;
        Some((*found.offset.as_ref().ok()?, &found.metadata[..]))
    };
    (0..).zip(group.log).map(|(partition, _)| of(partition)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed(offsets: &[Result<Option<i64>, i32>]) -> Vec<GroupOffset> {
        let with_metadata = |(partition, offset): (i32, &Result<Option<i64>, i32>)| GroupOffset {
            partition,
            offset: *offset,
            metadata: if matches!(offset, Ok(Some(_))) { b"plaudit/1:".to_vec() } else { Vec::new() },
        };
        (0..).zip(offsets).map(with_metadata).collect()
    }

    fn told(initial: InitialOffset, offsets: &[Result<Option<i64>, i32>], renewal_due: bool) -> Vec<String> {
        let committed = committed(offsets);
        let log = [(Some(5), Some(100)), (Some(7), Some(200)), (None, None)];
        let log = &log[..offsets.len()];
        due(&EmptyGroup { initial, committed: &committed, log, renewal_due })
            .iter()
            .map(|commit| {
                let metadata = String::from_utf8_lossy(&commit.metadata);
                format!("{}@{}{metadata}", commit.partition, commit.offset)
            })
            .collect()
    }

    #[test]
    fn a_group_that_begins_gets_the_offsets_where_its_lanes_will_begin() {
        use InitialOffset::{Earliest, Latest};
        let none = Ok(None);

        let commits = [
            told(Earliest, &[none, none], false),
            told(Latest, &[none, none], false),
            told(Latest, &[none, none, none], false),
            // Added after the group began.
            told(Latest, &[Ok(Some(50)), none], false),
            told(Earliest, &[none, none, none], false),
        ];

        assert_eq!(
            commits,
            [vec!["0@5", "1@7"], vec!["0@100", "1@200"], vec![], vec!["1@7"], vec!["0@5", "1@7"]]
        );
    }

    #[test]
    fn offsets_are_renewed_as_they_are_when_that_is_due() {
        let offsets = [Ok(Some(50)), Ok(None)];

        let commits = [false, true].map(|due| told(InitialOffset::Earliest, &offsets, due));

        assert_eq!(commits, [vec!["1@7"], vec!["0@50plaudit/1:", "1@7"]]);
    }

    #[test]
    fn nothing_is_committed_while_a_commit_is_unknown() {
        let offsets = [Ok(Some(50)), Err(16)];
        let commits = told(InitialOffset::Latest, &offsets, true);
        let committed = committed(&[Ok(None)]);
        let log = [(Some(0), Some(9)), (Some(0), Some(9))];
        let group = EmptyGroup {
            initial: InitialOffset::Latest,
            committed: &committed,
            log: &log,
            renewal_due: true,
        };

        assert_eq!((commits, due(&group)), (vec![], vec![]));
    }
}
