//! Every pod that the chart or the operator makes runs where only restricted pods may.

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Namespace, Pod, PodTemplateSpec};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use plaudit::children::{PIPELINE_ANNOTATION, Settings, children};
use plaudit::pipeline::parse;
use plaudit_tests::chart::{self, Helm};
use serde_json::{Value, json};

use crate::cases;
use crate::install::cluster;

/// The pods of a rendered text, from Deployments and as they are, for any account and priority.
fn pods(text: &str) -> Result<Vec<Value>> {
    let of = |object: &Value| match object["kind"].as_str() {
        Some("Pod") => Some(object["spec"].clone()),
        Some("Deployment") => Some(object["spec"]["template"]["spec"].clone()),
        _ => None,
    };
    let mut specs: Vec<Value> = chart::objects(text)?.iter().filter_map(of).collect();
    for spec in &mut specs {
        // The namespace of this test has no other.
        spec["serviceAccountName"] = "default".into();
    }
    Ok(specs)
}

/// A namespace whose label makes the API server refuse what is not restricted.
pub async fn restricted_namespace() -> Result<String> {
    let name = cluster().namespace("restricted").await?;
    let namespaces: Api<Namespace> = Api::all(cluster().client()?);
    let label = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    namespaces.patch(&name, &PatchParams::default(), &Patch::Merge(label)).await?;
    Ok(name)
}

/// Whether the API server would take a pod of this specification; its words where not.
async fn admitted(namespace: &str, spec: &Value) -> Result<Option<String>> {
    let pods: Api<Pod> = Api::namespaced(cluster().client()?, namespace);
    let pod = serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec}))?;
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    match pods.create(&dry, &pod).await {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) => Ok(Some(status.message)),
        Err(error) => Err(error.into()),
    }
}

#[tokio::test]
async fn the_charts_pods_are_restricted_ones() -> Result<()> {
    let namespace = restricted_namespace().await?;
    let helm = Helm::four()?;
    let mut refused = Vec::new();
    for case in cases::all()? {
        let pods = pods(&case.render(&helm)?)?;
        assert_eq!(pods.len(), 2, "{}: the operator and its test", case.name);
        for spec in pods {
            refused.extend(admitted(&namespace, &spec).await?.map(|why| (case.name.clone(), why)));
        }
    }

    assert_eq!(refused, Vec::new());
    Ok(())
}

#[tokio::test]
async fn a_pod_that_is_not_restricted_is_refused() -> Result<()> {
    let namespace = restricted_namespace().await?;
    let text = Helm::four()?.template(&["--set=securityContext.allowPrivilegeEscalation=true"])?;
    let operator = pods(&text)?.remove(0);

    let refusal = admitted(&namespace, &operator).await?;

    assert!(
        refusal.as_ref().is_some_and(|why| why.contains("violates PodSecurity \"restricted")),
        "{refusal:?}"
    );
    Ok(())
}

#[tokio::test]
async fn workers_are_restricted_ones() -> Result<()> {
    let namespace = restricted_namespace().await?;
    let template = worker()?.spec.context("a pod")?;

    let refusal = admitted(&namespace, &json!(template)).await?;

    assert_eq!(refusal, None);
    Ok(())
}

#[test]
fn workers_are_what_the_chart_takes_them_for() -> Result<()> {
    let template = worker()?;
    let metadata = template.metadata.context("metadata")?;
    let ports = template.spec.context("a pod")?.containers.remove(0).ports.unwrap_or_default();
    let port = ports.first().context("a port")?;
    let shape = cases::all()?.into_iter().find(|case| case.name == "isolated").context("a case")?;
    let objects = chart::objects(&shape.render(&Helm::four()?)?)?;
    let found = |kind: &str, name: &str| {
        let wanted = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
        objects.iter().find(wanted).map(|object| object["spec"].clone()).unwrap_or_default()
    };
    let (monitor, policy) =
        (found("PodMonitor", "plaudit-workers"), found("NetworkPolicy", "plaudit-workers"));
    let operator = found("NetworkPolicy", "plaudit");

    let labels = metadata.labels.context("labels")?;
    let annotation = PIPELINE_ANNOTATION.replace(['.', '/'], "_");
    let selectors = [
        &monitor["selector"]["matchLabels"],
        &policy["podSelector"]["matchLabels"],
        &operator["egress"][3]["to"][0]["podSelector"]["matchLabels"],
    ];
    assert_eq!(selectors, [&json!({"app.kubernetes.io/name": labels["app.kubernetes.io/name"]}); 3]);
    assert_eq!(
        (
            &monitor["podMetricsEndpoints"][0]["port"],
            &monitor["podMetricsEndpoints"][0]["relabelings"][0]["sourceLabels"],
            &policy["ingress"][0]["ports"][0]["port"],
            &operator["egress"][3]["ports"][0]["port"],
            metadata.annotations.context("annotations")?.contains_key(PIPELINE_ANNOTATION),
        ),
        (
            &json!(port.name),
            &json!([format!("__meta_kubernetes_pod_annotation_{annotation}")]),
            &json!(port.name),
            &json!(port.container_port),
            true
        )
    );
    Ok(())
}

/// A worker's pod as the operator makes it.
fn worker() -> Result<PodTemplateSpec> {
    let object = serde_json::from_value(json!({
        "apiVersion": "plaudit.dev/v1alpha1", "kind": "AchievementPipeline",
        "metadata": {"name": "p", "namespace": "games"},
        "spec": {
            "source": {"bootstrapServers": "kafka:9092", "topic": "t"},
            "store": {"addresses": ["valkey:6379"]},
        },
    }))?;
    let pipeline = parse(&object).map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
    let settings = Settings { worker_image: "plaudit/worker:1".to_owned(), image_pull_policy: None };
    let deployment = children(&pipeline, None, &settings, 1, None).deployment;
    Ok(deployment.spec.context("a spec")?.template)
}
