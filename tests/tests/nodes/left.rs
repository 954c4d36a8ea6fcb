//! Nothing outlives a cluster.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::bed::{Bed, once};

#[tokio::test]
async fn nothing_is_left_of_a_cluster_with_nodes() -> Result<()> {
    let before = traces()?;
    {
        let bed = Bed::start(2)?;
        let during = traces()?;
        ensure!(during != before, "the traces of a cluster are not seen");
        let namespace = bed.restricted("left").await?;
        let ran = bed.run(&namespace, &once("one", "worker", &["--version"])).await?;
        assert_eq!(ran, (true, format!("plaudit-worker {}", crate::bed::VERSION)));
    }
    assert_eq!(traces()?, before);
    Ok(())
}

#[tokio::test]
async fn a_second_cluster_with_nodes_is_refused_by_name() -> Result<()> {
    let _bed = Bed::start(1)?;

    let refused =
        plaudit_tests::stack::kubernetes::Cluster::start(plaudit_tests::stack::kubernetes::ClusterOptions {
            nodes: 1,
            ..Default::default()
        });

    let error = format!("{:#}", refused.expect_err("there is one already"));
    assert!(error.contains("plaudit0") && error.contains("tools/cluster down"), "{error}");
    Ok(())
}

/// What nodes could leave on a machine: network devices, routes, mounts, cgroups, rules of the firewall, processes.
fn traces() -> Result<BTreeSet<String>> {
    let mut traces = BTreeSet::new();
    for entry in fs::read_dir("/sys/class/net")? {
        traces.insert(format!("device {}", entry?.file_name().display()));
    }
    traces.extend(fs::read_to_string("/proc/net/route")?.lines().map(|line| format!("route {line}")));
    traces.extend(fs::read_to_string("/proc/self/mounts")?.lines().map(|line| format!("mount {line}")));
    for folder in ["/sys/fs/cgroup", "/sys/fs/cgroup/memory", "/run", "/var/lib", "/var/log"] {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            traces.insert(format!("file {}", entry?.path().display()));
        }
    }
    let rules = Command::new("iptables-save").output()?;
    let rules = String::from_utf8_lossy(&rules.stdout).into_owned();
    traces.extend(rules.lines().filter(|line| line.starts_with('-')).map(|line| format!("rule {line}")));
    for entry in fs::read_dir("/proc")? {
        let name = fs::read_to_string(entry?.path().join("comm")).unwrap_or_default();
        if ["containerd", "kubelet", "kube-proxy", "coredns", "pause", "runc", "kube-scheduler"]
            .iter()
            .any(|ours| name.trim_end().starts_with(ours))
        {
            traces.insert(format!("process {}", name.trim_end()));
        }
    }
    Ok(traces)
}
