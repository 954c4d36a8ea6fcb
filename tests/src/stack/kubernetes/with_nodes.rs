//! What a cluster with nodes can do besides.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{MutexGuard, PoisonError};

use anyhow::{Context, Result};

use super::nodes::{self, Nodes};
use super::{Cluster, client, ready, thread};

impl Cluster {
    /// This machine as pods see it: what listens at this address is reached from them by it, and as `ANYTHING.test`. 127.0.0.1 without
    /// nodes.
    pub fn host(&self) -> Ipv4Addr {
        self.address
    }

    /// Imports an image (an OCI archive, as `tools/image` makes it) on each node.
    pub fn load(&self, archive: &Path) -> Result<()> {
        self.nodes()?.load(archive)
    }

    /// Ends a node at once, as a power cut does: 1 is `node-1`.
    pub fn kill_node(&self, number: u8) -> Result<()> {
        self.nodes()?.kill(number)
    }

    /// The process of each node that its namespaces live by.
    pub fn node_pids(&self) -> Vec<u32> {
        self.nodes().map(|nodes| nodes.inits()).unwrap_or_default()
    }

    /// Makes the machines nodes of this cluster, which is ready; returns when pods can run.
    pub(super) fn join_nodes(&mut self) -> Result<()> {
        let (url, config) = (self.url(), self.config()?);
        let Some(nodes) = &mut self.nodes else { return Ok(()) };
        let nodes = nodes.get_mut().unwrap_or_else(PoisonError::into_inner);
        nodes.join(&self.directory, &url, &self.authority)?;
        let nodes = &*nodes;
        thread::blocking(async {
            let client = client(config)?;
            ready::while_running(&nodes.servers(), nodes.ready(&client)).await
        })
    }

    fn nodes(&self) -> Result<MutexGuard<'_, Nodes>> {
        let nodes = self.nodes.as_ref().context("this cluster has no nodes")?;
        Ok(nodes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Removes what nodes of a process that was killed have left.
pub fn clean_nodes() -> Result<()> {
    nodes::clean()
}

/// Imports an image into the node whose namespaces a process holds ([`Cluster::node_pids`]).
pub fn load(node_pid: u32, archive: &Path) -> Result<()> {
    nodes::load(node_pid, archive)
}
