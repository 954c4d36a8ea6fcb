//! What pods may be, and what they may do.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use serde_json::json;

use crate::bed::{on_a_bed, send};
use crate::release;

#[tokio::test(flavor = "multi_thread")]
async fn workers_run_where_only_restricted_pods_may_without_a_token() -> Result<()> {
    on_a_bed("restricted", async |bed| {
        release::install(&[])?;
        let control = json!({
            "metadata": {"name": "control"},
            "spec": {"containers": [{"name": "it", "image": "plaudit/worker:0"}]},
        });
        let refused =
            bed.api::<Pod>().create(&PostParams::default(), &serde_json::from_value(control)?).await;

        let scene = bed.pipeline(json!({})).await?;
        let workers = bed.until_workers(1, &BTreeSet::new()).await?;
        send(&scene, 1, 10, 1).await??;
        crate::bed::exact(&scene).await?;

        let Err(kube::Error::Api(refused)) = refused else { bail!("the control pod is not refused") };
        let spec = workers[0].spec.as_ref().context("a pod has a spec")?;
        // the API server adds a volume with a token to every pod that does not say no
        let volumes = spec.volumes.iter().flatten();
        let tokens = volumes.filter(|volume| volume.projected.is_some() || volume.secret.is_some()).count();
        let mounts = spec.containers[0].volume_mounts.iter().flatten();
        let mounted: Vec<_> = mounts.filter(|mount| mount.mount_path.contains("serviceaccount")).collect();
        assert_eq!((refused.code, tokens, mounted.len()), (403, 0, 0));
        Ok(())
    })
    .await
}

/// The rest of its rights is tested without nodes, each taken away once (`tests/tests/k8s/rights.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn the_operator_may_what_its_work_takes_and_neither_list_secrets_nor_make_pods() -> Result<()> {
    on_a_bed("rights", async |bed| {
        release::install(&[])?;
        let operator = format!("--as={}", release::operator());
        let may = |verb: &str, what: &str| {
            // it says no by its exit code too
            bed.kubectl(&["auth", "can-i", verb, what, &operator]).is_ok()
        };

        let asked = [
            ("list", "achievementpipelines.plaudit.dev"),
            ("patch", "deployments.apps"),
            ("get", "secrets"),
            ("list", "secrets"),
            ("create", "pods"),
            ("create", "roles.rbac.authorization.k8s.io"),
            ("create", "serviceaccounts/token"),
            ("delete", "deployments.apps"),
        ];

        assert_eq!(
            asked.map(|(verb, what)| may(verb, what)),
            [true, true, true, false, false, false, false, false]
        );
        Ok(())
    })
    .await
}
