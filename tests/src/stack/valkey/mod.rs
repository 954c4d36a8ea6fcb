//! One Valkey server.

mod access;
mod replica;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

pub use self::access::{ClientCertificates, StoreTls};
use super::ports::lost_port;
use super::process::{Lifetime, Process};
use super::{fetch, ports, scratch, until};

/// Where the server keeps its append-only files (`appenddirname`).
const AOF: &str = "appendonlydir";
const START_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// What a test may want to differ.
#[derive(Debug, Clone)]
pub struct ValkeyOptions {
    /// Keep an append-only file, so that a restart finds everything it acknowledged.
    pub append_only: bool,
    /// `appendfsync`: `always`, `everysec` or `no`. The death of the process alone loses nothing with any of them.
    pub append_fsync: &'static str,
    /// Bytes of data above which writes are refused (`maxmemory`, with `noeviction`); 0 is no limit.
    pub max_memory_bytes: u64,
    /// Where it listens: an address of this machine.
    pub host: Ipv4Addr,
    /// More settings, by name; they win over ours.
    pub settings: Vec<(String, String)>,
    /// A library to take the place of the allocator that the server was built with.
    pub allocator: Option<PathBuf>,
    /// What everybody has to say who does not name a user.
    pub password: Option<String>,
    /// Another port, with TLS. The server is Redis then: the Valkey that is fetched has no TLS.
    pub tls: Option<StoreTls>,
}

/// A running (or stopped) server with its data. Dropping it kills the server and removes the data.
#[derive(Debug)]
pub struct Valkey {
    port: u16,
    tls_port: Option<u16>,
    directory: PathBuf,
    options: ValkeyOptions,
    lifetime: Lifetime,
    process: Mutex<Option<Process>>,
}

impl Default for ValkeyOptions {
    fn default() -> Self {
        Self {
            append_only: true,
            append_fsync: "everysec",
            max_memory_bytes: 0,
            host: Ipv4Addr::LOCALHOST,
            settings: Vec::new(),
            allocator: None,
            password: None,
            tls: None,
        }
    }
}

/// jemalloc, which Valkey and Redis are usually built with; the package that is fetched is not, and needs half as much CPU again
/// for the same commands.
pub fn jemalloc() -> Option<PathBuf> {
    let directories = [
        format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH),
        "/usr/lib64".to_owned(),
        "/usr/lib".to_owned(),
    ];
    let mut files = directories.iter().map(|directory| Path::new(directory).join("libjemalloc.so.2"));
    files.find(|file| file.exists())
}

