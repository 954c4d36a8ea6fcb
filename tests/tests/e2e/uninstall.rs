use std::collections::BTreeSet;

use anyhow::Result;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::ListParams;
use serde_json::json;

use crate::bed::{NAME, exact, names, on_a_bed, send};
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
