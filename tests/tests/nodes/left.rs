//! Nothing outlives a cluster, and nothing of one is in the way of another.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::bed::{Bed, VERSION, once};

#[tokio::test]
async fn nothing_is_left_of_a_cluster_with_nodes() -> Result<()> {
    let machine = machine()?;
    let bed = Bed::start(2)?;
    let [_, _, network, _] = bed.cluster.host().octets();
    let mut inside = Vec::new();
    for pid in bed.cluster.node_pids() {
        inside.push(fs::read_link(format!("/proc/{pid}/ns/pid"))?);
    }
    let namespace = bed.restricted("left").await?;

    let ran = bed.run(&namespace, &once("one", "worker", &["--version"])).await?;
    let during = traces(network, &inside)?;
    drop(bed);

    assert_eq!(ran, (true, format!("plaudit-worker {VERSION}")));
    ensure!(during.len() >= 5, "the traces of a cluster are not seen: {during:?}");
    assert_eq!((traces(network, &inside)?, self::machine()?), (BTreeSet::new(), machine));
    Ok(())
}

#[tokio::test]
async fn clusters_with_nodes_run_beside_each_other() -> Result<()> {
    let one = Bed::start(1)?;
    let other = Bed::beside(&one, 1)?;

    let mut ran = Vec::new();
    for bed in [&one, &other] {
        let namespace = bed.restricted("beside").await?;
        ran.push(bed.run(&namespace, &once("one", "worker", &["--version"])).await?.0);
    }

    assert_eq!(ran, [true, true]);
    assert_ne!(one.cluster.host(), other.cluster.host());
    Ok(())
}

/// What there is of a cluster: its network device, routes, cgroups, and processes in the process namespaces of its nodes.
fn traces(network: u8, inside: &[PathBuf]) -> Result<BTreeSet<String>> {
    let mut traces = BTreeSet::new();
    let device = format!("plaudit{network}");
    if fs::exists(format!("/sys/class/net/{device}"))? {
        traces.insert(format!("device {device}"));
    }
    let routes = fs::read_to_string("/proc/net/route")?;
    traces
        .extend(routes.lines().filter(|line| line.starts_with(&device)).map(|line| format!("route {line}")));
    for folder in ["/sys/fs/cgroup", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids"] {
        let cgroup = format!("{folder}/plaudit-nodes-{network}");
        if fs::exists(&cgroup)? {
            traces.insert(cgroup);
        }
    }
    for entry in fs::read_dir("/proc")? {
        let process = entry?.path();
        // of a process that has just ended nothing can be read
        if fs::read_link(process.join("ns/pid")).is_ok_and(|namespace| inside.contains(&namespace)) {
            traces.insert(process.display().to_string());
        }
    }
    Ok(traces)
}

/// What no cluster may change on a machine: mounts, rules of the firewall, and the folders that programs of a node write to.
fn machine() -> Result<BTreeSet<String>> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let mut machine: BTreeSet<String> = mounts.lines().map(str::to_owned).collect();
    let rules = Command::new("iptables-save").output().context("no iptables-save")?;
    let rules = String::from_utf8_lossy(&rules.stdout).into_owned();
    machine.extend(rules.lines().filter(|line| line.starts_with('-')).map(str::to_owned));
    for folder in ["/run", "/var/lib", "/var/log", "/etc/cni", "/opt"] {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            machine.insert(entry?.path().display().to_string());
        }
    }
    Ok(machine)
}
