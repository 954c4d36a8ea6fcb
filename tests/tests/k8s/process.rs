//! An operator's process on a bed, and what of it and of the cluster everybody may see.

use std::collections::BTreeSet;
use std::fs::File;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use plaudit_crds::AchievementPipeline;
use plaudit_tests::canary;
use plaudit_tests::stack::kubernetes::fault::ApiProxy;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use crate::bed::Bed;
use crate::program::Program;

/// It logs all that it can, and its requests are counted.
pub struct Operator {
    program: Program,
    proxy: ApiProxy,
    directory: TempDir,
}

impl Operator {
    /// For a bed that has no other.
    pub fn start(bed: &Bed) -> Result<Self> {
        let (proxy, directory) = (ApiProxy::start(bed.operator_config()?)?, tempfile::tempdir()?);
        let kubeconfig = directory.path().join("kubeconfig");
        std::fs::write(&kubeconfig, proxy.kubeconfig())?;
        let log = File::create(directory.path().join("log"))?;
        let mut command = Program::command(&kubeconfig, &bed.namespace)?;
        let command =
            command.arg("--no-leader-election").env("RUST_LOG", "trace").env("PLAUDIT_LOG", "trace");
        let program = Program::spawn(command.stdout(log.try_clone()?).stderr(log))?;
        Ok(Self { program, proxy, directory })
    }

    /// Names of the Secrets that were asked for; empty for a list of them.
    pub fn secrets(&self, namespace: &str) -> BTreeSet<String> {
        let (seen, place) = (self.proxy.seen(), format!("/{namespace}/secrets"));
        let paths = seen.iter().filter_map(|seen| seen.path.split_once(&place)).map(|(_, rest)| rest);
        paths.map(|rest| rest.trim_matches(['/', '?']).to_owned()).collect()
    }

    /// Neither its log, arguments, environment and endpoints, nor anything in the cluster but Secrets has a secret.
    pub async fn shows_no_secret(&self, bed: &Bed) -> Result<()> {
        let file = self.directory.path().join("log");
        let log = std::fs::read_to_string(&file)?;
        ensure!(log.contains("TRACE"), "the log of the operator is not what was asked for");
        canary::search(&file.display().to_string(), &log)?;
        canary::search_process(self.program.id())?;
        canary::search_endpoints(address(&log)?)?;
        search::<AchievementPipeline>(&bed.api()).await?;
        search::<Deployment>(&bed.api()).await?;
        search::<ConfigMap>(&bed.api()).await?;
        search::<Service>(&bed.api()).await?;
        search::<Event>(&bed.api()).await?;
        search::<Pod>(&bed.api()).await
    }
}

/// Where its endpoints are, as it says itself.
fn address(log: &str) -> Result<&str> {
    let said = log.lines().find_map(|line| line.split_once(" admin endpoints address="));
    let (_, address) = said.context("the operator does not say where it listens")?;
    Ok(address.trim())
}

async fn search<K>(api: &Api<K>) -> Result<()>
where
    K: Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    for object in api.list(&ListParams::default()).await? {
        canary::search(std::any::type_name::<K>(), &serde_json::to_string_pretty(&object)?)?;
    }
    Ok(())
}
