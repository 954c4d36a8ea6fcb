use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::ListParams;
use plaudit_tests::stack::kubernetes::eventually;
use serde_json::json;

use crate::bed::{Bed, LIMIT, NAME, exact, kubectl, names, on_a_bed, send};
use crate::release::{self, SYSTEM};

#[tokio::test(flavor = "multi_thread")]
async fn without_the_operator_workers_go_on_and_another_installation_takes_them_over() -> Result<()> {
    on_a_bed("uninstall", async |bed| {
        release::install(&[])?;
        let scene = bed.pipeline(json!({"minReplicas": 2, "maxReplicas": 2})).await?;
        let workers = names(&bed.until_workers(2, &BTreeSet::new()).await?);

        release::uninstall()?;
        let deployments: Api<Deployment> = Api::namespaced(bed.client.clone(), SYSTEM);
        let operators = deployments.list(&ListParams::default()).await?.items.len();
        send(&scene, 1, 1_000, 5).await??;
        exact(&scene).await?;
        let shown = bed.kubectl(&["get", "achp", NAME, "-o", "name"])?;
        release::install(&[])?;
        bed.until_ready(NAME, "True", None).await?;
        let after = names(&bed.until_workers(2, &BTreeSet::new()).await?);

        assert_eq!(
            (operators, shown.trim(), after),
            (0, "achievementpipeline.plaudit.dev/achievements", workers)
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_commands_remove_all_of_it() -> Result<()> {
    on_a_bed("removed", async |bed| {
        release::install(&[])?;
        bed.pipeline(json!({"minReplicas": 2, "maxReplicas": 2})).await?;
        bed.until_workers(2, &BTreeSet::new()).await?;
        ensure!(left(bed)?.len() > 8, "what is there is found");

        release::remove_all()?;

        // Kubernetes collects children in its own time, and workers drain.
        eventually("everything to go", LIMIT, async || Ok(left(bed)?.is_empty().then_some(())))
            .await
            .with_context(|| format!("left: {:?}", left(bed)))
    })
    .await
}

/// What of the chart and its pipelines is in the cluster, `kind/name`.
fn left(bed: &Bed) -> Result<Vec<String>> {
    const OF_THE_BED: &str = "deployments,replicasets,pods,configmaps,services,poddisruptionbudgets";
    const OF_THE_CHART: &str = "deployments,pods,services,serviceaccounts,roles,rolebindings";
    const OF_THE_CLUSTER: &str = "clusterroles,clusterrolebindings,crds";
    let ours = "--selector=app.kubernetes.io/part-of=plaudit";
    let lists = [
        bed.kubectl(&["get", OF_THE_BED, ours, "--output=name"])?,
        kubectl(&["get", OF_THE_CHART, ours, "--output=name", "--namespace", SYSTEM])?,
        kubectl(&["get", OF_THE_CLUSTER, ours, "--output=name"])?,
        kubectl(&["get", "leases", "--output=name", "--namespace", SYSTEM])?,
        kubectl(&["get", "crds", "--output=name"])?,
    ];
    let is_foreign =
        |name: &&str| name.starts_with("customresourcedefinition") && !name.ends_with(".plaudit.dev");
    let names: BTreeSet<&str> =
        lists.iter().flat_map(|list| list.lines()).filter(|name| !is_foreign(name)).collect();
    Ok(names.into_iter().map(str::to_owned).collect())
}
