//! The workers of a schedule.

use anyhow::{Context, Result};
use fastrand::Rng;
use plaudit_crds::worker::WorkerConfig;

use super::fault::Variant;
use super::plan::ROUTES;
use crate::scene::{Scene, Worker};

/// Workers that run, and those that were told to end.
#[derive(Debug)]
pub(super) struct Fleet<'a> {
    scene: &'a Scene<'a>,
    /// Addresses of broker and store by route.
    routes: [(String, String); ROUTES],
    mutation: &'a str,
    rng: Rng,
    workers: Vec<Worker>,
    leaving: Vec<Worker>,
    started: usize,
    died: usize,
}

impl<'a> Fleet<'a> {
    pub fn new(
        scene: &'a Scene<'a>,
        routes: [(String, String); ROUTES],
        mutation: &'a str,
        rng: Rng,
    ) -> Self {
        Self { scene, routes, mutation, rng, workers: Vec::new(), leaving: Vec::new(), started: 0, died: 0 }
    }

    pub fn len(&self) -> usize {
        self.workers.len()
    }

    /// Starts a worker, on each route by turns.
    pub fn start(&mut self, variant: Option<Variant>) -> Result<()> {
        let mut config: WorkerConfig = self.scene.config.clone();
        let (broker, store) = self.routes[self.started % ROUTES].clone();
        self.started += 1;
        (config.source.bootstrap_servers, config.store.address) = (broker, store);
        if let Some(variant) = variant {
            config.batch.max_records = variant.max_records;
            config.batch.max_delay_milliseconds = variant.max_delay_ms;
            config.store.max_value_bytes = variant.max_value_bytes;
            config.memory_budget_bytes = variant.memory_budget_mib << 20;
        }
        self.workers.push(self.scene.spawn_worker(&config, self.mutation)?);
        Ok(())
    }

    /// How many workers ended by themselves.
    pub fn died(&self) -> usize {
        self.died
    }

    /// Replaces workers that ended by themselves, as whoever runs workers does.
    pub fn revive(&mut self) -> Result<()> {
        let before = self.workers.len();
        self.workers.retain_mut(Worker::is_running);
        let died = before - self.workers.len();
        self.died += died;
        (0..died).try_for_each(|_| self.start(None))
    }

    /// Takes a random worker out of the fleet.
    pub fn pick(&mut self) -> Option<Worker> {
        let among = self.workers.len();
        (among > 0).then(|| self.workers.swap_remove(self.rng.usize(..among)))
    }

    /// A worker comes back.
    pub fn put(&mut self, worker: Worker) {
        self.workers.push(worker);
    }

    /// A random worker is told to end, and another one starts.
    pub fn replace(&mut self, variant: Option<Variant>) -> Result<()> {
        if let Some(worker) = self.pick() {
            self.dismiss(worker)?;
        }
        self.start(variant)
    }

    pub fn scale(&mut self, workers: usize) -> Result<()> {
        while self.workers.len() < workers {
            self.start(None)?;
        }
        self.workers.split_off(workers).into_iter().try_for_each(|worker| self.dismiss(worker))
    }

    fn dismiss(&mut self, worker: Worker) -> Result<()> {
        worker.terminate()?;
        self.leaving.push(worker);
        Ok(())
    }

    /// Waits for those that were told to end. Cut off from a server they may say that they did not end well, but end they must.
    pub fn wait_for_the_leaving(&mut self) -> Result<()> {
        for worker in self.leaving.drain(..) {
            let pid = worker.pid();
            worker.end().with_context(|| format!("worker {pid} was told to end"))?;
        }
        Ok(())
    }
}
