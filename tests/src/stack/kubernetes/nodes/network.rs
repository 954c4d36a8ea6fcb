//! The network of a cluster with nodes: who has which address, and the commands that make it so.
//!
//! The host and the machines are on one switch, `10.243.0.0/24`. Each node routes to the pods of the others, so that every address is seen
//! as it is: nothing is translated but Services. All of it hangs on the namespaces of machines, and is gone when they are; the host has
//! one device and a few routes through it.

use std::net::Ipv4Addr;

/// The host's device.
pub(super) const DEVICE: &str = "plaudit0";
/// The host as pods see it: the API server is there, and what a test runs beside the cluster.
pub(in crate::stack::kubernetes) const HOST: Ipv4Addr = Ipv4Addr::new(10, 243, 0, 1);
/// The DNS server of all pods.
pub(super) const DNS: Ipv4Addr = Ipv4Addr::new(10, 243, 0, 2);
/// Addresses of all pods.
pub(super) const PODS: &str = "10.244.0.0/16";
/// Addresses of Services; the API server has the first.
pub(in crate::stack::kubernetes) const SERVICES: &str = "10.96.0.0/16";
pub(in crate::stack::kubernetes) const API_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
/// The switch, on every machine that has a port of it.
const LAN: &str = "lan";

/// Nodes count from 1.
pub(super) fn name(node: u8) -> String {
    format!("node-{node}")
}

pub(super) fn node(node: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 243, 0, 10 + node)
}

/// Addresses of the pods on a node.
pub(super) fn pods(node: u8) -> String {
    format!("10.244.{node}.0/24")
}

/// What pods on a node send through.
pub(super) fn gateway(node: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 244, node, 1)
}

/// Lines for `ip -batch` on the host, given the process that holds the switch's namespaces: a cable to the switch, and ways to Services
/// and pods.
pub(super) fn host(switch: u32, nodes: u8) -> Vec<String> {
    let mut lines = vec![
        format!("link add {DEVICE} type veth peer name host netns {switch}"),
        format!("address add {HOST}/24 dev {DEVICE}"),
        format!("link set {DEVICE} up"),
        // any node's proxy would do
        format!("route add {SERVICES} via {}", node(1)),
    ];
    lines.extend((1..=nodes).map(|to| format!("route add {} via {}", pods(to), node(to))));
    lines
}

/// Lines for `ip -batch` on the switch, given the processes that hold the nodes' namespaces.
pub(super) fn switch(nodes: &[u32]) -> Vec<String> {
    let mut lines = vec![
        "link set lo up".to_owned(),
        format!("link add {LAN} type bridge"),
        format!("address add {DNS}/24 dev {LAN}"),
        format!("link set {LAN} up"),
        format!("link set host master {LAN} up"),
        format!("route add default via {HOST}"),
    ];
    for (number, holder) in (1..).zip(nodes) {
        let port = name(number);
        lines.push(format!("link add {port} type veth peer name {LAN} netns {holder}"));
        lines.push(format!("link set {port} master {LAN} up"));
        // for the answers of the DNS server
        lines.push(format!("route add {} via {}", pods(number), node(number)));
    }
    lines
}

/// Lines for `ip -batch` on one of `nodes` nodes, after the switch has its.
pub(super) fn on_node(number: u8, nodes: u8) -> Vec<String> {
    let mut lines = vec![
        "link set lo up".to_owned(),
        format!("address add {}/24 dev {LAN}", node(number)),
        format!("link set {LAN} up"),
        format!("route add default via {HOST}"),
    ];
    let others = (1..=nodes).filter(|other| *other != number);
    lines.extend(others.map(|other| format!("route add {} via {}", pods(other), node(other))));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_routes_to_the_pods_of_the_others() {
        let routes: Vec<Vec<String>> = (1..=3)
            .map(|number| {
                on_node(number, 3).into_iter().filter(|line| line.starts_with("route add 10.244")).collect()
            })
            .collect();

        let to = |other: u8| format!("route add 10.244.{other}.0/24 via 10.243.0.1{other}");
        assert_eq!(routes, [[to(2), to(3)], [to(1), to(3)], [to(1), to(2)]]);
    }
}
