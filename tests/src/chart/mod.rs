//! The Helm chart: what of it is generated, and the programs that render and check it.

pub mod documented;
pub mod generated;
pub mod promql;
pub mod values;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize as _;
use serde_json::Value;

use crate::stack::fetch::{self, ROOT};
use crate::stack::scratch;

/// The oldest Kubernetes that the chart is for, and what Helm takes for the cluster's when it has none.
pub const KUBE_VERSION: &str = "1.33.0";
/// Kinds of the Prometheus operator, which a cluster may have.
pub const MONITORING: [&str; 2] = ["PodMonitor", "PrometheusRule"];

/// A version of Helm.
#[derive(Clone, Debug)]
pub struct Helm {
    folder: PathBuf,
    kubeconfig: Option<PathBuf>,
}

/// The chart's folder.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(ROOT).join("charts/plaudit")
}

/// A new folder for a test's files.
pub fn scratch() -> Result<PathBuf> {
    scratch::directory("chart")
}

impl Helm {
    /// Helm 4.
    pub fn four() -> Result<Self> {
        Ok(Self { folder: fetch::part("helm")?, kubeconfig: None })
    }

    /// Helm 3.
    pub fn three() -> Result<Self> {
        Ok(Self { folder: fetch::part("helm3")?, kubeconfig: None })
    }

    /// The same for a cluster.
    #[must_use]
    pub fn of(self, kubeconfig: PathBuf) -> Self {
        Self { kubeconfig: Some(kubeconfig), ..self }
    }

    /// Runs it with these arguments.
    pub fn output(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(self.folder.join("helm"));
        // Nothing of a user's own Helm, and no cluster by accident.
        let home = scratch()?;
        for name in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(name, &home);
        }
        command.env("KUBECONFIG", self.kubeconfig.as_deref().unwrap_or(Path::new("/dev/null")));
        let output = command.args(arguments).stdin(Stdio::null()).output();
        output.with_context(|| format!("could not run helm {arguments:?}"))
    }

    /// What it prints; fails with its words.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = self.output(arguments)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "helm {} failed: {said}", arguments.join(" "));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The chart rendered for a cluster of [`KUBE_VERSION`] with the Prometheus operator, as the release `plaudit` in the namespace
    /// `plaudit-system`.
    pub fn template(&self, more: &[&str]) -> Result<String> {
        let chart = folder().display().to_string();
        let apis = MONITORING.map(|kind| format!("--api-versions=monitoring.coreos.com/v1/{kind}"));
        let version = format!("--kube-version={KUBE_VERSION}");
        let mut arguments =
            vec!["template", "plaudit", &chart, "--namespace=plaudit-system", &apis[0], &apis[1], &version];
        arguments.extend(more);
        self.run(&arguments)
    }
}

/// The objects of a rendered text.
pub fn objects(text: &str) -> Result<Vec<Value>> {
    let documents = serde_yaml::Deserializer::from_str(text).map(Value::deserialize);
    let documents: Vec<Value> = documents.collect::<Result<_, _>>().context("not YAML")?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// Runs a fetched program; gives what it printed, both ways, and whether it succeeded.
pub fn checked(part: &str, program: &str, folder: &Path, arguments: &[&str]) -> Result<(bool, String)> {
    let mut command = Command::new(fetch::part(part)?.join(program));
    let output = command.args(arguments).current_dir(folder).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("could not run {program}"))?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

/// The folder with a folder of schemas for each version of Kubernetes.
pub fn schemas() -> Result<PathBuf> {
    fetch::part("schemas")
}
