//! The cgroups of nodes: one folder for each cluster in each hierarchy of this machine, which `/sys/fs/cgroup` has one (version 2) or many of.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::network::{self, Network};
use crate::stack::until;

const ROOT: &str = "/sys/fs/cgroup";
/// A cgroup is busy until the kernel has buried the last process in it.
const REMOVE_LIMIT: Duration = Duration::from_secs(10);

/// As a kubelet names its own.
pub(super) fn of(network: Network, node: u8) -> String {
    format!("/{}/{}", network.cgroup(), network::name(node))
}

/// Makes the folder of one node everywhere; a kubelet wants to find it.
pub(super) fn create(network: Network, node: u8) -> Result<()> {
    for hierarchy in hierarchies() {
        let path = hierarchy.join(network.cgroup()).join(network::name(node));
        fs::create_dir_all(&path).with_context(|| format!("could not create {}", path.display()))?;
        delegate(&hierarchy);
        delegate(&hierarchy.join(network.cgroup()));
    }
    Ok(())
}

/// In version 2 a folder has only the controllers that the one above hands on; in version 1 there is no such file. One by one: which of
/// them may not be handed on is nothing that pods need.
fn delegate(folder: &Path) {
    let Ok(controllers) = fs::read_to_string(folder.join("cgroup.controllers")) else { return };
    for controller in controllers.split_whitespace() {
        drop(fs::write(folder.join("cgroup.subtree_control"), format!("+{controller}")));
    }
}

/// Removes all that the nodes of a cluster have left, after their end.
pub(super) fn remove(network: Network) -> Result<()> {
    for hierarchy in hierarchies() {
        let path = hierarchy.join(network.cgroup());
        until(&format!("{} to be empty", path.display()), REMOVE_LIMIT, || {
            Ok((!path.exists() || remove_empty(&path).is_ok()).then_some(()))
        })?;
    }
    Ok(())
}

/// Only folders can be removed, and the files in them are no files.
fn remove_empty(path: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_empty(&entry.path())?;
        }
    }
    fs::remove_dir(path)
}

fn hierarchies() -> Vec<PathBuf> {
    let root = Path::new(ROOT);
    if root.join("cgroup.controllers").exists() {
        return vec![root.to_owned()];
    }
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    // names like `cpu,cpuacct` have links for each of their parts
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut found: Vec<PathBuf> = folders.map(|entry| entry.path()).collect();
    found.retain(|path| path.join("cgroup.procs").exists());
    found.sort();
    found
}
