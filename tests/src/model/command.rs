//! What can be typed after `plaudit-tests model`.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::{
    Broken, Checked, Config, Searched, Stuck, Walked, contention, deep, harmful, harmless, live, random,
    search, small, split_deep, split_harmful, split_sound, walk,
};

/// Graphs for liveness are kept whole in memory: about 500 bytes a state.
const GRAPH: usize = 2_000_000;

/// No random run is longer: most end by themselves before.
const STEPS: usize = 300;

/// Look at every state of the model's configurations.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The larger configurations too: many minutes, and some GB of memory.
    #[arg(long)]
    pub deep: bool,
    /// Only configurations whose name contains this; of broken ones, print the steps.
    #[arg(long)]
    pub only: Option<String>,
}

impl Args {
    /// # Errors
    /// When a configuration of the protocol is broken, or one with a part left out is not.
    pub fn run(&self) -> Result<()> {
        self.say("The protocol")?;
        let larger = if self.deep { deep() } else { Vec::new() };
        for case in small().into_iter().chain(larger) {
            self.holds(case.config.name, &case.config, Some(true).filter(|_| case.live))?;
        }
        let larger = if self.deep { split_deep() } else { Vec::new() };
        for split in split_sound().into_iter().chain(larger) {
            if self.takes(split.name) {
                self.report(split.name, &search(&split), true, "exact")?;
            }
        }
        self.say("\nAt random")?;
        self.walks(if self.deep { 20_000 } else { 1_000 })?;
        self.say("\nLanes that take the fence from each other")?;
        for (config, lives) in contention() {
            self.holds(config.name, &config, Some(lives))?;
        }
        self.say("\nParts replaced that break nothing")?;
        for config in harmless() {
            self.holds(config.name, &config, Some(true))?;
        }
        self.say("\nParts left out")?;
        for config in harmful() {
            self.breaks(config.name, &config)?;
        }
        for split in split_harmful() {
            self.breaks(split.name, &split)?;
        }
        Ok(())
    }

    fn walks(&self, runs: u64) -> Result<()> {
        for config in random().into_iter().filter(|config| self.takes(config.name)) {
            let began = Instant::now();
            let Walked { runs, steps, broken } = walk(&config, 0..runs, STEPS);
            let (name, took) = (config.name, seconds(began.elapsed()));
            if let Some((seed, Broken { breach, steps })) = broken {
                bail!("{name}, seed {seed}: {breach}\n  {}", steps.join("\n  "));
            }
            self.say(&format!("  {name:<52} {runs:>9} runs {steps:>8} steps {took:>6}  exact"))?;
        }
        Ok(())
    }

    fn takes(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only))
    }

    /// Checks that a configuration is exact, and whether it is live.
    fn holds(&self, name: &str, config: &Config, lives: Option<bool>) -> Result<()> {
        if !self.takes(name) {
            return Ok(());
        }
        let mut searched = search(config);
        let Some(expected) = lives.filter(|_| searched.states <= GRAPH) else {
            return self.report(name, &searched, true, "exact");
        };
        let began = Instant::now();
        let lived = live(config, GRAPH);
        searched.took += began.elapsed();
        let result = match &lived.stuck {
            None => "exact, live",
            Some(Stuck::DeadEnd(_)) => "exact, but with a dead end",
            Some(Stuck::Cycle(..)) => "exact, but with a cycle",
        };
        self.report(name, &searched, true, result)?;
        if self.only.is_some() {
            self.show_stuck(lived.stuck.as_ref())?;
        }
        ensure!(lived.stuck.is_none() == expected, "{name}: live is expected to be {expected}");
        Ok(())
    }

    fn show_stuck(&self, stuck: Option<&Stuck>) -> Result<()> {
        let (way, cycle) = match stuck {
            None => return Ok(()),
            Some(Stuck::DeadEnd(way)) => (way, &Vec::new()),
            Some(Stuck::Cycle(way, cycle)) => (way, cycle),
        };
        way.iter().try_for_each(|step| self.say(&format!("    {step}")))?;
        if !cycle.is_empty() {
            self.say("    and for ever:")?;
        }
        cycle.iter().try_for_each(|step| self.say(&format!("    {step}")))
    }

    fn breaks<M>(&self, name: &str, model: &M) -> Result<()>
    where
        M: Checked + Clone + Send + Sync + 'static,
    {
        if !self.takes(name) {
            return Ok(());
        }
        let searched = search(model);
        let Some(broken) = &searched.broken else { bail!("{name}: nothing breaks") };
        let result = format!("{} steps: {}", broken.steps.len(), broken.breach);
        self.report(name, &searched, false, &result)?;
        if self.only.is_some() {
            broken.steps.iter().try_for_each(|step| self.say(&format!("    {step}")))?;
        }
        Ok(())
    }

    fn report(&self, name: &str, searched: &Searched, sound: bool, result: &str) -> Result<()> {
        if let Some(broken) = searched.broken.as_ref().filter(|_| sound) {
            bail!("{name}: {}\n  {}", broken.breach, broken.steps.join("\n  "));
        }
        let Searched { states, depth, took, .. } = searched;
        self.say(&format!("  {name:<52} {states:>9} states {depth:>3} deep {:>8}  {result}", seconds(*took)))
    }

    fn say(&self, line: &str) -> Result<()> {
        Ok(writeln!(std::io::stdout(), "{line}")?)
    }
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}
