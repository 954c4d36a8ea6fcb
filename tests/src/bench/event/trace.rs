//! The trace of an event: which report is due when. Both sides get the same one.

use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;
use plaudit::load::{Generator, Mix, PlayerOrder, Record};

/// Reports that the end of a match brings at once.
pub const TOGETHER: u64 = 3;
/// UINs of players with matches that end, above those of all others.
const FIRST_OF_MATCHES: u64 = 1_000_000_001;
/// Players by Zipf's law: the busiest of 50,000 sends 1 % of all, which is no trouble for anybody.
const ZIPF: f64 = 0.7;

/// What a trace is like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    pub seed: u64,
    pub players: u64,
    /// Share of reports that come [`TOGETHER`], of one player: what makes a synchronous design meet conflicts. It does not
    /// depend on the rate, as the share that two single reports of one player collide would.
    pub together_share: f64,
    /// Reports per second, and how long.
    pub quiet: (f64, Duration),
    pub usual: (f64, Duration),
    pub burst: (f64, Duration),
    /// At the usual rate again.
    pub after: Duration,
    /// Reports of the flood, for which each side has to be as fast as it can.
    pub flood: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Quiet,
    Usual,
    Burst,
    After,
}

/// One phase with its reports.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    pub phase: Phase,
    pub reports: Range<usize>,
    /// From the start of the trace.
    pub end: Duration,
}

/// One report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// From the start of the trace.
    pub at: Duration,
    pub record: Record,
}

/// Reports in the order in which they are due, and behind them the flood.
#[derive(Clone, Debug)]
pub struct Trace {
    pub reports: Vec<Due>,
    pub spans: Vec<Span>,
    pub flood: Range<usize>,
}

impl Trace {
    /// The reports' times count from `start_ms` (milliseconds since 1970).
    pub fn new(shape: &Shape, start_ms: i64) -> Self {
        let mut maker = Maker::new(shape, start_ms);
        let phases = [
            (Phase::Quiet, shape.quiet.0, shape.quiet.1),
            (Phase::Usual, shape.usual.0, shape.usual.1),
            (Phase::Burst, shape.burst.0, shape.burst.1),
            (Phase::After, shape.usual.0, shape.after),
        ];
        let mut trace = Self { reports: Vec::new(), spans: Vec::new(), flood: 0..0 };
        let mut begin = Duration::ZERO;
        for (phase, rate, length) in phases {
            let first = trace.reports.len();
            maker.reports((rate * length.as_secs_f64()) as u64, rate, begin, &mut trace.reports);
            begin += length;
            trace.spans.push(Span { phase, reports: first..trace.reports.len(), end: begin });
        }
        let first = trace.reports.len();
        maker.reports(shape.flood, shape.burst.0, begin, &mut trace.reports);
        trace.flood = first..trace.reports.len();
        trace
    }

    /// Reports before the flood.
    pub fn event_reports(&self) -> u64 {
        self.flood.start as u64
    }
}

struct Maker {
    rng: Rng,
    single: Generator,
    together: Generator,
    /// The share of draws that bring several reports.
    draws_together: f64,
    start_ms: i64,
}

impl Maker {
    fn new(shape: &Shape, start_ms: i64) -> Self {
        let mix = Mix { seed: shape.seed, players: shape.players, ..Mix::default() };
        let single = Mix { order: PlayerOrder::Zipf(ZIPF), ..mix.clone() };
        let order = PlayerOrder::InTurn { reports_each: TOGETHER };
        let together = Mix { order, first_uin: FIRST_OF_MATCHES, seed: shape.seed ^ 1, ..mix };
        let (share, each) = (shape.together_share, TOGETHER as f64);
        Self {
            rng: Rng::with_seed(shape.seed),
            single: Generator::new(single),
            together: Generator::new(together),
            draws_together: share / (each - (each - 1.0) * share),
            start_ms,
        }
    }

    /// So many reports at this rate, each somewhere in its own part of the time.
    fn reports(&mut self, count: u64, rate: f64, begin: Duration, reports: &mut Vec<Due>) {
        let mut left = count;
        let mut made = 0.0;
        while left > 0 {
            let at = begin + Duration::from_secs_f64((made + self.rng.f64()) / rate);
            let now_ms = self.start_ms + at.as_millis() as i64;
            let several = left >= TOGETHER && self.rng.f64() < self.draws_together;
            let (generator, count) =
                if several { (&mut self.together, TOGETHER) } else { (&mut self.single, 1) };
            reports.extend((0..count).map(|_| Due { at, record: generator.next(now_ms) }));
            left -= count;
            made += count as f64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape {
        seed: 1,
        players: 1_000,
        together_share: 0.3,
        quiet: (10.0, Duration::from_secs(2)),
        usual: (1_000.0, Duration::from_secs(2)),
        burst: (4_000.0, Duration::from_secs(3)),
        after: Duration::from_secs(1),
        flood: 5_000,
    };

    #[test]
    fn each_phase_has_the_reports_of_its_rate_and_they_are_due_in_order_within_it() {
        let trace = Trace::new(&SHAPE, 5_000);
        let counts: Vec<_> = trace.spans.iter().map(|span| (span.phase, span.reports.len())).collect();
        let expected =
            [(Phase::Quiet, 20), (Phase::Usual, 2_000), (Phase::Burst, 12_000), (Phase::After, 1_000)];
        assert_eq!((&counts[..], trace.flood.clone()), (&expected[..], 15_020..20_020));
        assert!(trace.reports.is_sorted_by_key(|due| due.at));
        for span in &trace.spans {
            assert!(trace.reports[span.reports.clone()].iter().all(|due| due.at < span.end), "{span:?}");
        }
        let last = &trace.reports[trace.flood.start - 1];
        assert_eq!(last.record.timestamp_ms, 5_000 + last.at.as_millis() as i64);
        assert_eq!(Trace::new(&SHAPE, 5_000).reports, trace.reports);
    }

    #[test]
    fn the_share_that_comes_together_is_the_asked_one() {
        let trace = Trace::new(&SHAPE, 0);
        let together: Vec<_> = trace
            .reports
            .chunk_by(|left, right| left.at == right.at && left.record.key == right.record.key)
            .filter(|chunk| chunk.len() as u64 == TOGETHER)
            .collect();
        let share = (together.len() as u64 * TOGETHER) as f64 / trace.reports.len() as f64;
        assert!((share - 0.3).abs() < 0.02, "{share}");
    }
}
