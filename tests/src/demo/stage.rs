//! A stage is what keeps the demo's workers: `plaudit local`, or an operator in a cluster.

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use plaudit::screen;
use plaudit::snapshot::{Snapshot, WorkerView};

use super::show::Show;
use crate::fleet;

pub(super) trait Stage {
    /// `None` until there is something to see.
    fn look(&mut self) -> Result<Option<Snapshot>>;

    /// The last look as a screen, with these lines below it.
    fn screen(&self, seen: &Snapshot, extra: &[String]) -> String {
        screen::render(seen, extra)
    }

    /// The whole of it once more where no screen is drawn again and again; empty: a line says it all.
    fn picture(&self) -> String {
        String::new()
    }

    /// Ends a worker without a word: here, one that is a process on this machine.
    fn kill(&mut self, show: &mut Show, worker: &WorkerView) -> Result<()> {
        let pid = worker.pid.context("a worker to kill has a process")?;
        fleet::signal(pid, Signal::SIGKILL)?;
        show.step(&format!("killed worker {} (kill -9 {pid})", worker.name))?;
        Ok(())
    }

    /// Lets the workers drain, and ends what keeps them.
    fn stop(&mut self, show: &mut Show) -> Result<()>;
}
