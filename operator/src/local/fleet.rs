//! The worker processes as a plan sees them: which to start, stop or kill, and when. Pure: time and randomness are arguments.

use std::collections::BTreeMap;
use std::time::Duration;

/// The first wait before a crashed worker is started again; each further crash doubles it.
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
/// Nobody waits longer for a worker that crashes at once, every time.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
/// A worker that ran this long has recovered: its next crash counts as the first.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);

/// Every worker of one pipeline, by number.
#[derive(Clone, Debug, PartialEq)]
pub struct Fleet {
    slots: BTreeMap<u32, Slot>,
    drain_deadline: Duration,
}

/// One worker: the process that runs, or the wait for the next one.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// What it does now.
    pub state: State,
    /// How often it was started again.
    pub restarts: u32,
    /// How the last process ended, until the next one is ready.
    pub trouble: Option<String>,
    started_before: bool,
    crashes: u32,
}

/// What a worker does. Times are since the fleet began.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// It is to be started at this time.
    Waiting {
        /// When.
        until: Duration,
    },
    /// Its process runs.
    Running {
        /// The process.
        pid: u32,
        /// Since when.
        since: Duration,
    },
    /// It was asked to stop.
    Draining {
        /// The process.
        pid: u32,
        /// When it is killed if it still runs.
        kill_at: Duration,
        /// It was killed, and has only to be collected.
        killed: bool,
    },
}

/// What to do to a process.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Start a process for the worker of this number.
    Start(u32),
    /// Ask it to drain and stop (SIGTERM).
    Terminate(u32),
    /// End it (SIGKILL).
    Kill(u32),
}

impl Fleet {
    /// A fleet without workers. A process that was asked to stop is killed after `drain_deadline`.
    #[must_use]
    pub fn new(drain_deadline: Duration) -> Self {
        Self { slots: BTreeMap::new(), drain_deadline }
    }

    /// What has to be done now so that `wanted` workers run. Each answer to a start is told by [`Fleet::started`] or [`Fleet::ended`].
    pub fn actions(&mut self, wanted: u32, now: Duration) -> Vec<Action> {
        let mut actions = self.remove_surplus(wanted, now);
        self.add_missing(wanted, now);
        for (index, slot) in &mut self.slots {
            match &mut slot.state {
                State::Waiting { until } if *until <= now => actions.push(Action::Start(*index)),
                State::Draining { kill_at, killed, .. } if !*killed && *kill_at <= now => {
                    *killed = true;
                    actions.push(Action::Kill(*index));
                }
                State::Waiting { .. } | State::Running { .. } | State::Draining { .. } => {}
            }
        }
        actions
    }

    /// The highest numbers go first, so that names stay dense.
    fn remove_surplus(&mut self, wanted: u32, now: Duration) -> Vec<Action> {
        let surplus: Vec<u32> = self.active().skip(wanted as usize).collect();
        let mut actions = Vec::new();
        for index in surplus.into_iter().rev() {
            let Some(slot) = self.slots.get_mut(&index) else { continue };
            if let State::Running { pid, .. } = slot.state {
                slot.state = State::Draining { pid, kill_at: now + self.drain_deadline, killed: false };
                actions.push(Action::Terminate(index));
            } else {
                self.slots.remove(&index);
            }
        }
        actions
    }

    fn add_missing(&mut self, wanted: u32, now: Duration) {
        let active = self.active().count();
        // A number that still drains is not free: its files belong to the old process.
        let free: Vec<u32> = (0..)
            .filter(|index| !self.slots.contains_key(index))
            .take((wanted as usize).saturating_sub(active))
            .collect();
        for index in free {
            let state = State::Waiting { until: now };
            let slot = Slot { state, restarts: 0, trouble: None, started_before: false, crashes: 0 };
            self.slots.insert(index, slot);
        }
    }

