//! What can be typed after `plaudit-tests sim`.

use std::io::Write as _;
use std::time::Instant;

use anyhow::{Result, ensure};
use plaudit_worker::mutation::Mutation;

use super::{Plan, run, traced};

/// Run many simulated schedules of faults over the worker's real lanes.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Seed of the first schedule; the next ones count up.
    #[arg(long, env = "SEED", default_value_t = 1)]
    pub seed: u64,
    #[arg(long, env = "SEEDS", default_value_t = 1_000)]
    pub seeds: u64,
    /// Leave a part of the protocol out: no-watermark, no-fence or commit-before-write.
    #[arg(long, default_value = "none")]
    pub without: Mutation,
    /// Tell all that happens, whether it fails or not.
    #[arg(long)]
    pub trace: bool,
}

impl Args {
    /// # Errors
    /// When a schedule is not exact; each that is not is printed with its seed and all that happened.
    pub fn run(&self) -> Result<()> {
        let mut out = std::io::stdout();
        let (begun, mut failed, mut records, mut faults) = (Instant::now(), Vec::new(), 0, 0);
        for seed in self.seed..self.seed + self.seeds {
            let plan = Plan::new(seed);
            records += plan.log.iter().map(Vec::len).sum::<usize>();
            faults += plan.faults.len();
            let shown = plan.to_string();
            let exact = run(plan, self.without).is_exact();
            if !exact {
                failed.push(seed);
            }
            if self.trace || !exact && failed.len() == 1 {
                writeln!(out, "{shown}\n{}", traced(Plan::new(seed), self.without))?;
            }
        }
        let minutes = begun.elapsed().as_secs_f64() / 60.0;
        writeln!(
            out,
            "{} schedules, {faults} faults, {records} records: {} failed; {:.0} schedules a minute",
            self.seeds,
            failed.len(),
            self.seeds as f64 / minutes
        )?;
        let again = failed.first().copied().unwrap_or_default();
        ensure!(
            failed.is_empty(),
            "not exact: seeds {failed:?}; see one again with --seeds 1 --trace --seed {again}"
        );
        Ok(())
    }
}
