//! The stage in a cluster: `plaudit operator` on a real API server, its pods played by worker processes.
//!
//! Everything is done as a user would do it, and shown as the command that does it; kubectl itself is not needed.

mod seen;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use plaudit::rbac::{self, LEASE, Scope};
use plaudit::screen;
use plaudit::snapshot::Snapshot;
use plaudit_crds::AchievementPipeline;
use serde_json::json;
use tokio::runtime::Runtime;

use self::seen::Memory;
use super::show::Show;
use super::stage::Stage;
use crate::example;
use crate::played;
use crate::programs;
use crate::scene::Log;
use crate::stack::kubernetes::kubelet::Kubelet;
use crate::stack::kubernetes::table::{self, Detail};
use crate::stack::kubernetes::{Cluster, eventually};
use crate::stack::process::{Lifetime, Process};
use crate::stack::scratch;

/// The one of examples/pipeline.yaml.
const NAMESPACE: &str = "default";
const PIPELINES: &str = "/apis/plaudit.dev/v1alpha1/namespaces/default/achievementpipelines";
const PODS: &str = "/api/v1/namespaces/default/pods";
const EVENTS: &str =
    "/api/v1/namespaces/default/events?fieldSelector=involvedObject.kind%3DAchievementPipeline";
/// Who the operator is to the API server.
const USER: &str = "plaudit-operator";
/// As often as the operator itself polls Kafka here.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Workers drain within 5 s, and leave their group.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);
/// The operator finishes the looks under way and gives its Lease back.
const STOP_LIMIT: Duration = Duration::from_secs(15);

pub(super) struct InCluster {
    name: String,
    client: Client,
    pipelines: Api<AchievementPipeline>,
    pods: Api<Pod>,
    log: Log,
    memory: Memory,
    directory: PathBuf,
    last: Option<Last>,
    // in the order of their end
    operator: Process,
    _kubelet: Kubelet,
    runtime: Runtime,
    _cluster: Cluster,
}

/// The last look, and what kubectl would have printed then.
struct Last {
    at: Instant,
    seen: Snapshot,
    pipelines: String,
    pods: String,
}

impl InCluster {
    /// Hands `example` to an operator in `cluster`.
    pub(super) fn start(show: &mut Show, cluster: Cluster, example: &AchievementPipeline) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
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
        let source = &example.spec.source;
        let log = Log::new(&source.bootstrap_servers, &source.topic, &example::dead_letter_topic(example))?;
        let name = example.name_any();
        drop(inside);
        Ok(Self {
            name,
            pods: Api::namespaced(client.clone(), NAMESPACE),
            client,
            pipelines,
            log,
            memory: Memory::new(example)?,
            directory,
            last: None,
            operator,
            _kubelet: kubelet,
            runtime,
            _cluster: cluster,
        })
    }

    fn look_now(&mut self) -> Result<Option<Last>> {
        // A broker that has just started does not know the group's coordinator yet.
        let offsets = seen::offsets(&self.log, self.memory.group()).ok();
        let found = self.runtime.block_on(async {
            let object = self.pipelines.get(&self.name).await?;
            let pods = self.pods.list(&ListParams::default()).await?.items;
            let pods = seen::ask(pods, &self.directory).await;
            let pipelines = table::text(&self.client, PIPELINES, Detail::Wide).await?;
            let shown = table::text(&self.client, PODS, Detail::Narrow).await?;
            anyhow::Ok((object, pods, pipelines, shown))
        });
        let (object, pods, pipelines, shown) = found.context("the API server does not say how it is")?;
        let seen = self.memory.take(object, &pods, offsets);
        Ok(seen.map(|seen| Last { at: Instant::now(), seen, pipelines, pods: shown }))
    }

    /// What the cluster says of the pipeline, and the pods.
    fn tables(&self) -> (String, String) {
        let Some(Last { pipelines, pods, .. }) = &self.last else { return Default::default() };
        (format!("$ kubectl get achp -o wide\n{pipelines}"), format!("$ kubectl get pods\n{pods}"))
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

impl Stage for InCluster {
    fn look(&mut self) -> Result<Option<Snapshot>> {
        self.operator.check()?;
        if self.last.as_ref().is_none_or(|last| last.at.elapsed() >= LOOK_EVERY) {
            self.last = self.look_now()?;
        }
        Ok(self.last.as_ref().map(|last| last.seen.clone()))
    }

    fn screen(&self, seen: &Snapshot, extra: &[String]) -> String {
        let (pipelines, pods) = self.tables();
        format!("{pipelines}\n{}\n{pods}{}\n", screen::facts(seen), extra.join("\n"))
    }

    fn picture(&self) -> String {
        let (pipelines, pods) = self.tables();
        format!("{pipelines}{pods}")
    }

    fn stop(&mut self, show: &mut Show) -> Result<()> {
        let name = &self.name;
        show.step(&format!("kubectl patch achp/{name} --type=merge -p '{{\"spec\":{{\"suspend\":true}}}}'"))?;
        let events = self.runtime.block_on(async {
            let suspend = Patch::Merge(json!({"spec": {"suspend": true}}));
            self.pipelines.patch(name, &PatchParams::default(), &suspend).await?;
            eventually("the workers to drain and end", DRAIN_LIMIT, async || {
                Ok(self.pods.list(&ListParams::default()).await?.items.is_empty().then_some(()))
            })
            .await?;
            table::text(&self.client, EVENTS, Detail::Narrow).await
        })?;
        show.step("the workers have drained; stopping the operator")?;
        self.operator.check()?;
        let status = self.operator.end(STOP_LIMIT)?;
        ensure!(status.success(), "plaudit operator ended with {status}");
        show.text(&format!(
            "\n$ kubectl get events --field-selector involvedObject.kind=AchievementPipeline\n{events}"
        ))?;
        Ok(())
    }
}

impl Drop for InCluster {
    fn drop(&mut self) {
        // before its pods' files: it may still be writing
        drop(self.operator.end(STOP_LIMIT));
        scratch::remove(&self.directory);
    }
}
