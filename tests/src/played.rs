//! Worker processes as the pods of an operator's Deployments: what a node would do with the real image, without one.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};
use plaudit::children::WORKER_PORT;
use plaudit_crds::worker::WorkerConfig;

use crate::canary;
use crate::stack::kubernetes::kubelet::{Launch, Processes};

/// A function that starts a pod's process.
pub type Launcher = Box<dyn Fn(&Pod, Ipv4Addr) -> BoxFuture<'static, Result<Launch>> + Send + Sync>;

/// Plays each pod by `binary`, with the configuration and the Secrets that its volumes name, listening on the pod's own address. Files and
/// logs lie in `directory`. A Secret that changes later reaches it by [`mount_again`].
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
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref()).into_iter().flatten();
    let map = volumes
        .filter_map(|volume| volume.config_map.as_ref())
        .next()
        .context("a pod without a ConfigMap")?;
    let data = maps.get(&map.name).await?.data.unwrap_or_default();
    let text = data.get("worker.yaml").context("a ConfigMap without worker.yaml")?;
    // All pods share this machine's ports; each has an address of its own.
    let mut config = WorkerConfig::from_yaml(text)?;
    config.http.address = format!("{address}:{WORKER_PORT}");
    let secrets = folder_of(directory, pod);
    config.secrets_directory = secrets.display().to_string();
    mount(&Api::namespaced(client, &namespace), pod, &secrets).await?;
    let file = directory.join(format!("{name}.yaml"));
    std::fs::write(&file, config.to_yaml())?;
    let mut command = Command::new(binary);
    command.arg("--config").arg(&file).args(["--name", &name]);
    let port = u16::try_from(WORKER_PORT)?;
    Ok(Launch {
        command,
        log: directory.join(format!("{name}.log")),
        ready: Some((SocketAddr::from((address, port)), "/readyz".to_owned())),
    })
}

/// Brings the Secrets as they are now to all pods of a namespace, as a kubelet does within a minute.
pub async fn mount_again(client: &Client, namespace: &str, directory: &Path) -> Result<()> {
    let secrets = Api::namespaced(client.clone(), namespace);
    for pod in Api::<Pod>::namespaced(client.clone(), namespace).list(&ListParams::default()).await? {
        let folder = folder_of(directory, &pod);
        // Who has none yet will read them as they are.
        if folder.exists() {
            mount(&secrets, &pod, &folder).await?;
        }
    }
    Ok(())
}

fn folder_of(directory: &Path, pod: &Pod) -> PathBuf {
    directory.join(format!("{}.secrets", pod.name_any()))
}

/// Fails if there is a secret in what the pods' processes say and show, with `directory` as [`workers`] had it.
pub fn search(directory: &Path) -> Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let ending = path.extension().and_then(OsStr::to_str);
        match ending {
            Some("log") => canary::search_files(&path)?,
            Some("yaml") => {
                canary::search_files(&path)?;
                let config = WorkerConfig::from_yaml(&std::fs::read_to_string(&path)?)?;
                canary::search_endpoints(&config.http.address)?;
            }
            Some("pid") => canary::search_process(std::fs::read_to_string(&path)?.parse()?)?,
            // The Secrets themselves, for one.
            Some(_) | None => {}
        }
    }
    Ok(())
}

/// Writes the keys that a pod's volumes name, a folder for each Secret; none for what does not exist, since all are optional.
async fn mount(secrets: &Api<Secret>, pod: &Pod, directory: &Path) -> Result<()> {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref()).into_iter().flatten();
    for volume in volumes.filter_map(|volume| volume.secret.as_ref()) {
        let name = volume.secret_name.as_deref().unwrap_or_default();
        let folder = directory.join(name);
        std::fs::create_dir_all(&folder)?;
        let Some(secret) = secrets.get_opt(name).await? else { continue };
        let data = secret.data.unwrap_or_default();
        for item in volume.items.iter().flatten() {
            let path = folder.join(&item.path);
            match data.get(&item.key) {
                Some(value) => replace(&path, &value.0)?,
                None if path.exists() => std::fs::remove_file(&path)?,
                None => {}
            }
        }
    }
    Ok(())
}

/// Writes a file that somebody may be reading.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let new = path.with_file_name("..new");
    std::fs::write(&new, bytes)?;
    Ok(std::fs::rename(new, path)?)
}
