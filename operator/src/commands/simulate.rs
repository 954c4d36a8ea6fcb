//! `plaudit simulate`: the scaling decisions on a trace of arrivals.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::ValueEnum;
use serde::Serialize;

use super::{Mistake, pipeline_file};
use crate::scaling::Learnt;
use crate::simulate::{Change, Outcome, Plaudit, Settings, Summary, Trace, run as simulate};
use crate::table::{Align, columns};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The pipeline whose scaling is tried; - reads standard input.
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    file: PathBuf,
    /// What arrives: CSV with the header second,p0,p1,… Each row holds until the next one; an empty cell is a partition that cannot be
    /// reached; a last column capacity is a factor on what workers take.
    #[arg(long, value_name = "FILE")]
    trace: PathBuf,
    /// Records a second that one worker takes.
    #[arg(long, value_name = "RECORDS", default_value_t = 1000.0, value_parser = positive)]
    worker_capacity: f64,
    /// Seconds until a new worker is ready.
    #[arg(long, value_name = "SECONDS", default_value_t = 8.0, value_parser = seconds)]
    start_up_seconds: f64,
    /// Seconds in which nothing is consumed, whenever workers come or go.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    rebalance_pause_seconds: f64,
    /// Seconds between two decisions.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=300))]
    poll_seconds: u64,
    /// Records a second that the store takes from all workers together; without it: whatever comes.
    #[arg(long, value_name = "RECORDS", value_parser = positive)]
    store_capacity: Option<f64>,
    /// What to print: text and json have the decisions that say something new, csv has all of them.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For programs: the decisions and the figures.
    Json,
    /// One line a decision; the figures follow as lines that begin with #.
    Csv,
}

#[derive(Serialize)]
struct Report<'a> {
    summary: Summary,
    decisions: Vec<&'a Change>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let object = pipeline_file::object(&args.file)?;
    let pipeline = pipeline_file::checked(&object)?;
    let path = args.trace.display();
    let text = File::open(&args.trace)
        .and_then(Trace::read_text)
        .with_context(|| format!("could not read {path}"))
        .map_err(Mistake)?;
    let trace = Trace::parse(&text).with_context(|| format!("{path} is no trace")).map_err(Mistake)?;
    let settings = Settings {
        worker_capacity: args.worker_capacity,
        start_up_seconds: args.start_up_seconds,
        rebalance_pause_seconds: args.rebalance_pause_seconds,
        store_capacity: args.store_capacity,
    };
    let learnt = object.status.and_then(|status| status.worker_capacity);
    let learnt = learnt.map(|capacity| Learnt { worker_capacity: capacity.unsigned_abs() });
    let outcome = simulate(&trace, &settings, &mut Plaudit::new(pipeline.scaling, learnt, args.poll_seconds));
    let text = match args.output {
        Output::Text => text_of(&outcome),
        Output::Json => {
            let report = Report { summary: outcome.summary(), decisions: outcome.news().collect() };
            serde_json::to_string_pretty(&report).expect("a report has text keys only") + "\n"
        }
        Output::Csv => csv_of(&outcome),
    };
    // Whoever reads only the beginning closes the pipe.
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("could not print the result")
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn text_of(outcome: &Outcome) -> String {
    let mut rows = vec![["SECOND", "WORKERS", "REASON", "BECAUSE"].map(str::to_owned).to_vec()];
    rows.extend(outcome.news().map(|change| {
        let number = match change.from.filter(|from| *from != change.to) {
            Some(from) => format!("{from} → {}", change.to),
            None => change.to.to_string(),
        };
        let (reason, message) = change
            .decision
            .as_ref()
            .map(|decision| (decision.reason.clone(), decision.message.clone()))
            .unzip();
        vec![change.second.to_string(), number, reason.unwrap_or_default(), message.unwrap_or_default()]
    }));
    let mut text = columns(&rows, &[Align::Right, Align::Right, Align::Left, Align::Left], 3);
    text.push('\n');
    for (name, value) in figures(&outcome.summary()) {
        _ = writeln!(text, "{name:<14}{value}");
    }
    text
}

fn figures(summary: &Summary) -> [(&'static str, String); 3] {
    let lag = &summary.lag_seconds;
    let hours = f64::from(u32::try_from(summary.seconds).unwrap_or(u32::MAX)) / 3600.0;
    [
        ("Scale events", format!("{} in {hours:.2} hours", summary.scale_events)),
        (
            "Pod-hours",
            format!(
                "{:.2} ({:.2} workers on average, {} at most)",
                summary.pod_hours, summary.mean_pods, summary.most_pods
            ),
        ),
        (
            "Lag-seconds",
            format!(
                "{:.1} at p50, {:.1} at p95, {:.1} at p99, {:.1} at most",
                lag.p50, lag.p95, lag.p99, lag.max
            ),
        ),
    ]
}

fn csv_of(outcome: &Outcome) -> String {
    let mut text =
        "second,from,to,lag,lagSeconds,arrivalsPerSecond,workerCapacity,formula,reason,message\n".to_owned();
    for Change { second, from, to, decision } in &outcome.decisions {
        let Some(decision) = decision else { continue };
        let cell = |value: Option<i64>| value.map(|value| value.to_string()).unwrap_or_default();
        let inputs = &decision.inputs;
        _ = writeln!(
            text,
            "{second},{},{to},{},{},{},{},{},{},\"{}\"",
            cell(from.map(i64::from)),
            cell(inputs.lag),
            cell(inputs.lag_seconds),
            cell(inputs.arrivals_per_second),
            cell(inputs.worker_capacity),
            cell(decision.formula.map(i64::from)),
            decision.reason,
            decision.message.replace('"', "\"\""),
        );
    }
    for (name, value) in figures(&outcome.summary()) {
        _ = writeln!(text, "# {name}: {value}");
    }
    text
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 1e9 => Ok(value),
        _ => Err("give a number above 0, at most 1000000000".to_owned()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=3600.0).contains(&value) => Ok(value),
        _ => Err("give a number of seconds from 0 to 3600".to_owned()),
    }
}
