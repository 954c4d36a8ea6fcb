//! The watches: what the API server says of pipelines, their children and pods, kept in stores, each change waking its pipeline.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

use futures::{Stream, StreamExt as _};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::ObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use super::Options;
use super::context::{Guarded, Known, lock};
use super::pod_index::Pods;
use super::rivals::Claim;
use super::shown::{Child, Shown};
use crate::children::PIPELINE_ANNOTATION;

/// Children and pods, wherever they are.
const OURS: &str = "app.kubernetes.io/managed-by=plaudit,app.kubernetes.io/component=worker";

/// Objects in a page of a list.
const PAGE: u32 = 100;

/// What was seen last. Objects come without what nobody here reads.
#[derive(Clone)]
pub(super) struct Stores {
    pub pipelines: Store<Guarded>,
    pub config_maps: Store<Shown<ConfigMap>>,
    pub deployments: Store<Shown<Deployment>>,
    pub services: Store<Shown<Service>>,
    pub disruption_budgets: Store<Shown<PodDisruptionBudget>>,
    pub pods: Arc<Pods>,
}

type Wake = UnboundedSender<ObjectRef<Guarded>>;

/// Starts all watches; they end with `stop`.
pub(super) fn start(
    client: &kube::Client,
    options: &Options,
    known: &Arc<Known>,
    wake: &Wake,
    stop: &CancellationToken,
) -> Stores {
    let watches = Watches { client, namespace: options.namespace.as_deref(), wake, stop };
    let mut pipelines = config();
    if let Some(selector) = &options.selector {
        pipelines = pipelines.labels(selector);
    }
    Stores {
        pipelines: watches.pipelines(pipelines, known.clone()),
        config_maps: watches.children(),
        deployments: watches.children(),
        services: watches.children(),
        disruption_budgets: watches.children(),
        pods: watches.pods(),
    }
}

/// Lists come in small pages: at a start five kinds are listed at once, and of the usual 500 objects each.
fn config() -> watcher::Config {
    watcher::Config::default().page_size(PAGE)
}

impl Stores {
    /// Waits until every store has been filled once.
    pub async fn ready(&self) {
        // A writer that is gone was told to stop, which the caller sees by itself.
        let _ = tokio::join!(
            self.pipelines.wait_until_ready(),
            self.config_maps.wait_until_ready(),
            self.deployments.wait_until_ready(),
            self.services.wait_until_ready(),
            self.disruption_budgets.wait_until_ready(),
            self.pods.wait_until_ready(),
        );
    }
}

struct Watches<'a> {
    client: &'a kube::Client,
    namespace: Option<&'a str>,
    wake: &'a Wake,
    stop: &'a CancellationToken,
}

