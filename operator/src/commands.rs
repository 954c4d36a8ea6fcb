//! The command line: what can be typed, and which exit status it ends with.

mod check;
mod crd;
mod import;
mod local;
mod operator;
mod pipeline_file;
mod plan;
mod players;
mod rbac;
mod report;
mod simulate;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

/// Keeps players' achievements: reports come from Kafka and are merged into one record for each player in Redis or Valkey.
#[derive(Debug, Parser)]
#[command(name = "plaudit", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the CustomResourceDefinition of AchievementPipeline.
    Crd,
    /// Look after the pipelines of a Kubernetes cluster.
    Operator(operator::Args),
    /// Ask the operators of a cluster whether they are ready and one of them leads.
    Check(check::Args),
    /// Show what the operator would do with a pipeline: its decision and the objects it applies.
    Plan(plan::Args),
    /// Print the rights that the operator needs, as Roles.
    Rbac(rbac::Args),
    /// Run a pipeline on this machine, with processes as workers.
    Local(local::Args),
    /// Run the scaling decisions on a trace of arrivals, and show what they would cost.
    Simulate(simulate::Args),
    /// Write reports.
    #[command(subcommand)]
    Report(report::Command),
    /// Read players.
    #[command(subcommand)]
    Players(players::Command),
    /// Send players that exist elsewhere: one report a line, each with its original timestamp.
    Import(import::Args),
    /// Send made-up reports, or reports from a file.
    Load(Box<LoadArgs>),
}

#[derive(Debug, clap::Args)]
struct LoadArgs {
    #[command(flatten)]
    file: pipeline_file::PipelineFile,
    #[command(flatten)]
    load: crate::load::Args,
}

/// How a result is printed.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// A mistake of the user's: exit status 2, as for a wrong flag. Everything else that fails is exit status 1.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct Mistake(#[from] anyhow::Error);

/// Runs the command that was typed.
#[must_use]
pub fn main() -> ExitCode {
    plaudit_worker::process::hide_memory();
    let matches = Cli::command().get_matches();
    let result = Cli::from_arg_matches(&matches)
        .map_err(anyhow::Error::from)
        .and_then(|cli| run(cli.command, &matches));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("plaudit: {}", explained(&error));
            ExitCode::from(if error.is::<Mistake>() { 2 } else { 1 })
        }
    }
}

fn run(command: Command, matches: &clap::ArgMatches) -> anyhow::Result<()> {
    match command {
        Command::Crd => crd::run(),
        Command::Operator(args) => operator::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Rbac(args) => rbac::run(&args),
        Command::Local(args) => local::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Report(command) => report::run(command),
        Command::Players(command) => players::run(command),
        Command::Import(args) => import::run(&args),
        Command::Load(args) => {
            let LoadArgs { file, mut load } = *args;
            let pipeline = file.read()?;
            if let (Some(pipeline), Some(matches)) = (&pipeline, matches.subcommand_matches("load")) {
                // A flag that was typed says more than the file; a default says less.
                let typed = |name| matches.value_source(name) == Some(clap::parser::ValueSource::CommandLine);
                if !typed("bootstrap_servers") {
                    load.bootstrap_servers.clone_from(&pipeline.source.bootstrap_servers);
                }
                if !typed("topic") {
                    load.topic.clone_from(&pipeline.source.topic);
                }
                if !typed("format") {
                    load.format = pipeline.source.format;
                }
            }
            load.access = Some(file.kafka(pipeline.as_ref(), &load.bootstrap_servers)?);
            crate::load::run(&load)
        }
    }
}

/// Writes a result to standard output.
fn print(text: &str) -> anyhow::Result<()> {
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=60.0).contains(&seconds) => Ok(seconds),
        _ => Err("give a number of seconds from 0.1 to 60".to_owned()),
    }
}

/// An error with its causes; several wrong fields stand below each other.
fn explained(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        // A transparent error repeats its cause.
        if text.ends_with(&cause) {
            continue;
        }
        if cause.contains('\n') {
            text.push(':');
            text.extend(cause.lines().map(|line| format!("\n  {line}")));
        } else {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn causes_follow_their_error() {
        let many = anyhow::anyhow!("a: is wrong\nb: is wrong").context("the file is refused");
        let one = anyhow::anyhow!("connection refused").context("could not read the player");

        assert_eq!(
            [explained(&many), explained(&one)],
            [
                "the file is refused:\n  a: is wrong\n  b: is wrong",
                "could not read the player: connection refused"
            ]
        );
    }
}
