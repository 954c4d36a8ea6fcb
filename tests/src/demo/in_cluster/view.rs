//! A view is what one sees of a pipeline in a cluster, from outside: looks with the tables that kubectl would print, and its end.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use plaudit::screen;
use plaudit::snapshot::Snapshot;
use plaudit_crds::AchievementPipeline;
use serde_json::json;
use tokio::runtime::Runtime;

use super::super::show::Show;
use super::NAMESPACE;
use super::seen::{self, Memory, Way};
use crate::example;
use crate::scene::Log;
use crate::stack::kubernetes::eventually;
use crate::stack::kubernetes::table::{self, Detail};

const PIPELINES: &str = "/apis/plaudit.dev/v1alpha1/namespaces/default/achievementpipelines";
const PODS: &str = "/api/v1/namespaces/default/pods";
const EVENTS: &str =
    "/api/v1/namespaces/default/events?fieldSelector=involvedObject.kind%3DAchievementPipeline";
/// As often as an operator polls Kafka at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Workers drain within 5 s, and leave their group.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

pub(super) struct View {
    name: String,
    client: Client,
    pipelines: Api<AchievementPipeline>,
    pods: Api<Pod>,
    workers: ListParams,
    way: Way,
    log: Log,
    memory: Memory,
    last: Option<Last>,
    runtime: Runtime,
}

/// The last look, and what kubectl would have printed then.
struct Last {
    at: Instant,
    /// `None` until the operator has decided for the first time.
    seen: Option<Snapshot>,
    pipelines: String,
    pods: String,
}

/// What the client of a view runs on.
pub(super) fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?)
}

impl View {
    /// Of the pipeline `example`, with a client that was made in `runtime`; workers are asked in this way.
    pub(super) fn new(
        runtime: Runtime,
        client: Client,
        way: Way,
        example: &AchievementPipeline,
    ) -> Result<Self> {
        let source = &example.spec.source;
        Ok(Self {
            name: example.name_any(),
            pipelines: Api::namespaced(client.clone(), NAMESPACE),
            pods: Api::namespaced(client.clone(), NAMESPACE),
            client,
            workers: ListParams::default().labels("app.kubernetes.io/name=plaudit-worker"),
            way,
            log: Log::new(&source.bootstrap_servers, &source.topic, &example::dead_letter_topic(example))?,
            memory: Memory::new(example)?,
            last: None,
            runtime,
        })
    }

    /// `None` until the operator has decided for the first time.
    pub(super) fn look(&mut self) -> Result<Option<Snapshot>> {
        if self.last.as_ref().is_none_or(|last| last.at.elapsed() >= LOOK_EVERY) {
            self.last = Some(self.look_now()?);
        }
        Ok(self.last.as_ref().and_then(|last| last.seen.clone()))
    }

    fn look_now(&mut self) -> Result<Last> {
        // A broker that has just started does not know the group's coordinator yet.
        let offsets = seen::offsets(&self.log, self.memory.group()).ok();
        let found = self.runtime.block_on(async {
            let object = self.pipelines.get(&self.name).await?;
            let pods = self.pods.list(&self.workers).await?.items;
            let pods = seen::ask(pods, &self.client, &self.way).await;
            let pipelines = table::text(&self.client, PIPELINES, Detail::Wide).await?;
            let shown = table::text(&self.client, PODS, Detail::Narrow).await?;
            anyhow::Ok((object, pods, pipelines, shown))
        });
        let (object, pods, pipelines, shown) = found.context("the API server does not say how it is")?;
        let seen = self.memory.take(object, &pods, offsets);
        Ok(Last { at: Instant::now(), seen, pipelines, pods: shown })
    }

    pub(super) fn screen(&self, seen: &Snapshot, extra: &[String]) -> String {
        let (pipelines, pods) = self.tables();
        format!("{pipelines}\n{}\n{pods}{}\n", screen::facts(seen), extra.join("\n"))
    }

    pub(super) fn picture(&self) -> String {
        let (pipelines, pods) = self.tables();
        format!("{pipelines}{pods}")
    }

    /// What the cluster says of the pipeline, and the pods.
    fn tables(&self) -> (String, String) {
        let Some(Last { pipelines, pods, .. }) = &self.last else { return Default::default() };
        (format!("$ kubectl get achp -o wide\n{pipelines}"), format!("$ kubectl get pods\n{pods}"))
    }

    /// A pod as it is now.
    pub(super) fn pod(&self, name: &str) -> Result<Pod> {
        let pod = self.runtime.block_on(self.pods.get(name));
        pod.with_context(|| format!("could not ask for the pod {name}"))
    }

    /// Suspends the pipeline, waits until its workers have drained and ended, and gives the events that there were as kubectl prints them.
    pub(super) fn suspend(&self, show: &mut Show) -> Result<String> {
        let name = &self.name;
        show.step(&format!("kubectl patch achp/{name} --type=merge -p '{{\"spec\":{{\"suspend\":true}}}}'"))?;
        let events = self.runtime.block_on(async {
            let suspend = Patch::Merge(json!({"spec": {"suspend": true}}));
            self.pipelines.patch(name, &PatchParams::default(), &suspend).await?;
            eventually("the workers to drain and end", DRAIN_LIMIT, async || {
                Ok(self.pods.list(&self.workers).await?.items.is_empty().then_some(()))
            })
            .await?;
            table::text(&self.client, EVENTS, Detail::Narrow).await
        })?;
        Ok(format!(
            "\n$ kubectl get events --field-selector involvedObject.kind=AchievementPipeline\n{events}"
        ))
    }
}
