//! What was measured, whether it may be judged, and whether it meets the targets.

use std::fmt;
use std::time::Duration;

use super::crossings::Crossings;
use super::rest::Rest;
use super::restart::Restart;

/// For any number of pipelines.
const BASE_MEBIBYTES: f64 = 24.0;
const KIBIBYTES_EACH: f64 = 64.0;
/// For as many idle pipelines as [`SMALL`], or fewer.
const CORES: f64 = 0.02;
const KAFKA_REQUESTS_A_MINUTE: f64 = 60.0;
const SMALL: u32 = 1_000;
/// From a lag that crosses the line to all replicas, at p99.
const CROSSING_SECONDS: f64 = 3.0;
/// Of the names, the figures and the targets.
const WIDTHS: (usize, usize, usize) = (36, 44, 22);

/// Everything that was measured with so many pipelines.
#[derive(Clone, Debug)]
pub struct Figures {
    pub pipelines: u32,
    /// From the first pipeline's creation until the last write.
    pub settled_after: Duration,
    pub rest: Rest,
    pub restart: Restart,
    pub crossings: Crossings,
    /// The most memory of the operator that was started again.
    pub peak_mebibytes: f64,
    /// Pipelines that were not ready at the end.
    pub not_ready: usize,
}

/// One line: a name, what was measured, and the target with whether it holds; none where there is none for so many pipelines.
struct Line {
    name: &'static str,
    measured: String,
    target: Option<(String, bool)>,
}

impl Figures {
    /// Why nothing may be concluded.
    pub fn faults(&self) -> Vec<String> {
        let Self { rest, crossings, not_ready, .. } = self;
        let mut faults = Vec::new();
        if rest.not_ready + not_ready > 0 {
            faults.push(format!(
                "{} pipelines were not ready after the time at rest, {not_ready} at the end",
                rest.not_ready
            ));
        }
        let others = rest.written.since(&rest.written_by_operator);
        if others.total() > 0 {
            faults.push(format!("others than the operator wrote while nothing should happen: {others}"));
        }
        let missing = crossings.asked - crossings.seconds.len();
        if missing > 0 || crossings.asked == 0 {
            faults.push(format!(
                "{missing} of {} lags were not answered within half a minute",
                crossings.asked
            ));
        }
        faults
    }

    fn lines(&self) -> Vec<Line> {
        let Self { rest, restart, crossings, .. } = self;
        let each = f64::from(self.pipelines);
        let peak = rest.peak_mebibytes.max(self.peak_mebibytes);
        let most = BASE_MEBIBYTES + KIBIBYTES_EACH * each / 1_024.0;
        let kafka = rest.kafka_requests.total() as f64 / rest.seconds * 60.0;
        let written = rest.written.total();
        let quantile = |share| quantile(&crossings.seconds, share);
        let (median, p99) = (quantile(0.5), quantile(0.99));
        let small = |target: String, holds| (self.pipelines <= SMALL).then_some((target, holds));
        let line = |name, measured, target| Line { name, measured, target };
        vec![
            line(
                "memory",
                format!("{:.1} MiB at rest, {peak:.1} at most", rest.resident_mebibytes),
                Some((format!("≤ {most:.1} MiB"), peak <= most)),
            ),
            line(
                "CPU at rest",
                format!("{:.4} cores", rest.cores),
                small(format!("≤ {CORES} cores"), rest.cores <= CORES),
            ),
            line(
                "Kafka requests at rest",
                format!("{kafka:.1} a minute, {:.4} a pipeline", kafka / each),
                small(format!("≤ {KAFKA_REQUESTS_A_MINUTE} a minute"), kafka <= KAFKA_REQUESTS_A_MINUTE),
            ),
            line(
                "API writes at rest",
                format!("{written} in {:.0} s", rest.seconds),
                Some(("0".to_owned(), written == 0)),
            ),
            line(
                "lag crosses the line → replicas",
                format!("{median:.2} s p50, {p99:.2} s p99, {:.2} s at most", quantile(1.0)),
                Some((format!("≤ {CROSSING_SECONDS} s at p99"), p99 <= CROSSING_SECONDS)),
            ),
            line(
                "  all of them in one step",
                format!("{} of {}", crossings.seconds.len() - crossings.by_steps, crossings.asked),
                Some(("all".to_owned(), crossings.by_steps == 0)),
            ),
            line(
                "API writes by a restart",
                restart.written.total().to_string(),
                Some(("0".to_owned(), restart.written.total() == 0)),
            ),
        ]
    }

