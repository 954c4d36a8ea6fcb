//! The stage on an API server without nodes: `plaudit operator` beside it, its pods played by worker processes.
//!
//! Its commands are only shown: kubectl itself is not needed.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kube::Api;
use kube::api::PostParams;
use plaudit::rbac::{self, LEASE, Scope};
use plaudit::snapshot::Snapshot;
use plaudit_crds::AchievementPipeline;

use super::super::show::Show;
use super::super::stage::Stage;
use super::NAMESPACE;
use super::seen::Way;
use super::view::{self, View};
use crate::played;
use crate::programs;
use crate::stack::kubernetes::Cluster;
use crate::stack::kubernetes::kubelet::Kubelet;
use crate::stack::process::{Lifetime, Process};
use crate::stack::scratch;

/// Who the operator is to the API server.
const USER: &str = "plaudit-operator";
/// The operator finishes the looks under way and gives its Lease back.
const STOP_LIMIT: Duration = Duration::from_secs(15);

pub(in super::super) struct Processes {
    directory: PathBuf,
    // in the order of their end
    operator: Process,
    _kubelet: Kubelet,
    view: View,
    _cluster: Cluster,
}

impl Processes {
    /// Hands `example` to an operator in `cluster`.
    pub(in super::super) fn start(
        show: &mut Show,
        cluster: Cluster,
        example: &AchievementPipeline,
    ) -> Result<Self> {
        let runtime = view::runtime()?;
        let inside = runtime.enter();
        let client = cluster.client()?;
        let directory = scratch::directory("in-cluster")?;
        let admin = cluster.kubeconfig("you", &["system:masters"])?;
        show.step(&format!("the API server is on {}; while this runs, kubectl works too:", cluster.url()))?;
        show.step(&format!("  export KUBECONFIG={}", admin.display()))?;
        let workers = played::workers(client.clone(), programs::find("plaudit-worker")?, directory.clone());
        let kubelet = Kubelet::start(cluster.config()?, Some(NAMESPACE), workers)?;
        let plaudit = programs::shown("plaudit")?;
        // the harness has done it already
        show.step(&format!("{plaudit} crd | kubectl apply -f -"))?;
        let rights = rbac::manifest(Scope::Namespace(NAMESPACE), "plaudit", LEASE);
        runtime.block_on(cluster.allow(NAMESPACE, USER, &rights))?;
        show.step(&format!("{plaudit} rbac --namespace {NAMESPACE} | kubectl apply -f -, bound to {USER}"))?;
        show.step(&format!("{plaudit} operator --namespace {NAMESPACE}"))?;
        let operator = operator(cluster.kubeconfig(USER, &[])?, &directory)?;
        let pipelines: Api<AchievementPipeline> = Api::namespaced(client.clone(), NAMESPACE);
        let created = runtime.block_on(pipelines.create(&PostParams::default(), example));
        created.context("the pipeline is refused")?;
        show.step("kubectl apply -f examples/pipeline.yaml, with the addresses of this Kafka and Valkey")?;
        drop(inside);
        let view = View::new(runtime, client, Way::Direct(directory.clone()), example)?;
        Ok(Self { directory, operator, _kubelet: kubelet, view, _cluster: cluster })
    }
}

/// The program that a user would start, with no right but those that `plaudit rbac` prints.
fn operator(kubeconfig: PathBuf, directory: &std::path::Path) -> Result<Process> {
    let mut command = Command::new(programs::find("plaudit")?);
    command
        .args(["operator", "--namespace", NAMESPACE, "--lease-namespace", NAMESPACE])
        .args(["--admin-address", "127.0.0.1:0", "--poll-seconds", "1"])
        .env("KUBECONFIG", kubeconfig);
    Process::spawn("plaudit operator", command, &directory.join("operator.log"), Lifetime::Tied)
}

impl Stage for Processes {
    fn look(&mut self) -> Result<Option<Snapshot>> {
        self.operator.check()?;
        self.view.look()
    }

    fn screen(&self, seen: &Snapshot, extra: &[String]) -> String {
        self.view.screen(seen, extra)
    }

    fn picture(&self) -> String {
        self.view.picture()
    }

    fn stop(&mut self, show: &mut Show) -> Result<()> {
        let events = self.view.suspend(show)?;
        show.step("the workers have drained; stopping the operator")?;
        self.operator.check()?;
        let status = self.operator.end(STOP_LIMIT)?;
        ensure!(status.success(), "plaudit operator ended with {status}");
        show.text(&events)?;
        Ok(())
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        // before its pods' files: it may still be writing
        drop(self.operator.end(STOP_LIMIT));
        scratch::remove(&self.directory);
    }
}
