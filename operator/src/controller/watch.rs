//! The watches: what the API server says of pipelines, their children and pods, kept in stores, each change waking its pipeline.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

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
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Options;
use super::context::{Guarded, Known, lock};
use super::rivals::Claim;
use super::shown::{Child, Shown};
use super::workers::WorkerPod;
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

/// Pods by their pipeline: a look at one pipeline must not go through the pods of all.
#[derive(Debug)]
pub(super) struct Pods {
    of: Mutex<HashMap<ObjectRef<Guarded>, Named>>,
    filled: watch::Sender<bool>,
}

/// Pods by name.
type Named = BTreeMap<String, Arc<WorkerPod>>;

/// A pod and the pipeline it belongs to.
type Owned = (ObjectRef<Guarded>, WorkerPod);

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
        let pods = async {
            let mut filled = self.pods.filled.subscribe();
            filled.wait_for(|filled| *filled).await.is_ok()
        };
        // A writer that is gone was told to stop, which the caller sees by itself.
        let _ = tokio::join!(
            self.pipelines.wait_until_ready(),
            self.config_maps.wait_until_ready(),
            self.deployments.wait_until_ready(),
            self.services.wait_until_ready(),
            self.disruption_budgets.wait_until_ready(),
            pods,
        );
    }
}

impl Pods {
    /// The pods of a pipeline, by name.
    pub fn of(&self, pipeline: &ObjectRef<Guarded>) -> Vec<Arc<WorkerPod>> {
        lock(&self.of).get(pipeline).map(|pods| pods.values().cloned().collect()).unwrap_or_default()
    }

    /// Takes an event; `listed` holds what a list has brought so far. Gives the pipelines whose pods changed.
    fn take(&self, event: Event<Pod>, listed: &mut Vec<Owned>) -> Vec<ObjectRef<Guarded>> {
        match event {
            Event::Init => {
                listed.clear();
                Vec::new()
            }
            Event::InitApply(pod) => {
                listed.extend(owned(&pod));
                Vec::new()
            }
            Event::InitDone => {
                let mut all = lock(&self.of);
                let mut touched: BTreeSet<String> = BTreeSet::new();
                let mut refs: Vec<_> = all.keys().cloned().collect();
                all.clear();
                for (pipeline, pod) in std::mem::take(listed) {
                    refs.push(pipeline.clone());
                    all.entry(pipeline).or_default().insert(pod.name.clone(), Arc::new(pod));
                }
                refs.retain(|pipeline| touched.insert(pipeline.to_string()));
                self.filled.send_replace(true);
                refs
            }
            Event::Apply(pod) => {
                let mut all = lock(&self.of);
                let new = owned(&pod);
                let stays = new.as_ref().is_some_and(|(pipeline, pod)| {
                    all.get(pipeline).is_some_and(|pods| pods.contains_key(&pod.name))
                });
                // Whoever takes the annotation away, or writes another one, takes the pod from its pipeline.
                let mut touched = if stays { Vec::new() } else { remove(&mut all, &pod) };
                if let Some((pipeline, pod)) = new {
                    all.entry(pipeline.clone()).or_default().insert(pod.name.clone(), Arc::new(pod));
                    touched.push(pipeline);
                }
                touched
            }
            Event::Delete(pod) => remove(&mut lock(&self.of), &pod),
        }
    }
}

/// Removes a pod, whosever it was; gives its pipeline.
fn remove(all: &mut HashMap<ObjectRef<Guarded>, Named>, pod: &Pod) -> Vec<ObjectRef<Guarded>> {
    let (namespace, name) = (pod.namespace(), pod.name_any());
    let beside = all.iter_mut().filter(|(pipeline, _)| pipeline.namespace == namespace);
    let removed = beside.filter_map(|(pipeline, pods)| pods.remove(&name).map(|_| pipeline.clone()));
    let touched = removed.collect();
    all.retain(|_, pods| !pods.is_empty());
    touched
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
        let pods = Arc::new(Pods { of: Mutex::default(), filled: watch::Sender::new(false) });
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

/// What is kept of a pod, and whose it is.
fn owned(pod: &Pod) -> Option<Owned> {
    Some((owner(pod)?, WorkerPod::from(pod)))
}

/// The pipeline that a child or pod belongs to.
pub(super) fn owner<K: Resource>(object: &K) -> Option<ObjectRef<Guarded>> {
    let name = object.annotations().get(PIPELINE_ANNOTATION)?;
    Some(ObjectRef::new(name).within(&object.namespace()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_counts_for_the_pipeline_that_it_names_now_and_for_no_other() {
        let pod = |name: &str, pipeline: Option<&str>| -> Pod {
            let annotations = pipeline.map(|pipeline| json!({PIPELINE_ANNOTATION: pipeline}));
            let meta = json!({"name": name, "namespace": "games", "annotations": annotations});
            serde_json::from_value(json!({"metadata": meta})).expect("a pod")
        };
        let pods = Pods { of: Mutex::default(), filled: watch::Sender::new(false) };
        let mut listed = Vec::new();
        let events = [
            Event::Init,
            Event::InitApply(pod("a", Some("kills"))),
            Event::InitDone,
            Event::Apply(pod("b", Some("kills"))),
            Event::Apply(pod("a", Some("kills"))),
            Event::Apply(pod("b", Some("quests"))),
            Event::Apply(pod("a", None)),
            Event::Delete(pod("b", None)),
        ];

        let told = events.map(|event| {
            let mut touched: Vec<String> =
                pods.take(event, &mut listed).into_iter().map(|pipeline| pipeline.name).collect();
            touched.sort_unstable();
            let of = |pipeline: &str| pods.of(&ObjectRef::new(pipeline).within("games")).len();
            (touched.join(" "), of("kills"), of("quests"))
        });

        let expected = [
            ("", 0, 0),
            ("", 0, 0),
            ("kills", 1, 0),
            ("kills", 2, 0),
            ("kills", 2, 0),
            ("kills quests", 1, 1),
            ("kills", 0, 1),
            ("quests", 0, 0),
        ];
        assert_eq!(told, expected.map(|(touched, kills, quests)| (touched.to_owned(), kills, quests)));
    }
}
