//! Worker processes as the pods of an operator's Deployments: what a node would do with the real image, without one.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{Api, Client, ResourceExt as _};
use plaudit::children::WORKER_PORT;

use crate::stack::kubernetes::kubelet::{Launch, Processes};

/// A function that starts a pod's process.
pub type Launcher = Box<dyn Fn(&Pod, Ipv4Addr) -> BoxFuture<'static, Result<Launch>> + Send + Sync>;

/// Plays each pod by `binary`, with the configuration that its volume names, listening on the pod's own address. Files and logs lie in
/// `directory`.
pub fn workers(client: Client, binary: PathBuf, directory: PathBuf) -> Processes<Launcher> {
    Processes(Box::new(move |pod, address| {
        let (client, binary, directory, pod) =
            (client.clone(), binary.clone(), directory.clone(), pod.clone());
        Box::pin(async move { launch(client, &binary, &directory, &pod, address).await })
    }))
}

async fn launch(
    client: Client,
    binary: &Path,
    directory: &Path,
    pod: &Pod,
    address: Ipv4Addr,
) -> Result<Launch> {
    let (name, namespace) = (pod.name_any(), pod.namespace().unwrap_or_default());
    let maps: Api<ConfigMap> = Api::namespaced(client, &namespace);
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref()).into_iter().flatten();
    let map = volumes
        .filter_map(|volume| volume.config_map.as_ref())
        .next()
        .context("a pod without a ConfigMap")?;
    let data = maps.get(&map.name).await?.data.unwrap_or_default();
    let text = data.get("worker.yaml").context("a ConfigMap without worker.yaml")?;
    // All pods share this machine's ports; each has an address of its own.
    let text = text.replace(&format!("0.0.0.0:{WORKER_PORT}"), &format!("{address}:{WORKER_PORT}"));
    let file = directory.join(format!("{name}.yaml"));
    std::fs::write(&file, text)?;
    let mut command = Command::new(binary);
    command.arg("--config").arg(&file).args(["--name", &name]);
    let port = u16::try_from(WORKER_PORT)?;
    Ok(Launch {
        command,
        log: directory.join(format!("{name}.log")),
        ready: Some((SocketAddr::from((address, port)), "/readyz".to_owned())),
    })
}
