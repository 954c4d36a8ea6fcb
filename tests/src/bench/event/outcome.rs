//! The outcome of an event: figures of both sides, whether they may be compared, and the table that says so.

use std::fmt;
use std::time::Duration;

use super::run::Run;
use super::sizing::{CATCH_UP, Event, Taken, saved};
use super::trace::Phase;
use super::usage::Cpu;

/// So many of `direct`'s attempts have to meet a conflict: fewer is no contention, more is no service any more.
const CONFLICTS: std::ops::RangeInclusive<f64> = 0.1..=0.3;
/// What servers are sized for.
const SLOWEST: Duration = Duration::from_secs(1);
/// A trace sent later than that is another trace.
const LATEST: Duration = Duration::from_millis(250);
/// Letters in a line.
const WIDTH: usize = 118;

/// What both sides had in common.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// Lines that tell them.
    pub lines: Vec<String>,
    /// The platform that servers are counted for.
    pub platform: Event,
}

/// Figures of one side.
#[derive(Clone, Debug, Default)]
pub struct Side {
    pub name: &'static str,
    pub reports: u64,
    pub stored: u64,
    pub wrong: Option<String>,
    /// Among all attempts, in the event and in the flood.
    pub conflicts: f64,
    pub flood_conflicts: f64,
    /// The 99th percentile of how late reports were sent, and of replies in the flood.
    pub lateness: Duration,
    pub flood_slowest: Duration,
    /// Median and 99th percentile.
    pub accepted: Pair,
    pub burst_stored: Pair,
    pub quiet_accepted: Pair,
    pub quiet_stored: Pair,
    /// CPU of a report.
    pub burst: Cpu,
    pub flood: Cpu,
    /// Reports per second.
    pub flood_rate: f64,
    pub resident_mebibytes: f64,
    /// Processors that others kept busy.
    pub others: f64,
}

/// Median and 99th percentile.
pub type Pair = (Duration, Duration);

/// Both sides on one trace.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub conditions: Conditions,
    pub direct: Side,
    pub plaudit: Side,
}

impl Side {
    pub fn of(name: &'static str, run: &Run) -> Self {
        let flood = run.trace.flood.len() as f64;
        // Nothing answered is as bad as it can be.
        let quantile = |found: Option<Duration>| found.unwrap_or(Duration::MAX);
        let accepted = |phase, share| quantile(run.accepted.quantile(phase, share));
        let stored = |phase, share| quantile(run.stored.quantile(phase, share));
        Self {
            name,
            reports: run.trace.reports.len() as u64,
            stored: run.stored_reports(),
            wrong: run.wrong.clone(),
            conflicts: run.writes.conflict_share(),
            flood_conflicts: run.flood.writes.conflict_share(),
            lateness: quantile(run.lateness.quantile(0.99)),
            flood_slowest: run.flood.slowest_percent.unwrap_or_default(),
            accepted: (accepted(Phase::Burst, 0.5), accepted(Phase::Burst, 0.99)),
            burst_stored: (stored(Phase::Burst, 0.5), stored(Phase::Burst, 0.99)),
            quiet_accepted: (accepted(Phase::Quiet, 0.5), accepted(Phase::Quiet, 0.99)),
            quiet_stored: (stored(Phase::Quiet, 0.5), stored(Phase::Quiet, 0.99)),
            burst: run.phase(Phase::Burst),
            flood: run.flood(),
            flood_rate: flood / run.flood.elapsed.as_secs_f64().max(f64::EPSILON),
            resident_mebibytes: run.resident_mebibytes,
            others: run.others(),
        }
    }

    /// Why nothing may be concluded from this side.
    fn faults(&self) -> Vec<String> {
        let Self { name, reports, stored, .. } = self;
        let mut faults = Vec::new();
        if stored != reports {
            faults.push(format!("{name} stored {stored} of {reports} reports"));
        }
        if let Some(wrong) = &self.wrong {
            faults.push(format!("{name} stored something else than was reported: {wrong}"));
        }
        if self.lateness > LATEST {
            let (late, most) = (shown(self.lateness), shown(LATEST));
            faults.push(format!(
                "reports for {name} were sent up to {late} late at p99, above {most}: too much else runs on this machine"
            ));
        }
        let slowest = self.accepted.1.max(self.flood_slowest);
        if slowest > SLOWEST {
            let (slowest, most) = (shown(slowest), shown(SLOWEST));
            faults.push(format!(
                "{name} accepted reports in {slowest} at p99, above {most}, for which servers are counted: use a lower rate"
            ));
        }
        faults
    }

    fn taken(&self) -> Taken {
        Taken { per_report: self.flood.subject, resident_mebibytes: self.resident_mebibytes }
    }
}

