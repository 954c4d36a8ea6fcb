//! Running a schedule to its verdict.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use plaudit_worker::mutation::Mutation;
use tokio::runtime::Builder;
use tokio::time::{sleep, sleep_until};

use super::fleet::Fleet;
use super::plan::Plan;
use super::verdict::verdict;
use super::world::World;
use crate::checker::Verdict;

/// After the last fault, in simulated time. Zombies and late commands take a good part of it.
const SETTLE: Duration = Duration::from_secs(400);
const LOOK: Duration = Duration::from_millis(700);

/// How a schedule ended.
#[derive(Debug)]
pub struct Outcome {
    pub verdict: Verdict,
    /// A commit that was not safe, or lanes that came to no rest.
    pub broken: Option<String>,
    /// What happened, if it was to be traced.
    pub trace: Vec<String>,
}

impl Outcome {
    pub fn is_exact(&self) -> bool {
        self.broken.is_none() && self.verdict.passed() && self.verdict.not_stored_yet == 0
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.trace.iter().try_for_each(|line| writeln!(out, "{line}"))?;
        self.broken.iter().try_for_each(|broken| writeln!(out, "broken: {broken}"))?;
        write!(out, "{}", self.verdict)
    }
}

/// Runs a schedule.
pub fn run(plan: Plan, mutation: Mutation) -> Outcome {
    simulate(plan, mutation, false)
}

/// Runs a schedule and tells all that happens.
pub fn traced(plan: Plan, mutation: Mutation) -> Outcome {
    simulate(plan, mutation, true)
}

fn simulate(plan: Plan, mutation: Mutation, trace: bool) -> Outcome {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without I/O needs nothing").block_on(live(Arc::new(plan), mutation, trace))
}

async fn live(plan: Arc<Plan>, mutation: Mutation, trace: bool) -> Outcome {
    let world = World::new(plan.clone(), trace);
    let fleet = Fleet::start(world.clone(), mutation);
    for (moment, fault) in &plan.faults {
        sleep_until(world.began + *moment).await;
        fleet.suffer(*fault);
    }
    let last = plan.log.iter().flatten().map(|record| record.arrives_ms).max().unwrap_or_default();
    sleep_until(world.began + Duration::from_millis(last)).await;
    world.state().faulty = false;
    let begun = tokio::time::Instant::now();
    let unrest = loop {
        sleep(LOOK).await;
        let unrest = fleet.unrest();
        let quiet = unrest.is_none() && !world.state().partitions.iter().any(|partition| partition.moving);
        if quiet || begun.elapsed() > SETTLE {
            break unrest;
        }
    };
    let broken = world.state().broken.take().or(unrest);
    Outcome { verdict: verdict(&world), broken, trace: world.take_trace() }
}
