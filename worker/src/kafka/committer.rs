//! The committer: the one thread that commits offsets, so that no commit overtakes another.
//!
//! Only the blocking call tells whether the group accepted a commit, and it has no timeout: without a coordinator it
//! takes minutes. Who waits for the committer therefore has a deadline, and a request is not begun past it.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::oneshot;

use super::group::Consumer;
use super::partition::set_metadata;
use crate::lane::{LaneShared, UNKNOWN};

/// What is asked of the committer besides its commit at each interval.
#[derive(Debug)]
pub enum Commit {
    /// What lanes that have ended may commit.
    Last { lanes: Vec<Arc<LaneShared>>, until: Instant, done: Sender<()> },
    /// This offset, to learn whether the group accepts commits from this worker.
    Confirm {
        partition: i32,
        offset: i64,
        metadata: String,
        until: Instant,
        reply: oneshot::Sender<Result<(), KafkaError>>,
    },
    /// Nothing more comes.
    End,
}

/// Starts the thread; it ends with [`Commit::End`] or with the consumer.
pub(super) fn start(consumer: Weak<Consumer>, requests: Receiver<Commit>, interval: Duration) {
    std::thread::spawn(move || run(&consumer, &requests, interval));
}

fn run(consumer: &Weak<Consumer>, requests: &Receiver<Commit>, interval: Duration) {
    let mut next = Instant::now() + interval;
    loop {
        let request = requests.recv_timeout(next.saturating_duration_since(Instant::now()));
        let Some(consumer) = consumer.upgrade() else { return };
        match request {
            Err(RecvTimeoutError::Timeout) => {
                commit_lanes(&consumer, &consumer.context().lanes());
                next = Instant::now() + interval;
            }
            Ok(Commit::Last { lanes, until, done }) => {
                if is_due(until) {
                    commit_lanes(&consumer, &lanes);
                    let _ = done.send(());
                }
            }
            Ok(Commit::Confirm { partition, offset, metadata, until, reply }) => {
                if is_due(until) {
                    let _ = reply.send(confirm(&consumer, partition, offset, &metadata));
                }
            }
            Ok(Commit::End) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Past its deadline nobody waits for a commit any more, and the partition may be somebody else's.
fn is_due(until: Instant) -> bool {
    Instant::now() < until
}

fn commit_lanes(consumer: &Consumer, lanes: &[Arc<LaneShared>]) {
    let context = consumer.context();
    let mut list = TopicPartitionList::new();
    let due = uncommitted(lanes);
    for (lane, offset) in &due {
        add(&mut list, &context.topic, lane.partition, *offset, &lane.commit_metadata());
    }
    if due.is_empty() {
        return;
    }
    let timer = context.metrics.stage.with_label_values(&["commit"]).start_timer();
    let result = consumer.commit(&list, CommitMode::Sync);
    timer.observe_duration();
    match result {
        Ok(()) => {
            context.metrics.commits.with_label_values(&["ok"]).inc();
            context.link.access().committed();
            for (lane, offset) in due {
                lane.committed.store(offset, Ordering::Relaxed);
            }
        }
        // Another commit of the same offset came first.
        Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
        Err(error) => {
            context.metrics.commits.with_label_values(&["error"]).inc();
            // The group may hold these offsets all the same: after a restart that went back, what was committed before
            // has to be committed again.
            for (lane, _) in due {
                lane.committed.store(UNKNOWN, Ordering::Relaxed);
            }
            tracing::warn!(%error, "commit refused; it is tried again");
        }
    }
}

fn confirm(consumer: &Consumer, partition: i32, offset: i64, metadata: &str) -> Result<(), KafkaError> {
    let mut list = TopicPartitionList::new();
    add(&mut list, &consumer.context().topic, partition, offset, metadata);
    consumer.commit(&list, CommitMode::Sync)
}

/// Lanes that may commit an offset and have not, with that offset.
fn uncommitted(lanes: &[Arc<LaneShared>]) -> Vec<(&LaneShared, i64)> {
    let due = |lane: &Arc<LaneShared>| {
        let offset = lane.committable.load(Ordering::Relaxed);
        (offset != UNKNOWN && offset != lane.committed.load(Ordering::Relaxed)).then_some(offset)
    };
    lanes.iter().filter_map(|lane| Some((&**lane, due(lane)?))).collect()
}

fn add(list: &mut TopicPartitionList, topic: &str, partition: i32, offset: i64, metadata: &str) {
    // Fails for negative offsets alone, and those mean unknown.
    if list.add_partition_offset(topic, partition, Offset::Offset(offset)).is_ok() {
        set_metadata(list, topic, partition, metadata);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(partition: i32, committable: i64, committed: i64) -> Arc<LaneShared> {
        let lane = LaneShared::new(partition, 1);
        lane.committable.store(committable, Ordering::Relaxed);
        lane.committed.store(committed, Ordering::Relaxed);
        Arc::new(lane)
    }

    #[test]
    fn commits_only_what_is_known_and_not_committed_yet() {
        let lanes = [
            lane(0, UNKNOWN, UNKNOWN),
            lane(1, 7, UNKNOWN),
            lane(2, 7, 7),
            lane(3, 9, 7),
            lane(4, 0, UNKNOWN),
        ];
        let due: Vec<_> =
            uncommitted(&lanes).into_iter().map(|(lane, offset)| (lane.partition, offset)).collect();
        assert_eq!(due, [(1, 7), (3, 9), (4, 0)]);
    }

    #[test]
    fn a_commit_is_not_begun_past_its_deadline() {
        let now = Instant::now();
        assert!(is_due(now + Duration::from_secs(60)));
        assert!(!is_due(now));
    }
}
