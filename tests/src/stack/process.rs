//! A process here is a server we started: its number, its log, and how long it may live.
//!
//! Linux kills a child when the *thread* that started it ends (`PR_SET_PDEATHSIG`), so one thread, which lives as long as this process,
//! starts them all. That holds for a panic, a Ctrl-C and a `kill -9` of the test alike.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{self, Signal};
use nix::unistd::{Pid, getpid, getppid, setsid};

use super::until;

/// Lines of a dead server's log that an error repeats.
const LAST_LINES: usize = 20;
/// A machine that takes longer to stop a process is stuck itself.
const STOP_LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// Dies with this process.
    Tied,
    /// Stays until somebody stops it.
    Detached,
}

#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
    lifetime: Lifetime,
}

impl Process {
    /// Starts `command` in a session of its own (a terminal's Ctrl-C doesn't reach it) with its output appended to `log`.
    pub(crate) fn spawn(
        name: &'static str,
        mut command: Command,
        log: &Path,
        lifetime: Lifetime,
    ) -> Result<Self> {
        let output = File::options().create(true).append(true).open(log);
        let output = output.with_context(|| format!("could not open {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let parent = getpid();
        let prepare = move || {
            setsid()?;
            if lifetime == Lifetime::Tied {
                set_pdeathsig(Signal::SIGKILL)?;
                // the parent may have ended before the line above
                if getppid() != parent {
                    return Err(io::Error::other("the parent has ended"));
                }
            }
            Ok(())
        };
        // SAFETY: runs between fork and exec; all it calls are plain system calls, it neither allocates (the error path aside,
        // where nobody is left to see the outcome) nor takes a lock.
        unsafe { command.pre_exec(prepare) };
        let child = spawn_for_good(command).with_context(|| format!("could not start {name}"))?;
        Ok(Self { name, child, log: log.to_owned(), lifetime })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Fails with the end of the log when the process has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.exited()? {
            None => Ok(()),
            Some(status) => Err(self.ended(status)),
        }
    }

    /// `None` while it runs.
    pub(crate) fn exited(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("could not ask after {}", self.name))
    }

    /// Sends a signal; of SIGSTOP it also waits until the last thread stands still, which may go on answering for a while.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        signal::kill(self.unix_pid(), signal)
            .with_context(|| format!("could not send {signal} to {}", self.name))?;
        if signal == Signal::SIGSTOP {
            until(&format!("{} to stand still", self.name), STOP_LIMIT, || {
                Ok(stands_still(self.pid())?.then_some(()))
            })?;
        }
        Ok(())
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill().with_context(|| format!("could not kill {}", self.name))?;
        self.child.wait().with_context(|| format!("could not wait for {}", self.name))?;
        Ok(())
    }

    /// SIGTERM, and SIGKILL (an error) when it is not gone after `grace`; an error also when it has ended before.
    pub(crate) fn stop(&mut self, grace: Duration) -> Result<()> {
        self.check()?;
        self.end(grace)?;
        Ok(())
    }

    /// The same for a process that may have ended before.
    pub(crate) fn end(&mut self, grace: Duration) -> Result<ExitStatus> {
        if let Some(status) = self.exited()? {
            return Ok(status);
        }
        self.signal(Signal::SIGTERM)?;
        self.wait(grace)
    }

    /// Waits for the end; SIGKILL (an error) when it does not come within `grace`.
    pub(crate) fn wait(&mut self, grace: Duration) -> Result<ExitStatus> {
        let ended = until(&format!("the end of {}", self.name), grace, || Ok(self.child.try_wait()?));
        if ended.is_err() {
            self.kill()?;
        }
        ended
    }

    fn ended(&self, status: ExitStatus) -> anyhow::Error {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
        anyhow!("{} has ended ({status}); the end of {}:\n{last}", self.name, self.log.display())
    }

    fn unix_pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.lifetime == Lifetime::Tied {
            drop(self.kill());
        }
    }
}

/// True when the kernel shows every thread of the process as stopped.
fn stands_still(pid: u32) -> Result<bool> {
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread that has ended meanwhile does nothing any more.
        let Ok(stat) = std::fs::read_to_string(task?.path().join("stat")) else { continue };
        // The state follows the name, which is in brackets and may hold anything.
        let state = stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
        if !matches!(state, Some('T' | 'Z' | 'X')) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn spawn_for_good(command: Command) -> Result<Child> {
    type Job = (Command, mpsc::Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, queue) = mpsc::channel::<Job>();
        std::thread::spawn(move || {
            for (mut command, answer) in queue {
                // nobody waits only if its thread died
                drop(answer.send(command.spawn()));
            }
        });
        jobs
    });
    let (answer, result) = mpsc::channel();
    if spawner.send((command, answer)).is_err() {
        bail!("the thread that starts processes has ended");
    }
    Ok(result.recv().context("the thread that starts processes has ended")??)
}
