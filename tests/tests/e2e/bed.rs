//! A bed is a namespace for pipelines, which takes only pods of the restricted profile, with Kafka and Valkey on this machine.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt as _};
use plaudit::load::Summary;
use plaudit::pipeline::parse;
use plaudit_crds::AchievementPipeline;
use plaudit_tests::scene::{Scene, achievements, smooth_mix};
use plaudit_tests::stack::kubernetes::{eventually, this_machine};
use plaudit_tests::stack::{Stack, unique_name};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::dump;

/// For whatever takes an image's start, a rebalance and a session that runs out, on two busy cores.
pub const LIMIT: Duration = Duration::from_secs(120);
/// The pipeline of a test.
pub const NAME: &str = "achievements";
/// More than the workers that two cores carry.
pub const PARTITIONS: i32 = 4;

/// Tests share the release and the nodes.
static TURN: Mutex<()> = Mutex::const_new(());

pub struct Bed {
    pub client: Client,
    pub namespace: String,
    servers: &'static Stack,
}

/// Runs a test on a bed. What the cluster says of it is printed when it fails; its namespace goes in any case.
pub async fn on_a_bed(name: &str, test: impl AsyncFnOnce(&Bed) -> Result<()>) -> Result<()> {
    let _turn = TURN.lock().await;
    let bed = Bed::start(name).await?;
    let result = test(&bed).await;
    if result.is_err() {
        dump::print(&bed).await;
    }
    bed.end().await?;
    result
}

impl Bed {
    async fn start(name: &str) -> Result<Self> {
        let client =
            Client::try_default().await.context("KUBECONFIG names no cluster; `make e2e` brings one")?;
        let namespace = unique_name(&format!("e2e-{name}"));
        let bed = Self { servers: servers(&client).await?, client, namespace };
        let object: Namespace = serde_json::from_value(json!({
            "metadata": {"name": bed.namespace, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
        }))?;
        Api::all(bed.client.clone()).create(&PostParams::default(), &object).await?;
        let accounts: Api<ServiceAccount> = bed.api();
        let made = async || Ok(accounts.get_opt("default").await?.map(drop));
        eventually("a default service account", LIMIT, made).await?;
        Ok(bed)
    }

    /// Workers of one test would take the processors of the next.
    async fn end(&self) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces.delete(&self.namespace, &DeleteParams::default()).await?;
        let gone = async || Ok(namespaces.get_opt(&self.namespace).await?.is_none().then_some(()));
        eventually("the namespace to go", LIMIT, gone).await
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// A pipeline on this machine's Kafka and Valkey, with every policy, tiers and unlocks, and its topics.
    pub async fn pipeline(&self, scaling: Value) -> Result<Arc<Scene<'static>>> {
        let topic = unique_name("reports");
        let object = self.object(NAME, &topic, &scaling)?;
        let config = parse(&object).context("the pipeline is good")?.worker_config();
        let scene = Scene::of((&self.servers.kafka, &self.servers.valkey), config, PARTITIONS)?;
        self.api::<AchievementPipeline>().create(&PostParams::default(), &object).await?;
        Ok(Arc::new(scene))
    }

    /// A pipeline that is not applied yet.
    pub fn object(&self, name: &str, topic: &str, scaling: &Value) -> Result<AchievementPipeline> {
        let object = json!({
            "apiVersion": "plaudit.dev/v1alpha1",
            "kind": "AchievementPipeline",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "source": {
                    "bootstrapServers": self.servers.kafka.bootstrap(),
                    "topic": topic,
                    "properties": {"session.timeout.ms": 6_000},
                },
                "store": {"addresses": [self.servers.valkey.address()], "keyPrefix": format!("{topic}:")},
                "achievements": achievements(),
                "unlocks": {"topic": format!("{topic}.unlocks")},
                "scaling": scaling,
            },
        });
        Ok(serde_json::from_value(object)?)
    }

    pub async fn edit(&self, change: Value) -> Result<()> {
        let pipelines: Api<AchievementPipeline> = self.api();
        pipelines.patch(NAME, &PatchParams::default(), &Patch::Merge(change)).await?;
        Ok(())
    }

    /// Until a condition is so, with this reason if one is given.
    pub async fn until_ready(&self, name: &str, status: &str, reason: Option<&str>) -> Result<()> {
        let pipelines: Api<AchievementPipeline> = self.api();
        let what = format!("{name} to be Ready={status} {}", reason.unwrap_or_default());
        eventually(&what, LIMIT, async || {
            let conditions = pipelines.get(name).await?.status.unwrap_or_default().conditions;
            let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
            let good = |reason_now: &str| reason.is_none_or(|reason| reason == reason_now);
            Ok(ready.filter(|ready| ready.status == status && good(&ready.reason)).map(drop))
        })
        .await
    }

    /// A user of the store with this password, who may do everything.
    pub async fn store_user(&self, user: &str, password: &str) -> Result<()> {
        let mut make = redis::cmd("ACL");
        make.arg("SETUSER").arg(user).arg(&["reset", "on", "~*", "&*", "+@all"]).arg(format!(">{password}"));
        self.ask_store(&make).await
    }

    /// Ends a user's connections to the store.
    pub async fn cut_off(&self, user: &str) -> Result<()> {
        self.ask_store(redis::cmd("CLIENT").arg("KILL").arg("USER").arg(user)).await
    }

    async fn ask_store(&self, command: &redis::Cmd) -> Result<()> {
        let client = redis::Client::open(format!("redis://{}", self.servers.valkey.address()))?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        Ok(command.query_async::<redis::Value>(&mut connection).await.map(drop)?)
    }

    pub async fn workers(&self) -> Result<Vec<Pod>> {
        let workers = ListParams::default().labels("app.kubernetes.io/name=plaudit-worker");
        Ok(self.api::<Pod>().list(&workers).await?.items)
    }

    /// Until exactly so many workers are there, all of them ready, none of them one of `old`.
    pub async fn until_workers(&self, count: usize, old: &BTreeSet<String>) -> Result<Vec<Pod>> {
        eventually(&format!("{count} workers that are ready"), LIMIT, async || {
            let pods = self.workers().await?;
            let good = pods.iter().filter(|pod| is_ready(pod) && !old.contains(&pod.name_any())).count();
            Ok((good == count && pods.len() == count).then_some(pods))
        })
        .await
    }

    /// Values that name the ports of Kafka, Valkey and the API server, for NetworkPolicies, and `more` beside Valkey's.
    pub async fn ports(&self, more: u16) -> Result<String> {
        let port = |address: &str| Some(address.rsplit(':').next()?.trim_end_matches('/').to_owned());
        let url = kube::Config::infer().await?.cluster_url.to_string();
        let found =
            [self.servers.kafka.bootstrap(), self.servers.valkey.address(), url].map(|one| port(&one));
        let [Some(kafka), Some(store), Some(api)] = found else { anyhow::bail!("addresses without ports") };
        Ok(format!(
            "--set=networkPolicy.kafka.ports={{{kafka}}},networkPolicy.store.ports={{{store},{more}}},\
             networkPolicy.apiServer.ports={{443,{api}}}"
        ))
    }

    /// What `kubectl` prints about the bed's namespace; fails with its words.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        kubectl(&[arguments, &["--namespace", &self.namespace]].concat())
    }
}

