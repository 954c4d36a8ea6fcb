//! The log-end watch: asks the broker where logs end that no fetch answer tells of.
//!
//! A lane that waits or has stopped fetches nothing once its queue is full: its lag would stand still just when it
//! grows. The calls block, so they have a thread of their own.

use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::Duration;

use rdkafka::consumer::Consumer as _;

use super::group::Consumer;
use crate::lane::{LaneShared, LaneState, UNKNOWN};

/// Two small requests for each such lane: often enough for a lag, rarely enough for a broker in trouble.
const EVERY: Duration = Duration::from_secs(10);
/// Leaving the group waits for the call under way, so it must be short.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Starts the thread; it ends when the returned sender is dropped.
pub(super) fn start(consumer: Weak<Consumer>) -> Sender<()> {
    let (running, ended) = channel();
    std::thread::spawn(move || {
        while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
            let Some(consumer) = consumer.upgrade() else { return };
            look(&consumer, &ended);
        }
    });
    running
}

fn look(consumer: &Consumer, ended: &Receiver<()>) {
    let context = consumer.context();
    for lane in context.lanes().iter().filter(|lane| is_unobserved(lane)) {
        if ended.try_recv() != Err(TryRecvError::Empty) {
            return;
        }
        match consumer.fetch_watermarks(&context.topic, lane.partition, TIMEOUT) {
            Ok((_, end)) => lane.log_end.store(end, Ordering::Relaxed),
            // A broker that does not answer for one partition rarely does for the next.
            Err(error) => {
                tracing::debug!(partition = lane.partition, %error, "cannot ask for the log end");
                return;
            }
        }
    }
}

fn is_unobserved(lane: &LaneShared) -> bool {
    lane.state() != LaneState::Running || lane.log_end.load(Ordering::Relaxed) == UNKNOWN
}

/// Whether the log end of the last fetch answer is worth more than what is known: an answer as old as the one seen
/// before says nothing new, and the broker may have been asked since.
pub(super) fn is_news(seen: Option<i64>, cached: i64, known: i64) -> bool {
    seen != Some(cached) || known == UNKNOWN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_lane_with_a_log_end_is_left_to_its_fetch_answers() {
        let lane = LaneShared::new(0, 1);
        assert!(is_unobserved(&lane), "starting");
        lane.set_state(LaneState::Running);
        assert!(is_unobserved(&lane), "without a log end");
        lane.log_end.store(7, Ordering::Relaxed);
        assert!(!is_unobserved(&lane));
        lane.set_state(LaneState::Waiting);
        assert!(is_unobserved(&lane), "waiting");
    }

    #[test]
    fn an_old_fetch_answer_does_not_undo_what_the_broker_said() {
        assert!(is_news(None, 10, UNKNOWN));
        assert!(is_news(Some(10), 12, 15), "a new answer");
        assert!(!is_news(Some(10), 10, 15), "the same answer again");
        assert!(is_news(Some(10), 10, UNKNOWN), "assigned again");
    }
}
