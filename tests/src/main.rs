//! `plaudit-tests` runs what is more than a test: the stack in the background, and helpers the tests start.
#![expect(clippy::print_stdout, reason = "a command's answer goes to standard output")]

use std::io::Read;

use anyhow::Result;
use clap::{Parser, Subcommand};
use plaudit_tests::stack::background::{self, Endpoints};
use plaudit_tests::stack::shared;
use plaudit_tests::{bench, chaos, checker, cluster, demo, direct, example, model, programs, rivals, sim};

#[derive(Debug, Parser)]
#[command(name = "plaudit-tests", about = "Real Kafka and Valkey for trying, testing and measuring Plaudit")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    /// Start Kafka and Valkey in the background, and say what to try with them
    Up,
    /// Stop what `up` started and remove its data
    Down,
    Cluster(cluster::Args),
    Chaos(chaos::Args),
    Check(checker::Args),
    Sim(sim::Args),
    Bench(bench::Args),
    Model(model::Args),
    Rivals(rivals::Args),
    BenchOperator(bench::operator::Args),
    /// The least work that could be done, as a process that the benchmark measures
    #[command(hide = true)]
    BenchBaseline(bench::BaselineArgs),
    /// The synchronous design that Plaudit is compared with, as a server
    #[command(hide = true)]
    DirectServer(direct::Args),
    /// Hold a stack until standard input ends; a test kills this one
    #[command(hide = true)]
    Hold,
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Demo(args) => ensure_passed(demo::run(&args)?),
        Command::Up => up(),
        Command::Down => down(),
        Command::Cluster(args) => args.run(),
        Command::Chaos(args) => args.run(),
        Command::Check(args) => args.run(),
        Command::Sim(args) => args.run(),
        Command::Bench(args) => bench::run(&args),
        Command::Model(args) => args.run(),
        Command::Rivals(args) => args.run(),
        Command::BenchOperator(args) => bench::run_operator(&args),
        Command::BenchBaseline(args) => bench::run_baseline(&args),
        Command::DirectServer(args) => direct::run(&args),
        Command::Hold => hold(),
    }
}

fn ensure_passed(passed: bool) -> Result<()> {
    anyhow::ensure!(passed, "not every report is accounted for");
    Ok(())
}

fn up() -> Result<()> {
    let pipeline = example::pipeline()?;
    let endpoints =
        background::up(&background::directory()?, |kafka| example::create_topics(&pipeline, kafka))?;
    let Endpoints { bootstrap_servers, store_address } = &endpoints;
    let topic = &pipeline.spec.source.topic;
    let plaudit = programs::shown("plaudit")?;
    println!(
        "Kafka is on {bootstrap_servers} with the topic {topic}, Valkey is on {store_address}. Run the pipeline on them:

  {plaudit} local -f examples/pipeline.yaml --bootstrap-servers {bootstrap_servers} --store-address {store_address}

and in another terminal send reports and look at a player:

  {plaudit} report send --bootstrap-servers {bootstrap_servers} --topic {topic} --uin 10001 --item 1001=37
  {plaudit} players get 10001 --store-address {store_address}
  {plaudit} load --bootstrap-servers {bootstrap_servers} --count 1000000

`make down` stops both and removes their data."
    );
    Ok(())
}

fn down() -> Result<()> {
    println!(
        "{}",
        if background::down(&background::directory()?)? {
            "Kafka and Valkey are stopped, their data is gone."
        } else {
            "Nothing was up."
        }
    );
    Ok(())
}

fn hold() -> Result<()> {
    let stack = shared();
    for pid in [stack.kafka.pid(), stack.valkey.pid()].into_iter().flatten() {
        println!("{pid}");
    }
    println!("holding");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
