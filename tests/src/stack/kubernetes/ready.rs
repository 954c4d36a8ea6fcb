//! Ready is when a cluster does what a test needs of it: answers, has our resource, makes service accounts.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, CustomResourceExt};
use plaudit_crds::AchievementPipeline;

use super::server::Server;

/// A start takes 4 to 6 seconds on two free cores; tests start several at once.
const LIMIT: Duration = Duration::from_secs(90);
const CHECK_AGAIN: Duration = Duration::from_millis(100);
/// Between two questions of [`eventually`].
const ASK_AGAIN: Duration = Duration::from_millis(25);

/// `work`, or the end of a server's log as soon as one has ended.
pub(super) async fn while_running<T>(
    servers: &[&Server],
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let ended = async {
        loop {
            for server in servers {
                server.check()?;
            }
            tokio::time::sleep(CHECK_AGAIN).await;
        }
    };
    tokio::select! {
        done = work => done,
        error = ended => error,
    }
}

/// Waits until the API server has done all that it does at a start.
pub(super) async fn api_server(client: &Client) -> Result<()> {
    let ready = || async {
        let request = http::Request::get("/readyz").body(Vec::new())?;
        Ok(client.request_text(request).await.ok().map(drop))
    };
    eventually("an API server that is ready", LIMIT, ready).await
}

/// Waits for the account that pods of `namespace` have, which the controllers make.
pub(super) async fn default_account(client: &Client, namespace: &str) -> Result<()> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let made = || async { Ok(accounts.get_opt("default").await?.map(drop)) };
    eventually("a default service account", LIMIT, made).await
}

/// Installs our CRD as a user would, and waits until objects of it can be made.
pub(super) async fn install_crd(client: &Client) -> Result<()> {
    let name = AchievementPipeline::crd_name();
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let crd: serde_json::Value = serde_yaml::from_str(&plaudit_crds::crd_yaml())?;
    let params = PatchParams::apply("plaudit-tests");
    crds.patch(name, &params, &Patch::Apply(&crd)).await.context("could not install our CRD")?;
    let established = || async {
        let status = crds.get(name).await?.status;
        let mut conditions = status.into_iter().flat_map(|status| status.conditions.unwrap_or_default());
        Ok(conditions
            .any(|condition| condition.type_ == "Established" && condition.status == "True")
            .then_some(()))
    };
    eventually("an established CRD", LIMIT, established).await
}

/// Asks `probe` every 25 ms until it answers `Some`; fails with `what` (a noun phrase) when `limit` is over, at once when `probe` fails.
pub async fn eventually<T, F>(what: &str, limit: Duration, mut probe: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    let begin = Instant::now();
    loop {
        if let Some(value) = probe().await? {
            return Ok(value);
        }
        if begin.elapsed() >= limit {
            bail!("waited {limit:?} in vain for {what}");
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}
