//! A fleet is `plaudit local` with its workers, started as a user would; what it does is read from its status file.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use plaudit::snapshot::Snapshot;

use crate::canary;
use crate::programs;
use crate::stack::process::{Lifetime, Process};
use crate::stack::{scratch, until};

/// Workers drain within `drain_deadline_seconds` (5 s); this is for a machine that is busy.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// What is run, and on what.
#[derive(Clone, Debug)]
pub struct Settings<'a> {
    /// Names of the two programs, built beside this one.
    pub plaudit: &'a str,
    pub worker: &'a str,
    /// The pipeline.
    pub file: &'a Path,
    pub bootstrap_servers: String,
    pub store_address: String,
    pub poll_seconds: f64,
    /// Where the pipeline's Secrets are, if it names any.
    pub secrets: Option<&'a Path>,
    /// What it and its workers log, as `RUST_LOG` says it; `None`: what they log anyway.
    pub log: Option<&'static str>,
}

impl<'a> Settings<'a> {
    /// The programs of the tests on a pipeline without Secrets, looked at often.
    pub fn under_test(file: &'a Path, bootstrap_servers: String, store_address: String) -> Self {
        Self {
            plaudit: "plaudit-under-test",
            worker: "worker-under-test",
            file,
            bootstrap_servers,
            store_address,
            poll_seconds: 0.2,
            secrets: None,
            log: None,
        }
    }
}

/// A running `plaudit local`. Dropping it drains and ends it.
#[derive(Debug)]
pub struct Fleet {
    process: Process,
    status_file: PathBuf,
    log: PathBuf,
    directory: PathBuf,
}

impl Fleet {
    pub fn start(settings: &Settings<'_>) -> Result<Self> {
        let directory = scratch::directory("fleet")?;
        let status_file = directory.join("status.json");
        let log = directory.join("log");
        let mut command = Command::new(programs::find(settings.plaudit)?);
        command
            .args([Path::new("local"), Path::new("-f"), settings.file])
            .args(["--output", "none"])
            .args(["--poll-seconds", &settings.poll_seconds.to_string()])
            .args(["--bootstrap-servers", &settings.bootstrap_servers])
            .args(["--store-address", &settings.store_address])
            .args([Path::new("--worker-binary"), &programs::find(settings.worker)?])
            .args([Path::new("--state-dir"), &directory.join("workers")])
            .args([Path::new("--status-file"), &status_file]);
        if let Some(secrets) = settings.secrets {
            command.arg("--secrets").arg(secrets);
        }
        if let Some(filter) = settings.log {
            command.env("RUST_LOG", filter).env("PLAUDIT_LOG", filter);
        }
        let process = Process::spawn("plaudit local", command, &log, Lifetime::Tied)?;
        Ok(Self { process, status_file, log, directory })
    }

    /// `None` until it has looked around for the first time.
    pub fn look(&mut self) -> Result<Option<Snapshot>> {
        self.process.check()?;
        self.last_look()
    }

    /// The first look that `wanted` likes; `what` is a noun phrase.
    pub fn wait_for(
        &mut self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Snapshot) -> bool,
    ) -> Result<Snapshot> {
        let found = until(what, limit, || Ok(self.look()?.filter(&wanted)));
        found.with_context(|| format!("last seen: {:#?}\n{}", self.last_look(), self.log()))
    }

    /// Drains the workers and ends, with exit status 0 or an error; it is one, too, if a secret has got out.
    pub fn stop(&mut self) -> Result<()> {
        self.process.check()?;
        self.search_processes()?;
        let status = self.process.end(STOP_LIMIT)?;
        ensure!(status.success(), "plaudit local ended with {status}\n{}", self.log());
        canary::search_files(&self.directory)
    }

    /// Fails if there is a secret in what the processes show of themselves.
    fn search_processes(&self) -> Result<()> {
        canary::search_process(self.process.pid())?;
        for worker in self.last_look()?.into_iter().flat_map(|seen| seen.workers) {
            worker.pid.map_or(Ok(()), canary::search_process)?;
            worker.address.map_or(Ok(()), |address| canary::search_endpoints(&address))?;
        }
        Ok(())
    }

    /// What the status file holds, also after the end.
    pub fn last_look(&self) -> Result<Option<Snapshot>> {
        let path = self.status_file.display();
        match fs::read(&self.status_file) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .with_context(|| format!("{path} is not what it should be")),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("could not read {path}")),
        }
    }

    /// What a worker said so far, which is called `w-0` or the like.
    pub fn worker_log(&self, name: &str) -> String {
        fs::read_to_string(self.directory.join("workers").join(format!("{name}.log"))).unwrap_or_default()
    }

    /// What it said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // nothing to drain for any more, but the workers end with it in order
        drop(self.process.end(STOP_LIMIT));
        scratch::remove(&self.directory);
    }
}

/// Sends a signal to a worker of a fleet.
pub fn signal(pid: u32, signal: Signal) -> Result<()> {
    signal::kill(Pid::from_raw(pid.cast_signed()), signal)
        .with_context(|| format!("could not send {signal} to worker process {pid}"))
}
