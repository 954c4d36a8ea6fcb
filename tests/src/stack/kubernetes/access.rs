//! Access is how somebody reaches the API server: as a kubeconfig file, as kube's configuration, as a client.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::config::AuthInfo;
use kube::{Api, Client, Config};
use serde_json::{Value, json};

use super::authority::{Authority, Identity};

/// A group whose members may do everything.
pub(super) const MASTERS: &str = "system:masters";

/// What proves who somebody is.
#[derive(Debug, Clone)]
pub(super) enum Proof {
    Certificate(Identity),
    /// A file that holds a token of a service account.
    Token(PathBuf),
}

/// kube's configuration for whoever has this proof.
pub(super) fn config(server: &str, authority: &Authority, proof: &Proof) -> Result<Config> {
    let url = server.parse().with_context(|| format!("{server} is not a URL"))?;
    let mut config = Config::new(url);
    config.root_cert = Some(vec![authority.der()]);
    config.auth_info = auth_info(proof);
    Ok(config)
}

/// The same as a file of the form that kubectl and `KUBECONFIG` know.
pub(super) fn kubeconfig(server: &str, authority: &Authority, proof: &Proof) -> Result<PathBuf> {
    let user = serde_json::to_value(auth_info(proof))?;
    let file = kubeconfig_value(server, &authority.file(), &user);
    // JSON is YAML, too
    authority.write("kubeconfig", &file.to_string())
}

/// A token for a service account that is there, good for an hour, as a file.
pub(super) async fn token(
    client: &Client,
    authority: &Authority,
    namespace: &str,
    name: &str,
) -> Result<PathBuf> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let request = TokenRequest { spec: TokenRequestSpec::default(), ..TokenRequest::default() };
    let answer = accounts.create_token_request(name, &PostParams::default(), &request).await;
    let status = answer.with_context(|| format!("no token for service account {namespace}/{name}"))?.status;
    authority.write("token", &status.context("an answer without a token")?.token)
}

fn auth_info(proof: &Proof) -> AuthInfo {
    let text = |path: &Path| Some(path.display().to_string());
    match proof {
        Proof::Certificate(identity) => AuthInfo {
            client_certificate: text(&identity.certificate),
            client_key: text(&identity.key),
            ..AuthInfo::default()
        },
        Proof::Token(path) => AuthInfo { token_file: text(path), ..AuthInfo::default() },
    }
}

fn kubeconfig_value(server: &str, authority: &Path, user: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "tests", "cluster": {"server": server, "certificate-authority": authority}}],
        "users": [{"name": "tests", "user": user}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
        "current-context": "tests",
    })
}
