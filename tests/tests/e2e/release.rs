//! The chart's release: one for the whole cluster, as README installs it.

use anyhow::{Context as _, Result, ensure};
use plaudit_tests::chart::{self, Helm};

use crate::bed::kubectl;

/// Where the operator is.
pub const SYSTEM: &str = "plaudit-system";
const NAME: &str = "plaudit";
const NAMESPACE: &str = "--namespace=plaudit-system";
const TIMEOUT: &str = "--timeout=120s";
const NOTHING_OF_THE_CLUSTER: &str = "crds.install=false,rbac.create=false,rbac.aggregateRoles=false";

/// Installs the chart, or brings what is there to it, to these values and else the defaults; returns when its pods are ready.
pub fn install(values: &[&str]) -> Result<String> {
    bring(&chart::folder().display().to_string(), values)
}

/// The same with an older version of the chart, as far as objects tell: another version, and images with this tag. A CRD that somebody
/// applied by kubectl becomes the release's.
pub fn install_older(tag: &str) -> Result<String> {
    let folder = chart::scratch()?.display().to_string();
    let chart = chart::folder().display().to_string();
    let version = format!("--app-version={tag}");
    helm()?.run(&["package", &chart, "--version=0.0.1", &version, "--destination", &folder])?;
    bring(&format!("{folder}/plaudit-0.0.1.tgz"), &["--take-ownership", "--force-conflicts"])
}

/// What of the chart its namespace's administrator may not make, for a release that knows only its own namespace.
pub fn of_the_cluster(namespace: &str) -> Result<String> {
    let chart = chart::folder().display().to_string();
    let values = format!("--set=watchNamespace={namespace}");
    let shown = ["crd", "rbac", "aggregated-roles"].map(|name| format!("--show-only=templates/{name}.yaml"));
    let [crd, rbac, aggregated] = &shown;
    helm()?.run(&["template", NAME, &chart, "--namespace", namespace, &values, crd, rbac, aggregated])
}

/// Installs the rest there, as this user.
pub fn install_in(namespace: &str, user: &str) -> Result<String> {
    let chart = chart::folder().display().to_string();
    let user = format!("--kube-as-user={user}");
    let values = format!("--set=watchNamespace={namespace},{NOTHING_OF_THE_CLUSTER}");
    helm()?.run(&["install", NAME, &chart, "--namespace", namespace, &user, &values, "--wait", TIMEOUT])
}

/// Uninstalls that, as this user.
pub fn uninstall_in(namespace: &str, user: &str) -> Result<()> {
    let user = format!("--kube-as-user={user}");
    helm()?.run(&["uninstall", NAME, "--namespace", namespace, &user, "--wait", TIMEOUT]).map(drop)
}

fn bring(chart: &str, values: &[&str]) -> Result<String> {
    let mut arguments = vec![
        "upgrade",
        "--install",
        NAME,
        chart,
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

/// Runs the commands of docs/install.md that remove everything, as they stand there. They take every pipeline of the cluster along.
pub fn remove_all() -> Result<()> {
    const BEFORE: &str = "To remove all of it";
    let text = std::fs::read_to_string(chart::folder().join("../../docs/install.md"))?;
    let (_, rest) = text.split_once(BEFORE).with_context(|| format!("docs/install.md has no {BEFORE:?}"))?;
    let lines = rest.lines().skip_while(|line| !line.starts_with("    "));
    let commands: Vec<&str> = lines.map_while(|line| line.strip_prefix("    ")).collect();
    for command in &commands {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words[..] {
            ["helm", ref arguments @ ..] => drop(helm()?.run(arguments)?),
            ["kubectl", ref arguments @ ..] => drop(kubectl(arguments)?),
            _ => anyhow::bail!("{command} is neither helm's nor kubectl's"),
        }
    }
    ensure!(commands.len() > 2, "docs/install.md has only {commands:?}");
    Ok(())
}

/// The service account of the operator, as the API server names it.
pub fn operator() -> String {
    format!("system:serviceaccount:{SYSTEM}:{NAME}")
}

fn helm() -> Result<Helm> {
    Ok(Helm::four()?.of(std::env::var_os("KUBECONFIG").unwrap_or_default().into()))
}
