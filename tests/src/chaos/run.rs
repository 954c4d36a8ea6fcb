//! Carrying a plan out.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::plan::{Fault, Plan};
use crate::checker::Verdict;
use crate::scene::{Scene, Worker, rough_mix};
use crate::stack::{Kafka, KafkaOptions, Valkey, ValkeyOptions};

const PARTITIONS: i32 = 12;
const PLAYERS: u64 = 1_000;
/// After the last fault, the fleet has so long to store everything.
const SETTLE: Duration = Duration::from_secs(120);

/// A Kafka and a Valkey that a schedule may kill.
#[derive(Debug)]
pub struct Pair {
    pub kafka: Kafka,
    pub valkey: Valkey,
}

impl Pair {
    /// The store keeps every write it acknowledged.
    pub fn start() -> Result<Self> {
        let options = ValkeyOptions { append_fsync: "always", ..ValkeyOptions::default() };
        Ok(Self { kafka: Kafka::start(KafkaOptions::default())?, valkey: Valkey::start(options)? })
    }
}

/// How a schedule ended.
#[derive(Debug)]
pub struct Outcome {
    pub verdict: Verdict,
    pub took: Duration,
}

/// The fleet of a schedule. Frozen workers are thawed at their moment.
struct Fleet<'a> {
    scene: &'a Scene<'a>,
    workers: Vec<Worker>,
    frozen: Vec<(Instant, Worker)>,
    rng: fastrand::Rng,
}

/// Runs a plan; the verdict is for the caller to judge.
pub fn run(pair: &Pair, plan: &Plan) -> Result<Outcome> {
    let begin = Instant::now();
    let scene = Scene::new((&pair.kafka, &pair.valkey), "chaos", PARTITIONS, |_| ())?;
    let mut fleet = Fleet {
        scene: &scene,
        workers: Vec::new(),
        frozen: Vec::new(),
        rng: fastrand::Rng::with_seed(plan.seed ^ 0x5eed),
    };
    fleet.scale(plan.workers)?;
    std::thread::scope(|scope| -> Result<()> {
        let load = scope.spawn(|| scene.load(rough_mix(plan.seed, PLAYERS), plan.reports, plan.rate));
        let loaded = Instant::now();
        for (moment, fault) in &plan.faults {
            std::thread::sleep(moment.saturating_sub(loaded.elapsed()));
            fleet.thaw(false)?;
            fleet.suffer(*fault, pair).with_context(|| format!("{fault:?}"))?;
        }
        load.join().expect("the load does not panic")?;
        Ok(())
    })?;
    fleet.thaw(true)?;
    fleet.scale(fleet.workers.len().max(1))?;
    scene.wait_until_committed(SETTLE).with_context(|| fleet.logs())?;
    let verdict = scene.check()?;
    if !verdict.passed() {
        eprintln!("{}", fleet.logs());
    }
    Ok(Outcome { verdict, took: begin.elapsed() })
}

impl Outcome {
    /// # Errors
    /// Unless everything is stored exactly once.
    pub fn assert_exact(&self) -> Result<()> {
        ensure!(self.verdict.passed() && self.verdict.not_stored_yet == 0, "{}", self.verdict);
        Ok(())
    }
}

impl Fleet<'_> {
    fn suffer(&mut self, fault: Fault, pair: &Pair) -> Result<()> {
        match fault {
            Fault::Kill => {
                if let Some(worker) = self.pick() {
                    worker.kill()?;
                    self.workers.push(self.scene.start_worker()?);
                }
            }
            Fault::Terminate => {
                let Some(worker) = self.pick() else { return Ok(()) };
                worker.terminate()?;
                self.workers.push(self.scene.start_worker()?);
                worker.stop()?;
            }
            Fault::Scale(workers) => self.scale(workers)?,
            Fault::Freeze { milliseconds } => {
                if let Some(worker) = self.pick() {
                    worker.pause()?;
                    self.frozen.push((Instant::now() + Duration::from_millis(milliseconds), worker));
                }
            }
            Fault::KillBroker => {
                pair.kafka.kill()?;
                pair.kafka.restart()?;
            }
            Fault::KillStore => {
                pair.valkey.kill()?;
                pair.valkey.restart()?;
            }
        }
        Ok(())
    }

    /// Takes a random worker out of the fleet.
    fn pick(&mut self) -> Option<Worker> {
        if self.workers.is_empty() {
            return None;
        }
        let at = self.rng.usize(..self.workers.len());
        Some(self.workers.swap_remove(at))
    }

    fn scale(&mut self, workers: usize) -> Result<()> {
        while self.workers.len() < workers {
            self.workers.push(self.scene.start_worker()?);
        }
        let leaving = self.workers.split_off(workers);
        for worker in &leaving {
            worker.terminate()?;
        }
        leaving.into_iter().try_for_each(Worker::stop)
    }

    /// Lets frozen workers go on whose time has come; with `all`, waits for those whose has not.
    fn thaw(&mut self, all: bool) -> Result<()> {
        for (until, worker) in std::mem::take(&mut self.frozen) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || all {
                std::thread::sleep(left);
                worker.resume()?;
                self.workers.push(worker);
            } else {
                self.frozen.push((until, worker));
            }
        }
        Ok(())
    }

    fn logs(&self) -> String {
        let show = |worker: &Worker| format!("worker {}:\n{}", worker.pid(), worker.log());
        self.workers.iter().map(show).collect::<Vec<_>>().join("\n")
    }
}
