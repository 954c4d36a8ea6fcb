//! The fleet is `plaudit local` with its workers, started as a user would; what it does is read from its status file.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use plaudit::snapshot::Snapshot;

use crate::example;
use crate::stack::process::{Lifetime, Process};
use crate::stack::{Stack, scratch};

/// Workers drain within `drain_deadline_seconds` (5 s); this is for a machine that is busy.
const STOP_LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Fleet {
    process: Process,
    status_file: PathBuf,
    directory: PathBuf,
}

impl Fleet {
    pub(super) fn start(stack: &Stack) -> Result<Self> {
        let directory = scratch::directory("fleet")?;
        let status_file = directory.join("status.json");
        let binaries =
            std::env::current_exe().context("could not find the programs built beside this one")?;
        let mut command = Command::new(binaries.with_file_name("plaudit"));
        command
            .args(["local", "-f", example::PATH, "--output", "none"])
            .args(["--bootstrap-servers", &stack.kafka.bootstrap()])
            .args(["--store-address", &stack.valkey.address()])
            .args([Path::new("--worker-binary"), &binaries.with_file_name("plaudit-worker")])
            .args([Path::new("--state-dir"), &directory.join("workers")])
            .args([Path::new("--status-file"), &status_file]);
        let process = Process::spawn("plaudit local", command, &directory.join("log"), Lifetime::Tied)?;
        Ok(Self { process, status_file, directory })
    }

    /// `None` until it has looked around for the first time.
    pub(super) fn look(&mut self) -> Result<Option<Snapshot>> {
        self.process.check()?;
        let path = self.status_file.display();
        match fs::read(&self.status_file) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .with_context(|| format!("{path} is not what it should be")),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("could not read {path}")),
        }
    }

    /// Drains the workers and ends.
    pub(super) fn stop(&mut self) -> Result<()> {
        self.process.stop(STOP_LIMIT)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // nothing to drain for any more, but the workers end with it in order
        drop(self.process.stop(STOP_LIMIT));
        scratch::remove(&self.directory);
    }
}

pub(super) fn kill(pid: u32) -> Result<()> {
    signal::kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL)
        .with_context(|| format!("could not kill worker process {pid}"))
}
