//! What can be typed after `plaudit-tests chaos`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Kind, Plan, run, start_kafka};

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
    /// Draw faults of these kinds alone, separated by commas.
    #[arg(long, env = "ONLY", value_enum, value_delimiter = ',')]
    pub only: Vec<Kind>,
    /// How long the load of a schedule lasts.
    #[arg(long, env = "SECONDS", default_value_t = 5)]
    pub seconds: u64,
    /// Workers leave out this part of the protocol, as the tests do to see that they can fail.
    #[arg(long, default_value = "none")]
    pub mutation: String,
}

impl Args {
    /// # Errors
    /// At the first schedule that is not exact; the message holds its seed and where its logs are.
    pub fn run(&self) -> Result<()> {
        let mut out = std::io::stdout();
        let kafka = start_kafka()?;
        let (mut reports, mut skipped) = (0, 0);
        let mut kinds = BTreeMap::<Kind, u64>::new();
        for seed in self.seed..self.seed + self.schedules {
            let plan = Plan::new(seed, self.faults, Duration::from_secs(self.seconds), &self.only);
            writeln!(out, "{plan}")?;
            let outcome = run(&kafka, &plan, &self.mutation).with_context(|| self.again(&plan))?;
            for left_out in &outcome.skipped {
                writeln!(out, "  left out: {left_out}")?;
            }
            if outcome.died > 0 {
                writeln!(out, "  {} workers ended by themselves", outcome.died)?;
            }
            outcome.assert_exact().with_context(|| self.again(&plan))?;
            writeln!(out, "  {:.1} s: {}", outcome.took.as_secs_f64(), outcome.verdict)?;
            reports += outcome.verdict.reports;
            skipped += outcome.skipped.len();
            plan.faults.iter().for_each(|planned| *kinds.entry(planned.kind).or_default() += 1);
        }
        let faults = kinds.values().sum::<u64>() - skipped as u64;
        writeln!(
            out,
            "{} schedules, {faults} faults, {reports} reports: 0 lost, 0 applied twice",
            self.schedules
        )?;
        let kinds: Vec<String> =
            kinds.iter().map(|(kind, count)| format!("{count} {}", kind.name())).collect();
        writeln!(out, "{}", kinds.join(", "))?;
        Ok(())
    }

    /// The command that runs this schedule again, and the schedule.
    fn again(&self, plan: &Plan) -> String {
        let names: Vec<String> = self.only.iter().map(|kind| kind.name()).collect();
        let only = if names.is_empty() { String::new() } else { format!(" ONLY={}", names.join(",")) };
        let Self { faults, seconds, .. } = self;
        format!("make chaos SEED={} SCHEDULES=1 FAULTS={faults} SECONDS={seconds}{only}", plan.seed)
    }
}
