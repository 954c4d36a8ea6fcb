//! The objects a pipeline consists of in a cluster, built from a parsed pipeline: no client, no defaults left to guess, no failure.

mod config_map;
mod deployment;
mod differs;
mod disruption_budget;
mod names;
mod secrets;
mod service;

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};

use crate::pipeline::Pipeline;
pub use differs::differs;
pub use names::child_name;

/// The port on which a worker answers.
pub const WORKER_PORT: i32 = 8080;
/// The label that names a pipeline on its children; its value is [`child_name`]'s, because names of pipelines may be too long for one.
pub const PIPELINE_LABEL: &str = "plaudit.dev/pipeline";
/// The annotation with a pipeline's whole name, on its children and pods.
pub const PIPELINE_ANNOTATION: &str = "plaudit.dev/pipeline";
/// The annotation that rolls pods when their configuration changes.
pub const CONFIG_ANNOTATION: &str = "plaudit.dev/config-checksum";

/// The annotation that rolls pods when certificates or keys change that their Kafka client reads only at its start.
pub const CERTIFICATES_ANNOTATION: &str = "plaudit.dev/certificates-checksum";

/// What the operator was started with that its children need.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The image of the workers.
    pub worker_image: String,
    /// Always, `IfNotPresent` or Never; without it Kubernetes' own default.
    pub image_pull_policy: Option<String>,
}

/// All children of one pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Children {
    /// The workers' configuration.
    pub config_map: ConfigMap,
    /// The workers.
    pub deployment: Deployment,
    /// A name for each worker's endpoints.
    pub service: Service,
    /// How many workers may be missing while nodes are drained.
    pub disruption_budget: PodDisruptionBudget,
}

/// The children of `pipeline` with so many workers. `owner` is none only where there is no object yet (`plaudit plan`); `certificates`
/// names those that workers have to have, if any.
#[must_use]
pub fn children(
    pipeline: &Pipeline,
    owner: Option<&OwnerReference>,
    settings: &Settings,
    replicas: u32,
    certificates: Option<&str>,
) -> Children {
    let parent = Parent { pipeline, owner, name: child_name(&pipeline.name) };
    let (config_map, checksum) = config_map::config_map(&parent);
    Children {
        deployment: deployment::deployment(&parent, settings, replicas, (&checksum, certificates)),
        service: service::service(&parent),
        disruption_budget: disruption_budget::disruption_budget(&parent),
        config_map,
    }
}

/// The labels by which a pipeline's pods are found, as a label selector's text (`status.selector`).
#[must_use]
pub fn selector_text(pipeline: &Pipeline) -> String {
    let pairs = selector_labels(&child_name(&pipeline.name));
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
}

/// A pipeline as its children see it.
struct Parent<'a> {
    pipeline: &'a Pipeline,
    owner: Option<&'a OwnerReference>,
    /// The name of every child.
    name: String,
}

impl Parent<'_> {
    fn metadata(&self) -> ObjectMeta {
        ObjectMeta {
            name: Some(self.name.clone()),
            namespace: Some(self.pipeline.namespace.clone()),
            labels: Some(labels(&self.name)),
            annotations: Some(annotations(self.pipeline)),
            owner_references: self.owner.map(|owner| vec![owner.clone()]),
            ..ObjectMeta::default()
        }
    }

    fn selector(&self) -> LabelSelector {
        LabelSelector { match_labels: Some(selector_labels(&self.name)), ..LabelSelector::default() }
    }
}

fn selector_labels(name: &str) -> BTreeMap<String, String> {
    text_map([("app.kubernetes.io/name", "plaudit-worker"), (PIPELINE_LABEL, name)])
}

fn labels(name: &str) -> BTreeMap<String, String> {
    let mut labels = selector_labels(name);
    labels.extend(text_map([
        ("app.kubernetes.io/instance", name),
        ("app.kubernetes.io/component", "worker"),
        ("app.kubernetes.io/part-of", "plaudit"),
        ("app.kubernetes.io/managed-by", "plaudit"),
    ]));
    labels
}

fn annotations(pipeline: &Pipeline) -> BTreeMap<String, String> {
    text_map([(PIPELINE_ANNOTATION, pipeline.name.as_str())])
}

fn text_map<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests;
