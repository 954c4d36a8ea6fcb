//! A policy says how many workers a fleet should have: Plaudit's own, or another autoscaler's.

use std::time::Duration;

use plaudit_crds::LastDecision;

use super::fleet::Fleet;
use crate::pipeline::ScalingRules;
use crate::scaling::{Learnt, Scaler};

/// Something that decides about a fleet.
pub trait Policy {
    /// Seconds between two questions.
    fn period_seconds(&self) -> u64;

    /// The number of workers from now on; `None`: as before. `replicas`: what it said last.
    fn choose(&mut self, fleet: &Fleet, replicas: Option<u32>, now_seconds: u64) -> Option<Choice>;
}

/// A number of workers, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Workers that should run.
    pub replicas: u32,
    /// The whole decision, where it is Plaudit's.
    pub record: Option<LastDecision>,
}

/// Plaudit's decisions.
#[derive(Debug)]
pub struct Plaudit {
    rules: ScalingRules,
    scaler: Scaler,
    period_seconds: u64,
}

impl Plaudit {
    /// The rules of a pipeline, what it had learnt before, and seconds between two looks.
    #[must_use]
    pub fn new(rules: ScalingRules, learnt: Option<Learnt>, period_seconds: u64) -> Self {
        Self { rules, scaler: Scaler::new(learnt), period_seconds }
    }
}

impl Policy for Plaudit {
    fn period_seconds(&self) -> u64 {
        self.period_seconds
    }

    fn choose(&mut self, fleet: &Fleet, replicas: Option<u32>, now_seconds: u64) -> Option<Choice> {
        let decision =
            self.scaler.decide(&self.rules, &fleet.sample(replicas), Duration::from_secs(now_seconds));
        Some(Choice { replicas: decision.replicas, record: Some(decision.record) })
    }
}
