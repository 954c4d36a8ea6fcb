//! Where a Lease is kept: an API server, or whatever plays one in a test.

use std::future::Future;
use std::time::Duration;

use futures::stream::{BoxStream, StreamExt as _};
use futures::{TryStreamExt as _, future};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{PostParams, WatchEvent, WatchParams};
use kube::{Api, Client};

use super::record::Record;

/// A request that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Another write came first.
    #[error("another write came first")]
    Conflict,
    /// No answer in time; it may have been carried out.
    #[error("no answer within {:.1} s", after.as_secs_f64())]
    Unanswered { after: Duration },
    /// Refused, or broken off; unless the answer says so, it may have been carried out.
    #[error("the request failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What the Lease became: `None` when it was deleted.
pub type Changes = BoxStream<'static, Result<Option<Record>, LeaseError>>;

/// One Lease.
pub trait Leases: Send + Sync + 'static {
    /// The Lease; `None` when there is none.
    fn read(&self) -> impl Future<Output = Result<Option<Record>, LeaseError>> + Send;

    /// Creates the Lease when the record has no version, else replaces that version and no other. Returns what is stored.
    fn write(&self, record: &Record) -> impl Future<Output = Result<Record, LeaseError>> + Send;

    /// The Lease after each change since `version`. It may end, fail or fall silent at any time.
    fn changes(&self, version: &str) -> Changes;
}

/// A Lease of an API server.
#[derive(Clone, Debug)]
pub struct KubeLeases {
    api: Api<Lease>,
    name: String,
}

impl KubeLeases {
    /// The Lease `name` in `namespace`. Needs the rights to get, create, update and watch it.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self { api: Api::namespaced(client, namespace), name: name.to_owned() }
    }
}

impl Leases for KubeLeases {
    async fn read(&self) -> Result<Option<Record>, LeaseError> {
        // Without a resource version: the newest, not what a cache holds.
        Ok(self.api.get_opt(&self.name).await.map_err(failed)?.map(Record::read))
    }

    async fn write(&self, record: &Record) -> Result<Record, LeaseError> {
        let parameters = PostParams::default();
        let stored = match record.version() {
            Some(_) => self.api.replace(&self.name, &parameters, record.lease()).await,
            None => self.api.create(&parameters, record.lease()).await,
        };
        stored.map(Record::read).map_err(failed)
    }

    fn changes(&self, version: &str) -> Changes {
        let (api, version) = (self.api.clone(), version.to_owned());
        // By name, so that the right to watch this one Lease is enough.
        let parameters = WatchParams::default().fields(&format!("metadata.name={}", self.name));
        let events =
            async move { Ok(api.watch(&parameters, &version).await.map_err(failed)?.map_err(failed)) };
        let changes = futures::stream::once(events).try_flatten().try_filter_map(|event| {
            future::ready(match event {
                WatchEvent::Added(lease) | WatchEvent::Modified(lease) => Ok(Some(Some(Record::read(lease)))),
                WatchEvent::Deleted(_) => Ok(Some(None)),
                WatchEvent::Bookmark(_) => Ok(None),
                WatchEvent::Error(status) => Err(failed(kube::Error::Api(status))),
            })
        });
        changes.boxed()
    }
}

fn failed(error: kube::Error) -> LeaseError {
    match error {
        kube::Error::Api(status) if status.code == 409 => LeaseError::Conflict,
        error => LeaseError::Failed(Box::new(error)),
    }
}
