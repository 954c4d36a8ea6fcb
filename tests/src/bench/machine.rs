//! What figures depend on: the machine, the servers, how this was built. And what a process has used.

use std::fs;

use anyhow::{Context as _, Result};

/// USER_HZ is 100 in every Linux that Kafka runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Hardware and versions, in two lines; `others` runs on it as well.
pub fn describe(others: &str) -> Result<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo")?;
    let model = field(&cpus, "model name").unwrap_or("unknown processor");
    let count = std::thread::available_parallelism()?;
    let memory = fs::read_to_string("/proc/meminfo")?;
    let mebibytes = number(&memory, "MemTotal").unwrap_or_default() / 1_024;
    let build = if cfg!(debug_assertions) { "a development build" } else { "a release build" };
    let (_, client) = rdkafka::util::get_rdkafka_version();
    Ok(format!(
        "{count} × {model}, {mebibytes} MiB, shared with {others}\n\
         plaudit {}, librdkafka {client}, {build}",
        env!("CARGO_PKG_VERSION")
    ))
}

/// Which store this is, in words.
pub fn describe_store(address: &str, append_only: bool, allocator: &str) -> Result<String> {
    let client = redis::Client::open(format!("redis://{address}/"))?;
    let info: String = redis::cmd("INFO").arg("server").query(&mut client.get_connection()?)?;
    let line = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    let store = match line("valkey_version:") {
        "" => format!("Redis {}", line("redis_version:")),
        version => format!("Valkey {version}"),
    };
    let append_only = if append_only { "with" } else { "without" };
    Ok(format!("{store} ({allocator}, {append_only} append-only file)"))
}

/// User and system time of a process so far, in seconds.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    cpu_seconds_in(&format!("/proc/{pid}/stat")).context("the process has ended")
}

/// The same for a thread of this process.
pub fn thread_cpu_seconds(thread: i32) -> Result<f64> {
    cpu_seconds_in(&format!("/proc/self/task/{thread}/stat")).context("the thread has ended")
}

/// Time of all processors together since the machine started, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Processors {
    pub busy: f64,
    /// With nothing to run, waiting for a disk included.
    pub idle: f64,
}

impl Processors {
    pub fn read() -> Result<Self> {
        let text = fs::read_to_string("/proc/stat")?;
        text.lines().next().and_then(Self::parse).context("/proc/stat is empty")
    }

    fn parse(line: &str) -> Option<Self> {
        let ticks = line.split_whitespace().skip(1).map(|field| field.parse().ok());
        // guest times, which follow, are in user and nice already
        let ticks: Vec<f64> = ticks.take(8).collect::<Option<_>>()?;
        let [user, nice, system, idle, iowait, irq, softirq, steal] = ticks[..] else { return None };
        let busy = user + nice + system + irq + softirq + steal;
        Some(Self { busy: busy / TICKS_PER_SECOND, idle: (idle + iowait) / TICKS_PER_SECOND })
    }

    /// The share of the time since then in which processors had nothing to run.
    pub fn idle_share_since(&self, before: &Self) -> f64 {
        let (busy, idle) = (self.busy - before.busy, self.idle - before.idle);
        idle / (busy + idle).max(1.0 / TICKS_PER_SECOND)
    }
}

/// Seconds since the machine started.
pub fn uptime_seconds() -> Result<f64> {
    let text = fs::read_to_string("/proc/uptime")?;
    text.split_whitespace().next().and_then(|field| field.parse().ok()).context("/proc/uptime is empty")
}

fn cpu_seconds_in(path: &str) -> Result<f64> {
    let text = fs::read_to_string(path)?;
    // The name, field 2, may hold spaces; utime and stime are fields 14 and 15.
    let after_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks: f64 = fields.iter().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks / TICKS_PER_SECOND)
}

/// The most memory a process has had resident, in MiB.
pub fn peak_mebibytes(pid: u32) -> Result<f64> {
    memory_of(pid, "VmHWM")
}

/// The memory a process has resident now, in MiB.
pub fn resident_mebibytes(pid: u32) -> Result<f64> {
    memory_of(pid, "VmRSS")
}

fn memory_of(pid: u32, name: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the process has ended")?;
    let kibibytes = number(&status, name).with_context(|| format!("no {name} in /proc"))?;
    Ok(kibibytes as f64 / 1_024.0)
}

fn number(text: &str, name: &str) -> Option<u64> {
    field(text, name)?.split_whitespace().next()?.parse().ok()
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_used_time_and_memory() {
        let own = std::process::id();
        assert!(cpu_seconds(own).is_ok_and(|seconds| (0.0..1e6).contains(&seconds)));
        assert!(peak_mebibytes(own).is_ok_and(|mebibytes| mebibytes > 1.0));
        assert!(cpu_seconds(u32::MAX).is_err());
    }

    #[test]
    fn processors_that_wait_for_a_disk_are_idle() {
        let before = Processors::parse("cpu  100 0 100 300 0 0 0 0 50 0").expect("eight fields");
        let after = Processors::parse("cpu  200 100 200 500 100 100 50 50 90 0").expect("eight fields");
        let share = after.idle_share_since(&before);
        assert_eq!((before, share), (Processors { busy: 2.0, idle: 3.0 }, 3.0 / 8.0));
        assert_eq!(Processors::parse("cpu  1 2 3"), None);
    }
}
