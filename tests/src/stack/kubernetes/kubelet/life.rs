//! The life of a pod on a node: bound, started, ready or not, started again after each end, ended when it is deleted.

use std::future::Future;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Error;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::container::{Container, Look, Runtime};
use super::status::{End, Facts, State, status};

/// A kubelet waits 10 s before it starts a container again, twice as long each time, 5 minutes at most. Tests have no time for that.
const FIRST_BACK_OFF: Duration = Duration::from_millis(200);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(5);
/// The API server may be down: a test's doing.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// No such Node exists; nothing that runs here asks for it.
const NODE: &str = "tests";

/// Ends with [`Gone`] when there is nothing to be said of the pod any more.
pub(super) struct Life {
    pods: Api<Pod>,
    runtime: Arc<dyn Runtime>,
    latest: watch::Receiver<Pod>,
    facts: Facts,
}

/// The pod is not there any more, or another one has its name.
struct Gone;

impl Life {
    /// Of a pod that a watch keeps up to date.
    pub(super) fn new(
        client: Client,
        runtime: Arc<dyn Runtime>,
        latest: watch::Receiver<Pod>,
        address: Ipv4Addr,
    ) -> Self {
        let now = Timestamp::now();
        let namespace = latest.borrow().metadata.namespace.clone().unwrap_or_default();
        let facts = Facts {
            address,
            since: now,
            container: State::Waiting { reason: "ContainerCreating", message: String::new() },
            restarts: 0,
            last_end: None,
            ready_changed: now,
        };
        Self { pods: Api::namespaced(client, &namespace), runtime, latest, facts }
    }

    pub(super) async fn run(mut self) {
        // the pod is what there is to see
        let Err(Gone) = self.play().await;
    }

    async fn play(&mut self) -> Result<std::convert::Infallible, Gone> {
        self.bind().await?;
        let mut back_off = FIRST_BACK_OFF;
        loop {
            let pod = self.latest.borrow().clone();
            if deleted(&pod) {
                return self.let_go().await;
            }
            let waiting = match self.runtime.start(&pod, self.facts.address).await {
                Ok(container) => self.attend(container).await?,
                Err(error) => cannot_start(&error),
            };
            if deleted(&self.latest.borrow()) {
                return self.let_go().await;
            }
            self.report(waiting).await?;
            // also over when the pod is deleted
            let _ = tokio::time::timeout(back_off, self.latest.wait_for(deleted)).await;
            back_off = (back_off * 2).min(LONGEST_BACK_OFF);
            self.facts.restarts += 1;
        }
    }

    /// Until the container has ended by itself or because its pod was deleted.
    async fn attend(&mut self, mut container: Box<dyn Container>) -> Result<State, Gone> {
        let since = Timestamp::now();
        let mut last_moment = None;
        self.report(State::Running { since, ready: false }).await?;
        loop {
            if last_moment.is_none() && deleted(&self.latest.borrow()) {
                last_moment = Some(Instant::now() + grace(&self.latest.borrow()));
                // one that can't be asked is killed in time
                drop(container.terminate());
            }
            let look = container.look().await.unwrap_or(Look::Running { ready: false });
            match look {
                Look::Ended { status } => {
                    self.facts.last_end = Some(End { status, started: since, finished: Timestamp::now() });
                    let message = format!("exit status {status}");
                    return Ok(State::Waiting { reason: "CrashLoopBackOff", message });
                }
                Look::Running { ready } => self.report(State::Running { since, ready }).await?,
            }
            if last_moment.is_some_and(|moment| Instant::now() >= moment) {
                drop(container);
                return Ok(State::Waiting { reason: "Killed", message: String::new() });
            }
            // a change of the pod is looked at at once
            let _ = tokio::time::timeout(container.look_again(), self.latest.changed()).await;
        }
    }

    /// Without a node, a deleted pod would be gone at once, whatever its grace.
    async fn bind(&self) -> Result<(), Gone> {
        let (name, bound) = {
            let pod = self.latest.borrow();
            let bound = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
            (pod.metadata.name.clone().unwrap_or_default(), bound)
        };
        if bound {
            return Ok(());
        }
        let binding = json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name},
            "target": {"apiVersion": "v1", "kind": "Node", "name": NODE},
        });
        let params = PostParams::default();
        insist(|| self.pods.create_subresource::<Value, Value>("binding", &name, &params, &binding)).await?;
        Ok(())
    }

    /// Says how the container is, when that is new.
    async fn report(&mut self, container: State) -> Result<(), Gone> {
        if self.facts.container == container {
            return Ok(());
        }
        let was_ready = self.facts.is_ready();
        self.facts.container = container;
        if self.facts.is_ready() != was_ready {
            self.facts.ready_changed = Timestamp::now();
        }
        let (name, patch) = {
            let pod = self.latest.borrow();
            let mut patch = status(&pod, &self.facts);
            // refused when another pod has the name by now
            patch["metadata"] = json!({"uid": pod.metadata.uid});
            (pod.metadata.name.clone().unwrap_or_default(), Patch::Merge(patch))
        };
        let params = PatchParams::default();
        insist(|| self.pods.patch_status(&name, &params, &patch)).await?;
        Ok(())
    }

    /// The last word on a deleted pod: nothing of it runs any more.
    async fn let_go<T>(&self) -> Result<T, Gone> {
        let (name, uid) = {
            let metadata = &self.latest.borrow().metadata;
            (metadata.name.clone().unwrap_or_default(), metadata.uid.clone())
        };
        let preconditions = Some(Preconditions { uid, resource_version: None });
        let params = DeleteParams { grace_period_seconds: Some(0), preconditions, ..DeleteParams::default() };
        insist(|| self.pods.delete(&name, &params)).await?;
        Err(Gone)
    }
}

/// Asks until there is an answer, whatever becomes of the API server meanwhile.
async fn insist<T, F>(mut ask: impl FnMut() -> F) -> Result<T, Gone>
where
    F: Future<Output = kube::Result<T>>,
{
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(kube::Error::Api(refusal)) if matches!(refusal.code, 404 | 409) => return Err(Gone),
            Err(_) => tokio::time::sleep(ASK_AGAIN).await,
        }
    }
}

fn deleted(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

fn grace(pod: &Pod) -> Duration {
    let seconds = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
    Duration::from_secs(seconds.try_into().unwrap_or(0))
}

fn cannot_start(error: &Error) -> State {
    State::Waiting { reason: "CreateContainerError", message: format!("{error:#}") }
}
