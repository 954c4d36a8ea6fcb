//! Medians and spreads of several runs, side by side.

use std::collections::BTreeMap;
use std::fmt;

use super::subject::{Measure, Subject};

/// What was measured in one scenario.
#[derive(Debug, Default)]
pub struct Figures {
    runs: BTreeMap<Subject, Vec<Measure>>,
}

/// The middle of several values, with the least and the greatest.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    least: f64,
    median: f64,
    greatest: f64,
}

type Column = (&'static str, usize, fn(&Measure) -> f64);

/// CPU is the process's own, the client, where nothing else is said. What a report costs is that of client and store:
/// work can move from one to the other.
const COLUMNS: [Column; 8] = [
    ("reports/s", 0, |measure| measure.reports_per_second),
    ("reports per CPU-second", 0, |measure| 1e6 / measure.cpu_seconds_per_million),
    (".. of client + store", 0, |measure| 1e6 / measure.client_and_store()),
    ("CPU-s per million", 2, |measure| measure.cpu_seconds_per_million),
    (".. of client + store", 2, Measure::client_and_store),
    (".. of the broker", 2, |measure| measure.broker_seconds_per_million),
    ("idle processors, %", 0, |measure| measure.idle_share * 100.0),
    ("peak MiB", 1, |measure| measure.peak_mebibytes),
];

/// Of the names, and of each column.
const FIRST: usize = 26;
const WIDTH: usize = 23;

impl Figures {
    pub fn add(&mut self, subject: Subject, measure: Measure) {
        self.runs.entry(subject).or_default().push(measure);
    }

    fn spread(&self, subject: Subject, value: fn(&Measure) -> f64) -> Option<Spread> {
        Spread::of(self.runs.get(&subject)?.iter().map(value).collect())
    }

    /// The worker's figure over another's, medians of both.
    fn ratio(&self, other: Subject, value: fn(&Measure) -> f64) -> Option<f64> {
        Some(self.spread(Subject::Worker, value)?.median / self.spread(other, value)?.median)
    }
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (&least, &greatest) = (values.first()?, values.last()?);
        let upper = values.len() / 2;
        let lower = (values.len() - 1) / 2;
        Some(Self { least, median: f64::midpoint(values[lower], values[upper]), greatest })
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:FIRST$}", "")?;
        for (name, ..) in COLUMNS {
            write!(out, "  {name:>WIDTH$}")?;
        }
        for subject in self.runs.keys() {
            write!(out, "\n{subject:FIRST$}")?;
            for (_, digits, value) in COLUMNS {
                let Some(Spread { least, median, greatest }) = self.spread(*subject, value) else { continue };
                let text = format!("{median:.digits$} ({least:.digits$}-{greatest:.digits$})");
                write!(out, "  {text:>WIDTH$}")?;
            }
        }
        for other in self.runs.keys().filter(|subject| **subject != Subject::Worker) {
            write!(out, "\n{:FIRST$}", format!("worker / {other}"))?;
            for (_, _, value) in COLUMNS {
                let percent = |ratio: f64| format!("{:.0} %", ratio * 100.0);
                let ratio = self.ratio(*other, value).map_or_else(|| "-".to_owned(), percent);
                write!(out, "  {ratio:>WIDTH$}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two() {
        assert_eq!(Spread::of(vec![]), None);
        assert_eq!(Spread::of(vec![3.0, 1.0, 2.0]), Some(Spread { least: 1.0, median: 2.0, greatest: 3.0 }));
        assert_eq!(Spread::of(vec![4.0, 1.0]), Some(Spread { least: 1.0, median: 2.5, greatest: 4.0 }));
    }

    #[test]
    fn figures_stand_side_by_side_with_their_ratio() {
        let measure = |reports_per_second| Measure {
            reports_per_second,
            cpu_seconds_per_million: 2.0,
            store_seconds_per_million: 1.0,
            broker_seconds_per_million: 0.5,
            idle_share: 0.1,
            peak_mebibytes: 30.0,
        };
        let mut figures = Figures::default();
        for rate in [100.0, 300.0, 200.0] {
            figures.add(Subject::Baseline, measure(rate));
            figures.add(Subject::Worker, measure(rate * 0.8));
            figures.add(Subject::Peer, measure(rate * 0.2));
        }
        let lines = figures.to_string();
        let rates: Vec<_> =
            lines.lines().map(|line| (line[..FIRST].trim(), line[FIRST..][..WIDTH + 2].trim())).collect();
        assert_eq!(
            rates,
            [
                ("", "reports/s"),
                ("consume + SET", "200 (100-300)"),
                ("plaudit-worker", "160 (80-240)"),
                ("Go peer", "40 (20-60)"),
                ("worker / consume + SET", "80 %"),
                ("worker / Go peer", "400 %"),
            ]
        );
    }
}
