//! The demo is the whole line in front of one's eyes: load → Kafka → a fleet that grows, loses a worker and shrinks → Valkey, and then
//! every report accounted for.

mod ending;
mod in_cluster;
mod interrupt;
mod load;
mod local;
mod probe;
mod script;
mod show;
mod stage;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, anyhow};
use clap::builder::FalseyValueParser;
use plaudit::load::Summary;
use plaudit::pipeline::{self, Pipeline};
use plaudit::screen;
use plaudit::snapshot::Snapshot;
use plaudit_crds::AchievementPipeline;

use self::ending::{Outcome, Sequel};
use self::in_cluster::{Connection, Nodes, Processes};
use self::local::Local;
use self::probe::Timings;
use self::script::{Act, Ending, Script};
use self::show::Show;
use self::stage::Stage;
use crate::bench::event;
use crate::checker;
use crate::example;
use crate::programs;
use crate::stack::kubernetes::{Cluster, ClusterOptions};
use crate::stack::{Stack, until};

/// `plaudit local` looks once a second; this is often enough to show each look.
const TICK: Duration = Duration::from_millis(250);
/// An image's start, a volume and a join of the group, on two busy cores.
const FIRST_WORKER_LIMIT: Duration = Duration::from_secs(30);

/// Show the whole line under load, with a worker killed, and account for every report
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Send these reports, one JSON object a line, instead of made-up ones
    #[arg(long, env = "REPORTS", value_name = "FILE")]
    reports: Option<PathBuf>,
    /// In a Kubernetes cluster, by the operator, instead of `plaudit local`
    #[arg(long)]
    operator: bool,
    /// In the cluster that KUBECONFIG names, where the chart is installed; what is made there stays
    #[arg(long, conflicts_with = "operator")]
    cluster: bool,
    /// Before the workers are stopped, wait for Ctrl-C, so that one can look around
    #[arg(long, env = "HOLD", value_parser = FalseyValueParser::new())]
    hold: bool,
    /// When `make demo` began, in seconds since 1970; without it: now
    #[arg(long, hide = true)]
    begun_at: Option<u64>,
}

/// Returns whether every report was accounted for; ends the process on Ctrl-C, after everything else has ended.
pub fn run(args: &Args) -> Result<bool> {
    let interrupted = interrupt::watch()?;
    let mut show = Show::new(args.begun_at.map_or(Duration::ZERO, since));
    let outcome = match play(args, &mut show, &interrupted) {
        // a terminal interrupts the programs that this one waits for, too
        Err(error) if interrupted.load(Ordering::Relaxed) => {
            let error = format!("{error:#}");
            show.step(&format!("interrupted in the middle: {}", error.lines().next().unwrap_or_default()))?;
            None
        }
        played => played?,
    };
    match outcome {
        Some(outcome) => {
            show.text(&outcome.to_string())?;
            Ok(outcome.passed())
        }
        None => {
            show.step("everything is stopped and removed")?;
            std::process::exit(interrupt::EXIT_CODE);
        }
    }
}

fn since(epoch_seconds: u64) -> Duration {
    let begun = SystemTime::UNIX_EPOCH + Duration::from_secs(epoch_seconds);
    // a clock that was set back is no reason to fail
    begun.elapsed().unwrap_or_default()
}

/// `None` when interrupted. Everything it started has ended when it returns.
fn play(args: &Args, show: &mut Show, interrupted: &Arc<AtomicBool>) -> Result<Option<Outcome>> {
    let (stack, place) = start(args, show)?;
    let example = served(&stack)?;
    let pipeline = pipeline::parse(&example).context("examples/pipeline.yaml is refused")?;
    example::create_topics(&example, &stack.kafka)?;
    let (kafka, valkey) = (stack.kafka.bootstrap(), stack.valkey.address());
    show.step(&format!("Kafka is on {kafka} ({} partitions), Valkey on {valkey}", example::PARTITIONS))?;
    let (mut stage, elsewhere): (Box<dyn Stage>, _) = match place {
        Place::Here => (Box::new(Local::start(show, &stack)?), None),
        Place::ApiServer(cluster) => {
            (Box::new(Processes::start(show, *cluster, &example)?), Some("demo-operator"))
        }
        Place::Nodes(connection) => {
            (Box::new(Nodes::start(show, connection, &example)?), Some("demo-cluster"))
        }
    };
    let first = until("the first worker", FIRST_WORKER_LIMIT, || {
        let ready = stage.look()?.is_some_and(|seen| seen.workers.iter().any(|worker| worker.ready));
        Ok((ready || interrupted.load(Ordering::Relaxed)).then_some(()))
    });
    if first.is_err() {
        show.text(&stage.picture())?;
    }
    first?;
    if interrupted.load(Ordering::Relaxed) {
        return Ok(None);
    }
    show.picture(&stage.picture())?;
    let watched = watch(args, show, interrupted, &stack, &pipeline, &mut *stage)?;
    show.picture(&stage.picture())?;
    show.end_fleet();
    if args.hold && !interrupted.load(Ordering::Relaxed) {
        hold(show, interrupted, &mut *stage)?;
    }
    stage.stop(show)?;
    if interrupted.load(Ordering::Relaxed) {
        return Ok(None);
    }
    show.step("checking: folding all that was sent, and comparing it with all that is stored")?;
    let verdict = checker::check(&checker::Settings::of(&example)).context("could not check")?;
    let sequel = match elsewhere {
        Some(demo) => Sequel::Elsewhere(demo),
        None => Sequel::Event(Box::new(compare(show, &stack)?)),
    };
    if interrupted.load(Ordering::Relaxed) {
        return Ok(None);
    }
    show.step("done")?;
    let Watched { seen, most_workers, ending, summary, timings } = watched;
    Ok(Some(Outcome { verdict, seen, most_workers, ending, summary, timings, sequel }))
}

