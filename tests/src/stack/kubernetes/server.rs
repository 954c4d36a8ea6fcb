//! A server here is one of Kubernetes' programs with its flags; its log is a file of the same name.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

use crate::stack::process::{Lifetime, Process};

#[derive(Debug)]
pub(super) struct Server {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
    /// Words before its own, which start it somewhere else.
    before: Vec<String>,
    log: PathBuf,
    process: Mutex<Option<Process>>,
}

impl Server {
    /// The program `name` of the folder `programs`, not started yet.
    pub(super) fn new(
        name: &'static str,
        programs: &Path,
        directory: &Path,
        arguments: Vec<String>,
    ) -> Result<Self> {
        let program = programs.join(name);
        ensure!(program.exists(), "there is no {name} in {} (KUBEBUILDER_ASSETS?)", programs.display());
        Ok(Self::of(name, program, directory, arguments))
    }

    /// The program `name` that this machine has anyway.
    pub(super) fn installed(name: &'static str, directory: &Path, arguments: Vec<String>) -> Self {
        Self::of(name, PathBuf::from(name), directory, arguments)
    }

    /// The same, started by the command `before`.
    pub(super) fn inside(self, before: Vec<String>) -> Self {
        Self { before, ..self }
    }

    /// Starts it, and does not wait until it serves.
    pub(super) fn launch(&self) -> Result<()> {
        let mut words = self.before.iter().map(OsStr::new).chain([self.program.as_os_str()]);
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words).args(&self.arguments);
        *self.process() = Some(Process::spawn(self.name, command, &self.log, Lifetime::Tied)?);
        Ok(())
    }

    /// Fails with the end of its log when it has ended.
    pub(super) fn check(&self) -> Result<()> {
        self.process().as_mut().map_or(Ok(()), Process::check)
    }

    /// SIGKILL. Does nothing when it is not running.
    pub(super) fn kill(&self) -> Result<()> {
        self.process().take().map_or(Ok(()), |mut process| process.kill())
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        let process = self.process();
        process.as_ref().with_context(|| format!("{} is not running", self.name))?.signal(signal)
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.process().as_ref().map(Process::pid)
    }

    fn of(name: &'static str, program: PathBuf, directory: &Path, arguments: Vec<String>) -> Self {
        let log = directory.join(format!("{name}.log"));
        Self { name, program, arguments, before: Vec::new(), log, process: Mutex::new(None) }
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
