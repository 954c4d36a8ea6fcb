//! Nodes are real ones: containerd, a kubelet and a proxy of Services each, in a machine of their own (`machine`), with a DNS server and
//! a scheduler for all of them. Their pods run images that were imported; nothing is pulled.
//!
//! Nothing of it is outside of the machines but a network device, which goes with them, and cgroups, which are removed.

mod cgroups;
mod config;
mod machine;
pub(super) mod network;
mod policies;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::{Api, Client};

use self::config::NodeFiles;
use self::machine::Machine;
pub(super) use self::machine::import as load;
use self::network::Network;
use super::access::{self, MASTERS, Proof};
use super::authority::Authority;
use super::flags;
use super::ready::eventually;
use super::server::Server;
use crate::stack::{ask, fetch, until};

/// What must be on the machine besides; tools/setup node installs it.
const NEEDED: [&str; 8] = ["unshare", "nsenter", "ip", "containerd", "ctr", "runc", "iptables", "conntrack"];
/// Where packages put the programs that connect pods to the network.
const PLUGINS: [&str; 3] = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"];
/// A start takes some 10 seconds on two free cores.
const READY_LIMIT: Duration = Duration::from_secs(90);
/// The device goes a moment after the last process of its namespace.
const GONE_LIMIT: Duration = Duration::from_secs(10);
/// Where a proxy of Services says that its rules are in place.
const PROXY_HEALTH_PORT: u16 = 10_256;

#[derive(Debug)]
pub(super) struct Nodes {
    network: Network,
    programs: PathBuf,
    // in the order of their end
    servers: Vec<Server>,
    machines: Vec<Machine>,
    switch: Machine,
}

impl Nodes {
    /// So many machines, connected and with a container runtime each, but without a cluster yet.
    pub(super) fn open(directory: &Path, count: u8) -> Result<Self> {
        let plugins = check_machine()?;
        let programs = fetch::part("node")?;
        let pause = programs.join("pause");
        let network = Network::free()?;
        // what a killed one left
        cgroups::remove(network)?;
        let switch = Machine::start("switch", &directory.join("switch"), &pause)?;
        let mut nodes = Self { network, programs, servers: Vec::new(), machines: Vec::new(), switch };
        for number in 1..=count {
            nodes.machines.push(Machine::start("node", &directory.join(network::name(number)), &pause)?);
        }
        nodes.connect(count)?;
        for number in 1..=count {
            nodes.start_runtime(number, &directory.join(network::name(number)), plugins)?;
        }
        Ok(nodes)
    }

    /// Makes them nodes of the cluster at `url`, which is ready to answer.
    pub(super) fn join(&mut self, directory: &Path, url: &str, authority: &Authority) -> Result<()> {
        let kubeconfig = |user: &str, groups: &[&str]| {
            access::kubeconfig(url, authority, &Proof::Certificate(authority.client(user, groups)?))
        };
        let scheduler = flags::scheduler(&kubeconfig("system:kube-scheduler", &[])?);
        self.launch(Server::new("kube-scheduler", &self.programs, directory, scheduler)?)?;
        let corefile = directory.join("Corefile");
        write(&corefile, &config::corefile(self.network, &kubeconfig("coredns", &[MASTERS])?))?;
        let arguments = vec!["-conf".to_owned(), corefile.display().to_string()];
        let dns = Server::new("coredns", &self.programs, directory, arguments)?;
        self.launch(dns.inside(machine::inside(self.switch.init())))?;
        for number in (1..).take(self.machines.len()) {
            let name = network::name(number);
            let user = format!("system:node:{name}");
            let node = kubeconfig(&user, &["system:nodes"])?;
            let proxy = kubeconfig("system:kube-proxy", &[])?;
            self.start_node(number, &directory.join(&name), authority, &node, &proxy)?;
            let policies = policies::flags(&kubeconfig("network-policies", &[MASTERS])?, &name);
            let policies = Server::new("network-policies", &self.programs, &directory.join(&name), policies)?;
            let init = self.inits()[usize::from(number) - 1];
            self.launch(policies.inside(machine::inside(init)))?;
        }
        Ok(())
    }

    /// Waits until pods run on all of them.
    pub(super) async fn ready(&self, client: &Client) -> Result<()> {
        let nodes: Api<Node> = Api::all(client.clone());
        let joined = || async {
            let nodes = nodes.list(&ListParams::default()).await?.items;
            Ok((nodes.iter().filter(|node| is_ready(node)).count() == self.machines.len()).then_some(()))
        };
        eventually("nodes that are ready", READY_LIMIT, joined).await?;
        let (dns, dns_port) = config::dns_ready(self.network);
        let mut asked = vec![(format!("{dns}:{dns_port}"), "/ready")];
        asked.extend(
            (1..)
                .take(self.machines.len())
                .map(|number| (format!("{}:{PROXY_HEALTH_PORT}", self.network.node(number)), "/healthz")),
        );
        for (address, path) in &asked {
            let answer = || async { Ok(ask::get(address, path).ok().filter(|(status, _)| *status == 200)) };
            eventually(&format!("a good answer from http://{address}{path}"), READY_LIMIT, answer).await?;
        }
        let enforced = || async { Ok(self.inits().into_iter().all(policies::are_enforced).then_some(())) };
        eventually("NetworkPolicies to be enforced", READY_LIMIT, enforced).await?;
        Ok(())
    }