    /// Lets a worker drain so that another takes its place; false if it does not run.
    pub fn replace(&mut self, index: u32, now: Duration) -> bool {
        let Some(Slot { state, .. }) = self.slots.get_mut(&index) else { return false };
        let State::Running { pid, .. } = *state else { return false };
        *state = State::Draining { pid, kill_at: now + self.drain_deadline, killed: false };
        true
    }

    /// The process of a worker runs.
    pub fn started(&mut self, index: u32, pid: u32, now: Duration) {
        if let Some(slot) = self.slots.get_mut(&index) {
            slot.restarts += u32::from(slot.started_before);
            slot.started_before = true;
            slot.state = State::Running { pid, since: now };
        }
    }

    /// The process of a worker ended, or could not be started. `how` is for people; `jitter` is random, from 0 to 1.
    pub fn ended(&mut self, index: u32, how: &str, jitter: f64, now: Duration) {
        let Some(slot) = self.slots.get_mut(&index) else { return };
        let ran = match slot.state {
            State::Draining { .. } => {
                self.slots.remove(&index);
                return;
            }
            State::Running { since, .. } => now.saturating_sub(since),
            State::Waiting { .. } => Duration::ZERO,
        };
        slot.crashes = if ran >= HEALTHY_AFTER { 1 } else { slot.crashes.saturating_add(1) };
        slot.trouble = Some(how.to_owned());
        slot.state = State::Waiting { until: now + backoff(slot.crashes, jitter) };
    }

    /// A worker is ready, so what happened to the process before it no longer matters.
    pub fn ready(&mut self, index: u32) {
        if let Some(slot) = self.slots.get_mut(&index) {
            slot.trouble = None;
        }
    }

    /// When the next action is due by time alone.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        let due = self.slots.values().filter_map(|slot| match &slot.state {
            State::Waiting { until } => Some(*until),
            State::Draining { kill_at, killed: false, .. } => Some(*kill_at),
            State::Running { .. } | State::Draining { killed: true, .. } => None,
        });
        due.min()
    }

    /// Every worker with its number.
    pub fn slots(&self) -> impl Iterator<Item = (u32, &Slot)> {
        self.slots.iter().map(|(index, slot)| (*index, slot))
    }

    /// True when no process runs and none is to be started.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Numbers of the workers that run or are to be started.
    fn active(&self) -> impl Iterator<Item = u32> {
        self.slots
            .iter()
            .filter(|(_, slot)| !matches!(slot.state, State::Draining { .. }))
            .map(|(index, _)| *index)
    }
}

impl Slot {
    /// Its process.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        match self.state {
            State::Waiting { .. } => None,
            State::Running { pid, .. } | State::Draining { pid, .. } => Some(pid),
        }
    }
}

/// w-0, w-1, …
pub(super) fn worker_name(index: u32) -> String {
    format!("w-{index}")
}

