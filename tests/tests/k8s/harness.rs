//! What the other tests rely on: a cluster that serves our resource, holds its rules, and refuses who has no rights.

use anyhow::Result;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ListParams;
use kube::{Api, Client};
use plaudit_tests::stack::kubernetes::{client, shared};

#[tokio::test]
async fn a_user_without_a_role_is_refused() -> Result<()> {
    let cluster = shared();
    let namespace = cluster.namespace("rbac").await?;
    let list = async |client: Client| {
        let maps: Api<ConfigMap> = Api::namespaced(client, &namespace);
        let answer = maps.list(&ListParams::default()).await;
        answer.map(|list| list.items.len()).map_err(|error| error.to_string())
    };

    let refused = list(client(cluster.config_of("somebody", &["everybody"])?)?).await;
    let allowed = list(cluster.client()?).await;

    assert_eq!((refused.map_err(|error| error.contains("somebody")), allowed), (Err(true), Ok(0)));
    Ok(())
}
