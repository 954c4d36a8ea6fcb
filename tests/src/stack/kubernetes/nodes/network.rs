//! The network of a cluster with nodes: who has which address, and the commands that make it so.
//!
//! The host and the machines are on one switch. Each node routes to the pods of the others, so that every address is seen as it is: nothing
//! is translated but Services. All of it hangs on the namespaces of machines, and is gone when they are; the host has one device and a few
//! routes through it.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context as _, Result};

/// So many clusters have addresses on one machine.
const CLUSTERS: u8 = 10;
/// The switch, on every machine that has a port of it.
const LAN: &str = "lan";

/// The addresses and names of one cluster. Nodes count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::stack::kubernetes) struct Network {
    index: u8,
}

impl Network {
    /// One that no cluster of this machine has.
    pub(super) fn free() -> Result<Self> {
        let free = Self::all().find(|network| !network.is_up());
        free.with_context(|| {
            format!("{CLUSTERS} clusters with nodes are on this machine, which has addresses for no more")
        })
    }

    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..CLUSTERS).map(|index| Self { index })
    }

    /// What a cluster without nodes has; only its Services have addresses.
    pub(in crate::stack::kubernetes) fn first() -> Self {
        Self { index: 0 }
    }

    /// The host's device.
    pub(super) fn device(self) -> String {
        format!("plaudit{}", self.index)
    }

    /// Whether the device is there.
    pub(super) fn is_up(self) -> bool {
        Path::new("/sys/class/net").join(self.device()).exists()
    }

    /// The folder of its cgroups.
    pub(super) fn cgroup(self) -> String {
        format!("plaudit-nodes-{}", self.index)
    }

    /// The host as pods see it: the API server is there, and what a test runs beside the cluster.
    pub(in crate::stack::kubernetes) fn host(self) -> Ipv4Addr {
        self.lan(1)
    }

    /// The DNS server of all pods.
    pub(super) fn dns(self) -> Ipv4Addr {
        self.lan(2)
    }

    pub(super) fn node(self, node: u8) -> Ipv4Addr {
        self.lan(10 + node)
    }

    /// Addresses of all pods.
    pub(super) fn all_pods(self) -> String {
        format!("10.244.{}.0/20", self.block())
    }

    /// Addresses of the pods on a node.
    pub(super) fn pods(self, node: u8) -> String {
        format!("10.244.{}.0/24", self.block() + node)
    }

    /// What pods on a node send through.
    pub(super) fn gateway(self, node: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 244, self.block() + node, 1)
    }

    /// Addresses of Services.
    pub(in crate::stack::kubernetes) fn services(self) -> String {
        format!("10.96.{}.0/20", self.block())
    }

    /// The Service that pods know the API server by, which takes the first.
    pub(in crate::stack::kubernetes) fn api_service(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 96, self.block(), 1)
    }

    /// Lines for `ip -batch` on the host, given the process that holds the switch's namespaces: a cable to the switch.
    pub(super) fn cable(self, switch: u32) -> Vec<String> {
        let device = self.device();
        vec![
            format!("link add {device} type veth peer name host netns {switch}"),
            format!("address add {}/24 dev {device}", self.host()),
            format!("link set {device} up"),
        ]
    }

    /// Lines for the host, once there is a switch: ways to Services and pods.
    pub(super) fn ways(self, nodes: u8) -> Vec<String> {
        // any node's proxy would do for Services
        let services = format!("route add {} via {}", self.services(), self.node(1));
        let pods = (1..=nodes).map(|to| self.way(to));
        std::iter::once(services).chain(pods).collect()
    }

    /// Lines for the switch, given the processes that hold the nodes' namespaces.
    pub(super) fn switch(self, nodes: &[u32]) -> Vec<String> {
        let mut lines = vec![
            "link set lo up".to_owned(),
            format!("link add {LAN} type bridge"),
            format!("address add {}/24 dev {LAN}", self.dns()),
            format!("link set {LAN} up"),
            format!("link set host master {LAN} up"),
            format!("route add default via {}", self.host()),
        ];
        for (number, holder) in (1..).zip(nodes) {
            let port = name(number);
            lines.push(format!("link add {port} type veth peer name {LAN} netns {holder}"));
            lines.push(format!("link set {port} master {LAN} up"));
            // for the answers of the DNS server
            lines.push(self.way(number));
        }
        lines
    }

    /// Lines for one of `nodes` nodes, after the switch has its.
    pub(super) fn on_node(self, number: u8, nodes: u8) -> Vec<String> {
        let mut lines = vec![
            "link set lo up".to_owned(),
            format!("address add {}/24 dev {LAN}", self.node(number)),
            format!("link set {LAN} up"),
            format!("route add default via {}", self.host()),
        ];
        lines.extend((1..=nodes).filter(|other| *other != number).map(|other| self.way(other)));
        lines
    }

    /// The way to the pods of a node.
    fn way(self, node: u8) -> String {
        format!("route add {} via {}", self.pods(node), self.node(node))
    }

    fn lan(self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 243, self.index, last)
    }

    /// Where its sixteenth of a second byte begins.
    fn block(self) -> u8 {
        16 * self.index
    }
}

pub(super) fn name(node: u8) -> String {
    format!("node-{node}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_routes_to_the_pods_of_the_others() {
        let network = Network { index: 2 };
        let routes: Vec<Vec<String>> = (1..=3)
            .map(|number| {
                let lines = network.on_node(number, 3).into_iter();
                lines.filter(|line| line.starts_with("route add 10.244")).collect()
            })
            .collect();

        let to = |other: u8| format!("route add 10.244.3{}.0/24 via 10.243.2.1{other}", other + 2);
        assert_eq!(routes, [[to(2), to(3)], [to(1), to(3)], [to(1), to(2)]]);
    }

    #[test]
    fn clusters_share_no_address() {
        let last = Network::all().last().expect("a network");

        let all = [last.all_pods(), last.pods(9), last.services(), last.node(9).to_string()];

        assert_eq!(all, ["10.244.144.0/20", "10.244.153.0/24", "10.96.144.0/20", "10.243.9.19"]);
    }
}
