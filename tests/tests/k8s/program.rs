//! A `plaudit operator` in a process of its own, which ends with its handle.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plaudit_tests::programs;
use plaudit_tests::stack::kubernetes::eventually;

use crate::bed::LIMIT;

pub struct Program(Child);

impl Program {
    /// What an operator of one namespace is started by, without a word on how it comes to lead. It polls often, and says nothing.
    pub fn command(kubeconfig: &Path, namespace: &str) -> Result<Command> {
        let mut command = Command::new(programs::find("plaudit-under-test")?);
        command
            .args(["operator", "--namespace", namespace])
            .args(["--admin-address", "127.0.0.1:0", "--poll-seconds", "0.5"])
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Ok(command)
    }

    /// One that leads when its turn comes.
    pub fn start(kubeconfig: &Path, namespace: &str) -> Result<Self> {
        Self::spawn(Self::command(kubeconfig, namespace)?.args(["--lease-namespace", namespace]))
    }

    pub fn spawn(command: &mut Command) -> Result<Self> {
        Ok(Self(command.spawn().context("the operator does not start")?))
    }

    pub fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(Pid::from_raw(self.0.id().cast_signed()), signal)?)
    }

    /// As a node that loses power does.
    pub fn kill(&mut self) -> Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }

    /// Waits until it has ended; its exit status, if it had one.
    pub async fn until_ended(&mut self) -> Result<Option<i32>> {
        let child = &mut self.0;
        let ended = || std::future::ready(child.try_wait().map_err(anyhow::Error::from));
        Ok(eventually("the operator to end", LIMIT, ended).await?.code())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.kill();
    }
}
