//! `plaudit-tests` runs what is more than a test: the stack in the background, and helpers the tests start.
#![expect(clippy::print_stdout, reason = "a command's answer goes to standard output")]

use std::io::Read;

use anyhow::Result;
use clap::{Parser, Subcommand};
use plaudit_tests::stack::{self, background};

#[derive(Debug, Parser)]
#[command(name = "plaudit-tests", about = "Real Kafka and Valkey for trying, testing and measuring Plaudit")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start Kafka and Valkey in the background
    Up,
    /// Stop what `up` started and remove its data
    Down,
    /// Hold a stack until standard input ends; a test kills this one
    #[command(hide = true)]
    Hold,
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Up => up(),
        Command::Down => down(),
        Command::Hold => hold(),
    }
}

fn up() -> Result<()> {
    let endpoints = background::up()?;
    println!("Kafka is on {}, Valkey on {}.", endpoints.bootstrap_servers, endpoints.store_address);
    Ok(())
}

fn down() -> Result<()> {
    println!(
        "{}",
        if background::down()? {
            "Kafka and Valkey are stopped, their data is gone."
        } else {
            "Nothing was up."
        }
    );
    Ok(())
}

fn hold() -> Result<()> {
    let stack = stack::shared();
    for pid in [stack.kafka.pid(), stack.valkey.pid()].into_iter().flatten() {
        println!("{pid}");
    }
    println!("holding");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
