//! An operator whose API server refuses, forgets, hesitates and disappears.

use std::time::Duration;

use anyhow::Result;
use http::Method;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams};
use plaudit_tests::stack::kubernetes::eventually;
use plaudit_tests::stack::kubernetes::fault::{ApiProxy, Fault, Refusal, Rule};
use serde_json::json;

use crate::bed::{Bed, LIMIT};

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_fails_now_and_then_delays_and_spoils_nothing() -> Result<()> {
    let mut bed = Bed::idle("hardship").await?;
    let proxy = ApiProxy::start(bed.operator_config()?)?;
    for (part, fault) in [
        ("/configmaps/", Fault::Refuse(Refusal::Conflict)),
        ("/services/", Fault::Refuse(Refusal::TooManyRequests { retry_after_seconds: 1 })),
        ("/poddisruptionbudgets/", Fault::Refuse(Refusal::Internal)),
        ("/deployments/", Fault::LoseAnswer),
        ("/status", Fault::Cut),
        ("/status", Fault::Delay(Duration::from_secs(2))),
    ] {
        proxy.add(Rule::new(Method::PATCH, part, fault));
    }
    proxy.add(Rule::new(Method::GET, "watch=true", Fault::EndWatch { events: 1 }).times(4));
    proxy.add(Rule::new(Method::GET, "watch=true", Fault::ExpireWatch { events: 1 }).times(4));
    bed = bed.with_operator_through(proxy.client()?);

    bed.create("p", |_| ()).await?;
    bed.create("q", |_| ()).await?;
    bed.until_condition("p", "SourceAvailable", "True").await?;
    bed.until_condition("q", "SourceAvailable", "True").await?;
    proxy.wire().cut();
    bed.edit("p", json!({"spec": {"scaling": {"minReplicas": 2}}})).await?;
    proxy.heal();
    eventually("the change to arrive", 2 * LIMIT, async || {
        Ok((bed.replicas("p").await? == Some(2)).then_some(()))
    })
    .await?;
    bed.api::<Deployment>().delete("q-worker", &DeleteParams::default()).await?;
    eventually("the deployment to come back", 2 * LIMIT, async || Ok(bed.replicas("q").await?)).await?;
    bed.until_quiet().await?;
    proxy.forget();
    tokio::time::sleep(Duration::from_secs(5)).await;

    let writes = proxy.seen().iter().filter(|seen| seen.is_write()).count();
    assert_eq!(writes, 0, "nothing is written at rest");
    Ok(())
}

/// A new list shows what has gone by what is not in it.
#[tokio::test(flavor = "multi_thread")]
async fn children_that_went_while_no_watch_was_kept_come_back() -> Result<()> {
    const WATCH: &str = "/configmaps?&watch=true";
    let mut bed = Bed::idle("unseen").await?;
    let proxy = ApiProxy::start(bed.operator_config()?)?;
    bed = bed.with_operator_through(proxy.client()?);
    for name in ["p", "q", "r"] {
        // Nothing else happens to them: nobody looks at them for a minute.
        bed.create(name, |spec| spec["suspend"] = json!(true)).await?;
        bed.until_reason(name, "Ready", "Suspended").await?;
        bed.until_condition(name, "SourceAvailable", "True").await?;
    }
    bed.until_quiet().await?;
    let ours = ListParams::default().labels("app.kubernetes.io/managed-by=plaudit");
    let config_maps = bed.api::<ConfigMap>();

    proxy.forget();
    proxy.add(Rule::new(Method::GET, WATCH, Fault::ExpireWatch { events: 0 }));
    proxy.wire().cut();
    config_maps.delete_collection(&DeleteParams::default(), &ours).await?;
    proxy.wire().heal();

    eventually("all of them to come back", LIMIT, async || {
        Ok((config_maps.list(&ours).await?.items.len() == 3).then_some(()))
    })
    .await?;
    let watches = proxy.seen().iter().filter(|seen| seen.path.contains(WATCH)).count();
    assert!(watches >= 2, "one has expired, and another one has begun; not {watches}");
    Ok(())
}