impl Outcome {
    /// Why the sides may not be compared; empty: they may.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = self.direct.faults();
        faults.extend(self.plaudit.faults());
        for (share, when) in [(self.direct.conflicts, "event"), (self.direct.flood_conflicts, "flood")] {
            if !CONFLICTS.contains(&share) {
                let (least, most) = (percent(*CONFLICTS.start()), percent(*CONFLICTS.end()));
                faults.push(format!(
                    "direct met conflicts in {} of its attempts in the {when}, not in {least} to {most}",
                    percent(share)
                ));
            }
        }
        faults
    }

    /// What the numbers of servers come from.
    fn how_counted(&self) -> String {
        let event = &self.conditions.platform;
        let Event { usual, burst, length } = event;
        format!(
            "Servers are counted for a platform with {} reports/s, and {}/s for {} s: reports/s × CPU of a report, with \
             4 cores at most 80 % busy and one process on each server; not measured on four cores or many servers. That CPU is \
             measured as fast as each process goes here ({}/s and {}/s). direct is sized for the peak, Plaudit for {}/s: it has \
             caught up {} s after the burst, whose last report is stored after {:.0} s then; the latencies are of a worker with room. \
             The store is not counted.",
            grouped(*usual),
            grouped(*burst),
            length.as_secs(),
            grouped(self.direct.flood_rate),
            grouped(self.plaudit.flood_rate),
            grouped(event.with_catch_up()),
            CATCH_UP.as_secs(),
            event.longest_wait().as_secs_f64(),
        )
    }

    fn how_measured(&self) -> String {
        format!(
            "Latencies are median / 99th percentile, from when a report was due; compared are medians. direct accepts a \
             report when it is stored, Plaudit when Kafka has it. Others on this machine kept {:.1} and {:.1} processors busy.",
            self.direct.others, self.plaudit.others
        )
    }

    fn rows(&self) -> Vec<Row> {
        let Self { direct, plaudit, conditions } = self;
        let event = &conditions.platform;
        let catch_up = event.with_catch_up();
        let (before, now) = (direct.taken().fleet(event.burst), plaudit.taken().fleet(catch_up));
        let peak = plaudit.taken().fleet(event.burst);
        let servers = |servers: u64| servers as f64;
        let count = |value: f64| format!("{value:.0}");
        let mebibytes = |value: f64| format!("{value:.0} MiB");
        let micros = |value: f64| format!("{:.1} µs", value * 1e6);
        let both = |cpu: &Cpu| cpu.subject + cpu.store;
        let all = |cpu: &Cpu| cpu.subject + cpu.store + cpu.broker;
        let row = |name, before, now, unit: &dyn Fn(f64) -> String| Row {
            name,
            cells: [unit(before), unit(now)],
            saved: saved(before, now),
        };
        // direct needs no broker.
        let flood = |cost: fn(&Cpu) -> f64| (both(&direct.flood), cost(&plaudit.flood));
        let burst = |cost: fn(&Cpu) -> f64| (both(&direct.burst), cost(&plaudit.burst));
        let (flood_both, flood_all) = (flood(|cpu| cpu.subject + cpu.store), flood(all));
        let (burst_both, burst_all) = (burst(|cpu| cpu.subject + cpu.store), burst(all));
        vec![
            row("servers of 4 cores, 8 GB", servers(before.servers), servers(now.servers), &count),
            row("  both sized for the peak", servers(before.servers), servers(peak.servers), &count),
            row("fleet memory, resident", before.mebibytes, now.mebibytes, &mebibytes),
            row("CPU of a report: client + store", flood_both.0, flood_both.1, &micros),
            row("  with the broker", flood_all.0, flood_all.1, &micros),
            row("  game servers", direct.flood.senders, plaudit.flood.senders, &micros),
            row("  at the burst's rate here", burst_both.0, burst_both.1, &micros),
            row("  at that rate, with the broker", burst_all.0, burst_all.1, &micros),
            row("conflicts among attempts", direct.conflicts, plaudit.conflicts, &percent),
            latency("accepted in the burst", direct.accepted, plaudit.accepted),
            latency("stored in the burst", direct.burst_stored, plaudit.burst_stored),
            latency("low load: accepted", direct.quiet_accepted, plaudit.quiet_accepted),
            latency("low load: stored", direct.quiet_stored, plaudit.quiet_stored),
        ]
    }
}

/// One line of the table.
struct Row {
    name: &'static str,
    cells: [String; 2],
    saved: Option<f64>,
}

fn latency(name: &'static str, before: Pair, now: Pair) -> Row {
    let cell = |(median, slowest): Pair| format!("{} / {}", shown(median), shown(slowest));
    let saved = saved(before.0.as_secs_f64(), now.0.as_secs_f64());
    Row { name, cells: [cell(before), cell(now)], saved }
}