    fn notes(&self) -> Vec<String> {
        let Self { rest, restart, crossings, settled_after, .. } = self;
        let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
        let percent = |share: f64| format!("{:.0} %", share * 100.0);
        let mut notes = vec![
            format!("settled {} after the first pipeline was created", seconds(*settled_after)),
            format!(
                "restart: stopped in {}, ready after {}, every pipeline known after {}; Kafka requests: {}",
                seconds(restart.stopped),
                seconds(restart.ready),
                seconds(restart.known),
                restart.kafka_requests
            ),
            format!("Kafka requests at rest: {}", rest.kafka_requests),
            format!(
                "processors idle: {} at rest, {} while topics got records",
                percent(rest.idle_share),
                percent(crossings.idle_share)
            ),
        ];
        for (when, written) in [("at rest", &rest.written), ("by the restart", &restart.written)] {
            if written.total() > 0 {
                notes.push(format!("written {when}: {written}"));
            }
        }
        notes
    }
}

/// The least value that so large a share of all does not exceed; not a number where there is none.
fn quantile(ascending: &[f64], share: f64) -> f64 {
    #[expect(clippy::cast_sign_loss, reason = "a share is not below 0")]
    let rank = (ascending.len() as f64 * share).ceil() as usize;
    ascending.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
}

impl fmt::Display for Figures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, second, third) = WIDTHS;
        let faults = self.faults();
        writeln!(
            out,
            "operator, {} pipelines, each with a topic of {} partitions and a group of its own:",
            self.pipelines,
            super::bed::PARTITIONS
        )?;
        for Line { name, measured, target } in self.lines() {
            let (target, verdict) = match target {
                Some((target, holds)) => (target, if holds { "holds" } else { "MISSED" }),
                None => (format!("set for {SMALL}"), ""),
            };
            let verdict = if faults.is_empty() { verdict } else { "" };
            let line = format!("{name:first$}{measured:second$}{target:third$}{verdict}");
            writeln!(out, "{}", line.trim_end())?;
        }
        for note in self.notes() {
            writeln!(out, "{note}")?;
        }
        for fault in faults {
            writeln!(out, "INVALID, so nothing is judged: {fault}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::requests::Requests;
    use super::*;

    fn requests(count: u32) -> Requests {
        Requests::of_operator(
            &format!("requests{{code=\"200\",resource=\"pods\",verb=\"patch\"}} {count}\n"),
            "requests",
        )
    }

    fn figures(pipelines: u32) -> Figures {
        Figures {
            pipelines,
            settled_after: Duration::from_secs(60),
            rest: Rest {
                seconds: 120.0,
                cores: 0.03,
                resident_mebibytes: 50.0,
                peak_mebibytes: 86.0,
                kafka_requests: requests(64),
                ..Rest::default()
            },
            restart: Restart::default(),
            crossings: Crossings {
                asked: 100,
                seconds: (1..=100).map(|at| f64::from(at) / 33.0).collect(),
                ..Crossings::default()
            },
            peak_mebibytes: 80.0,
            not_ready: 0,
        }
    }

    fn verdicts(figures: &Figures) -> Vec<&'static str> {
        let shown = figures.to_string();
        let verdict =
            |line: &str| ["holds", "MISSED", "INVALID"].into_iter().find(|word| line.contains(word));
        shown.lines().filter_map(verdict).collect()
    }

    #[test]
    fn a_target_holds_or_is_missed_where_there_is_one() {
        let shown = [1_000, 3_000].map(|pipelines| verdicts(&figures(pipelines)));

        assert_eq!(
            shown,
            [
                vec!["holds", "MISSED", "holds", "holds", "holds", "holds", "holds"],
                vec!["holds", "holds", "holds", "holds", "holds"]
            ]
        );
    }

    #[test]
    fn nothing_is_judged_where_something_else_was_measured() {
        let good = figures(1_000);
        let unready = Figures { not_ready: 2, ..good.clone() };
        let others = Figures { rest: Rest { written: requests(3), ..good.rest.clone() }, ..good.clone() };
        let missing = Crossings { seconds: vec![1.0; 99], ..good.crossings.clone() };
        let missing = Figures { crossings: missing, ..good.clone() };

        let shown = [&unready, &others, &missing].map(verdicts);

        assert_eq!(shown, [["INVALID"], ["INVALID"], ["INVALID"]]);
    }

    #[test]
    fn the_operators_own_writes_are_its_fault_and_not_the_runs() {
        let mut own = figures(1_000);
        own.rest.written = requests(3);
        own.rest.written_by_operator = requests(3);

        assert_eq!(verdicts(&own)[3], "MISSED");
    }

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();

        let found = [0.0, 0.5, 0.99, 1.0].map(|share| quantile(&hundred, share));

        assert_eq!(found, [1.0, 50.0, 99.0, 100.0]);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
