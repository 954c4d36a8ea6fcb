//! A run of one side over a trace: what was measured.

use std::sync::Arc;
use std::time::{Duration, Instant};

use plaudit::load::Histogram;

use super::open_loop::Times;
use super::trace::{Phase, Trace};
use super::usage::Cpu;

/// One side's run.
#[derive(Debug)]
pub struct Run {
    pub trace: Arc<Trace>,
    /// At the begin, at the end of each phase, when everything before the flood was stored, and after the flood.
    pub looks: Vec<Look>,
    pub accepted: Latencies,
    pub stored: Latencies,
    pub flood: Flood,
    /// What a comparison of the store with the trace says; none: everything is there, exactly once.
    pub wrong: Option<String>,
    /// Before the flood.
    pub writes: Writes,
    /// How late reports were sent.
    pub lateness: Histogram,
    /// The most of one process.
    pub resident_mebibytes: f64,
}

/// CPU time so far, and reports stored by then.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Look {
    pub cpu: Cpu,
    pub stored: u64,
}

/// Writes of a player, and those that found another version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Writes {
    pub attempts: u64,
    pub conflicts: u64,
}

/// How a side did when it was as fast as it could.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Flood {
    /// From the first report that it could work on to the last one stored.
    pub elapsed: Duration,
    /// From sending a report to its reply; none where that says nothing (a backlog).
    pub slowest_percent: Option<Duration>,
    pub writes: Writes,
}

/// Latencies by phase.
#[derive(Debug)]
pub struct Latencies(Vec<(Phase, Histogram)>);

impl Latencies {
    /// From when reports were due in a trace that began at `start`.
    pub fn of(trace: &Trace, start: Instant, times: &Times) -> Self {
        let due = |report: usize| Some(start + trace.reports[report].at);
        let by_phase = trace.spans.iter();
        Self(by_phase.map(|span| (span.phase, times.after(span.reports.clone(), due))).collect())
    }

    /// None for a phase without reports.
    pub fn quantile(&self, phase: Phase, share: f64) -> Option<Duration> {
        self.0.iter().find(|(found, _)| *found == phase)?.1.quantile(share)
    }
}

impl Run {
    /// CPU of a report stored in this phase.
    pub fn phase(&self, phase: Phase) -> Cpu {
        let at = self.trace.spans.iter().position(|span| span.phase == phase);
        at.map_or_else(Cpu::default, |at| self.between(at, at + 1))
    }

    /// CPU of a report of the flood.
    pub fn flood(&self) -> Cpu {
        let looks = self.looks.len();
        if looks < 2 { Cpu::default() } else { self.between(looks - 2, looks - 1) }
    }

    /// Reports stored, the flood's too.
    pub fn stored_reports(&self) -> u64 {
        match (self.looks.first(), self.looks.last()) {
            (Some(first), Some(last)) => last.stored - first.stored,
            _ => 0,
        }
    }

    /// Processors that others kept busy meanwhile.
    pub fn others(&self) -> f64 {
        let (Some(first), Some(last)) = (self.looks.first(), self.looks.last()) else { return 0.0 };
        let all = last.cpu.since(&first.cpu);
        all.others / all.seconds.max(f64::EPSILON)
    }

    fn between(&self, before: usize, after: usize) -> Cpu {
        match (self.looks.get(before), self.looks.get(after)) {
            (Some(before), Some(after)) => {
                after.cpu.since(&before.cpu).per_report(after.stored.saturating_sub(before.stored))
            }
            _ => Cpu::default(),
        }
    }
}

impl Writes {
    pub fn since(self, before: Self) -> Self {
        Self { attempts: self.attempts - before.attempts, conflicts: self.conflicts - before.conflicts }
    }

    /// Conflicts among all attempts.
    pub fn conflict_share(self) -> f64 {
        self.conflicts as f64 / self.attempts.max(1) as f64
    }
}
