//! An open loop sends each report when it is due, whether or not earlier ones were answered. Latencies count from when a
//! report was due, so that a sender or a server that falls behind shows in every report it delayed.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use plaudit::load::Histogram;

use super::trace::{Span, Trace};

/// How often is looked for reports that are due: the greatest error of a sending.
const LOOK_EVERY: Duration = Duration::from_micros(200);

/// Who sends.
pub trait Sender {
    /// Sends a report without waiting for its answer.
    fn send(&mut self, report: usize) -> Result<()>;

    /// Called between sendings, for whatever has to be looked after.
    fn tend(&mut self) {}
}

/// When something happened to each report of a trace; filled in by any thread.
#[derive(Debug)]
pub struct Times {
    epoch: Instant,
    /// Microseconds from the epoch, and one more; 0: not yet.
    micros: Box<[AtomicU64]>,
}

impl Times {
    /// Nothing noted may be earlier than `epoch`.
    pub fn new(reports: usize, epoch: Instant) -> Self {
        Self { epoch, micros: (0..reports).map(|_| AtomicU64::new(0)).collect() }
    }

    pub fn note(&self, report: usize) {
        self.put(report, Instant::now());
    }

    pub fn put(&self, report: usize, time: Instant) {
        let micros = time.saturating_duration_since(self.epoch).as_micros() as u64 + 1;
        if let Some(noted) = self.micros.get(report) {
            noted.store(micros, Ordering::Relaxed);
        }
    }

    pub fn get(&self, report: usize) -> Option<Instant> {
        let micros = self.micros.get(report)?.load(Ordering::Relaxed);
        micros.checked_sub(1).map(|micros| self.epoch + Duration::from_micros(micros))
    }

    /// How long after `since` it happened to these reports; those to which it did not happen are left out.
    pub fn after(&self, reports: Range<usize>, since: impl Fn(usize) -> Option<Instant>) -> Histogram {
        let mut latencies = Histogram::default();
        for (report, time) in reports.filter_map(|report| Some((report, self.get(report)?))) {
            if let Some(since) = since(report) {
                latencies.add(time.saturating_duration_since(since));
            }
        }
        latencies
    }
}

/// Sends a trace up to the flood; how late reports were sent. `passed` is called at the end of each phase, `tend` all the time.
pub fn send_all(
    trace: &Trace,
    start: Instant,
    sender: &mut impl Sender,
    mut passed: impl FnMut(&Span) -> Result<()>,
) -> Result<Histogram> {
    let mut lateness = Histogram::default();
    for span in &trace.spans {
        for report in span.reports.clone() {
            let due = trace.reports[report].at;
            wait_until(start + due, sender);
            lateness.add(start.elapsed().saturating_sub(due));
            sender.send(report)?;
        }
        wait_until(start + span.end, sender);
        passed(span)?;
    }
    Ok(lateness)
}

fn wait_until(due: Instant, sender: &mut impl Sender) {
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        sender.tend();
        std::thread::sleep(left.min(LOOK_EVERY));
    }
}

#[cfg(test)]
mod tests {
    use super::super::trace::Shape;
    use super::*;

    /// Answers every report when the third is sent.
    struct Slow<'a>(&'a Times, usize);

    impl Sender for Slow<'_> {
        fn send(&mut self, _: usize) -> Result<()> {
            self.1 += 1;
            if self.1 == 3 {
                (0..3).for_each(|report| self.0.note(report));
            }
            Ok(())
        }
    }

    #[test]
    fn a_latency_counts_from_when_the_report_was_due() {
        let shape = Shape {
            seed: 1,
            players: 3,
            together_share: 0.0,
            quiet: (100.0, Duration::from_millis(30)),
            usual: (1.0, Duration::ZERO),
            burst: (1.0, Duration::ZERO),
            after: Duration::ZERO,
            flood: 0,
        };
        let trace = Trace::new(&shape, 0);
        // As if the loop had begun a second late.
        let start = Instant::now().checked_sub(Duration::from_secs(1)).expect("the machine runs for a while");
        let times = Times::new(trace.reports.len(), start);
        let mut ends = Vec::new();

        let sent = send_all(&trace, start, &mut Slow(&times, 0), |span| {
            ends.push(span.phase);
            Ok(())
        });

        let lateness = sent.expect("it sends");
        let latencies = times.after(0..3, |report| Some(start + trace.reports[report].at));
        assert_eq!((lateness.total(), latencies.total(), ends.len()), (3, 3, 4));
        assert!(lateness.quantile(0.0) >= Some(Duration::from_millis(960)), "{lateness:?}");
        assert!(latencies.quantile(0.0) >= Some(Duration::from_millis(960)), "{latencies:?}");
    }
}
