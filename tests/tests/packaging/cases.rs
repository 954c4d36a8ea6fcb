//! A case is a shape of the chart that is supported: values, and what they render to.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use plaudit_tests::chart::{self, Helm};
use serde_json::Value;

/// One folder of `cases/`.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    folder: PathBuf,
}

/// All cases, by name.
pub fn all() -> Result<Vec<Case>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/packaging/cases");
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let folder = entry?.path();
        let name = folder.file_name().context("a folder")?.to_string_lossy().into_owned();
        cases.push(Case { name, folder });
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(cases)
}

impl Case {
    pub fn values(&self) -> PathBuf {
        self.folder.join("values.yaml")
    }

    pub fn golden(&self) -> PathBuf {
        self.folder.join("golden.yaml")
    }

    pub fn render(&self, helm: &Helm) -> Result<String> {
        let values = format!("--values={}", self.values().display());
        helm.template(&[&values]).with_context(|| self.name.clone())
    }
}

/// The arguments of the container of each pod: of the operator, and of `helm test`.
pub fn arguments(text: &str) -> Result<Vec<Vec<String>>> {
    let pods = chart::objects(text)?.into_iter().filter_map(|object| match object["kind"].as_str() {
        Some("Deployment") => Some(object["spec"]["template"]["spec"].clone()),
        Some("Pod") => Some(object["spec"].clone()),
        _ => None,
    });
    let of = |pod: Value| Ok(serde_json::from_value(pod["containers"][0]["args"].clone())?);
    pods.map(of).collect()
}

/// Those of the operator.
pub fn operator_arguments(text: &str) -> Result<Vec<String>> {
    let all = arguments(text)?;
    let operator = all.into_iter().find(|arguments| arguments.first().is_some_and(|word| word == "operator"));
    operator.context("no operator in a rendered chart")
}
