//! The scale-in window: a worker goes only when nothing in it was asked for by a decision.

use std::collections::VecDeque;
use std::time::Duration;

/// What was asked for in the past, as long as it may keep a worker: only what nothing later exceeds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Window {
    /// Times ascend, numbers descend.
    asked: VecDeque<Asked>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Asked {
    at: Duration,
    workers: u32,
    /// Made from the lag alone, before a worker's capacity was known.
    guess: bool,
}

impl Window {
    pub(super) fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// Remembers a number.
    pub(super) fn push(&mut self, workers: u32, guess: bool, span: Duration, now: Duration) {
        while self.asked.back().is_some_and(|last| last.workers <= workers) {
            self.asked.pop_back();
        }
        self.asked.push_back(Asked { at: now, workers, guess });
        while self.asked.front().is_some_and(|first| now.saturating_sub(first.at) > span) {
            self.asked.pop_front();
        }
    }

    /// The greatest number in the window.
    pub(super) fn most(&self) -> u32 {
        self.asked.front().map_or(0, |first| first.workers)
    }

    /// When the greatest number leaves it.
    pub(super) fn ends(&self, span: Duration) -> Option<Duration> {
        self.asked.front().map(|first| first.at + span)
    }

    /// What was guessed counts no more: now it is known.
    pub(super) fn forget_guesses(&mut self) {
        self.asked.retain(|asked| !asked.guess);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_secs(60);

    #[test]
    fn the_greatest_number_counts_until_it_is_older_than_the_window() {
        let mut window = Window::default();
        let asked =
            [(0, 5), (10, 9), (20, 1), (69, 1), (70, 1), (71, 1), (100, 3), (110, 2), (161, 2), (162, 2)];

        let most: Vec<_> = asked
            .iter()
            .map(|(second, workers)| {
                window.push(*workers, false, SPAN, Duration::from_secs(*second));
                window.most()
            })
            .collect();

        assert_eq!(most, [5, 9, 9, 9, 9, 1, 3, 3, 2, 2]);
    }

    #[test]
    fn a_guess_is_forgotten_and_what_was_known_stays() {
        let mut window = Window::default();
        window.push(7, false, SPAN, Duration::ZERO);
        window.push(5, true, SPAN, Duration::from_secs(1));
        window.push(3, false, SPAN, Duration::from_secs(2));

        window.forget_guesses();

        let mut expected = Window::default();
        expected.push(7, false, SPAN, Duration::ZERO);
        expected.push(3, false, SPAN, Duration::from_secs(2));
        assert_eq!(window, expected);
    }
}
