//! The ending of the demo: what it showed, in figures, and how to look further.

use std::fmt;

use plaudit::load::Summary;
use plaudit::snapshot::Snapshot;

use super::probe::{PROBES, Timings};
use super::script::Ending;
use crate::bench::event;
use crate::checker::Verdict;
use crate::programs;

/// Of fewer records, most of the CPU time is starting and waiting.
const ENOUGH_RECORDS: u64 = 100_000;

#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) verdict: Verdict,
    /// The last look before the workers were stopped.
    pub(super) seen: Snapshot,
    pub(super) most_workers: usize,
    pub(super) ending: Option<Ending>,
    pub(super) summary: Summary,
    pub(super) timings: Timings,
    pub(super) sequel: Sequel,
}

/// What comes after the figures.
#[derive(Debug)]
pub(super) enum Sequel {
    /// The comparison with the synchronous design, or why there is none.
    Event(Box<Result<event::Outcome, String>>),
    /// Where to see that comparison: it says nothing about an operator. The demo that this was: `demo-operator`.
    Elsewhere(&'static str),
}

impl Outcome {
    pub(super) fn passed(&self) -> bool {
        self.verdict.passed()
            && self.verdict.not_stored_yet == 0
            && self.summary.complete()
            && self.timings.unseen == 0
            && self.ending != Some(Ending::Undrained)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verdict, seen, most_workers, summary, timings, sequel, .. } = self;
        writeln!(out, "\n{verdict}\n")?;
        #[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
        let per_million = seen.cpu_seconds * 1e6 / verdict.records.max(1) as f64;
        writeln!(out, "sent       {summary}")?;
        writeln!(
            out,
            "workers    at most {most_workers}, one of them killed; {} now; {} conflicts",
            seen.workers.len(),
            seen.conflicts
        )?;
        write!(out, "CPU        {:.1} s in all workers", seen.cpu_seconds)?;
        if verdict.records >= ENOUGH_RECORDS {
            write!(out, ", {per_million:.1} s for a million reports")?;
        }
        writeln!(out)?;
        writeln!(out, "memory     at most {} MiB in all workers together", seen.peak_resident_bytes >> 20)?;
        let quantile = |share| match timings.stored.quantile(share) {
            None => "unknown".to_owned(),
            Some(duration) if duration.as_secs() >= 1 => format!("{:.1} s", duration.as_secs_f64()),
            Some(duration) => format!("{} ms", duration.as_millis()),
        };
        writeln!(
            out,
            "latency    {} at p50, {} at p90, {} at p99, {} at most, from sending a report until it could be read in Valkey\n           \
             (the {} reports of {PROBES} players of the demo's own, through burst and kill)",
            quantile(0.5),
            quantile(0.9),
            quantile(0.99),
            quantile(1.0),
            timings.stored.total(),
        )?;
        if timings.unseen > 0 {
            writeln!(out, "           {} more were not seen in the store in time", timings.unseen)?;
        }
        let remark = match self.ending {
            Some(Ending::Undrained) => "\nThe workers did not get to the end of the topic in time.\n",
            Some(Ending::Large) => "\nThe fleet had not shrunk all the way when the demo ended.\n",
            Some(Ending::Small) | None => "",
        };
        write!(out, "{remark}")?;
        if let Sequel::Event(event) = sequel {
            match &**event {
                Ok(event) => writeln!(
                    out,
                    "\nA short event, for the synchronous design and for Plaudit (`make bench` runs a longer one):\n{event}"
                )?,
                Err(error) => {
                    writeln!(out, "\nThe comparison with the synchronous design did not run: {error}")?;
                }
            }
        }
        write!(out, "\nTo look further:")?;
        for (command, what) in further(sequel).map_err(|_| fmt::Error)? {
            write!(out, "\n  {command:40} {what}")?;
        }
        Ok(())
    }
}

/// Commands, and what they are for.
fn further(sequel: &Sequel) -> anyhow::Result<[(String, &'static str); 4]> {
    let plaudit = programs::shown("plaudit")?;
    let owned = |rows: [(&str, &'static str); 4]| rows.map(|(command, what)| (command.to_owned(), what));
    Ok(match sequel {
        Sequel::Event(_) => owned([
            ("make up", "Kafka and Valkey in the background, with commands to try"),
            (
                &format!("{plaudit} players get 10001"),
                "a player's achievements, once the pipeline runs there",
            ),
            ("REPORTS=file.ndjson make demo", "your own reports, one JSON object a line"),
            ("README.md", "how to point it at your own topic"),
        ]),
        Sequel::Elsewhere(demo) => owned([
            ("make demo", "the same without a cluster, beside the synchronous design"),
            (&format!("HOLD=1 make {demo}"), "keeps the cluster until Ctrl-C, for a kubectl of your own"),
            (&format!("{plaudit} plan -f examples/pipeline.yaml"), "what the operator makes of a pipeline"),
            ("README.md", "how to run it in your own cluster"),
        ]),
    })
}
