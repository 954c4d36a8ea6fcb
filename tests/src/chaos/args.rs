//! What can be typed after `plaudit-tests chaos`.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Pair, Plan, run};

/// Run random schedules of faults, each with the checker's verdict.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Seed of the first schedule; the next ones count up.
    #[arg(long, env = "SEED", default_value_t = 1)]
    pub seed: u64,
    #[arg(long, env = "SCHEDULES", default_value_t = 100)]
    pub schedules: u64,
    /// Faults in a schedule.
    #[arg(long, env = "FAULTS", default_value_t = 6)]
    pub faults: usize,
    /// How long the load of a schedule lasts.
    #[arg(long, default_value_t = 5)]
    pub seconds: u64,
}

impl Args {
    /// # Errors
    /// At the first schedule that is not exact; the message holds its seed.
    pub fn run(&self) -> Result<()> {
        let mut out = std::io::stdout();
        let pair = Pair::start()?;
        let (mut reports, mut faults) = (0, 0);
        for seed in self.seed..self.seed + self.schedules {
            let plan = Plan::new(seed, self.faults, Duration::from_secs(self.seconds));
            writeln!(out, "{plan}")?;
            let outcome = run(&pair, &plan).with_context(|| format!("{plan}"))?;
            writeln!(out, "  {:.1} s: {}", outcome.took.as_secs_f64(), outcome.verdict)?;
            outcome.assert_exact().with_context(|| format!("{plan}"))?;
            reports += outcome.verdict.reports;
            faults += plan.faults.len();
        }
        writeln!(
            out,
            "{} schedules, {faults} faults, {reports} reports: 0 lost, 0 applied twice",
            self.schedules
        )?;
        Ok(())
    }
}
