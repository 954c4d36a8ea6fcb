//! A bed is a cluster with nodes that have our images.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, LogParams, PostParams};
use kube::{Client, ResourceExt as _};
use plaudit_tests::stack::kubernetes::{Cluster, ClusterOptions, eventually};
use serde_json::{Value, json};

pub const LIMIT: Duration = Duration::from_secs(60);
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Two cores have room for one at a time.
static ROOM: Mutex<()> = Mutex::new(());

pub struct Bed {
    pub client: Client,
    pub cluster: Cluster,
    // after the cluster
    _room: Option<MutexGuard<'static, ()>>,
}

impl Bed {
    pub fn start(nodes: u8) -> Result<Self> {
        Self::with(nodes, Some(ROOM.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// A second one, which ends before the first.
    pub fn beside(_first: &Self, nodes: u8) -> Result<Self> {
        Self::with(nodes, None)
    }

    fn with(nodes: u8, room: Option<MutexGuard<'static, ()>>) -> Result<Self> {
        let cluster = Cluster::start(ClusterOptions { nodes, ..ClusterOptions::default() })?;
        for what in ["operator", "worker"] {
            cluster.load(&archive(what)?)?;
        }
        Ok(Self { client: cluster.client()?, cluster, _room: room })
    }

    /// A namespace that takes only pods of the restricted profile.
    pub async fn restricted(&self, name: &str) -> Result<String> {
        let namespace: Namespace = serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
        }))?;
        Api::all(self.client.clone()).create(&PostParams::default(), &namespace).await?;
        let accounts =
            Api::<k8s_openapi::api::core::v1::ServiceAccount>::namespaced(self.client.clone(), name);
        eventually("a default service account", LIMIT, async || {
            Ok(accounts.get_opt("default").await?.map(drop))
        })
        .await?;
        Ok(name.to_owned())
    }

    /// Runs a pod to its end: whether it succeeded, and what it said.
    pub async fn run(&self, namespace: &str, pod: &Value) -> Result<(bool, String)> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let created = pods.create(&PostParams::default(), &serde_json::from_value(pod.clone())?).await?;
        let name = created.name_any();
        let ended = async || {
            let phase = pods.get(&name).await?.status.and_then(|status| status.phase);
            Ok(match phase.as_deref() {
                Some("Succeeded") => Some(true),
                Some("Failed") => Some(false),
                _ => None,
            })
        };
        let succeeded = eventually(&format!("the end of pod {name}"), LIMIT, ended).await?;
        Ok((succeeded, pods.logs(&name, &LogParams::default()).await?.trim_end().to_owned()))
    }
}

/// A pod of the restricted profile that runs the program of an image once.
pub fn once(name: &str, image: &str, args: &[&str]) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65_532, "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container(image, args)],
        },
    })
}

pub fn container(image: &str, args: &[&str]) -> Value {
    json!({
        "name": "it",
        "image": format!("plaudit/{image}:{VERSION}"),
        "imagePullPolicy": "Never",
        "args": args,
        "securityContext": {
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
        },
    })
}

fn archive(what: &str) -> Result<PathBuf> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/images"));
    let path = folder.join(format!("{what}.tar"));
    ensure!(path.exists(), "there is no {}: `make images` builds it", path.display());
    path.canonicalize().context("a path of an image")
}
