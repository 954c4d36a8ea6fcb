//! What runs beside a cluster listens at the address that its nodes reach this machine by.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::{Api, Client};

/// That address, for whatever cluster a client has: kind's, ours, any whose nodes have a way to this machine.
pub async fn this_machine(client: &Client) -> Result<Ipv4Addr> {
    let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await;
    let nodes = nodes.context("could not ask the cluster for its nodes")?.items;
    let addresses =
        nodes.iter().flat_map(|node| node.status.iter().flat_map(|status| &status.addresses).flatten());
    let internal = addresses.into_iter().find(|address| address.type_ == "InternalIP");
    towards(&internal.context("no node of the cluster has an InternalIP")?.address)
}

/// The address that a datagram to a node would leave with. None is sent.
fn towards(node: &str) -> Result<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // the port does not matter: 9 discards
    socket.connect((node, 9)).with_context(|| format!("no way from here to the node {node}"))?;
    match socket.local_addr()?.ip() {
        IpAddr::V4(host) => Ok(host),
        IpAddr::V6(host) => bail!("the nodes reach this machine by {host}, not by IPv4"),
    }
}

/// A program's process in the pod with this UID; `None` where its node is another machine.
#[must_use]
pub fn process_of(uid: &str, program: &str) -> Option<u32> {
    // a kubelet names the cgroups of a pod so, or, with systemd's driver, with underscores
    let cgroups = [format!("pod{uid}"), format!("pod{}", uid.replace('-', "_"))];
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|pid| {
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let inside = || cgroups.iter().any(|cgroup| read("cgroup").contains(cgroup));
        // the other process of a pod is its pause
        read("comm").trim_end() == program && inside()
    })
}