/// Between half the wait and all of it, so that workers that fell together do not come back together.
fn backoff(crashes: u32, jitter: f64) -> Duration {
    let doublings = crashes.saturating_sub(1).min(16);
    FIRST_BACKOFF
        .saturating_mul(1 << doublings)
        .min(LONGEST_BACKOFF)
        .mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;
    const SEC: fn(u64) -> Duration = Duration::from_secs;

    /// A fleet of workers that all run since time zero.
    fn running(count: u32) -> Fleet {
        let mut fleet = Fleet::new(SEC(15));
        let starts = fleet.actions(count, SEC(0));
        assert_eq!(starts, (0..count).map(Action::Start).collect::<Vec<_>>());
        for index in 0..count {
            fleet.started(index, 100 + index, SEC(0));
        }
        fleet
    }

    #[test]
    fn growing_starts_the_lowest_free_numbers() {
        let mut fleet = running(2);

        assert_eq!(fleet.actions(4, SEC(1)), [Action::Start(2), Action::Start(3)]);
    }

    #[test]
    fn a_fleet_that_fits_is_left_alone() {
        let mut fleet = running(3);

        assert_eq!((fleet.actions(3, SEC(900)), fleet.next_due()), (vec![], None));
    }

    #[test]
    fn shrinking_asks_the_highest_numbers_and_kills_only_after_the_deadline() {
        let mut fleet = running(3);

        let asked = fleet.actions(1, SEC(10));
        let waiting = fleet.actions(1, MS(24_999));
        fleet.ended(1, "exited with status 0", 0.0, SEC(12));
        let killed = fleet.actions(1, SEC(25));
        let once = fleet.actions(1, SEC(26));
        fleet.ended(2, "was killed by signal 9", 0.0, SEC(26));

        assert_eq!(
            (asked, waiting, killed, once, fleet),
            (
                vec![Action::Terminate(2), Action::Terminate(1)],
                vec![],
                vec![Action::Kill(2)],
                vec![],
                running(1)
            )
        );
    }

    #[test]
    fn a_number_that_still_drains_is_not_used_again() {
        let mut fleet = running(2);
        let _ = fleet.actions(1, SEC(1));

        assert_eq!(fleet.actions(2, SEC(2)), [Action::Start(2)]);
    }

    #[test]
    fn a_crashed_worker_comes_back_ever_later_and_at_most_half_a_minute() {
        let mut fleet = running(1);
        let mut now = SEC(1);
        let mut waits = Vec::new();

        for _ in 0..9 {
            fleet.ended(0, "exited with status 1", 1.0, now);
            let due = fleet.next_due().expect("it comes back");
            waits.push((due - now).as_millis());
            assert_eq!(
                (fleet.actions(1, due - MS(1)), fleet.actions(1, due)),
                (vec![], vec![Action::Start(0)])
            );
            fleet.started(0, 7, due);
            now = due;
        }

        let restarts = fleet.slots().next().map(|(_, slot)| slot.restarts);
        assert_eq!(
            (waits, restarts),
            (vec![500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000], Some(9))
        );
    }

    #[test]
    fn a_worker_that_is_replaced_drains_while_another_starts() {
        let mut fleet = running(2);

        let replaced = fleet.replace(0, SEC(10));
        let started = fleet.actions(2, SEC(10));
        fleet.ended(0, "exited with status 0", 0.0, SEC(12));

        assert_eq!((replaced, started, fleet.replace(0, SEC(13))), (true, vec![Action::Start(2)], false));
        assert_eq!(fleet.actions(2, SEC(13)), [Action::Start(2)]);
    }

    #[test]
    fn jitter_shortens_a_wait_by_up_to_half() {
        let waits = [0.0, 0.5, 1.0].map(|jitter| backoff(1, jitter));

        assert_eq!(waits, [MS(250), MS(375), MS(500)]);
    }

    #[test]
    fn a_worker_that_ran_for_a_minute_has_recovered() {
        let mut fleet = running(1);
        fleet.ended(0, "exited with status 1", 1.0, SEC(1));
        fleet.ended(0, "could not be started", 1.0, SEC(2));
        fleet.started(0, 7, SEC(10));

        fleet.ended(0, "exited with status 1", 1.0, SEC(70));

        assert_eq!(fleet.next_due(), Some(SEC(70) + FIRST_BACKOFF));
    }

    #[test]
    fn a_worker_that_waits_is_given_up_without_a_signal() {
        let mut fleet = running(1);
        fleet.ended(0, "exited with status 1", 1.0, SEC(1));

        assert_eq!((fleet.actions(0, SEC(1)), fleet.is_empty()), (vec![], true));
    }

    #[test]
    fn trouble_shows_until_the_next_process_is_ready() {
        let mut fleet = running(1);
        let trouble = |fleet: &Fleet| fleet.slots().next().and_then(|(_, slot)| slot.trouble.clone());

        fleet.ended(0, "exited with status 1", 1.0, SEC(1));
        fleet.started(0, 7, SEC(2));
        let before = trouble(&fleet);
        fleet.ready(0);

        assert_eq!((before, trouble(&fleet)), (Some("exited with status 1".to_owned()), None));
    }
}
