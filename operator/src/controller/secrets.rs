//! Secrets that pipelines name, read one by one by name: the operator may list none.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use plaudit_worker::security::{Secrets, SecurityError, missing};

use super::context::lock;
use crate::pipeline::Pipeline;

/// A Secret is read again after this. A kubelet takes longer until a pod sees a change.
pub(super) const EVERY: Duration = Duration::from_secs(20);
/// What no pipeline has asked for in a while is forgotten.
const FORGET: Duration = Duration::from_secs(600);

/// What was read lately, by namespace and name.
#[derive(Debug, Default)]
pub(super) struct SecretCache(Mutex<HashMap<(String, String), Entry>>);

#[derive(Clone, Debug)]
struct Entry {
    read: Duration,
    found: Found,
}

type Found = Arc<Result<BTreeMap<String, Vec<u8>>, SecurityError>>;

/// The Secrets of one pipeline, as last read.
#[derive(Debug)]
pub(super) struct Snapshot(BTreeMap<String, Found>);

impl SecretCache {
    /// What `pipeline` names, at most [`EVERY`] old. `now` is the time of the look.
    pub async fn of(&self, client: &Client, pipeline: &Pipeline, now: Duration) -> Snapshot {
        let keys = [pipeline.source.security.keys(), pipeline.store.security.keys()].concat();
        let names: BTreeSet<&str> = keys.iter().map(|key| key.secret_name).collect();
        let mut snapshot = BTreeMap::new();
        for name in names {
            let found = self.one(client, &pipeline.namespace, name, now).await;
            snapshot.insert(name.to_owned(), found);
        }
        Snapshot(snapshot)
    }

    async fn one(&self, client: &Client, namespace: &str, name: &str, now: Duration) -> Found {
        let key = (namespace.to_owned(), name.to_owned());
        let before = lock(&self.0).get(&key).cloned();
        if let Some(entry) = before.as_ref().filter(|entry| now.saturating_sub(entry.read) < EVERY) {
            return entry.found.clone();
        }
        let found = match Api::<Secret>::namespaced(client.clone(), namespace).get_opt(name).await {
            Ok(Some(secret)) => {
                let data = secret.data.unwrap_or_default();
                Arc::new(Ok(data.into_iter().map(|(key, value)| (key, value.0)).collect()))
            }
            Ok(None) => Arc::new(Err(missing(name))),
            Err(kube::Error::Api(status)) if status.code == 403 => Arc::new(Err(SecurityError::new(
                "SecretForbidden",
                format!(
                    "the operator may not read Secret {name}; give it the right to get secrets in namespace {namespace}"
                ),
            ))),
            // What is known stays while the API server has other troubles.
            Err(error) => match before {
                Some(entry) => entry.found,
                None => Arc::new(Err(SecurityError::new(
                    "SecretUnreadable",
                    format!("could not read Secret {name}, and tries again: {error}"),
                ))),
            },
        };
        let mut entries = lock(&self.0);
        entries.retain(|_, entry| now.saturating_sub(entry.read) < FORGET);
        entries.insert(key, Entry { read: now, found: found.clone() });
        found
    }
}

impl Secrets for Snapshot {
    fn value(&self, secret_name: &str, key: &str) -> Result<Option<Vec<u8>>, SecurityError> {
        match self.0.get(secret_name).map(AsRef::as_ref) {
            Some(Ok(data)) => Ok(data.get(key).cloned()),
            Some(Err(error)) => Err(error.clone()),
            None => Err(missing(secret_name)),
        }
    }
}