    /// Imports an image on each.
    pub(super) fn load(&self, archive: &Path) -> Result<()> {
        self.inits().into_iter().try_for_each(|init| machine::import(init, archive))
    }

    /// The process of each node that its namespaces live by.
    pub(super) fn inits(&self) -> Vec<u32> {
        self.machines.iter().map(Machine::init).collect()
    }

    /// Ends a node at once, as a power cut does. Counts from 1.
    pub(super) fn kill(&mut self, number: u8) -> Result<()> {
        let at = usize::from(number).checked_sub(1);
        let machine = at.and_then(|at| self.machines.get_mut(at));
        machine.with_context(|| format!("there is no {}", network::name(number)))?.kill()
    }

    pub(super) fn network(&self) -> Network {
        self.network
    }

    pub(super) fn servers(&self) -> Vec<&Server> {
        self.servers.iter().collect()
    }

    fn connect(&mut self, count: u8) -> Result<()> {
        let (network, switch) = (self.network, self.switch.init());
        machine::ip(None, &network.cable(switch))?;
        machine::ip(Some(switch), &network.switch(&self.inits()))?;
        machine::ip(None, &network.ways(count))?;
        for (number, init) in (1..).zip(self.inits()) {
            machine::ip(Some(init), &network.on_node(number, count))?;
        }
        Ok(())
    }

    fn start_runtime(&mut self, number: u8, directory: &Path, plugins: &str) -> Result<()> {
        let file = directory.join("containerd.toml");
        write(&file, &config::containerd(plugins, directory))?;
        write(&directory.join("cni").join("pods.conflist"), &config::cni(self.network, number).to_string())?;
        // pods inherit nothing of this machine's
        write(&directory.join("resolv.conf"), "")?;
        let arguments = vec!["--config".to_owned(), file.display().to_string()];
        let init = self.inits()[usize::from(number) - 1];
        self.launch(Server::installed("containerd", directory, arguments).inside(machine::inside(init)))
    }

    fn start_node(
        &mut self,
        number: u8,
        directory: &Path,
        authority: &Authority,
        node: &Path,
        proxy: &Path,
    ) -> Result<()> {
        let init = self.inits()[usize::from(number) - 1];
        until("containerd", READY_LIMIT, || {
            self.servers.iter().try_for_each(Server::check)?;
            Ok(machine::import(init, &self.programs.join("pause.tar")).ok())
        })?;
        cgroups::create(self.network, number)?;
        let address = self.network.node(number);
        let identity = authority.server(&network::name(number), &[address.into()], &[])?;
        let files = NodeFiles {
            directory,
            authority: &authority.file(),
            certificate: &identity.certificate,
            key: &identity.key,
        };
        let (kubelet, kube_proxy) = (directory.join("kubelet.json"), directory.join("kube-proxy.json"));
        write(&kubelet, &config::kubelet(self.network, number, &files).to_string())?;
        write(&kube_proxy, &config::kube_proxy(self.network, number, proxy).to_string())?;
        let arguments = flags::kubelet(&kubelet, node, &network::name(number), address);
        let server = Server::new("kubelet", &self.programs, directory, arguments)?;
        self.launch(server.inside(machine::inside(init)))?;
        let arguments = vec![format!("--config={}", kube_proxy.display())];
        let server = Server::new("kube-proxy", &self.programs, directory, arguments)?;
        self.launch(server.inside(machine::inside(init)))
    }

    fn launch(&mut self, server: Server) -> Result<()> {
        server.launch()?;
        self.servers.push(server);
        Ok(())
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        self.machines.clear();
        drop(self.switch.kill());
        drop(cgroups::remove(self.network));
        // or the next cluster takes it for one that runs
        drop(until("the end of a network", GONE_LIMIT, || Ok((!self.network.is_up()).then_some(()))));
    }
}

/// Removes what nodes of processes that were killed have left.
pub(super) fn clean() -> Result<()> {
    Network::all().filter(|network| !network.is_up()).try_for_each(cgroups::remove)
}

/// Where the network plugins are, if nodes can run here.
fn check_machine() -> Result<&'static str> {
    let root = fs::metadata("/proc/self").context("no /proc here")?.uid() == 0;
    ensure!(root, "nodes need root: they have namespaces, mounts and cgroups of their own");
    let missing: Vec<_> = NEEDED.into_iter().filter(|name| !is_installed(name)).collect();
    ensure!(missing.is_empty(), "nodes need {}: `tools/setup node` installs it", missing.join(", "));
    let plugins = PLUGINS.into_iter().find(|folder| Path::new(folder).join("bridge").exists());
    plugins.with_context(|| {
        format!("no CNI plugins in {}: `tools/setup node` installs them", PLUGINS.join(", "))
    })
}

fn is_installed(name: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| folder.join(name).is_file())
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn write(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().context("a file in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("could not create {}", folder.display()))?;
    fs::write(path, text).with_context(|| format!("could not write {}", path.display()))
}
