//! A kubelet here says of pods what a node would: it binds them, reports how they are, and lets them go when they are deleted.
//!
//! It runs no images. A [`Runtime`] plays the pods, by nothing ([`Pretend`]) or by processes ([`Processes`]). What it leaves out: Jobs
//! and other pods that may end for good, probes by their specification, hooks, and containers of one pod that fare differently.

mod container;
mod life;
mod process;
mod status;

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::Result;
use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Config};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use self::container::{Container, Look, Pretend, Runtime};
use self::life::Life;
pub use self::process::{Launch, Processes};
use super::{client, thread};

/// Runs until it is dropped, which ends what plays its pods at once, and leaves the pods as they are.
#[derive(Debug)]
pub struct Kubelet {
    task: JoinHandle<()>,
}

/// The pods there are, by UID.
struct Pods {
    client: Client,
    runtime: Arc<dyn Runtime>,
    lives: HashMap<String, Running>,
}

struct Running {
    latest: watch::Sender<Pod>,
    task: JoinHandle<()>,
    /// Whether the list that is being read has it.
    listed: bool,
}

impl Kubelet {
    /// For the pods of one namespace, or of all. `config` must allow everything with pods.
    pub fn start(config: Config, namespace: Option<&str>, runtime: impl Runtime) -> Result<Self> {
        let threads = thread::background()?;
        let _inside = threads.enter();
        let client = client(config)?;
        let api = namespace
            .map_or_else(|| Api::all(client.clone()), |namespace| Api::namespaced(client.clone(), namespace));
        let pods = Pods { client, runtime: Arc::new(runtime), lives: HashMap::new() };
        Ok(Self { task: threads.spawn(pods.follow(api)) })
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Pods {
    async fn follow(mut self, api: Api<Pod>) {
        let events = watcher(api, watcher::Config::default()).default_backoff();
        let mut events = std::pin::pin!(events);
        loop {
            // the stream itself tries again after an error, and has no end
            if let Ok(Some(event)) = events.try_next().await {
                self.take(event);
            }
        }
    }

    fn take(&mut self, event: Event<Pod>) {
        match event {
            Event::Init => self.lives.values_mut().for_each(|life| life.listed = false),
            Event::InitApply(pod) | Event::Apply(pod) => self.update(pod),
            Event::InitDone => self.lives.retain(|_, life| life.listed),
            Event::Delete(pod) => drop(self.lives.remove(&uid(&pod))),
        }
    }

    fn update(&mut self, pod: Pod) {
        if let Some(life) = self.lives.get_mut(&uid(&pod)) {
            life.listed = true;
            life.latest.send_replace(pod);
            return;
        }
        let uid = uid(&pod);
        let (latest, receiver) = watch::channel(pod);
        let address = self.runtime.address();
        let life = Life::new(self.client.clone(), self.runtime.clone(), receiver, address);
        let task = tokio::spawn(life.run());
        self.lives.insert(uid, Running { latest, task, listed: true });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn uid(pod: &Pod) -> String {
    pod.metadata.uid.clone().unwrap_or_default()
}

/// All of 127.0.0.0/8 is this machine, so that each pod has an address of its own without any setting up. Where a process begins is
/// by chance: another one's pods may use the same ports.
fn next_address() -> Ipv4Addr {
    static FIRST: OnceLock<u32> = OnceLock::new();
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // not 127.0.0.x, where servers listen, and not the broadcast address
    let (lowest, count) = (0x7f00_0100, 0x00ff_fe00);
    let first = FIRST.get_or_init(|| fastrand::u32(..count));
    Ipv4Addr::from(lowest + first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % count)
}