impl Valkey {
    /// Starts a server and returns when it answers.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers have a literal, and each try takes its own copy"
    )]
    pub fn start(options: ValkeyOptions) -> Result<Self> {
        let mut lost = None;
        for _ in 0..3 {
            let valkey = Self::at(
                scratch::directory("valkey")?,
                ports::free_port()?,
                options.clone(),
                Lifetime::Tied,
            )?;
            match valkey.launch() {
                Ok(()) => return Ok(valkey),
                Err(error) if lost_port(&error) => {
                    lost = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(lost.expect("the loop ran")).context("no port for valkey stayed free")
    }

    pub(crate) fn at(
        directory: PathBuf,
        port: u16,
        options: ValkeyOptions,
        lifetime: Lifetime,
    ) -> Result<Self> {
        let tls_port = access::tls_port(options.tls.as_ref())?;
        Ok(Self { port, tls_port, directory, options, lifetime, process: Mutex::new(None) })
    }

    /// `HOST:PORT`, the same after a restart.
    pub fn address(&self) -> String {
        format!("{}:{}", self.options.host, self.port)
    }

    /// Process number; `None` while it is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.process().as_ref().map(Process::pid)
    }

    /// Kills it (SIGKILL). Does nothing when it is not running.
    pub fn kill(&self) -> Result<()> {
        self.process().take().map_or(Ok(()), |mut process| process.kill())
    }

    /// Stops it in an orderly way (SIGTERM). Does nothing when it is not running.
    pub fn stop(&self) -> Result<()> {
        self.process().take().map_or(Ok(()), |mut process| process.stop(STOP_LIMIT))
    }

    /// Freezes it (SIGSTOP): connections stay, answers don't come.
    pub fn pause(&self) -> Result<()> {
        self.process().as_ref().context("valkey is not running")?.signal(Signal::SIGSTOP)
    }

    /// Ends [`Valkey::pause`].
    pub fn resume(&self) -> Result<()> {
        self.process().as_ref().context("valkey is not running")?.signal(Signal::SIGCONT)
    }

    /// Stops it if it runs, and starts it again on the same port and data; returns when it answers.
    pub fn restart(&self) -> Result<()> {
        self.stop()?;
        self.launch()
    }

    /// Removes every key (FLUSHALL).
    pub fn empty(&self) -> Result<()> {
        Ok(redis::cmd("FLUSHALL").arg("SYNC").exec(&mut self.connect()?)?)
    }

    /// Copies the data as they are now: what a replica that lags, or an older disk, would have.
    pub fn snapshot(&self) -> Result<PathBuf> {
        let copy = scratch::directory("valkey-copy")?;
        copy_files(&self.directory.join(AOF), &copy)?;
        Ok(copy)
    }

    /// Kills it and starts it with the data of a [`Valkey::snapshot`]: every write since is lost.
    pub fn restart_from(&self, snapshot: &Path) -> Result<()> {
        self.kill()?;
        let data = self.directory.join(AOF);
        std::fs::remove_dir_all(&data).with_context(|| format!("could not remove {}", data.display()))?;
        std::fs::create_dir(&data)?;
        copy_files(snapshot, &data)?;
        self.launch()
    }

    pub(crate) fn launch(&self) -> Result<()> {
        let server = fetch::part(if self.options.tls.is_some() { "redis" } else { "valkey" })?;
        self.write_access()?;
        let mut command = Command::new(server);
        if let Some(allocator) = &self.options.allocator {
            command.env("LD_PRELOAD", allocator);
        }
        for (name, value) in self.settings() {
            command.arg(format!("--{name}")).arg(value);
        }
        let mut process = Process::spawn("valkey", command, &self.directory.join("log"), self.lifetime)?;
        let client =
            redis::Client::open(format!("redis://{}/", self.login())).context("not an address for valkey")?;
        let ready = until("an answer from valkey", START_LIMIT, || {
            process.check()?;
            Ok(ping(&client).ok())
        });
        if let Err(error) = ready {
            // a detached one would stay
            drop(process.kill());
            return Err(error);
        }
        *self.process() = Some(process);
        Ok(())
    }

    fn settings(&self) -> Vec<(String, String)> {
        let options = &self.options;
        let ours = [
            ("bind", options.host.to_string()),
            // or it would answer only to this machine, having no password
            ("protected-mode", if options.host.is_loopback() { "yes" } else { "no" }.to_owned()),
            ("port", self.port.to_string()),
            ("dir", self.directory.display().to_string()),
            ("save", String::new()),
            ("appendonly", if options.append_only { "yes" } else { "no" }.to_owned()),
            ("appendfsync", options.append_fsync.to_owned()),
            ("maxmemory", options.max_memory_bytes.to_string()),
            ("maxmemory-policy", "noeviction".to_owned()),
            // a replica that comes is alone and wants to be served at once
            ("repl-diskless-sync-delay", "0".to_owned()),
        ];
        let ours = ours.into_iter().chain(self.access_settings());
        let ours = ours.map(|(name, value)| (name.to_owned(), value));
        ours.chain(options.settings.iter().cloned()).collect()
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Valkey {
    fn drop(&mut self) {
        if self.lifetime == Lifetime::Tied {
            self.process().take();
            scratch::remove(&self.directory);
        }
    }
}

fn ping(client: &redis::Client) -> redis::RedisResult<()> {
    let mut connection = client.get_connection_with_timeout(Duration::from_millis(500))?;
    connection.set_read_timeout(Some(Duration::from_millis(500)))?;
    redis::cmd("PING").query(&mut connection)
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    for entry in std::fs::read_dir(from).with_context(|| format!("could not read {}", from.display()))? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_lost_to_somebody_else_is_recognised() -> Result<()> {
        let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = taken.local_addr()?.port();
        let valkey =
            Valkey::at(scratch::directory("valkey")?, port, ValkeyOptions::default(), Lifetime::Tied)?;

        let error = valkey.launch().expect_err("the port is taken");

        assert!(lost_port(&error), "{error:#}");
        Ok(())
    }
}
