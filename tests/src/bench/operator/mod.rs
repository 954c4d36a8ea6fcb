//! What the operator costs for many pipelines, and how soon it answers a lag: the real program on a real API server and broker.
//!
//! Each pipeline has a topic and a group of its own, and all children; Kubernetes' own controllers make its Deployment into pods. Only
//! the pods are played: somebody says of each that it is ready, and answers the operator's questions as an idle worker does. The groups
//! have no members, so that the operator commits their first offsets itself, and renews them when it starts again.
//!
//! Four steps: all pipelines settle; nothing happens for a while; the operator is stopped and started again; some topics get more
//! records than one worker may lag. What the API server counts is what was written.

mod bed;
mod crossings;
mod figures;
mod process;
mod requests;
mod rest;
mod restart;
mod workers;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::programs;
use bed::Bed;
pub use figures::Figures;
use process::Operator;

/// Measure memory, CPU, requests and delays of the operator with pipelines that each have a topic and a group of their own.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub pipelines: u32,
    /// How long nothing happens while memory, CPU and requests are measured.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(10..=3_600))]
    pub seconds: u64,
    /// Topics that get more records than one worker may lag.
    #[arg(long, default_value_t = 100)]
    pub moves: u32,
    /// The operator's program; default: the one built beside this one.
    #[arg(long, value_name = "FILE")]
    pub operator_binary: Option<PathBuf>,
}

impl Args {
    /// As `make bench` runs it with so many pipelines.
    pub fn of(pipelines: u32) -> Self {
        Self { pipelines, seconds: 120, moves: 100, operator_binary: None }
    }
}

/// Starts servers and operator, measures, and ends them. `told` gets progress.
pub fn run(args: &Args, told: impl Fn(&str)) -> Result<Figures> {
    let program = match &args.operator_binary {
        Some(program) => program.clone(),
        None => programs::find("plaudit")?,
    };
    let program = program.canonicalize().with_context(|| format!("there is no {}", program.display()))?;
    // One thread answers for the workers, beside this one.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(measure(args, program, &told))
}

async fn measure(args: &Args, program: PathBuf, told: &impl Fn(&str)) -> Result<Figures> {
    told(&format!("{} pipelines: starting Kafka and Kubernetes, creating topics", args.pipelines));
    let bed = Bed::start(args.pipelines as usize, program).await?;
    let mut operator = Operator::start(&bed)?;
    told("creating pipelines");
    bed.create_pipelines().await?;
    let settled_after = bed.until_settled(&mut operator, told).await?;
    told(&format!("at rest for {} s", args.seconds));
    let rest = rest::measure(&bed, &operator, Duration::from_secs(args.seconds)).await?;
    told("stopping the operator and starting it again");
    let (operator, restart) = restart::measure(&bed, operator, told).await?;
    told(&format!("{} topics get records", args.moves));
    let crossings = crossings::measure(&bed, args.moves as usize).await?;
    let (peak_mebibytes, not_ready) = (operator.peak_mebibytes()?, bed.not_ready().await?);
    let pipelines = args.pipelines;
    Ok(Figures { pipelines, settled_after, rest, restart, crossings, peak_mebibytes, not_ready })
}
