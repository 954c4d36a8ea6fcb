//! A schedule from its servers to the verdict.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicI64;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use plaudit_crds::worker::WorkerConfig;
use plaudit_crds::{AchievementType, GroupProtocol};

use super::ending::Agenda;
use super::fleet::Fleet;
use super::plan::{Plan, ROUTES};
use super::play::Run;
use super::store::{Store, start_valkey};
use crate::checker::Verdict;
use crate::scene::Scene;
use crate::stack::fetch::ROOT;
use crate::stack::{Kafka, KafkaOptions};

const PARTITIONS: i32 = 12;
/// After the last fault, the fleet has so long to store everything.
const SETTLE: Duration = Duration::from_secs(120);
/// As long as a worker's session in these tests.
const SOCKET_TIMEOUT_MS: i32 = 6_000;

/// A broker that schedules may kill, with the routes they disturb.
pub fn start_kafka() -> Result<Kafka> {
    Kafka::start(KafkaOptions { routes: ROUTES, ..KafkaOptions::default() })
}

/// How a schedule ended.
#[derive(Debug)]
pub struct Outcome {
    pub verdict: Verdict,
    pub took: Duration,
    /// Faults that could not be carried out, and why.
    pub skipped: Vec<String>,
    /// Workers that ended though nobody told them to.
    pub died: usize,
    /// Where the logs are, of a schedule that is not exact.
    pub logs: Option<PathBuf>,
}

impl Outcome {
    /// # Errors
    /// Unless everything is stored exactly once.
    pub fn assert_exact(&self) -> Result<()> {
        let exact = is_exact(&self.verdict);
        ensure!(exact, "logs are in {}\n{}", self.logs.clone().unwrap_or_default().display(), self.verdict);
        Ok(())
    }
}

/// Runs a plan with workers of this mutation; the verdict is for the caller to judge.
///
/// # Errors
/// Where a step fails; the message says where the logs are.
pub fn run(kafka: &Kafka, plan: &Plan, mutation: &str) -> Result<Outcome> {
    let begin = Instant::now();
    let first = start_valkey()?;
    let store = Store::new(&first, plan.failovers())?;
    let routes: [_; ROUTES] =
        std::array::from_fn(|route| (kafka.route(route).address(), store.route(route).address()));
    let scene = Scene::new((kafka, &first), "chaos", PARTITIONS, |config| {
        configure(config, plan);
        config.store.address.clone_from(&routes[0].1);
    })?;
    let fleet = Fleet::new(&scene, routes, mutation, fastrand::Rng::with_seed(plan.seed ^ 0x5eed));
    let clock = AtomicI64::new(0);
    let (agenda, skipped) = (Agenda::default(), Vec::new());
    let mut run = Run { plan, kafka, store, scene: &scene, fleet, clock: &clock, agenda, skipped };
    let verdict = run.play().and_then(|()| {
        scene.wait_until_stored(SETTLE)?;
        scene.check()
    });
    let took = begin.elapsed();
    match verdict {
        Ok(verdict) => {
            let logs = if is_exact(&verdict) { None } else { Some(keep_logs(&scene, plan)?) };
            Ok(Outcome { verdict, took, skipped: run.skipped, died: run.fleet.died(), logs })
        }
        Err(error) => {
            let logs = keep_logs(&scene, plan)?;
            Err(error.context(format!("logs are in {}", logs.display())))
        }
    }
}

fn is_exact(verdict: &Verdict) -> bool {
    verdict.passed() && verdict.not_stored_yet == 0
}

fn configure(config: &mut WorkerConfig, plan: &Plan) {
    config.store.max_value_bytes = plan.max_value_bytes;
    config.source.group_protocol = plan.group_protocol;
    if plan.group_protocol == GroupProtocol::Consumer {
        // the broker decides, and says the same
        config.source.properties.session_timeout_ms = None;
    }
    // a connection that carries nothing is given up after this; the default is a minute
    config.source.properties.socket_timeout_ms = Some(SOCKET_TIMEOUT_MS);
    // policies by turns, as the generator means its types
    let known = std::mem::take(&mut config.achievements.types);
    config.achievements.types = (1_001..)
        .zip(known.iter().cycle())
        .take(plan.types as usize)
        .map(|(id, like)| AchievementType { r#type: id, ..like.clone() })
        .collect();
}

fn keep_logs(scene: &Scene<'_>, plan: &Plan) -> Result<PathBuf> {
    let directory = Path::new(ROOT).join(format!("target/chaos/seed-{}", plan.seed));
    scene.keep_logs(&directory)?;
    std::fs::write(directory.join("plan"), format!("{plan}\n"))?;
    Ok(directory.canonicalize()?)
}