/// Keeps everything as it is until somebody interrupts, which then ends the demo as usual.
fn hold(show: &mut Show, interrupted: &AtomicBool, stage: &mut dyn Stage) -> Result<()> {
    show.step("everything stays as it is until Ctrl-C")?;
    while !interrupted.swap(false, Ordering::Relaxed) {
        stage.look()?;
        std::thread::sleep(TICK);
    }
    Ok(())
}

/// Where the workers will be.
enum Place {
    Here,
    ApiServer(Box<Cluster>),
    Nodes(Connection),
}

/// All servers at once.
fn start(args: &Args, show: &mut Show) -> Result<(Stack, Place)> {
    if args.cluster {
        let connection = Connection::open(show)?;
        show.step("starting Kafka and Valkey beside the cluster")?;
        return Ok((Stack::start_at(connection.host)?, Place::Nodes(connection)));
    }
    if !args.operator {
        show.step("starting Kafka and Valkey")?;
        return Ok((Stack::start()?, Place::Here));
    }
    show.step("starting Kafka, Valkey and a Kubernetes API server with its controllers")?;
    std::thread::scope(|scope| {
        let cluster = scope.spawn(|| Cluster::start(ClusterOptions::default()));
        let stack = Stack::start()?;
        let cluster = cluster.join().map_err(|_| anyhow!("starting the cluster panicked"))??;
        Ok((stack, Place::ApiServer(Box::new(cluster))))
    })
}

/// The example with the endpoints of this stack.
fn served(stack: &Stack) -> Result<AchievementPipeline> {
    let mut example = example::pipeline()?;
    example.spec.source.bootstrap_servers = stack.kafka.bootstrap();
    example.spec.store.addresses = vec![stack.valkey.address()];
    Ok(example)
}

/// A burst for the synchronous design and for Plaudit. Why there is no comparison is no fault of the pipeline's.
fn compare(show: &mut Show, stack: &Stack) -> Result<Result<event::Outcome, String>> {
    show.step("comparing with the synchronous design, in a burst")?;
    let worker = programs::find("plaudit-worker")?;
    let servers = (&stack.kafka, &stack.valkey);
    Ok(event::run(&event::Options::short(), servers, &worker, |_| ()).map_err(|error| format!("{error:#}")))
}

/// What there was to see.
struct Watched {
    seen: Snapshot,
    most_workers: usize,
    ending: Option<Ending>,
    summary: Summary,
    timings: Timings,
}

/// Sends the load and shows the fleet until the script ends or somebody interrupts.
fn watch(
    args: &Args,
    show: &mut Show,
    interrupted: &Arc<AtomicBool>,
    stack: &Stack,
    pipeline: &Pipeline,
    stage: &mut dyn Stage,
) -> Result<Watched> {
    let line = load::line(args, stack, pipeline);
    show.step(&format!("plaudit {}", line.join(" ")))?;
    let load = load::parse(&line)?;
    let stop = Arc::new(AtomicBool::new(false));
    std::thread::scope(|scope| {
        let sending = load::send(scope, stack, pipeline, &load, &stop);
        let watched = follow(show, interrupted, stage, || sending.is_finished());
        // also after an error: the scope waits for it
        stop.store(true, Ordering::Relaxed);
        let sent = sending.join().map_err(|_| anyhow!("sending the load panicked"))?;
        let (seen, most_workers, ending) = watched?;
        let (summary, timings) = sent?;
        Ok(Watched { seen, most_workers, ending, summary, timings })
    })
}

fn follow(
    show: &mut Show,
    interrupted: &AtomicBool,
    stage: &mut dyn Stage,
    sent: impl Fn() -> bool,
) -> Result<(Snapshot, usize, Option<Ending>)> {
    let (begin, mut script, mut most_workers) = (Instant::now(), Script::default(), 0);
    let mut wanted = None;
    loop {
        let seen = stage.look()?.context("what was there has gone")?;
        most_workers = most_workers.max(seen.workers.iter().filter(|worker| worker.ready).count());
        if wanted.replace(seen.decision.result).is_some_and(|before| before != seen.decision.result) {
            show.step(&seen.decision.message)?;
        }
        show.fleet(|extra| stage.screen(&seen, extra), || screen::line(&seen))?;
        if interrupted.load(Ordering::Relaxed) {
            show.end_fleet();
            show.step("interrupted; once more ends everything at once")?;
            return Ok((seen, most_workers, None));
        }
        match script.next(begin.elapsed(), sent(), &seen) {
            Act::Wait => {}
            Act::Kill(worker) => stage.kill(show, &worker)?,
            Act::End(ending) => return Ok((seen, most_workers, Some(ending))),
        }
        std::thread::sleep(TICK);
    }
}
