//! Children as a watch showed them last. Kubernetes' own types take many times the memory of what they say, and are read only when
//! something changed.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Resource;
use kube::runtime::reflector::{Lookup, ObjectRef};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::context::Guarded;
use super::watch::owner;
use super::workload::Workload;

/// A kind of children.
pub(super) trait Child:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()>
    + Clone
    + fmt::Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// What every look reads.
    type Facts: Clone + fmt::Debug + Send + Sync + 'static;

    fn facts(&self) -> Self::Facts;
}

impl Child for ConfigMap {
    type Facts = ();

    fn facts(&self) {}
}

impl Child for Service {
    type Facts = ();

    fn facts(&self) {}
}

impl Child for PodDisruptionBudget {
    type Facts = ();

    fn facts(&self) {}
}

impl Child for Deployment {
    type Facts = Workload;

    fn facts(&self) -> Workload {
        Workload::from(self)
    }
}

/// One child.
#[derive(Clone)]
pub(super) struct Shown<K: Child> {
    name: String,
    namespace: String,
    /// Its resource version.
    pub version: Option<String>,
    /// Counts changes of its spec, where the kind has one.
    pub generation: Option<i64>,
    /// What every look reads.
    pub facts: K::Facts,
    /// The name of its pipeline.
    pipeline: Option<Box<str>>,
    /// All of it but its status and who manages which field.
    json: Box<str>,
    kind: PhantomData<fn() -> K>,
}

impl<K: Child> Shown<K> {
    /// The pipeline that it belongs to.
    pub fn pipeline(&self) -> Option<ObjectRef<Guarded>> {
        Some(ObjectRef::new(self.pipeline.as_ref()?).within(&self.namespace))
    }

    /// The object's JSON, to be compared.
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.json).expect("what was written as JSON is JSON")
    }
}

impl<K: Child> From<K> for Shown<K> {
    fn from(object: K) -> Self {
        let mut json = serde_json::to_value(&object).expect("an object of the API server is JSON");
        if let Some(fields) = json.as_object_mut() {
            fields.remove("status");
        }
        let meta = object.meta();
        Self {
            name: meta.name.clone().unwrap_or_default(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            version: meta.resource_version.clone(),
            generation: meta.generation,
            facts: object.facts(),
            pipeline: owner(&object).map(|pipeline| pipeline.name.into()),
            json: json.to_string().into(),
            kind: PhantomData,
        }
    }
}

/// Stores know a child by its names alone.
impl<K: Child> Lookup for Shown<K> {
    type DynamicType = ();

    fn kind((): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        <K as Resource>::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn name(&self) -> Option<Cow<'_, str>> {
        Some(self.name.as_str().into())
    }

    fn namespace(&self) -> Option<Cow<'_, str>> {
        Some(self.namespace.as_str().into())
    }

    fn resource_version(&self) -> Option<Cow<'_, str>> {
        None
    }

    fn uid(&self) -> Option<Cow<'_, str>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::children::PIPELINE_ANNOTATION;

    #[test]
    fn a_child_is_kept_as_it_came_but_for_its_status_of_which_the_facts_are_known() {
        let spec =
            json!({"replicas": 3, "selector": {}, "template": {"spec": {"containers": [{"name": "w"}]}}});
        let metadata = json!({
            "name": "plaudit-kills", "namespace": "games", "generation": 4, "resourceVersion": "17", "uid": "u",
            "annotations": {PIPELINE_ANNOTATION: "kills"},
        });
        let object = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec,
            "status": {"observedGeneration": 4, "replicas": 3, "updatedReplicas": 1},
        });
        let deployment: Deployment = serde_json::from_value(object.clone()).expect("a deployment");

        let shown = Shown::from(deployment);

        let mut expected = object;
        expected.as_object_mut().expect("an object").remove("status");
        assert_eq!(shown.value(), expected);
        assert_eq!(
            (shown.version.as_deref(), shown.generation, shown.facts.replicas, shown.facts.rolls_out),
            (Some("17"), Some(4), Some(3), true)
        );
        assert_eq!(shown.pipeline(), Some(ObjectRef::new("kills").within("games")));
        assert_eq!(shown.to_object_ref(()), ObjectRef::new("plaudit-kills").within("games"));
    }
}
