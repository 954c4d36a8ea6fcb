//! A cluster is a real Kubernetes API server with its etcd and the controllers that make Deployments into pods; with nodes or without.
//!
//! Without, nothing runs pods: a [`kubelet`] says of them what a node would, and may play them by processes. Everything else is as in any
//! cluster: schemas and their rules, access rights, watches, owner references, finalizers, disruption budgets. Nodes ([`ClusterOptions::nodes`])
//! are real, and need root.

mod access;
mod authority;
mod beside;
pub mod fault;
mod flags;
pub mod kubelet;
mod nodes;
mod ready;
mod server;
pub mod table;
mod with_nodes;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::PostParams;
use kube::{Api, Client, Config, ResourceExt as _};
use nix::sys::signal::Signal;
use serde::Deserialize as _;
use serde_json::json;

use self::access::{MASTERS, Proof};
use self::authority::Authority;
pub use self::beside::{process_of, this_machine};
use self::flags::{ApiServerFiles, Ports};
use self::nodes::Nodes;
use self::nodes::network::Network;
pub use self::ready::eventually;
use self::server::Server;
pub use self::with_nodes::{clean_nodes, load};
use super::ports::{free_port, lost_port};
use super::{fetch, scratch, thread, unique_name};

/// What a test may want to differ.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// Run the controllers, and wait until they do.
    pub controllers: bool,
    /// Install our CRD, and wait until it serves.
    pub crd: bool,
    /// So many nodes that run pods, at most 9; with any, `controllers` are needed.
    pub nodes: u8,
    /// More flags for the API server.
    pub api_server: Vec<String>,
}

/// A running cluster. Dropping it kills its servers and removes their data.
#[derive(Debug)]
pub struct Cluster {
    directory: PathBuf,
    address: Ipv4Addr,
    ports: Ports,
    authority: Authority,
    admin: Proof,
    options: ClusterOptions,
    // in the order of their end
    controllers: Option<Server>,
    api_server: Server,
    etcd: Server,
    nodes: Option<Mutex<Nodes>>,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self { controllers: true, crd: true, nodes: 0, api_server: Vec::new() }
    }
}

/// The cluster of this test process, started on first use. Not for tests that stop or pause a server: others are using it. Keep apart
/// by [`Cluster::namespace`].
///
/// # Panics
/// When a server can't be started; the message is the whole chain of causes.
pub fn shared() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED
        .get_or_init(|| Cluster::start(ClusterOptions::default()).unwrap_or_else(|error| panic!("{error:#}")))
}