impl Watches<'_> {
    /// Everything the API server says of one kind, without the fields that only it needs; errors are told and left out.
    fn events<K>(&self, config: watcher::Config) -> impl Stream<Item = Event<K>> + Send + use<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + 'static,
    {
        let api: Api<K> = match self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        watcher(api, config)
            .default_backoff()
            .modify(|object| object.meta_mut().managed_fields = None)
            .filter_map(|event| {
                let event = event.inspect_err(|error| {
                    let error = error as &dyn std::error::Error;
                    tracing::warn!(kind = %K::kind(&()), error, "watch broken, tried again");
                });
                std::future::ready(event.ok())
            })
            .take_until(self.stop.clone().cancelled_owned())
    }

    fn pipelines(&self, config: watcher::Config, known: Arc<Known>) -> Store<Guarded> {
        let (reader, writer) = store();
        let (wake, filled) = (self.wake.clone(), reader.clone());
        let events = self.events::<Guarded>(config).map(Ok).reflect(writer);
        tokio::spawn(async move {
            let mut events = std::pin::pin!(events);
            let mut seen = HashMap::new();
            while let Some(Ok(event)) = events.next().await {
                let woken = match event {
                    Event::Apply(object) => {
                        let mut woken = claim(&known, &object);
                        // Its own status is no reason to look at a pipeline again.
                        let (uid, state) = state(object.meta());
                        if seen.insert(uid, state) != Some(state) {
                            woken.push(ObjectRef::from_obj(&object));
                        }
                        woken
                    }
                    Event::Delete(object) => {
                        seen.remove(&object.meta().uid);
                        refs(&known.forget(object.meta().uid.as_deref().unwrap_or_default()))
                    }
                    // A list fills the store at its end, and only then is there something to look at.
                    Event::InitDone => {
                        let all = filled.state();
                        let present = all.iter().filter_map(|object| object.meta().uid.clone()).collect();
                        let mut woken = refs(&known.retain(&present));
                        seen = all.iter().map(|object| state(object.meta())).collect();
                        woken.extend(all.iter().flat_map(|object| claim(&known, object)));
                        woken.extend(all.iter().map(|object| ObjectRef::from_obj(&**object)));
                        woken
                    }
                    Event::Init | Event::InitApply(_) => Vec::new(),
                };
                // Nobody listens any more when the controller stops.
                woken.into_iter().for_each(|object| drop(wake.send(object)));
            }
        });
        reader
    }

    fn children<K: Child>(&self) -> Store<Shown<K>> {
        let (reader, mut writer) = store::<Shown<K>>();
        let (wake, filled) = (self.wake.clone(), reader.clone());
        let events = self.events::<K>(config().labels(OURS));
        tokio::spawn(async move {
            let mut events = std::pin::pin!(events);
            while let Some(event) = events.next().await {
                let event = shown(event);
                let all = || filled.state().into_iter().filter_map(|child| child.pipeline());
                let woken: Vec<_> = match &event {
                    Event::Apply(child) | Event::Delete(child) => child.pipeline().into_iter().collect(),
                    // And below those of the new list: a child may have gone between the two.
                    Event::InitDone => all().collect(),
                    Event::Init | Event::InitApply(_) => Vec::new(),
                };
                writer.apply_watcher_event(&event);
                let listed = matches!(event, Event::InitDone).then(|| all().collect::<Vec<_>>());
                let woken = woken.into_iter().chain(listed.into_iter().flatten());
                woken.for_each(|object| drop(wake.send(object)));
            }
        });
        reader
    }

    fn pods(&self) -> Arc<Pods> {
        let pods = Arc::new(Pods::default());
        let (wake, index) = (self.wake.clone(), pods.clone());
        let events = self.events::<Pod>(config().labels(OURS));
        tokio::spawn(async move {
            let mut events = std::pin::pin!(events);
            let mut listed = Vec::new();
            while let Some(event) = events.next().await {
                let woken = index.take(event, &mut listed);
                woken.into_iter().for_each(|object| drop(wake.send(object)));
            }
        });
        pods
    }
}

/// An event with what is kept of a child.
fn shown<K: Child>(event: Event<K>) -> Event<Shown<K>> {
    match event {
        Event::Apply(object) => Event::Apply(object.into()),
        Event::Delete(object) => Event::Delete(object.into()),
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(object.into()),
        Event::InitDone => Event::InitDone,
    }
}

/// A pipeline's UID, and what of it is news.
fn state(meta: &ObjectMeta) -> (Option<String>, (Option<i64>, bool)) {
    (meta.uid.clone(), (meta.generation, meta.deletion_timestamp.is_some()))
}

/// Notes what a pipeline claims; gives the pipelines for which that may change something.
fn claim(known: &Known, object: &Guarded) -> Vec<ObjectRef<Guarded>> {
    let Ok(object) = &object.0 else { return Vec::new() };
    refs(&lock(&known.claims).put(Claim::of(object)))
}

/// From namespace/name.
fn refs(objects: &[String]) -> Vec<ObjectRef<Guarded>> {
    let parts = objects.iter().filter_map(|object| object.split_once('/'));
    parts.map(|(namespace, name)| ObjectRef::new(name).within(namespace)).collect()
}

/// The pipeline that a child or pod belongs to.
pub(super) fn owner<K: Resource>(object: &K) -> Option<ObjectRef<Guarded>> {
    let name = object.annotations().get(PIPELINE_ANNOTATION)?;
    Some(ObjectRef::new(name).within(&object.namespace()?))
}
