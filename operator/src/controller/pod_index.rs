//! Pods by their pipeline, as a watch shows them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use tokio::sync::watch;

use super::context::{Guarded, lock};
use super::watch::owner;
use super::workers::WorkerPod;

/// Pods by their pipeline: a look at one pipeline must not go through the pods of all.
#[derive(Debug, Default)]
pub(super) struct Pods {
    of: Mutex<HashMap<ObjectRef<Guarded>, Named>>,
    filled: watch::Sender<bool>,
}

/// Pods by name.
type Named = BTreeMap<String, Arc<WorkerPod>>;

/// A pod and the pipeline it belongs to.
type Owned = (ObjectRef<Guarded>, WorkerPod);

impl Pods {
    /// The pods of a pipeline, by name.
    pub fn of(&self, pipeline: &ObjectRef<Guarded>) -> Vec<Arc<WorkerPod>> {
        lock(&self.of).get(pipeline).map(|pods| pods.values().cloned().collect()).unwrap_or_default()
    }

    /// Waits until a list has filled it once.
    pub async fn wait_until_ready(&self) {
        // It lives as long as its sender.
        let _ = self.filled.subscribe().wait_for(|filled| *filled).await;
    }

    /// Takes an event; `listed` holds what a list has brought so far. Gives the pipelines whose pods changed.
    pub fn take(&self, event: Event<Pod>, listed: &mut Vec<Owned>) -> Vec<ObjectRef<Guarded>> {
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

/// What is kept of a pod, and whose it is.
fn owned(pod: &Pod) -> Option<Owned> {
    Some((owner(pod)?, WorkerPod::from(pod)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::children::PIPELINE_ANNOTATION;

    #[test]
    fn a_pod_counts_for_the_pipeline_that_it_names_now_and_for_no_other() {
        let pod = |name: &str, pipeline: Option<&str>| -> Pod {
            let annotations = pipeline.map(|pipeline| json!({PIPELINE_ANNOTATION: pipeline}));
            let meta = json!({"name": name, "namespace": "games", "annotations": annotations});
            serde_json::from_value(json!({"metadata": meta})).expect("a pod")
        };
        let pods = Pods::default();
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
