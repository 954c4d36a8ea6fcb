//! The benchmark runs the real worker, the least work that could be done in its place, and the same pipeline in Go over the
//! same backlog, by turns.
//!
//! The least work ([`baseline`]): read each record and SET its value under a key made of its own, 500 to a pipeline. It
//! keeps nothing exact, merges nothing, and loses or repeats records when it dies; it is here as a yardstick.
//!
//! The Go peer (tests/peers/go) does the worker's work with the usual clients, franz-go and go-redis, tuned as well as we
//! know; what it leaves out stands at its head. What it stores is checked like what the worker stores.
//!
//! The scenario [`event`] compares with the synchronous design instead; [`operator`] measures the operator with thousands of pipelines.

mod backlog;
mod baseline;
pub mod event;
mod figures;
mod machine;
pub mod operator;
mod subject;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::checker;
use crate::programs;
use crate::stack::{Kafka, KafkaOptions, Valkey, ValkeyOptions, jemalloc};
use backlog::Scenario;
pub use baseline::BaselineArgs;
use figures::Figures;
pub use machine::peak_mebibytes;
use subject::{Measure, Subject};

/// Measure reports per second, CPU and memory of a worker beside the bare minimum of work.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Records in the backlog.
    #[arg(long, default_value_t = 1_000_000)]
    pub records: u64,
    /// How often each runs in each scenario.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    #[arg(long, default_value_t = 12)]
    pub partitions: i32,
    /// The worker; default: the one built beside this program.
    #[arg(long, value_name = "FILE")]
    pub worker_binary: Option<PathBuf>,
    /// Another build of the worker, run by turns with it.
    #[arg(long, value_name = "FILE")]
    pub beside: Option<PathBuf>,
    /// Only this backlog.
    #[arg(long, value_enum)]
    pub only: Option<Scenario>,
    /// Let Valkey keep its append-only file, which costs both the same.
    #[arg(long)]
    pub append_only: bool,
    /// Leave out the Go peer.
    #[arg(long)]
    pub without_peer: bool,
    #[arg(long, value_enum, default_value_t = Chosen::All)]
    pub scenario: Chosen,
    #[command(flatten)]
    pub event: event::Options,
}

/// Which scenarios are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Chosen {
    All,
    /// Full topics, beside the bare minimum of work.
    Backlog,
    /// A burst, beside the synchronous design.
    Event,
    /// The operator with thousands of pipelines.
    Operator,
}

/// As many as one operator is made for, and a third of that.
const OPERATORS: [u32; 2] = [1_000, 3_000];

/// Runs all scenarios and prints what was measured.
pub fn run(args: &Args) -> Result<()> {
    if args.scenario != Chosen::Operator {
        run_worker(args)?;
    }
    if matches!(args.scenario, Chosen::All | Chosen::Operator) {
        for pipelines in OPERATORS {
            run_operator(&operator::Args::of(pipelines))?;
        }
    }
    Ok(())
}

/// Measures the operator and prints what was found.
pub fn run_operator(args: &operator::Args) -> Result<()> {
    let figures = operator::run(args, |told| eprintln!("{told}"))?;
    say(&format!("\n{}\n{figures}", machine::describe("Kafka, etcd, Kubernetes and its controllers")?));
    Ok(())
}

fn run_worker(args: &Args) -> Result<()> {
    let worker = match &args.worker_binary {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("plaudit-worker"),
    };
    let worker = worker.canonicalize().with_context(|| {
        format!("no worker at {}: build it with cargo build --release -p plaudit-worker", worker.display())
    })?;
    let kafka = Kafka::start(KafkaOptions::default())?;
    let allocator = jemalloc();
    let name = if allocator.is_some() { "jemalloc" } else { "the C library's allocator" };
    let options = ValkeyOptions { append_only: args.append_only, allocator, ..ValkeyOptions::default() };
    let valkey = Valkey::start(options)?;
    let store = machine::describe_store(&valkey.address(), args.append_only, name)?;
    say(&machine::describe(&format!("Kafka and {store}"))?);
    if args.scenario != Chosen::Event {
        run_backlogs(args, &kafka, &valkey, &worker)?;
    }
    if args.scenario != Chosen::Backlog {
        let outcome = event::run(&args.event, (&kafka, &valkey), &worker, |told| eprintln!("{told}"))?;
        say(&format!("\nevent, the synchronous design against Plaudit:\n{outcome}"));
    }
    Ok(())
}

fn run_backlogs(args: &Args, kafka: &Kafka, valkey: &Valkey, worker: &Path) -> Result<()> {
    let peer = if args.without_peer { None } else { Some(programs::go("tests/peers/go")) };
    let takes_part = |subject: &Subject| match subject {
        Subject::Baseline | Subject::Worker => true,
        Subject::Beside => args.beside.is_some(),
        Subject::Peer | Subject::PeerTuned => matches!(peer, Some(Ok(_))),
    };
    let subjects: Vec<Subject> = Subject::ALL.into_iter().filter(takes_part).collect();
    for scenario in
        Scenario::ALL.into_iter().filter(|scenario| args.only.is_none_or(|only| only == *scenario))
    {
        let topic = backlog::create(kafka, scenario, args.records, args.partitions)?;
        let mut figures = Figures::default();
        for round in 0..args.rounds {
            for &subject in &subjects {
                let bench = subject::Bench {
                    bootstrap_servers: kafka.bootstrap(),
                    store_address: valkey.address(),
                    store_pid: valkey.pid().context("Valkey is not running")?,
                    broker_pid: kafka.pid().context("Kafka is not running")?,
                    topic: topic.clone(),
                    partitions: args.partitions,
                    records: args.records,
                    worker: worker.to_owned(),
                    beside: args.beside.clone(),
                    peer: peer.as_ref().and_then(|peer| peer.as_ref().ok()).cloned(),
                };
                let run = bench.measure(subject, round)?;
                eprintln!("{}, round {}: {subject} {}", scenario.name(), round + 1, run.measure);
                if subject != Subject::Baseline && round == 0 {
                    check(subject, &run.settings)?;
                }
                figures.add(subject, run.measure);
            }
        }
        say(&format!("\n{}, {} records of 200 bytes:\n{figures}", scenario.name(), args.records));
        if let Some(Err(why)) = &peer {
            say(&format!("{} is missing: {why:#}", Subject::Peer));
        }
    }
    Ok(())
}

/// What is fast and wrong does not count.
fn check(subject: Subject, settings: &checker::Settings) -> Result<()> {
    let verdict =
        checker::check(settings).with_context(|| format!("could not check what {subject} stored"))?;
    anyhow::ensure!(
        verdict.passed() && verdict.not_stored_yet == 0,
        "{subject} stored something else than was reported: {verdict}"
    );
    eprintln!("checked: {verdict}");
    Ok(())
}

#[expect(clippy::print_stdout, reason = "figures are the command's answer")]
fn say(text: &str) {
    println!("{text}");
}

/// Runs the yardstick by itself: what [`run`] starts as a process of its own.
pub fn run_baseline(args: &BaselineArgs) -> Result<()> {
    baseline::run(args)
}

impl std::fmt::Display for Measure {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "{:.0} reports/s, {:.2} CPU-seconds per million, {:.2} of the store, {:.2} of the broker, {:.0} % idle, {:.1} MiB",
            self.reports_per_second,
            self.cpu_seconds_per_million,
            self.store_seconds_per_million,
            self.broker_seconds_per_million,
            self.idle_share * 100.0,
            self.peak_mebibytes
        )
    }
}
