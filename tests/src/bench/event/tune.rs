//! Tuning `direct` to its best: one setting after the other, the cheapest that is fast enough stays.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};

use super::bed::Bed;
use super::run::Run;
use super::trace::Trace;
use crate::direct::{Cas, Settings};

/// What servers are sized for; settings that are slower are no choice.
const SLOWEST: Duration = Duration::from_secs(1);

/// What the benchmark has found best, or no worse than the best but for noise; for runs too short to search.
pub const FOUND: Settings =
    Settings { threads: 2, store_connections: 2, in_flight: 256, backoff_milliseconds: 1, cas: Cas::Ifeq };

/// One setting on the flood.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trial {
    pub settings: Settings,
    /// CPU-seconds of `direct` and the store for a report.
    pub cost: f64,
    pub rate: f64,
    pub slowest: Duration,
    pub complete: bool,
}

/// Searches the settings that take the least CPU of `direct` and the store on the `short` trace, among those that also
/// store all of the `whole` one: reports that are given up after so many conflicts are rare, and show in a long flood only.
/// `tried` is told each trial.
pub fn search(
    bed: &Bed<'_>,
    (short, whole): (&Arc<Trace>, &Arc<Trace>),
    mut tried: impl FnMut(&Trial),
) -> Result<Settings> {
    let mut run = |trace, settings| {
        let trial = Trial::of(settings, &bed.run_direct(trace, settings)?);
        tried(&trial);
        anyhow::Ok(trial)
    };
    let mut best = run(short, FOUND)?;
    let mut trials = vec![best];
    for choices in choices() {
        for choose in choices {
            let settings = choose(best.settings);
            if trials.iter().all(|trial| trial.settings != settings) {
                let trial = run(short, settings)?;
                trials.push(trial);
                best = better(best, trial);
            }
        }
    }
    for settings in cheapest_first(trials) {
        if run(whole, settings)?.is_a_choice() {
            return Ok(settings);
        }
    }
    bail!("no setting of direct is fast enough here and stores everything: the best was {best}")
}

/// The settings that are a choice.
fn cheapest_first(mut trials: Vec<Trial>) -> impl Iterator<Item = Settings> {
    trials.retain(Trial::is_a_choice);
    trials.sort_by(|one, other| one.cost.total_cmp(&other.cost));
    trials.into_iter().map(|trial| trial.settings)
}

type Choice = fn(Settings) -> Settings;

/// Settings to try, the ones that matter most first.
fn choices() -> [Vec<Choice>; 5] {
    [
        vec![|s| Settings { cas: Cas::Script, ..s }, |s| Settings { cas: Cas::Ifeq, ..s }],
        vec![|s| Settings { in_flight: 64, ..s }, |s| Settings { in_flight: 256, ..s }, |s| Settings {
            in_flight: 1_024,
            ..s
        }],
        vec![|s| Settings { store_connections: 1, ..s }, |s| Settings { store_connections: 2, ..s }, |s| {
            Settings { store_connections: 8, ..s }
        }],
        vec![
            |s| Settings { backoff_milliseconds: 0, ..s },
            |s| Settings { backoff_milliseconds: 1, ..s },
            |s| Settings { backoff_milliseconds: 4, ..s },
        ],
        vec![|s| Settings { threads: 1, ..s }, |s| Settings { threads: 2, ..s }],
    ]
}

fn better(best: Trial, other: Trial) -> Trial {
    let wins = other.is_a_choice() && (!best.is_a_choice() || other.cost < best.cost);
    if wins { other } else { best }
}

impl Trial {
    fn of(settings: Settings, run: &Run) -> Self {
        let cpu = run.flood();
        Self {
            settings,
            cost: cpu.subject + cpu.store,
            rate: run.trace.flood.len() as f64 / run.flood.elapsed.as_secs_f64().max(f64::EPSILON),
            slowest: run.flood.slowest_percent.unwrap_or(Duration::MAX),
            complete: run.stored_reports() == run.trace.reports.len() as u64,
        }
    }

    fn is_a_choice(&self) -> bool {
        self.complete && self.slowest <= SLOWEST
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (micros, millis) = (self.cost * 1e6, self.slowest.as_secs_f64() * 1e3);
        write!(
            out,
            "{}: {micros:.1} µs, {:.0} reports/s, {millis:.0} ms at p99{}",
            Told(self.settings),
            self.rate,
            if self.complete { "" } else { ", gave up on some" }
        )
    }
}

/// Settings as they are printed.
#[derive(Clone, Copy, Debug)]
pub struct Told(pub Settings);

impl fmt::Display for Told {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { threads, store_connections, in_flight, backoff_milliseconds, cas } = self.0;
        let cas = match cas {
            Cas::Script => "script",
            Cas::Ifeq => "SET IFEQ",
        };
        let backoff = match backoff_milliseconds {
            0 => "no backoff".to_owned(),
            millis => format!("backoff from {millis} ms"),
        };
        write!(
            out,
            "{cas}, {in_flight} in flight, {store_connections} store connections, {backoff}, {threads} threads"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cheapest_that_is_fast_enough_and_loses_nothing_wins() {
        let trial = |cost, millis, complete| Trial {
            settings: FOUND,
            cost,
            rate: 1.0,
            slowest: Duration::from_millis(millis),
            complete,
        };
        let good = trial(2.0, 900, true);
        let others = [trial(3.0, 10, true), trial(1.0, 1_001, true), trial(1.0, 10, false)];
        assert!(others.into_iter().all(|other| better(good, other) == good));
        assert_eq!(better(good, trial(1.0, 900, true)).cost, 1.0);
        assert_eq!(better(trial(1.0, 1_001, true), good), good);
    }

    #[test]
    fn the_next_cheapest_comes_when_the_cheapest_is_refused() {
        let trial = |in_flight, cost, complete| Trial {
            settings: Settings { in_flight, ..FOUND },
            cost,
            rate: 1.0,
            slowest: Duration::ZERO,
            complete,
        };
        let trials = vec![trial(1, 3.0, true), trial(2, 1.0, false), trial(3, 2.0, true)];
        let order: Vec<_> = cheapest_first(trials).map(|settings| settings.in_flight).collect();
        assert_eq!(order, [3, 1]);
    }

    #[test]
    fn every_setting_is_tried_in_more_than_one_way() {
        for choices in choices() {
            let tried: Vec<_> = choices.iter().map(|choose| choose(FOUND)).collect();
            assert!(tried.contains(&FOUND) && tried.iter().any(|other| *other != FOUND), "{tried:?}");
        }
    }
}