impl Cluster {
    /// Starts the servers and returns when they serve. May be called inside an async runtime, whose thread it blocks.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers have a literal, and each try takes its own copy"
    )]
    pub fn start(options: ClusterOptions) -> Result<Self> {
        let mut lost = None;
        for _ in 0..3 {
            match Self::try_start(options.clone()) {
                Err(error) if lost_port(&error) => lost = Some(error),
                result => return result,
            }
        }
        Err(lost.expect("the loop ran")).context("no ports for a cluster stayed free")
    }

    fn try_start(options: ClusterOptions) -> Result<Self> {
        let programs = fetch::part("kubernetes")?;
        let directory = scratch::directory("kubernetes")?;
        let ports = Ports { etcd: free_port()?, etcd_peer: free_port()?, api_server: free_port()? };
        // first, since the API server listens on their network
        let nodes = if options.nodes > 0 { Some(Nodes::open(&directory, options.nodes)?) } else { None };
        let network = nodes.as_ref().map_or_else(Network::first, Nodes::network);
        let address = if nodes.is_some() { network.host() } else { Ipv4Addr::LOCALHOST };
        let url = flags::api_url(address, ports);
        let authority = Authority::new(directory.join("pki"))?;
        let files = ApiServerFiles::issue(&authority, address, network)?;
        let admin = Proof::Certificate(authority.client("admin", &[MASTERS])?);
        let mut api_server = flags::api_server(address, ports, &files);
        api_server.extend(options.api_server.iter().cloned());
        let controllers = if options.controllers {
            let for_pods = nodes.is_some().then(|| authority.file());
            let kubeconfig = access::kubeconfig(&url, &authority, &admin)?;
            let arguments = flags::controller_manager(&kubeconfig, for_pods.as_deref());
            Some(Server::new("kube-controller-manager", &programs, &directory, arguments)?)
        } else {
            None
        };
        let mut cluster = Self {
            etcd: Server::new("etcd", &programs, &directory, flags::etcd(ports, &directory.join("data")))?,
            api_server: Server::new("kube-apiserver", &programs, &directory, api_server)?,
            directory,
            address,
            ports,
            authority,
            admin,
            options,
            controllers,
            nodes: nodes.map(Mutex::new),
        };
        cluster.etcd.launch()?;
        cluster.api_server.launch()?;
        thread::blocking(cluster.become_ready())?;
        cluster.join_nodes()?;
        Ok(cluster)
    }

    /// `https://ADDRESS:PORT`, the same after a restart.
    pub fn url(&self) -> String {
        flags::api_url(self.address, self.ports)
    }

    /// A client that may do everything. Each belongs to the async runtime it is made in.
    pub fn client(&self) -> Result<Client> {
        client(self.config()?)
    }

    /// For clients that may do everything.
    pub fn config(&self) -> Result<Config> {
        access::config(&self.url(), &self.authority, &self.admin)
    }

    /// For clients of a user in some groups, who may do only what roles allow them.
    pub fn config_of(&self, user: &str, groups: &[&str]) -> Result<Config> {
        let proof = Proof::Certificate(self.authority.client(user, groups)?);
        access::config(&self.url(), &self.authority, &proof)
    }

    /// The same as a file, for `KUBECONFIG`; `system:masters` is the group that may do everything.
    pub fn kubeconfig(&self, user: &str, groups: &[&str]) -> Result<PathBuf> {
        let proof = Proof::Certificate(self.authority.client(user, groups)?);
        access::kubeconfig(&self.url(), &self.authority, &proof)
    }

    /// For clients that are a service account, by a token that a pod of it would have; the account must be there.
    pub async fn service_account(&self, namespace: &str, name: &str) -> Result<Config> {
        let token = access::token(&self.client()?, &self.authority, namespace, name).await?;
        access::config(&self.url(), &self.authority, &Proof::Token(token))
    }

    /// The same as a kubeconfig file.
    pub async fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let token = access::token(&self.client()?, &self.authority, namespace, name).await?;
        access::kubeconfig(&self.url(), &self.authority, &Proof::Token(token))
    }

    /// A new namespace that no other test has, `prefix-1a2b3c4d-0`; pods may be made in it.
    pub async fn namespace(&self, prefix: &str) -> Result<String> {
        let name = unique_name(prefix);
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        let client = self.client()?;
        let created = Api::all(client.clone()).create(&PostParams::default(), &namespace).await;
        created.with_context(|| format!("could not create namespace {name}"))?;
        if self.controllers.is_some() {
            ready::default_account(&client, &name).await?;
        }
        Ok(name)
    }

    /// Gives a user the Roles of a manifest, and nothing else.
    pub async fn allow(&self, namespace: &str, user: &str, manifest: &str) -> Result<()> {
        let (client, params) = (self.client()?, PostParams::default());
        for document in serde_yaml::Deserializer::from_str(manifest) {
            let role = Role::deserialize(document)?;
            let group = "rbac.authorization.k8s.io";
            let binding: RoleBinding = serde_json::from_value(json!({
                "metadata": {"name": role.name_any()},
                "roleRef": {"apiGroup": group, "kind": "Role", "name": role.name_any()},
                "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
            }))?;
            Api::namespaced(client.clone(), namespace).create(&params, &role).await?;
            Api::namespaced(client.clone(), namespace).create(&params, &binding).await?;
        }
        Ok(())
    }

    /// Kills the API server (SIGKILL).
    pub fn kill_api_server(&self) -> Result<()> {
        self.api_server.kill()
    }

    /// Freezes the API server (SIGSTOP): connections stay, answers don't come.
    pub fn pause_api_server(&self) -> Result<()> {
        self.api_server.signal(Signal::SIGSTOP)
    }

    /// Ends [`Cluster::pause_api_server`].
    pub fn resume_api_server(&self) -> Result<()> {
        self.api_server.signal(Signal::SIGCONT)
    }

    /// Stops the API server if it runs, and starts it again on the same port and data; returns when it is ready.
    pub fn restart_api_server(&self) -> Result<()> {
        self.api_server.kill()?;
        self.api_server.launch()?;
        thread::blocking(self.api_server_ready())
    }

    /// Process numbers of etcd, the API server and the controllers, of those that run.
    pub fn pids(&self) -> Vec<u32> {
        let servers = [Some(&self.etcd), Some(&self.api_server), self.controllers.as_ref()];
        servers.into_iter().flatten().filter_map(Server::pid).collect()
    }

    async fn become_ready(&self) -> Result<()> {
        self.api_server_ready().await?;
        if let Some(controllers) = &self.controllers {
            // not before: they give up on an API server that takes its time
            controllers.launch()?;
        }
        let client = self.client()?;
        if self.options.crd {
            ready::install_crd(&client).await?;
        }
        if let Some(controllers) = &self.controllers {
            let working = ready::default_account(&client, "default");
            ready::while_running(&[&self.etcd, &self.api_server, controllers], working).await?;
        }
        Ok(())
    }

    async fn api_server_ready(&self) -> Result<()> {
        let client = self.client()?;
        ready::while_running(&[&self.etcd, &self.api_server], ready::api_server(&client)).await
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // pods first: they would only complain
        self.nodes.take();
        for server in
            [self.controllers.as_ref(), Some(&self.api_server), Some(&self.etcd)].into_iter().flatten()
        {
            drop(server.kill());
        }
        scratch::remove(&self.directory);
    }
}

/// A client of the async runtime that it is made in.
pub fn client(config: Config) -> Result<Client> {
    Client::try_from(config).context("could not make a client for Kubernetes")
}
