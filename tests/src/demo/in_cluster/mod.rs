//! Stages in a Kubernetes cluster: an API server whose pods are played by processes, and a whole cluster with nodes.
//!
//! Everything is done as a user would do it, and shown as the command that does it. What both see of the cluster is a [`view`].

mod nodes;
mod processes;
mod seen;
mod view;

pub(super) use self::nodes::{Connection, Nodes};
pub(super) use self::processes::Processes;

/// The one of examples/pipeline.yaml.
const NAMESPACE: &str = "default";
