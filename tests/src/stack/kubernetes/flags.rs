//! Flags are what each of Kubernetes' programs is started with, for tests: ready soon, small, and nothing that needs a network.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use super::authority::Identity;

/// The controllers that make what Plaudit makes real. The others would only take memory and time (nodes, volumes, certificates), or
/// could not work: a Service has no endpoints at loopback addresses, which are all that pods have here.
const CONTROLLERS: &str = "deployment-controller,replicaset-controller,garbage-collector-controller,namespace-controller,\
                           serviceaccount-controller,disruption-controller,horizontal-pod-autoscaler-controller";

/// Who signs the tokens of service accounts, as the tokens name it.
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// Ports of 127.0.0.1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) etcd: u16,
    /// etcd listens for its peers even when there are none.
    pub(super) etcd_peer: u16,
    pub(super) api_server: u16,
}

/// Files that the API server is given.
#[derive(Debug)]
pub(super) struct ApiServerFiles {
    pub(super) authority: PathBuf,
    pub(super) server: Identity,
    /// What signs the tokens of service accounts, and what checks them.
    pub(super) token_keys: (PathBuf, PathBuf),
}

pub(super) fn etcd(ports: Ports, data: &Path) -> Vec<String> {
    let (clients, peers) = (url("http", ports.etcd), url("http", ports.etcd_peer));
    vec![
        "--name=etcd".to_owned(),
        flag("data-dir", data),
        format!("--listen-client-urls={clients}"),
        format!("--advertise-client-urls={clients}"),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=etcd={peers}"),
        // the data need not outlive the machine, only the process
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ]
}

pub(super) fn api_server(ports: Ports, files: &ApiServerFiles) -> Vec<String> {
    vec![
        format!("--etcd-servers={}", url("http", ports.etcd)),
        format!("--bind-address={}", Ipv4Addr::LOCALHOST),
        format!("--advertise-address={}", Ipv4Addr::LOCALHOST),
        format!("--secure-port={}", ports.api_server),
        // a loopback address is none that the Service `kubernetes` could have
        "--endpoint-reconciler-type=none".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        flag("client-ca-file", &files.authority),
        flag("tls-cert-file", &files.server.certificate),
        flag("tls-private-key-file", &files.server.key),
        format!("--service-account-issuer={ISSUER}"),
        flag("service-account-signing-key-file", &files.token_keys.0),
        flag("service-account-key-file", &files.token_keys.1),
        "--authorization-mode=RBAC".to_owned(),
        // refusals are the fault proxy's work; a real one would depend on what else a test machine does
        "--enable-priority-and-fairness=false".to_owned(),
        "--profiling=false".to_owned(),
    ]
}

pub(super) fn controller_manager(kubeconfig: &Path) -> Vec<String> {
    vec![
        flag("kubeconfig", kubeconfig),
        format!("--controllers={CONTROLLERS}"),
        "--leader-elect=false".to_owned(),
        // it has nothing to say to anybody
        "--secure-port=0".to_owned(),
        // more than 20 requests a second, or a hundred Deployments take minutes
        "--kube-api-qps=500".to_owned(),
        "--kube-api-burst=1000".to_owned(),
        "--profiling=false".to_owned(),
    ]
}

/// Where a server on this port is.
pub(super) fn url(scheme: &str, port: u16) -> String {
    format!("{scheme}://{}:{port}", Ipv4Addr::LOCALHOST)
}

fn flag(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}
