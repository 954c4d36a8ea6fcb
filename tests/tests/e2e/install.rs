use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use plaudit_tests::chart;
use serde_json::json;

use crate::bed::{NAME, exact, on_a_bed, send};
use crate::release;

/// From `helm install` to the first report stored, at most, with the images on the nodes.
const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn the_chart_makes_a_pipeline_ready_and_its_first_report_is_stored() -> Result<()> {
    on_a_bed("install", async |bed| {
        release::uninstall()?;

        let begin = Instant::now();
        let notes = release::install(&[])?;
        let scene = bed.pipeline(json!({})).await?;
        send(&scene, 1, 1, 1).await??;
        exact(&scene).await?;
        let stored_after = begin.elapsed();
        let ready = format!("achp/{NAME}");
        bed.kubectl(&["wait", "--for=condition=Ready", &ready, "--timeout=60s"])?;
        let shown = bed.kubectl(&["get", "achp", "-o", "wide"])?;
        let tested = release::test()?;

        let seconds = stored_after.as_secs_f64();
        eprintln!(
            "from `helm install` to the first report stored: {seconds:.1} s (target {} s)",
            SOON.as_secs()
        );
        ensure!(stored_after <= SOON, "the first report was stored only after {seconds:.1} s");
        ensure!(notes.contains("kubectl"), "{notes}");
        ensure!(shown.contains(NAME) && shown.contains("True"), "{shown}");
        ensure!(tested.contains("Succeeded"), "{tested}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespaces_administrator_installs_it_there_once_somebody_gave_the_rights() -> Result<()> {
    on_a_bed("namespaced", async |bed| {
        // the CRD stays the chart's, for other tests; of two releases only one may look after a pipeline
        release::install(&[])?;
        release::uninstall()?;
        let user = format!("system:serviceaccount:{}:administrator", bed.namespace);
        bed.kubectl(&["create", "serviceaccount", "administrator"])?;
        let account = format!("--serviceaccount={}:administrator", bed.namespace);
        bed.kubectl(&["create", "rolebinding", "administrator", "--clusterrole=admin", &account])?;
        let given = chart::scratch()?.join("given.yaml");
        std::fs::write(&given, release::of_the_cluster(&bed.namespace)?)?;
        let given = given.display().to_string();

        bed.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", &given])?;
        release::install_in(&bed.namespace, &user)?;
        let scene = bed.pipeline(json!({})).await?;
        send(&scene, 1, 10, 1).await??;
        exact(&scene).await?;
        bed.until_ready(NAME, "True", None).await?;
        let asked = |verb, what| bed.kubectl(&["auth", "can-i", verb, what, "--as", &user]).is_ok();
        let may = [asked("create", "achp"), asked("update", "achp/scale"), asked("create", "clusterroles")];
        release::uninstall_in(&bed.namespace, &user)?;
        let view = format!("{}:plaudit-view", bed.namespace);
        bed.kubectl(&["delete", "clusterrole", &view, &view.replace("view", "edit")])?;

        assert_eq!(may, [true, true, false]);
        Ok(())
    })
    .await
}
