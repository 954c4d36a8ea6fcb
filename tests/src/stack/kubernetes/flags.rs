//! Flags are what each of Kubernetes' programs is started with, for tests: ready soon, small, and nothing that needs a network.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::access::MASTERS;
use super::authority::{Authority, Identity};
use super::nodes::network::Network;

/// The controllers that make what Plaudit makes real. The others would only take memory and time (nodes, volumes, certificates), or
/// could not work: a Service has no endpoints at loopback addresses, which are all that pods have here.
const CONTROLLERS: &str = "deployment-controller,replicaset-controller,garbage-collector-controller,namespace-controller,\
                           serviceaccount-controller,disruption-controller,horizontal-pod-autoscaler-controller";

/// Who signs the tokens of service accounts, as the tokens name it.
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// All of them but those that only work for whom they know a cloud of; pods run, so that their Services have endpoints.
const CONTROLLERS_WITH_NODES: &str = "*";

/// Ports of the API server's address, and of 127.0.0.1.
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
    /// Addresses of Services.
    pub(super) services: String,
    /// With nodes: who the API server is to their kubelets.
    pub(super) to_kubelets: Option<Identity>,
}

/// Names that pods know the API server by.
const NAMES: [&str; 4] =
    ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"];

impl ApiServerFiles {
    /// For a server at `address`; at another one than a loopback there are nodes.
    pub(super) fn issue(authority: &Authority, address: Ipv4Addr, network: Network) -> Result<Self> {
        let addresses = [address.into(), network.api_service().into()];
        let to_kubelets = || authority.client("kube-apiserver", &[MASTERS]);
        Ok(Self {
            authority: authority.file(),
            server: authority.server("kube-apiserver", &addresses, &NAMES)?,
            token_keys: authority.key_pair("tokens")?,
            services: network.services(),
            to_kubelets: if address.is_loopback() { None } else { Some(to_kubelets()?) },
        })
    }
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

pub(super) fn api_server(address: Ipv4Addr, ports: Ports, files: &ApiServerFiles) -> Vec<String> {
    let mut flags = vec![
        format!("--etcd-servers={}", url("http", ports.etcd)),
        format!("--bind-address={address}"),
        format!("--advertise-address={address}"),
        format!("--secure-port={}", ports.api_server),
        format!("--service-cluster-ip-range={}", files.services),
        flag("client-ca-file", &files.authority),
        flag("tls-cert-file", &files.server.certificate),
        flag("tls-private-key-file", &files.server.key),
        format!("--service-account-issuer={ISSUER}"),
        flag("service-account-signing-key-file", &files.token_keys.0),
        flag("service-account-key-file", &files.token_keys.1),
        // refusals are the fault proxy's work; a real one would depend on what else a test machine does
        "--enable-priority-and-fairness=false".to_owned(),
        "--profiling=false".to_owned(),
    ];
    if address.is_loopback() {
        // none that the Service `kubernetes` could have
        flags.push("--endpoint-reconciler-type=none".to_owned());
    }
    match &files.to_kubelets {
        Some(identity) => flags.extend([
            "--authorization-mode=Node,RBAC".to_owned(),
            "--enable-admission-plugins=NodeRestriction".to_owned(),
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
            flag("kubelet-certificate-authority", &files.authority),
            flag("kubelet-client-certificate", &identity.certificate),
            flag("kubelet-client-key", &identity.key),
        ]),
        None => flags.push("--authorization-mode=RBAC".to_owned()),
    }
    flags
}

/// `authority` is given where nodes are: pods get it, to know the API server by.
pub(super) fn controller_manager(kubeconfig: &Path, authority: Option<&Path>) -> Vec<String> {
    let controllers = if authority.is_some() { CONTROLLERS_WITH_NODES } else { CONTROLLERS };
    let mut flags = vec![
        flag("kubeconfig", kubeconfig),
        format!("--controllers={controllers}"),
        "--leader-elect=false".to_owned(),
        // it has nothing to say to anybody
        "--secure-port=0".to_owned(),
        // more than 20 requests a second, or a hundred Deployments take minutes
        "--kube-api-qps=500".to_owned(),
        "--kube-api-burst=1000".to_owned(),
        "--profiling=false".to_owned(),
    ];
    flags.extend(authority.map(|file| flag("root-ca-file", file)));
    flags
}

pub(super) fn scheduler(kubeconfig: &Path) -> Vec<String> {
    vec![
        flag("kubeconfig", kubeconfig),
        "--leader-elect=false".to_owned(),
        "--secure-port=0".to_owned(),
        "--kube-api-qps=500".to_owned(),
        "--kube-api-burst=1000".to_owned(),
        "--profiling=false".to_owned(),
    ]
}

pub(super) fn kubelet(config: &Path, kubeconfig: &Path, name: &str, address: Ipv4Addr) -> Vec<String> {
    vec![
        flag("config", config),
        flag("kubeconfig", kubeconfig),
        format!("--hostname-override={name}"),
        format!("--node-ip={address}"),
    ]
}

/// Where the API server is.
pub(super) fn api_url(address: Ipv4Addr, ports: Ports) -> String {
    format!("https://{address}:{}", ports.api_server)
}

fn url(scheme: &str, port: u16) -> String {
    format!("{scheme}://{}:{port}", Ipv4Addr::LOCALHOST)
}

fn flag(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}
