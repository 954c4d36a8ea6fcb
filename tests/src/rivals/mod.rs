//! Rivals: other autoscalers' published algorithms on the same traces and the same simulated fleet as Plaudit's decisions.
//!
//! Each is a model of what its source does, with golden tests of its formulas. They differ from the real ones in what a simulation
//! leaves out: how they get their figures, and how long that takes.

pub mod cost;
pub mod flink;
pub mod keda;
pub mod numaflow;
pub mod table;
pub mod traces;

use std::collections::VecDeque;

use anyhow::Result;
use plaudit::simulate::Settings;

pub use table::{Entry, Table};

/// Compare Plaudit's scaling decisions with other autoscalers' on simulated traces
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write the traces of examples/traces again
    #[arg(long)]
    write_traces: bool,
    /// Take so many random traces instead, drawn from seeds that begin at --seed
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    random: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Args {
    /// Prints the table.
    #[expect(clippy::print_stdout, reason = "a command's answer goes to standard output")]
    pub fn run(&self) -> Result<()> {
        if self.write_traces {
            return traces::write();
        }
        let traces = match self.random {
            0 => traces::named(),
            count => traces::random(self.seed..self.seed + count),
        };
        print!("{}", Table::of(&traces, &Settings::default()));
        Ok(())
    }
}

/// What was seen in the last while, as (second, value), for means and greatest values.
#[derive(Clone, Debug, Default)]
struct Recent(VecDeque<(u64, f64)>);

impl Recent {
    fn push(&mut self, now: u64, value: f64, keep_seconds: u64) {
        self.0.push_back((now, value));
        while self.0.front().is_some_and(|(at, _)| now - at > keep_seconds) {
            self.0.pop_front();
        }
    }

    fn max(&self) -> f64 {
        self.0.iter().map(|(_, value)| *value).fold(0.0, f64::max)
    }

    fn mean(&self) -> f64 {
        let count = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0.iter().map(|(_, value)| value).sum::<f64>() / f64::from(count.max(1))
    }

    /// Change in a second between the oldest and the newest; `None` where there is only one.
    fn slope(&self) -> Option<f64> {
        let ((first, before), (last, after)) = (self.0.front()?, self.0.back()?);
        let seconds = u32::try_from(last - first).ok().filter(|seconds| *seconds > 0)?;
        Some((after - before) / f64::from(seconds))
    }

    fn seconds(&self) -> u64 {
        match (self.0.front(), self.0.back()) {
            (Some((first, _)), Some((last, _))) => last - first,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests;
