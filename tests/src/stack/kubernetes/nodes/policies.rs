//! NetworkPolicies are what a program on each node answers when the kernel asks about a connection (`tests/stack/network-policies`).

use std::fs;
use std::path::Path;

/// Where the kernel keeps the first packet of a connection meanwhile; the number is the program's own choice.
const QUEUE: &str = "100";

pub(super) fn flags(kubeconfig: &Path, node: &str) -> Vec<String> {
    vec![
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--node={node}"),
        format!("--queue={QUEUE}"),
    ]
}

/// Whether a program listens to the queue of the node whose namespaces `init` holds. Until then the kernel lets everything through.
pub(super) fn are_enforced(init: u32) -> bool {
    let queues =
        fs::read_to_string(format!("/proc/{init}/net/netfilter/nfnetlink_queue")).unwrap_or_default();
    queues.lines().any(|line| line.split_whitespace().next() == Some(QUEUE))
}
