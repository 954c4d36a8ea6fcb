//! The chart on a real API server: installed, upgraded, uninstalled.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ListParams, PostParams};
use kube::{Api, CustomResourceExt as _, ResourceExt};
use plaudit_crds::AchievementPipeline;
use plaudit_tests::chart::{self, Helm, MONITORING};
use plaudit_tests::stack::kubernetes::kubelet::{Kubelet, Pretend};
use plaudit_tests::stack::kubernetes::{Cluster, ClusterOptions, eventually};
use serde_json::json;

use crate::cases;
use crate::pods::restricted_namespace;

pub const LIMIT: Duration = Duration::from_secs(90);

/// A cluster without our CRD and with the Prometheus operator's, in name.
pub fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let options = ClusterOptions { crd: false, ..ClusterOptions::default() };
        Cluster::start(options).unwrap_or_else(|error| panic!("{error:#}"))
    })
}

pub fn helm() -> Result<Helm> {
    helm_of(Helm::four()?)
}

fn helm_of(helm: Helm) -> Result<Helm> {
    Ok(helm.of(cluster().kubeconfig("admin", &["system:masters"])?))
}

pub fn folder() -> String {
    chart::folder().display().to_string()
}

/// Our CRD has one owner, so tests that install it take turns.
pub static CRD: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn crds() -> Result<Api<CustomResourceDefinition>> {
    Ok(Api::all(cluster().client()?))
}

pub async fn remove_crd() -> Result<()> {
    let name = AchievementPipeline::crd_name();
    if crds()?.get_opt(name).await?.is_some() {
        crds()?.delete(name, &Default::default()).await?;
        eventually("the CRD to go", LIMIT, || async {
            Ok(crds()?.get_opt(name).await?.is_none().then_some(()))
        })
        .await?;
    }
    Ok(())
}

/// The kinds that the monitored shapes have, with any content: what Prometheus makes of them, promtool checks.
async fn install_monitoring() -> Result<()> {
    for kind in MONITORING {
        let plural = format!("{}s", kind.to_lowercase());
        let crd = serde_json::from_value(json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.monitoring.coreos.com")},
            "spec": {
                "group": "monitoring.coreos.com", "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                }}}],
            },
        }))?;
        match crds()?.create(&PostParams::default(), &crd).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(error.into()),
        }
    }
    let client = cluster().client()?;
    eventually("the kinds to be served", LIMIT, || async {
        let Ok(group) = client.list_api_group_resources("monitoring.coreos.com/v1").await else {
            return Ok(None);
        };
        Ok((group.resources.len() == MONITORING.len()).then_some(()))
    })
    .await
}