/// In lines of a width that a terminal has.
fn wrapped(text: &str) -> String {
    let (mut wrapped, mut width) = (String::new(), 0);
    for word in text.split_whitespace() {
        let letters = word.chars().count();
        if width > 0 && width + 1 + letters > WIDTH {
            wrapped.push('\n');
            width = 0;
        } else if width > 0 {
            wrapped.push(' ');
            width += 1;
        }
        wrapped.push_str(word);
        width += letters;
    }
    wrapped
}

/// In groups of three digits.
pub fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn shown(duration: Duration) -> String {
    if duration == Duration::MAX {
        "-".to_owned()
    } else if duration >= Duration::from_secs(1) {
        format!("{:.2} s", duration.as_secs_f64())
    } else {
        format!("{:.1} ms", duration.as_secs_f64() * 1e3)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults = self.faults();
        let valid = faults.is_empty();
        let difference = if valid { "difference" } else { "" };
        write!(out, "{:34}{:>20}{:>20}{difference:>13}", "", self.direct.name, self.plaudit.name)?;
        for Row { name, cells: [before, now], saved } in self.rows() {
            write!(out, "\n{name:34}{before:>20}{now:>20}")?;
            if let Some(saved) = saved.filter(|_| valid) {
                write!(out, "{:>13}", format!("{:+.0} %", saved * -100.0))?;
            }
        }
        for line in self.conditions.lines.iter().chain(&[self.how_counted(), self.how_measured()]) {
            write!(out, "\n{}", wrapped(line))?;
        }
        for (index, fault) in faults.iter().enumerate() {
            let before = if index == 0 { "INVALID, so nothing is compared: " } else { "and " };
            write!(out, "\n{before}{fault}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Spoil = fn(&mut Outcome);

    fn outcome() -> Outcome {
        let millis = Duration::from_millis;
        let side = |name, micros: f64| Side {
            name,
            reports: 10,
            stored: 10,
            accepted: (millis(4), millis(20)),
            flood: Cpu { subject: micros * 1e-6, ..Cpu::default() },
            resident_mebibytes: 20.0,
            ..Side::default()
        };
        let length = Duration::from_secs(30);
        Outcome {
            conditions: Conditions {
                lines: vec!["conditions".to_owned()],
                platform: Event { usual: 1e6, burst: 4e6, length },
            },
            direct: Side { conflicts: 0.2, flood_conflicts: 0.2, ..side("direct", 20.0) },
            plaudit: side("Plaudit", 4.0),
        }
    }

    #[test]
    fn servers_are_those_of_the_arithmetic_and_stand_with_their_difference() {
        let text = outcome().to_string();
        // 4 M/s × 20 µs / 3.2 = 25; 2 M/s × 4 µs / 3.2 = 2.5; 4 M/s × 4 µs / 3.2 = 5.
        let found: Vec<Vec<&str>> = text
            .lines()
            .skip(1)
            .take(2)
            .map(|line| line.split_whitespace().rev().take(4).collect())
            .collect();
        assert_eq!(found, [["%", "-88", "3", "25"], ["%", "-80", "5", "25"]], "{text}");
    }

    #[test]
    fn numbers_stand_in_groups_of_three_digits() {
        assert_eq!([0.0, 999.4, 1_000.0, 12_345_678.0].map(grouped), ["0", "999", "1,000", "12,345,678"]);
    }

    #[test]
    fn an_invalid_run_says_why_and_prints_no_ratio() {
        let spoil: [(&str, Spoil); 7] = [
            ("9.0 % of its attempts in the event", |outcome| outcome.direct.conflicts = 0.09),
            ("31.0 % of its attempts in the flood", |outcome| outcome.direct.flood_conflicts = 0.31),
            ("direct stored 9 of 10", |outcome| outcome.direct.stored = 9),
            ("Plaudit stored 9 of 10", |outcome| outcome.plaudit.stored = 9),
            ("two lost", |outcome| outcome.plaudit.wrong = Some("two lost".to_owned())),
            ("direct accepted reports in 1.50 s", |outcome| {
                outcome.direct.accepted.1 = Duration::from_millis(1_500);
            }),
            ("sent up to 300.0 ms late", |outcome| outcome.plaudit.lateness = Duration::from_millis(300)),
        ];
        let valid = outcome().to_string();
        assert!(
            !valid.contains("INVALID") && valid.contains("difference") && valid.contains("-88 %"),
            "{valid}"
        );
        for (why, spoil) in spoil {
            let mut spoilt = outcome();
            spoil(&mut spoilt);
            let text = spoilt.to_string();
            let table = text.split("\nconditions").next().unwrap_or_default();
            assert!(text.contains("INVALID") && text.contains(why), "{why}: {text}");
            assert!(!text.contains("difference ") && !table.contains("-88"), "{text}");
            let ratio = |line: &str| line.ends_with('%') && !line.starts_with("conflicts");
            assert!(!table.lines().any(ratio), "{text}");
        }
    }
}
