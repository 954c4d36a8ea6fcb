//! The cluster with nodes that stays when its command ends: `tools/cluster up` starts it, `down` ends it and removes all of it.
//!
//! One process in the background, `serve`, holds it and dies with it. A state file says where that is and what is needed to reach it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Config, ResourceExt as _};
use serde::{Deserialize, Serialize};

use crate::stack::background::{self, Server};
use crate::stack::kubernetes::{self, Cluster, ClusterOptions};
use crate::stack::process::{Lifetime, Process};
use crate::stack::until;

/// Of two nodes on a busy machine that has to fetch nothing.
const START_LIMIT: Duration = Duration::from_secs(180);
const LOG: &str = "log";

/// A real cluster with nodes on this machine, in the background; as root
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Start it, with images imported; says where its kubeconfig is
    Up {
        /// How many nodes
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=9))]
        nodes: u8,
        /// Images to import, as tools/image makes them
        images: Vec<PathBuf>,
    },
    /// End it and remove everything it has left
    Down,
    /// Import images on each node
    Load {
        #[arg(required = true)]
        images: Vec<PathBuf>,
    },
    /// Print where its kubeconfig is
    Kubeconfig,
    /// Print its nodes and pods
    Status,
    /// Hold one until told to end
    #[command(hide = true)]
    Serve {
        #[arg(long)]
        nodes: u8,
        #[arg(long)]
        directory: PathBuf,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct State {
    holder: Server,
    kubeconfig: PathBuf,
    /// What pods reach this machine by.
    host: String,
    node_pids: Vec<u32>,
}

impl Args {
    /// Does it; what it prints is its answer.
    pub fn run(&self) -> Result<()> {
        let directory = background::directory()?.with_file_name("cluster");
        match &self.command {
            Action::Up { nodes, images } => up(&directory, *nodes, images),
            Action::Down => down(&directory),
            Action::Load { images } => load(&running(&directory)?, images),
            Action::Kubeconfig => {
                print(&running(&directory)?.kubeconfig.display().to_string());
                Ok(())
            }
            Action::Status => status(&running(&directory)?),
            Action::Serve { nodes, directory } => serve(directory, *nodes),
        }
    }
}

fn up(directory: &Path, nodes: u8, images: &[PathBuf]) -> Result<()> {
    let begin = Instant::now();
    if let Ok(state) = running(directory) {
        bail!(
            "a cluster runs already, with {} node(s): KUBECONFIG={}; `tools/cluster down` ends it",
            state.node_pids.len(),
            state.kubeconfig.display()
        );
    }
    // what an interrupted start left
    if directory.exists() {
        fs::remove_dir_all(directory).with_context(|| format!("could not remove {}", directory.display()))?;
    }
    fs::create_dir_all(directory).with_context(|| format!("could not create {}", directory.display()))?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["cluster", "serve", "--nodes", &nodes.to_string(), "--directory"]).arg(directory);
    let mut holder = Process::spawn("the cluster", command, &directory.join(LOG), Lifetime::Detached)?;
    let started = until("a cluster with nodes", START_LIMIT, || {
        holder.check()?;
        read(directory)
    });
    let state = started.inspect_err(|_| drop(holder.kill()))?;
    load(&state, images)?;
    print(&format!(
        "A cluster with {} node(s) is ready after {:.1} s. Pods reach this machine as {} and as ANYTHING.test.

  export KUBECONFIG={}

`tools/cluster down` ends it.",
        state.node_pids.len(),
        begin.elapsed().as_secs_f64(),
        state.host,
        state.kubeconfig.display()
    ));
    Ok(())
}

fn down(directory: &Path) -> Result<()> {
    let state = read(directory)?;
    if let Some(state) = &state {
        state.holder.stop()?;
    }
    kubernetes::clean_nodes()?;
    if directory.exists() {
        fs::remove_dir_all(directory).with_context(|| format!("could not remove {}", directory.display()))?;
    }
    print(if state.is_some() { "The cluster is gone." } else { "No cluster was up." });
    Ok(())
}

fn load(state: &State, images: &[PathBuf]) -> Result<()> {
    for image in images {
        for node in &state.node_pids {
            kubernetes::load(*node, image)?;
        }
    }
    Ok(())
}

fn status(state: &State) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let config = Kubeconfig::read_from(&state.kubeconfig)?;
        let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
        let client = kubernetes::client(config)?;
        for node in Api::<Node>::all(client.clone()).list(&ListParams::default()).await? {
            print(&format!("{}  {}", node.name_any(), if is_ready(&node) { "ready" } else { "not ready" }));
        }
        for pod in Api::<Pod>::all(client).list(&ListParams::default()).await? {
            let namespace = pod.namespace().unwrap_or_default();
            let phase = pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
            print(&format!("{namespace}/{}  {phase}", pod.name_any()));
        }
        Ok(())
    })
}

/// Dies with the cluster: what remains to be done is what its drop does.
fn serve(directory: &Path, nodes: u8) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut end = {
        let _entered = runtime.enter();
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?
    };
    let cluster = Cluster::start(ClusterOptions { nodes, crd: false, ..ClusterOptions::default() })?;
    let kubeconfig = directory.join("kubeconfig");
    fs::copy(cluster.kubeconfig("admin", &["system:masters"])?, &kubeconfig)?;
    let state = State {
        holder: Server::of("plaudit-tests", Some(std::process::id()))?,
        kubeconfig,
        host: cluster.host().to_string(),
        node_pids: cluster.node_pids(),
    };
    let (path, half) = (state_file(directory), directory.join("state.half"));
    fs::write(&half, serde_json::to_string_pretty(&state)?)?;
    fs::rename(&half, &path)?;
    runtime.block_on(end.recv());
    Ok(())
}

fn running(directory: &Path) -> Result<State> {
    let state = read(directory)?.filter(|state| state.holder.is_alive());
    state.context("no cluster is up; `tools/cluster up` starts one")
}

/// `None` where there is none.
fn read(directory: &Path) -> Result<Option<State>> {
    let path = state_file(directory);
    match fs::read_to_string(&path) {
        Ok(text) => {
            serde_json::from_str(&text).map(Some).with_context(|| format!("{} is damaged", path.display()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("could not read {}", path.display())),
    }
}

fn state_file(directory: &Path) -> PathBuf {
    directory.join("state.json")
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[expect(clippy::print_stdout, reason = "a command's answer goes to standard output")]
fn print(line: &str) {
    println!("{line}");
}