/// Other namespaces that cases name.
async fn make_namespaces() -> Result<()> {
    for name in ["games", "more-games"] {
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        match Api::all(cluster().client()?).create(&PostParams::default(), &namespace).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_installs_upgrades_leaves_crd_and_pipelines_and_installs_again() -> Result<()> {
    let _turn = CRD.lock().await;
    remove_crd().await?;
    let (helm, namespace) = (helm()?, restricted_namespace().await?);
    let _kubelet = Kubelet::start(cluster().config()?, Some(&namespace), Pretend::quick())?;
    let within = format!("--namespace={namespace}");
    let deployments: Api<Deployment> = Api::namespaced(cluster().client()?, &namespace);
    let pods: Api<Pod> = Api::namespaced(cluster().client()?, &namespace);
    let ready = async || -> Result<_> {
        let status = deployments.get("plaudit").await?.status.unwrap_or_default();
        Ok((status.replicas, status.ready_replicas))
    };

    // --wait: pods were made in a namespace that takes restricted ones only, and became ready.
    let notes = helm.run(&["install", "plaudit", &folder(), &within, "--wait", "--timeout=60s"])?;
    let installed = ready().await?;
    helm.run(&[
        "upgrade",
        "plaudit",
        &folder(),
        &within,
        "--wait",
        "--timeout=60s",
        "--set=replicas=2,podDisruptionBudget.enabled=true",
    ])?;
    let upgraded = ready().await?;
    let pipeline = apply_pipeline_of(&notes, &namespace).await;
    helm.run(&["uninstall", "plaudit", &within, "--wait", "--timeout=60s"])?;
    let left: Vec<_> =
        deployments.list(&ListParams::default()).await?.iter().map(ResourceExt::name_any).collect();
    let pipelines: Api<AchievementPipeline> = Api::namespaced(cluster().client()?, &namespace);
    let kept = pipelines.list(&ListParams::default()).await?.items.len();
    helm.run(&["install", "plaudit", &folder(), &within, "--wait", "--timeout=60s"])?;
    let again = ready().await?;
    helm.run(&["uninstall", "plaudit", &within])?;

    assert_eq!([installed, upgraded, again], [(Some(1), Some(1)), (Some(2), Some(2)), (Some(1), Some(1))]);
    assert_eq!((left, kept), (Vec::<String>::new(), 1));
    pipeline.context("the pipeline in the notes")?;
    assert!(
        crds()?.get_opt(AchievementPipeline::crd_name()).await?.is_some(),
        "the CRD went with the release"
    );
    eventually("the pods to go", LIMIT, || async {
        Ok(pods.list(&ListParams::default()).await?.items.is_empty().then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn helm_4_upgrades_what_helm_3_installed() -> Result<()> {
    let _turn = CRD.lock().await;
    remove_crd().await?;
    let namespace = cluster().namespace("helm3").await?;
    let within = format!("--namespace={namespace}");
    let deployments: Api<Deployment> = Api::namespaced(cluster().client()?, &namespace);
    let replicas =
        async || -> Result<_> { Ok(deployments.get("plaudit").await?.spec.and_then(|spec| spec.replicas)) };

    helm_of(Helm::three()?)?.run(&["install", "plaudit", &folder(), &within])?;
    let installed = replicas().await?;
    helm()?.run(&["upgrade", "plaudit", &folder(), &within, "--set=replicas=2"])?;
    let upgraded = replicas().await?;
    helm_of(Helm::three()?)?.run(&["uninstall", "plaudit", &within])?;

    assert_eq!([installed, upgraded], [Some(1), Some(2)]);
    assert!(deployments.list(&ListParams::default()).await?.items.is_empty());
    Ok(())
}

/// Makes the pipeline that the notes show, as pasted into a shell.
async fn apply_pipeline_of(notes: &str, namespace: &str) -> Result<()> {
    let (_, rest) = notes.split_once("<<'PIPELINE'\n").context("no pipeline in the notes")?;
    let (text, _) = rest.split_once("PIPELINE\n").context("no end of the pipeline in the notes")?;
    let text: String =
        text.lines().map(|line| format!("{}\n", line.strip_prefix("   ").unwrap_or(line))).collect();
    let mut pipeline: AchievementPipeline = serde_yaml::from_str(&text).context(text)?;
    pipeline.metadata.namespace = Some(namespace.to_owned());
    Api::namespaced(cluster().client()?, namespace).create(&PostParams::default(), &pipeline).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_shape_is_taken_by_the_api_server() -> Result<()> {
    install_monitoring().await?;
    make_namespaces().await?;
    let helm = helm()?;
    for case in cases::all()? {
        let namespace = cluster().namespace("shape").await?;
        let (within, values) =
            (format!("--namespace={namespace}"), format!("--values={}", case.values().display()));
        let folder = folder();
        let arguments = [folder.as_str(), &within, &values, "--set=crds.install=false"];

        helm.run(&[&["install", "plaudit"][..], &arguments].concat()).with_context(|| case.name.clone())?;
        helm.run(&["uninstall", "plaudit", &within]).with_context(|| case.name.clone())?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn view_and_edit_reach_pipelines() -> Result<()> {
    let _turn = CRD.lock().await;
    remove_crd().await?;
    let (helm, namespace) = (helm()?, cluster().namespace("people").await?);
    let within = format!("--namespace={namespace}");
    helm.run(&["install", "plaudit", &folder(), &within])?;
    let roles: Api<k8s_openapi::api::rbac::v1::ClusterRole> = Api::all(cluster().client()?);
    let labelled = |role: &str| format!("rbac.authorization.k8s.io/aggregate-to-{role}=true");
    let mut found = Vec::new();
    for role in ["view", "edit", "admin"] {
        let list = roles.list(&ListParams::default().labels(&labelled(role))).await?;
        let ours = list.items.iter().filter(|found| found.name_any().starts_with(&namespace));
        let rules = ours.flat_map(|role| role.rules.iter().flatten());
        let verbs: BTreeSet<String> = rules.flat_map(|rule| rule.verbs.iter().cloned()).collect();
        found.push(verbs.into_iter().collect::<Vec<_>>().join(" "));
    }
    helm.run(&["uninstall", "plaudit", &within])?;

    let all = "create delete deletecollection get list patch update watch";
    assert_eq!(found, ["get list watch", all, all]);
    ensure!(
        roles.list(&ListParams::default()).await?.iter().all(|role| !role.name_any().starts_with(&namespace))
    );
    Ok(())
}
