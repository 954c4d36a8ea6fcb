//! A machine here is a set of Linux namespaces (network, mounts, processes) on this one: what runs in it sees its own devices, rules
//! of the firewall, mounts and processes, and all of them end with it.
//!
//! It is held by one process, its init; when that ends, the kernel ends the others, and devices and mounts go with the last.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::stack::process::{Lifetime, Process};
use crate::stack::until;

/// Directories that programs write to and that have no setting get new ones here: on disk, where containers lie and their logs can be
/// kept, `/run` in memory. `rshared`: a kubelet hands mounts on to pods.
const START: &str = "mount --make-rshared / && mount -t tmpfs tmpfs /run && mount --bind \"$1/lib\" /var/lib && \
                     mount --bind \"$1/log\" /var/log && : >\"$1/ready\" && exec \"$2\"";
const START_LIMIT: Duration = Duration::from_secs(20);
/// As long as the kernel takes to end some hundred processes on a busy machine.
const END_LIMIT: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(super) struct Machine {
    holder: Process,
    init: u32,
}

impl Machine {
    /// A new one with its files in `directory`, held by the program `pause`, which waits and reaps.
    pub(super) fn start(name: &'static str, directory: &Path, pause: &Path) -> Result<Self> {
        for name in ["lib", "log"] {
            let path = directory.join(name);
            fs::create_dir_all(&path).with_context(|| format!("could not create {}", path.display()))?;
        }
        let ready = directory.join("ready");
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.args(["sh", "-c", START, "sh"]).arg(directory).arg(pause);
        let mut holder = Process::spawn(name, command, &directory.join("machine.log"), Lifetime::Tied)?;
        until(&format!("the namespaces of {name}"), START_LIMIT, || {
            holder.check()?;
            Ok(ready.exists().then_some(()))
        })?;
        let init = child(holder.pid())?;
        Ok(Self { holder, init })
    }

    /// The process that holds its namespaces.
    pub(super) fn init(&self) -> u32 {
        self.init
    }

    /// Ends everything in it (SIGKILL), and waits until nothing runs any more. Does nothing when it has ended.
    pub(super) fn kill(&mut self) -> Result<()> {
        if self.holder.exited()?.is_some() {
            return Ok(());
        }
        // not the holder: who waits for it must not go on before the rest has ended
        signal::kill(Pid::from_raw(self.init.cast_signed()), Signal::SIGKILL)
            .context("could not end a machine")?;
        self.holder.wait(END_LIMIT).map(drop)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.kill());
    }
}

/// What starts a program inside: the words before its own.
pub(super) fn inside(init: u32) -> Vec<String> {
    ["nsenter", "--target", &init.to_string(), "--net", "--mount", "--pid", "--"].map(str::to_owned).to_vec()
}

/// Imports an image into the node whose namespaces `init` holds.
pub(in crate::stack::kubernetes) fn import(init: u32, archive: &Path) -> Result<()> {
    let file = File::open(archive).with_context(|| format!("could not open {}", archive.display()))?;
    let mut command = command(&inside(init), "ctr");
    // by standard input: its path may be another one inside
    command.args(["--namespace", "k8s.io", "images", "import", "-"]).stdin(file);
    let output = command.output().context("could not run ctr")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "could not import {}: {}", archive.display(), said.trim_end());
    Ok(())
}

/// Runs lines of iproute2, on the host where there is no machine.
pub(super) fn ip(machine: Option<u32>, lines: &[String]) -> Result<()> {
    let mut enter = machine.map(inside).unwrap_or_default();
    // its program and our standard input are the host's, only the network is not
    enter.retain(|word| word != "--mount" && word != "--pid");
    let mut command = command(&enter, "ip");
    command.args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context("could not run ip (package iproute2)")?;
    let mut input = child.stdin.take().context("a pipe")?;
    input.write_all(lines.join("\n").as_bytes())?;
    drop(input);
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "could not set up the network of the nodes: {}", said.trim_end());
    Ok(())
}

fn command(enter: &[String], program: &str) -> Command {
    match enter.split_first() {
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
        None => Command::new(program),
    }
}

fn child(parent: u32) -> Result<u32> {
    let path = PathBuf::from(format!("/proc/{parent}/task/{parent}/children"));
    let children = fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
    children.split_whitespace().next().context("a machine without a process")?.parse().context("a number")
}
