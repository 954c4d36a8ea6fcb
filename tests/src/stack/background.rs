//! The background stack is a pair that stays when this process ends: `make up` starts it, `make down` ends it and removes its data.
//!
//! A state file names the two processes by number and start time, so that a number used again is never mistaken for ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::process::Lifetime;
use super::{Kafka, KafkaOptions, Valkey, ValkeyOptions, ports, until};

const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Where the two are: `127.0.0.1:PORT` each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Endpoints {
    pub bootstrap_servers: String,
    pub store_address: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct State {
    endpoints: Endpoints,
    servers: Vec<Server>,
}

/// A process in the background.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Server {
    name: String,
    pid: i32,
    /// In clock ticks after boot, as /proc tells it.
    start_ticks: u64,
}

/// Starts the pair, or finds it running. On the usual ports when they are free; `prepare` makes a new Kafka's topics.
pub fn up(directory: &Path, prepare: impl FnOnce(&Kafka) -> Result<()>) -> Result<Endpoints> {
    if let Some(state) = load(directory)? {
        if state.servers.iter().all(Server::is_alive) {
            return Ok(state.endpoints);
        }
        // half a stack is of no use
        down(directory)?;
    }
    // what an interrupted start left
    if directory.exists() {
        fs::remove_dir_all(directory).with_context(|| format!("could not remove {}", directory.display()))?;
    }
    for name in ["kafka", "valkey"] {
        let path = directory.join(name);
        fs::create_dir_all(&path).with_context(|| format!("could not create {}", path.display()))?;
    }
    let port = usual_port(6379)?;
    let valkey = Valkey::at(directory.join("valkey"), port, ValkeyOptions::default(), Lifetime::Detached)?;
    valkey.launch()?;
    add_kafka(directory, &valkey, prepare).inspect_err(|_| drop(valkey.kill()))
}

/// Ends the pair and removes its data. `false` when there was none.
pub fn down(directory: &Path) -> Result<bool> {
    let Some(state) = load(directory)? else { return Ok(false) };
    for server in &state.servers {
        server.stop()?;
    }
    fs::remove_dir_all(directory).with_context(|| format!("could not remove {}", directory.display()))?;
    Ok(true)
}

/// Where the one of `make up` lives: below the cache of tools/lib.sh.
pub fn directory() -> Result<PathBuf> {
    let path = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = path("PLAUDIT_CACHE")
        .or_else(|| path("XDG_CACHE_HOME").map(|cache| cache.join("plaudit")))
        .or_else(|| path("HOME").map(|home| home.join(".cache/plaudit")));
    Ok(cache.context("neither PLAUDIT_CACHE, XDG_CACHE_HOME nor HOME is set")?.join("run"))
}

fn add_kafka(
    directory: &Path,
    valkey: &Valkey,
    prepare: impl FnOnce(&Kafka) -> Result<()>,
) -> Result<Endpoints> {
    let port = usual_port(9092)?;
    let kafka = Kafka::at(directory.join("kafka"), port, KafkaOptions::default(), Lifetime::Detached)?;
    kafka.launch()?;
    let saved = prepare(&kafka).and_then(|()| save(directory, &kafka, valkey));
    saved.inspect_err(|_| drop(kafka.kill()))
}

impl Server {
    /// A running one; its command line has `name` in it.
    pub(crate) fn of(name: &str, pid: Option<u32>) -> Result<Self> {
        let pid = pid.with_context(|| format!("{name} is not running"))?.cast_signed();
        let start_ticks = start_ticks(pid).with_context(|| format!("{name} has just ended"))?;
        Ok(Self { name: name.to_owned(), pid, start_ticks })
    }

    pub(crate) fn is_alive(&self) -> bool {
        // after a reboot even both numbers could meet again
        let command = fs::read_to_string(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        start_ticks(self.pid) == Some(self.start_ticks) && command.contains(&self.name)
    }

    /// SIGTERM, and SIGKILL when it does not end.
    pub(crate) fn stop(&self) -> Result<()> {
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            if !self.is_alive() {
                return Ok(());
            }
            signal::kill(Pid::from_raw(self.pid), signal)
                .with_context(|| format!("could not stop {}", self.name))?;
            let gone = until(&self.name, STOP_LIMIT, || Ok((!self.is_alive()).then_some(())));
            if gone.is_ok() {
                return Ok(());
            }
        }
        bail!("{} (process {}) does not end, even by SIGKILL", self.name, self.pid)
    }
}

/// `None` when there is no such process, or only its exit status is left.
fn start_ticks(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // the second field is the program's name in parentheses and may hold spaces and parentheses itself
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    // state was field 3, the start time is field 22 (proc_pid_stat(5))
    fields.nth(18)?.parse().ok()
}

fn usual_port(port: u16) -> Result<u16> {
    if ports::is_free(port) { Ok(port) } else { ports::free_port() }
}

fn save(directory: &Path, kafka: &Kafka, valkey: &Valkey) -> Result<Endpoints> {
    let endpoints = Endpoints { bootstrap_servers: kafka.bootstrap(), store_address: valkey.address() };
    // Kafka first: it is stopped first, too
    let servers = vec![Server::of("kafka", kafka.pid())?, Server::of("valkey", valkey.pid())?];
    let text = serde_json::to_string_pretty(&State { endpoints: endpoints.clone(), servers })?;
    let path = directory.join("state.json");
    fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))?;
    Ok(endpoints)
}

fn load(directory: &Path) -> Result<Option<State>> {
    let path = directory.join("state.json");
    match fs::read_to_string(&path) {
        Ok(text) => {
            serde_json::from_str(&text).map(Some).with_context(|| format!("{} is damaged", path.display()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("could not read {}", path.display())),
    }
}
