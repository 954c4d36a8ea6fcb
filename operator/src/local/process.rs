//! One worker process: started, signalled, collected.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getppid};
use tokio::process::{Child, Command};

use super::state_dir::{StateDir, write_atomically};

/// A worker's process. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    pid: u32,
    certificates: Option<String>,
}

/// Why a process did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its files could not be written.
    #[error("could not write the worker's files")]
    Files(#[source] io::Error),
    /// The system did not start it.
    #[error("could not start {binary}")]
    Spawn {
        /// The worker's binary.
        binary: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Process {
    /// Starts `plaudit-worker` under a name of its own in the state directory.
    ///
    /// `certificates` names those that it finds. The caller's thread must live as long as the fleet: the system ends the children of a thread that ends.
    pub(super) fn start(
        binary: &Path,
        name: &str,
        config: &str,
        dir: &StateDir,
        certificates: Option<String>,
    ) -> Result<Self, StartError> {
        let address = dir.address(name);
        write_atomically(&dir.config(name), config).map_err(StartError::Files)?;
        // The old process's address must not be taken for the new one's.
        match std::fs::remove_file(&address) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(StartError::Files(error)),
            _ => {}
        }
        let log =
            OpenOptions::new().create(true).append(true).open(dir.log(name)).map_err(StartError::Files)?;
        let errors = log.try_clone().map_err(StartError::Files)?;

        let mut command = Command::new(binary);
        command
            .arg("--config")
            .arg(dir.config(name))
            .arg("--address-file")
            .arg(&address)
            .args(["--name", name, "--log-format", "text"])
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            // A group of its own: Ctrl-C reaches this program only, which then asks the workers in order.
            .process_group(0)
            .kill_on_drop(true);
        die_with_parent(&mut command);
        let spawn = |source| StartError::Spawn { binary: binary.display().to_string(), source };
        let child = command.spawn().map_err(spawn)?;
        let pid = child.id().unwrap_or_default();
        Ok(Self { child, pid, certificates })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// The certificates it was started with.
    pub(super) fn certificates(&self) -> Option<&str> {
        self.certificates.as_deref()
    }

    /// How it ended, for people; `None` while it runs.
    pub(super) fn collect(&mut self) -> Option<String> {
        match self.child.try_wait() {
            Ok(status) => status.map(describe),
            Err(error) => Some(format!("was lost: {error}")),
        }
    }

    /// Asks it to drain and stop.
    pub(super) fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Ends it.
    pub(super) fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    fn signal(&self, signal: Signal) {
        // Not collected yet, so the number still names this process.
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        if let Some(Err(error)) = pid.map(|pid| kill(Pid::from_raw(pid), signal)) {
            tracing::warn!(%error, pid = self.pid, %signal, "worker not signalled");
        }
    }
}

/// Without this, workers would outlive a `plaudit local` that was killed, and consume beside the next one's.
fn die_with_parent(command: &mut Command) {
    let parent = Pid::this();
    let prepare = move || {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        // The parent may have died before the line above.
        if getppid() == parent { Ok(()) } else { Err(io::Error::from(Errno::ESRCH)) }
    };
    // SAFETY: between fork and exec, `prepare` makes two system calls; it takes no lock and allocates nothing.
    unsafe {
        command.pre_exec(prepare);
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(2), _) => "refused its configuration (exit status 2)".to_owned(),
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}
