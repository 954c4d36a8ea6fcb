//! The chart's release: one for the whole cluster, as README installs it.

use anyhow::Result;
use plaudit_tests::chart::{self, Helm};

/// Where the operator is.
pub const SYSTEM: &str = "plaudit-system";
const NAME: &str = "plaudit";
const NAMESPACE: &str = "--namespace=plaudit-system";
const TIMEOUT: &str = "--timeout=120s";

/// Installs the chart, or brings what is there to these values and else the defaults; returns when its pods are ready.
pub fn install(values: &[&str]) -> Result<String> {
    let chart = chart::folder().display().to_string();
    let mut arguments = vec![
        "upgrade",
        "--install",
        NAME,
        &chart,
        NAMESPACE,
        "--create-namespace",
        "--reset-values",
        "--wait",
        TIMEOUT,
    ];
    arguments.extend(values);
    helm()?.run(&arguments)
}

/// Uninstalls it if it is there.
pub fn uninstall() -> Result<()> {
    helm()?.run(&["uninstall", NAME, NAMESPACE, "--ignore-not-found", "--wait", TIMEOUT])?;
    Ok(())
}

/// `helm test`.
pub fn test() -> Result<String> {
    helm()?.run(&["test", NAME, NAMESPACE, TIMEOUT])
}

/// The service account of the operator, as the API server names it.
pub fn operator() -> String {
    format!("system:serviceaccount:{SYSTEM}:{NAME}")
}

fn helm() -> Result<Helm> {
    Ok(Helm::four()?.of(std::env::var_os("KUBECONFIG").unwrap_or_default().into()))
}
