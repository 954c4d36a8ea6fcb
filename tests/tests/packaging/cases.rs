//! A case is a shape of the chart that is supported: values, and what they render to.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use plaudit_tests::chart::Helm;

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
