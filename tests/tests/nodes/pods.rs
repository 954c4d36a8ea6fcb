//! Pods of our images: what they may be, and whom they reach.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, PostParams};
use plaudit_tests::stack::kubernetes::eventually;
use plaudit_tests::stack::{Valkey, ValkeyOptions};
use serde_json::json;

use crate::bed::{Bed, LIMIT, VERSION, once};

#[tokio::test]
async fn our_pods_may_run_where_only_restricted_ones_may_and_others_are_refused() -> Result<()> {
    let bed = Bed::start(1)?;
    let namespace = bed.restricted("restricted").await?;
    let mut unrestricted = once("control", "worker", &["--version"]);
    unrestricted["spec"]["securityContext"] = json!({});

    let operator = bed.run(&namespace, &once("operator", "operator", &["--version"])).await?;
    let worker = bed.run(&namespace, &once("worker", "worker", &["--version"])).await?;
    let pods: Api<Pod> = Api::namespaced(bed.client.clone(), &namespace);
    let refused = pods.create(&PostParams::default(), &serde_json::from_value(unrestricted)?).await;

    let code = match refused {
        Err(kube::Error::Api(status)) => status.code,
        other => anyhow::bail!("the control pod is not refused: {other:?}"),
    };
    assert_eq!(
        (operator, worker, code),
        ((true, format!("plaudit {VERSION}")), (true, format!("plaudit-worker {VERSION}")), 403)
    );
    Ok(())
}

#[tokio::test]
async fn pods_resolve_services_and_this_machine_and_learn_at_once_what_is_not_there() -> Result<()> {
    let bed = Bed::start(2)?;
    let host = bed.cluster.host();
    let valkey = Valkey::start(ValkeyOptions { host, ..ValkeyOptions::default() })?;
    let address = valkey.address();
    let (_, port) = address.rsplit_once(':').context("a port")?;
    let namespace = bed.restricted("names").await?;
    let service: Service = serde_json::from_value(json!({
        "metadata": {"name": "valkey"},
        "spec": {"ports": [{"port": 6379, "targetPort": port.parse::<u16>()?}]},
    }))?;
    let slice: EndpointSlice = serde_json::from_value(json!({
        "metadata": {"name": "valkey-1", "labels": {"kubernetes.io/service-name": "valkey"}},
        "addressType": "IPv4",
        "ports": [{"port": port.parse::<u16>()?}],
        "endpoints": [{"addresses": [host]}],
    }))?;
    Api::namespaced(bed.client.clone(), &namespace).create(&PostParams::default(), &service).await?;
    Api::namespaced(bed.client.clone(), &namespace).create(&PostParams::default(), &slice).await?;

    let mut said = Vec::new();
    for (name, store) in [
        ("short", "valkey:6379".to_owned()),
        ("full", format!("valkey.{namespace}.svc.cluster.local:6379")),
        ("host", format!("valkey.test:{port}")),
        ("nobody", "valkey.example.org:6379".to_owned()),
    ] {
        said.push(ask(&bed, &namespace, name, &store).await?);
    }

    assert_eq!(said, ["connected", "connected", "connected", "no such name"]);
    Ok(())
}

/// What a pod learns of the store at this address. A proxy on its node may not know a new Service yet.
async fn ask(bed: &Bed, namespace: &str, name: &str, store: &str) -> Result<&'static str> {
    let tries = AtomicU32::new(0);
    eventually(&format!("an answer of {store}"), LIMIT, async || {
        let name = format!("{name}-{}", tries.fetch_add(1, Ordering::Relaxed));
        let args = ["players", "get", "1", "--store-address", store];
        let (_, text) = bed.run(namespace, &once(&name, "operator", &args)).await?;
        Ok(match text {
            text if text.contains("no such player") => Some("connected"),
            text if text.contains("Name or service not known") => Some("no such name"),
            text if text.contains("Connection refused") => None,
            text => anyhow::bail!("{store}: {text}"),
        })
    })
    .await
}
