//! The table: every setting of every rival on every trace.

use std::fmt;

use plaudit::pipeline::ScalingRules;
use plaudit::simulate::{Outcome, Plaudit, Policy, Settings, Trace, run};

use super::cost::Figures;
use super::flink::{self, Flink};
use super::keda::{self, Keda};
use super::numaflow::{self, Numaflow};
use crate::example;

/// Factors on the one setting of a rival that trades lag for workers.
const FACTORS: [f64; 5] = [0.25, 0.5, 1.0, 2.0, 4.0];
/// `plaudit operator` looks so often.
const POLL_SECONDS: u64 = 2;

/// One setting of one autoscaler on all traces.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Whose it is.
    pub rival: &'static str,
    /// Which of its settings was varied, with its value.
    pub setting: String,
    /// In the order of the traces.
    pub figures: Vec<Figures>,
}

/// All of them. Plaudit's is the first.
#[derive(Clone, Debug)]
pub struct Table {
    pub traces: Vec<String>,
    pub entries: Vec<Entry>,
}

impl Table {
    /// Runs everybody on everything.
    pub fn of(traces: &[(String, Trace)], settings: &Settings) -> Self {
        let rules = rules();
        let threshold = f64::from(u32::try_from(rules.lag_threshold).unwrap_or(u32::MAX));
        let entry = |rival, setting: String, make: &dyn Fn() -> Box<dyn Policy>| {
            let figures =
                traces.iter().map(|(_, trace)| Figures::of(&run(trace, settings, &mut *make()).summary()));
            Entry { rival, setting, figures: figures.collect() }
        };
        let mut entries = vec![entry("Plaudit", "defaults".to_owned(), &|| {
            Box::new(Plaudit::new(rules.clone(), None, POLL_SECONDS))
        })];
        for factor in FACTORS {
            let lag = keda::LAG_THRESHOLD * factor;
            entries.push(entry("KEDA + HPA", format!("lagThreshold {lag}"), &|| Box::new(Keda::new(lag))));
        }
        for factor in FACTORS {
            // Its default is a placeholder; this is what Plaudit has as its default.
            let lag = threshold * factor;
            entries.push(entry("KEDA + HPA, sized", format!("lagThreshold {lag}"), &|| {
                Box::new(Keda::new(lag))
            }));
        }
        for factor in FACTORS {
            let target = numaflow::TARGET_PROCESSING_SECONDS * factor;
            let setting = format!("targetProcessingSeconds {target}");
            entries.push(entry("Numaflow", setting, &|| Box::new(Numaflow::new(target))));
        }
        for (rival, defaults) in
            [("Flink", flink::Settings::default()), ("Flink, fast", flink::Settings::fast())]
        {
            for factor in FACTORS {
                let catch_up_seconds = defaults.catch_up_seconds * factor;
                let flink = flink::Settings { catch_up_seconds, ..defaults };
                let setting = format!("catch-up.duration {catch_up_seconds} s");
                entries.push(entry(rival, setting, &|| Box::new(Flink::new(flink))));
            }
        }
        Self { traces: traces.iter().map(|(name, _)| name.clone()).collect(), entries }
    }

    /// Plaudit's entry.
    pub fn ours(&self) -> &Entry {
        &self.entries[0]
    }

    /// Everybody else's.
    pub fn theirs(&self) -> &[Entry] {
        &self.entries[1..]
    }

    /// The least cost of any rival's setting on a trace.
    pub fn best_of_theirs(&self, trace: usize) -> f64 {
        self.theirs().iter().map(|entry| entry.figures[trace].cost()).fold(f64::INFINITY, f64::min)
    }
}

impl Entry {
    /// Over all traces.
    pub fn sum(&self) -> Figures {
        self.figures.iter().copied().fold(Figures::default(), Figures::plus)
    }
}

/// The rules of a pipeline that sets nothing.
pub fn rules() -> ScalingRules {
    let mut object = example::pipeline().expect("the example is a pipeline");
    object.spec.scaling = plaudit_crds::Scaling::default();
    plaudit::pipeline::parse(&object).expect("the example is good").scaling
}

/// Plaudit on a trace, with its defaults.
pub fn ours(trace: &Trace, settings: &Settings) -> Outcome {
    run(trace, settings, &mut Plaudit::new(rules(), None, POLL_SECONDS))
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "cost = mean pods + 0.1 × p99 lag in seconds + 0.05 × scale events per hour")?;
        write!(formatter, "\n{:<18} {:<30} {:>8}", "", "", "sum")?;
        for trace in &self.traces {
            write!(formatter, " {trace:>11.11}")?;
        }
        writeln!(formatter)?;
        for entry in &self.entries {
            write!(formatter, "{:<18} {:<30} {:>8.2}", entry.rival, entry.setting, entry.sum().cost())?;
            for figures in &entry.figures {
                write!(formatter, " {:>11.2}", figures.cost())?;
            }
            writeln!(formatter)?;
        }
        write!(formatter, "{:<18} {:<30} {:>8}", "best of theirs", "", "")?;
        for trace in 0..self.traces.len() {
            write!(formatter, " {:>11.2}", self.best_of_theirs(trace))?;
        }
        writeln!(formatter, "\n\nmean pods, p99 lag in seconds, scale events per hour\n")?;
        for entry in &self.entries {
            write!(formatter, "{:<18} {:<30} {:>8}", entry.rival, entry.setting, "")?;
            for figures in &entry.figures {
                let Figures { mean_pods, lag_p99_seconds, events_per_hour } = figures;
                write!(
                    formatter,
                    " {:>11}",
                    format!("{mean_pods:.1} {lag_p99_seconds:.0} {events_per_hour:.0}")
                )?;
            }
            writeln!(formatter)?;
        }
        Ok(())
    }
}
