//! The files of examples/quickstart, as far as a cluster without their images can tell.

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::bed::Bed;

/// Deployments and Jobs are always taken; whether their pods are is asked with a pod of each template.
#[tokio::test]
async fn a_restricted_namespace_takes_every_object_of_the_quick_start_and_its_pods() -> Result<()> {
    let bed = Bed::start(1)?;
    let namespace = bed.restricted("quickstart").await?;
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let pods: Api<Pod> = Api::namespaced(bed.client.clone(), &namespace);

    let mut taken = Vec::new();
    for object in objects()? {
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let (api_version, kind, name) = (text("/apiVersion"), text("/kind"), text("/metadata/name"));
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let api: Api<DynamicObject> = Api::namespaced_with(bed.client.clone(), &namespace, &resource);
        let created = api.create(&dry, &serde_json::from_value(object.clone())?).await;
        created.with_context(|| format!("{kind} {name} is refused"))?;
        if let Some(spec) = object.pointer("/spec/template/spec") {
            let pod = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec}))?;
            pods.create(&dry, &pod).await.with_context(|| format!("the pod of {kind} {name} is refused"))?;
        }
        taken.push(format!("{kind} {name}"));
    }

    assert_eq!(
        taken,
        [
            "Deployment kafka",
            "Service kafka",
            "Job topics",
            "Deployment valkey",
            "Service valkey",
            "AchievementPipeline achievements",
            "Job load",
        ]
    );
    Ok(())
}

fn objects() -> Result<Vec<Value>> {
    let mut objects = Vec::new();
    for file in ["brokers", "pipeline", "load"] {
        let path = format!("{}/../examples/quickstart/{file}.yaml", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).with_context(|| format!("could not read {path}"))?;
        for document in serde_yaml::Deserializer::from_str(&text) {
            objects.push(Value::deserialize(document)?);
        }
    }
    Ok(objects)
}
