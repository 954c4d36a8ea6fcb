//! Patience is how long answers about groups are waited for; the library must not end a question itself (see [`super`]).
//!
//! A question that takes too long fails here, and what comes of it later is dropped. Until then the library holds it, so that no more
//! is asked while it holds too many. A commit may so be made late: members that the group has by then make Kafka refuse it, and at
//! worst records are read again, which count once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::answer::{Answer, Code, Failure};

/// Questions without an answer in time that the library may hold: while all coordinators are away, each costs it some memory.
const MOST_LATE: usize = 256;
/// As the client counts errors.
const TIMED_OUT: Code = -185;

/// What a question about groups asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    Committed,
    Groups,
    Commit,
}

/// Questions about groups that have no answer yet.
#[derive(Debug)]
pub(super) struct Patience {
    timeout: Duration,
    /// By token, which grows: the first is the oldest.
    waiting: BTreeMap<u64, Waiting>,
    /// Given up here, and still held by the library.
    late: BTreeSet<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    asks: Asks,
    until: Instant,
    /// The library has it.
    sent: bool,
}

impl Patience {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { timeout, waiting: BTreeMap::new(), late: BTreeSet::new() }
    }

    /// Notes a question. False: it must not be sent, because too many have no answer; it fails in its turn.
    pub(super) fn begin(&mut self, token: u64, asks: Asks, now: Instant) -> bool {
        let sent = self.late.len() < MOST_LATE;
        let until = if sent { now + self.timeout } else { now };
        self.waiting.insert(token, Waiting { asks, until, sent });
        sent
    }

    /// Takes note of an answer. False: its question has failed already.
    pub(super) fn end(&mut self, token: u64) -> bool {
        self.waiting.remove(&token);
        !self.late.remove(&token)
    }

    /// When the oldest question fails.
    pub(super) fn until(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|(_, oldest)| oldest.until)
    }

    /// The oldest question, where its time is over, with its failure.
    pub(super) fn overdue(&mut self, now: Instant) -> Option<(u64, Answer)> {
        let oldest = self.waiting.first_entry().filter(|oldest| now >= oldest.get().until)?;
        let (token, waiting) = oldest.remove_entry();
        if waiting.sent {
            self.late.insert(token);
        }
        let failure = Failure { code: TIMED_OUT, text: "no coordinator answered in time".to_owned() };
        let answer = match waiting.asks {
            Asks::Committed => Answer::Committed(Err(failure)),
            Asks::Groups => Answer::Groups(Err(failure)),
            Asks::Commit => Answer::Commit(Err(failure)),
        };
        Some((token, answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(5);

    fn tokens(patience: &mut Patience, now: Instant) -> Vec<u64> {
        std::iter::from_fn(|| patience.overdue(now)).map(|(token, _)| token).collect()
    }

    #[test]
    fn a_question_fails_once_and_its_late_answer_is_dropped() {
        let (mut patience, begin) = (Patience::new(TIMEOUT), Instant::now());
        for (token, asks) in [(1, Asks::Committed), (2, Asks::Groups), (3, Asks::Commit)] {
            assert!(patience.begin(token, asks, begin));
        }
        let in_time = patience.end(2);
        let early = tokens(&mut patience, begin + TIMEOUT / 2);

        let overdue = tokens(&mut patience, begin + TIMEOUT);

        let (late, again) = (patience.end(1), tokens(&mut patience, begin + 2 * TIMEOUT));
        assert_eq!((in_time, early, overdue, late, again), (true, vec![], vec![1, 3], false, vec![]));
    }

    #[test]
    fn no_more_is_asked_while_too_many_have_no_answer() {
        let (mut patience, begin) = (Patience::new(TIMEOUT), Instant::now());
        let most = MOST_LATE as u64;
        let sent = (0..most).filter(|token| patience.begin(*token, Asks::Committed, begin)).count();
        let later = begin + TIMEOUT;
        let overdue = tokens(&mut patience, later).len();

        let refused = patience.begin(most, Asks::Committed, later);
        let failed = tokens(&mut patience, later);
        let answered = patience.end(7);
        let allowed = patience.begin(most + 1, Asks::Committed, later);

        assert_eq!(
            (sent, overdue, refused, failed, answered, allowed),
            (MOST_LATE, MOST_LATE, false, vec![most], false, true)
        );
    }
}
