//! The rights of an elector.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use futures::future::try_join_all;
use plaudit::leader::{Candidacy, Elector, KubeLeases, Leadership, Times, identity};
use plaudit::rbac::{self, LEASE};
use plaudit_tests::stack::kubernetes::fault::ApiProxy;
use plaudit_tests::stack::kubernetes::{Cluster, client, shared};

use super::{Right, rights, user_of, without};

const LEASES: [(&str, &str, &str); 4] = [
    ("leases", "create", "nobody leads"),
    ("leases", "get", "nobody leads"),
    ("leases", "update", "a free lease is not taken"),
    ("leases", "watch", "a standby asks again and again"),
];

/// What an elector does not do without a right.
async fn missing_of_elector(
    cluster: &Cluster,
    right: Option<Right>,
) -> Result<(Option<Right>, Option<String>)> {
    const SOON: Duration = Duration::from_secs(8);
    let rules = without(&rbac::lease_rules(LEASE), right.as_ref());
    let namespace = cluster.namespace("electors").await?;
    let user = user_of(cluster, &namespace, &rules).await?;
    let stand = |client, name: &str| -> Candidacy {
        let leases = KubeLeases::new(client, &namespace, LEASE);
        Elector::new(leases, LEASE, identity(name, 1), Times::default()).stand()
    };
    let leads = async |candidacy: &Candidacy| {
        let mut leadership = candidacy.leadership();
        let leading = leadership.wait_for(|now| matches!(now, Leadership::Leading(_)));
        matches!(tokio::time::timeout(SOON, leading).await, Ok(Ok(_)))
    };
    let first = stand(client(cluster.config_of(&user, &[])?)?, "first");
    let found = if !leads(&first).await {
        Some("nobody leads".to_owned())
    } else {
        first.resign().await;
        let second = stand(client(cluster.config_of(&user, &[])?)?, "second");
        if leads(&second).await {
            let proxy = ApiProxy::start(cluster.config_of(&user, &[])?)?;
            let third = stand(proxy.client()?, "third");
            tokio::time::sleep(SOON).await;
            let looks = proxy.seen().iter().filter(|seen| !seen.is_watch()).count();
            drop(third);
            // One to begin with, and one where a renewal came late; without a watch, one each two seconds.
            (looks > 2).then(|| "a standby asks again and again".to_owned())
        } else {
            Some("a free lease is not taken".to_owned())
        }
    };
    Ok((right, found))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_elector_misses_each_right_that_it_has_not() -> Result<()> {
    let cluster = shared();
    let rights = rights(&rbac::lease_rules(LEASE)).into_iter().map(Some).chain([None]);

    let found = try_join_all(rights.map(|right| missing_of_elector(cluster, right))).await?;

    let found: BTreeMap<_, _> =
        found.into_iter().map(|(right, found)| (right.map(|(_, of, verb)| (of, verb)), found)).collect();
    let expected = LEASES.map(|(of, verb, what)| (Some((of, verb)), Some(what.to_owned())));
    assert_eq!(found, expected.into_iter().chain([(None, None)]).collect());
    Ok(())
}
