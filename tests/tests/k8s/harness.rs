//! What the other tests rely on: a cluster that refuses who has no rights, and comes back with its data.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use plaudit_tests::stack::kubernetes::{Cluster, ClusterOptions, client, eventually, shared};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_user_without_a_role_is_refused() -> Result<()> {
    let cluster = shared();
    let namespace = cluster.namespace("rbac").await?;

    let refused = config_maps(&client(cluster.config_of("somebody", &["everybody"])?)?, &namespace).await;
    let allowed = config_maps(&cluster.client()?, &namespace).await;

    assert_eq!((refused, allowed), (Err(403), Ok(0)));
    Ok(())
}

#[tokio::test]
async fn a_service_account_may_do_what_its_role_says_and_no_more() -> Result<()> {
    let cluster = shared();
    let namespace = cluster.namespace("rbac").await?;
    let admin = cluster.client()?;
    let params = PostParams::default();
    let account: ServiceAccount = serde_json::from_value(json!({"metadata": {"name": "reader"}}))?;
    Api::namespaced(admin.clone(), &namespace).create(&params, &account).await?;
    let role: Role = serde_json::from_value(json!({
        "metadata": {"name": "reader"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}],
    }))?;
    Api::namespaced(admin.clone(), &namespace).create(&params, &role).await?;
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": namespace}],
    }))?;
    Api::namespaced(admin, &namespace).create(&params, &binding).await?;

    let reader = client(cluster.service_account(&namespace, "reader").await?)?;
    let secrets: Api<Secret> = Api::namespaced(reader.clone(), &namespace);
    // the server learns of roles by a watch of its own
    eventually("the role to count", LIMIT, || async { Ok(config_maps(&reader, &namespace).await.ok()) })
        .await?;

    let answer = secrets.list(&ListParams::default()).await;
    assert_eq!(answer.map(drop).map_err(code), Err(403));
    Ok(())
}

#[tokio::test]
async fn a_killed_or_frozen_api_server_comes_back_with_its_data() -> Result<()> {
    let cluster = Cluster::start(ClusterOptions { controllers: false, ..ClusterOptions::default() })?;
    let client = cluster.client()?;
    let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "kept"}}))?;
    Api::<ConfigMap>::default_namespaced(client.clone()).create(&PostParams::default(), &map).await?;

    cluster.pause_api_server()?;
    let frozen = tokio::time::timeout(Duration::from_millis(300), config_maps(&client, "default")).await;
    cluster.resume_api_server()?;
    let resumed = config_maps(&client, "default").await;
    cluster.kill_api_server()?;
    let killed = config_maps(&client, "default").await;
    cluster.restart_api_server()?;
    let restarted = config_maps(&client, "default").await;

    assert_eq!((frozen.is_err(), resumed, killed, restarted), (true, Ok(1), Err(0), Ok(1)));
    Ok(())
}

#[test]
fn a_server_that_cannot_start_is_reported_with_its_own_words() {
    let options =
        ClusterOptions { api_server: vec!["--event-ttl=soon".to_owned()], ..ClusterOptions::default() };

    let error = format!("{:#}", Cluster::start(options).expect_err("the flag is wrong"));

    assert!(error.contains("kube-apiserver has ended") && error.contains("event-ttl"), "{error}");
}

async fn config_maps(client: &Client, namespace: &str) -> Result<usize, u16> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    maps.list(&ListParams::default()).await.map(|list| list.items.len()).map_err(code)
}

/// The HTTP status of a refusal; 0 when there was no answer.
fn code(error: kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        _ => 0,
    }
}
