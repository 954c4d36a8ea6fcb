//! One worker process of a scene.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use plaudit_crds::worker::WorkerConfig;

use crate::canary;
use crate::programs;
use crate::stack::process::{Lifetime, Process};
use crate::stack::{ask, until};

const START_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// A running worker; killed when dropped.
#[derive(Debug)]
pub struct Worker {
    process: Process,
    log: PathBuf,
    /// Written once it listens.
    address_file: PathBuf,
    /// Told to stop already.
    terminated: Cell<bool>,
}

impl Worker {
    /// The worker as tests run it, with a fault if one is named; it listens.
    pub(super) fn start(directory: &Path, config: &WorkerConfig, mutation: &str) -> Result<Self> {
        Self::spawn(directory, config, mutation)?.listening()
    }

    /// Starts it and does not wait: without a broker it takes seconds until it listens.
    pub(super) fn spawn(directory: &Path, config: &WorkerConfig, mutation: &str) -> Result<Self> {
        let mut command = Command::new(programs::find("worker-under-test")?);
        command.env("PLAUDIT_TEST_MUTATION", mutation).env("PLAUDIT_LOG", "info,plaudit_worker=debug");
        Self::run(command, directory, config)
    }

    /// Runs a program that takes a worker's arguments.
    pub(super) fn run(mut command: Command, directory: &Path, config: &WorkerConfig) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("worker-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let path = |ending: &str| directory.join(format!("{name}.{ending}"));
        std::fs::write(path("yaml"), config.to_yaml())
            .context("could not write the worker's configuration")?;
        command.arg("--config").arg(path("yaml")).arg("--address-file").arg(path("address"));
        let process = Process::spawn("a worker", command, &path("log"), Lifetime::Tied)?;
        let (log, address_file) = (path("log"), path("address"));
        Ok(Self { process, log, address_file, terminated: Cell::new(false) })
    }

    /// Once its endpoints answer.
    pub(super) fn listening(mut self) -> Result<Self> {
        until("the worker's address", START_LIMIT, || {
            self.process.check()?;
            Ok(self.address().ok())
        })?;
        Ok(self)
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The most memory it has had resident, in MiB.
    pub fn peak_mebibytes(&self) -> Result<f64> {
        crate::bench::peak_mebibytes(self.pid())
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        self.process.check().is_ok()
    }

    /// SIGKILL.
    pub fn kill(mut self) -> Result<()> {
        self.process.kill()
    }

    /// SIGTERM unless it has ended, and waits for the end, which has to be an orderly one; an error, too, if a secret has got out.
    pub fn stop(self) -> Result<()> {
        canary::search_process(self.pid())?;
        self.address().map_or(Ok(()), |address| canary::search_endpoints(&address))?;
        let log = self.log.clone();
        let status = self.end()?;
        ensure!(status.success(), "worker ended with {status}:\n{}", read(&log));
        canary::search_files(&log)
    }

    /// SIGTERM unless it has ended, and waits for whatever end.
    pub fn end(mut self) -> Result<ExitStatus> {
        // A second signal would end it at once.
        if self.terminated.get() { self.process.wait(STOP_LIMIT) } else { self.process.end(STOP_LIMIT) }
    }

    /// SIGTERM, without waiting.
    pub fn terminate(&self) -> Result<()> {
        self.terminated.set(true);
        self.process.signal(Signal::SIGTERM)
    }

    /// SIGSTOP.
    pub fn pause(&self) -> Result<()> {
        self.process.signal(Signal::SIGSTOP)
    }

    /// SIGCONT.
    pub fn resume(&self) -> Result<()> {
        self.process.signal(Signal::SIGCONT)
    }

    pub fn log(&self) -> String {
        read(&self.log)
    }

    /// The document at `/lanes`.
    pub fn lanes(&self) -> Result<serde_json::Value> {
        let (_, body) = self.get("/lanes")?;
        serde_json::from_str(&body).context("/lanes is not JSON")
    }

    /// The lane of a partition, once `wanted` says so.
    pub fn wait_for_lane(
        &self,
        partition: i32,
        limit: Duration,
        wanted: impl Fn(&serde_json::Value) -> bool,
    ) -> Result<serde_json::Value> {
        let lane = || -> Result<Option<serde_json::Value>> {
            let lanes = self.lanes()?;
            let found = lanes["lanes"]
                .as_array()
                .and_then(|lanes| lanes.iter().find(|lane| lane["partition"] == partition));
            Ok(found.filter(|lane| wanted(lane)).cloned())
        };
        until("the lane", limit, lane).with_context(|| format!("{:?}\n{}", self.lanes(), self.log()))
    }

    /// The sum over all labels of a metric that are written as given: `name` or `name{label="value"}`.
    pub fn metric(&self, name: &str) -> Result<f64> {
        let (_, body) = self.get("/metrics")?;
        let matches = |line: &&str| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(' ') || (rest.starts_with('{') && !name.contains('{')))
        };
        let value = |line: &str| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
        let values: Vec<f64> = body.lines().filter(matches).filter_map(value).collect();
        if values.is_empty() {
            bail!("there is no metric {name}");
        }
        Ok(values.iter().sum())
    }

    /// Where it answers, host:port.
    pub fn address(&self) -> Result<String> {
        std::fs::read_to_string(&self.address_file).context("the worker does not listen yet")
    }

    /// Status and body of a GET.
    pub fn get(&self, path: &str) -> Result<(u16, String)> {
        ask::get(&self.address()?, path)
    }
}

fn read(log: &Path) -> String {
    std::fs::read_to_string(log).unwrap_or_default()
}
