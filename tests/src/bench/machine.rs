//! What figures depend on: the machine, the servers, how this was built. And what a process has used.

use std::fs;

use anyhow::{Context as _, Result};

/// Hardware and versions, in two lines.
pub fn describe(store_address: &str, append_only: bool) -> Result<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo")?;
    let model = field(&cpus, "model name").unwrap_or("unknown processor");
    let count = std::thread::available_parallelism()?;
    let memory = fs::read_to_string("/proc/meminfo")?;
    let mebibytes = number(&memory, "MemTotal").unwrap_or_default() / 1_024;
    let client = redis::Client::open(format!("redis://{store_address}/"))?;
    let info: String = redis::cmd("INFO").arg("server").query(&mut client.get_connection()?)?;
    let line = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    let store = match line("valkey_version:") {
        "" => format!("Redis {}", line("redis_version:")),
        version => format!("Valkey {version}"),
    };
    let append_only = if append_only { "with" } else { "without" };
    let build = if cfg!(debug_assertions) { "a development build" } else { "a release build" };
    let (_, client) = rdkafka::util::get_rdkafka_version();
    Ok(format!(
        "{count} × {model}, {mebibytes} MiB, shared with Kafka and {store} ({append_only} append-only file)\n\
         plaudit {}, librdkafka {client}, {build}",
        env!("CARGO_PKG_VERSION")
    ))
}

/// User and system time of a process so far, in seconds.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).context("the process has ended")?;
    // The name, field 2, may hold spaces; utime and stime are fields 14 and 15.
    let after_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks: f64 = fields.iter().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    // USER_HZ is 100 in every Linux that Kafka runs on.
    Ok(ticks / 100.0)
}

/// The most memory a process has had resident, in MiB.
pub fn peak_mebibytes(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the process has ended")?;
    let kibibytes = number(&status, "VmHWM").context("no VmHWM in /proc")?;
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
}
