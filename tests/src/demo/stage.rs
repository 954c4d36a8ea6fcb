//! A stage is what keeps the demo's workers: `plaudit local`, or an operator in a cluster.

use anyhow::Result;
use plaudit::screen;
use plaudit::snapshot::Snapshot;

use super::show::Show;

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

    /// Lets the workers drain, and ends what keeps them.
    fn stop(&mut self, show: &mut Show) -> Result<()>;
}
