//! `plaudit load`: made-up reports for a pipeline, or a file of real ones.
//!
//! The stream of records is a function of a seed ([`Generator`]); sending it ([`produce`]) decides nothing.

mod args;
mod bad;
mod generator;
mod latency;
mod ndjson;
mod pace;
mod players;
mod producer;
mod report;
mod sender;
mod summary;
mod zipf;

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use args::{Args, MixArgs};
pub use bad::Bad;
pub use generator::{Generator, ItemType, Mix, PlayerOrder, Record, Tally, Values};
pub use latency::Histogram;
pub use pace::{Burst, Pace};
pub use players::Players;
pub use producer::{Load, LoadError, Progress, Reports, Summary, produce};
pub use report::{Item, Report};
pub use zipf::Zipf;

/// Runs `plaudit load`: progress on standard error, the summary on standard output; Ctrl-C ends the load early.
///
/// Fails where a record was not acknowledged. Blocks its thread.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_interrupt(stop.clone())?;
    let summary = produce(&args.load(), &stop, &mut |progress| eprintln!("{progress}"))?;
    writeln!(std::io::stdout(), "{summary}")?;
    anyhow::ensure!(
        summary.complete(),
        "{} records were not acknowledged",
        summary.sent - summary.acknowledged
    );
    Ok(())
}

fn stop_on_interrupt(stop: Arc<AtomicBool>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    std::thread::spawn(move || {
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            stop.store(true, Ordering::Relaxed);
        }
    });
    Ok(())
}