/// What `kubectl` prints, in no namespace of ours; fails with its words.
pub fn kubectl(arguments: &[&str]) -> Result<String> {
    let output = Command::new("kubectl").args(arguments).stdin(Stdio::null()).output();
    let output = output.context("could not run kubectl; tools/e2e puts one on PATH")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "kubectl {} failed: {said}", arguments.join(" "));
    Ok(String::from_utf8(output.stdout)?)
}

/// Sends reports for so many seconds, while the test goes on.
pub fn send(
    scene: &Arc<Scene<'static>>,
    seed: u64,
    per_second: u32,
    seconds: u32,
) -> JoinHandle<Result<Summary>> {
    let scene = Arc::clone(scene);
    let count = u64::from(per_second) * u64::from(seconds);
    tokio::task::spawn_blocking(move || scene.load(smooth_mix(seed, 5_000), count, f64::from(per_second)))
}

/// Reports that are sent while something happens.
pub struct Load {
    stop: Stop,
    sent: JoinHandle<Result<Summary>>,
}

/// A test that fails sends no longer.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Begins to send, and returns when the first of it is stored.
pub async fn load(scene: &Arc<Scene<'static>>) -> Result<Load> {
    const PER_SECOND: u32 = 3_000;
    /// It ends by itself, should nobody end it.
    const AT_MOST_SECONDS: u32 = 240;
    let stop = Arc::<AtomicBool>::default();
    let sent = tokio::task::spawn_blocking({
        let (scene, stop) = (Arc::clone(scene), Arc::clone(&stop));
        let most = u64::from(PER_SECOND) * u64::from(AT_MOST_SECONDS);
        move || scene.load_until(smooth_mix(1, 5_000), most, f64::from(PER_SECOND), &stop)
    });
    let load = Load { stop: Stop(stop), sent };
    eventually("the first of the load to be stored", LIMIT, async || {
        Ok(scene.stored()?.values().any(|offset| *offset > 0).then_some(()))
    })
    .await?;
    Ok(load)
}

impl Load {
    /// Fails if it ended before, or anything was not acknowledged.
    pub async fn end(self) -> Result<()> {
        ensure!(!self.sent.is_finished(), "the load ended before what it was for");
        drop(self.stop);
        self.sent.await??;
        Ok(())
    }
}

/// Everything is stored and committed, and nothing is lost or counted twice.
pub async fn exact(scene: &Arc<Scene<'static>>) -> Result<()> {
    let scene = Arc::clone(scene);
    let checked = tokio::task::spawn_blocking(move || {
        scene.wait_until_stored(LIMIT)?;
        scene.assert_exact()
    });
    let verdict = checked.await??;
    ensure!(verdict.players > 0, "{verdict}");
    Ok(())
}

pub fn names(pods: &[Pod]) -> BTreeSet<String> {
    pods.iter().map(kube::ResourceExt::name_any).collect()
}

/// How often the containers of a pod began again.
pub fn restarts(pod: &Pod) -> i32 {
    let containers = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    containers.map(|container| container.restart_count).sum()
}

pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Kafka and Valkey at the address that the nodes reach this machine by.
async fn servers(client: &Client) -> Result<&'static Stack> {
    static SERVERS: OnceLock<Stack> = OnceLock::new();
    if let Some(servers) = SERVERS.get() {
        return Ok(servers);
    }
    let servers = Stack::start_at(this_machine(client).await?)?;
    Ok(SERVERS.get_or_init(|| servers))
}
