//! `plaudit rbac`: the rights that the operator needs, as YAML for `kubectl apply`.

use crate::rbac::{LEASE, Scope, manifest};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Watch this namespace only, with a Role in it; without it: all namespaces, with a ClusterRole.
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// What the Roles are called.
    #[arg(long, value_name = "NAME", default_value = "plaudit")]
    name: String,
    /// The Lease that the operators elect their leader on.
    #[arg(long, value_name = "NAME", default_value = LEASE)]
    lease: String,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let scope = match &args.namespace {
        Some(namespace) => Scope::Namespace(namespace),
        None => Scope::Cluster,
    };
    super::print(&manifest(scope, &args.name, &args.lease))
}
