//! A line is a pipeline under steady load on servers that want to know who comes, run by `plaudit local`, while its Secrets change.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use plaudit::pipeline;
use plaudit::snapshot::WorkerView;
use plaudit_crds::AchievementPipeline;
use plaudit_tests::fleet::{self, Fleet, Settings};
use plaudit_tests::scene::{Scene, achievements, rough_mix};
use plaudit_tests::secured::{kafka_rights, store_rules};
use plaudit_tests::stack::certificates::Authority;
use plaudit_tests::stack::security::STORE_PASSWORD;
use plaudit_tests::stack::{
    ClientCertificates, Kafka, KafkaOptions, KafkaSecurity, Listener, Proxy, StoreTls, TokenEndpoint, Valkey,
    ValkeyOptions, until,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::seen::{is, is_complete, pids};

const LIMIT: Duration = Duration::from_secs(45);
/// Workers look at their Secrets every five seconds, and ask a server then; a busy machine takes its time.
const TOLD_WITHIN: Duration = Duration::from_secs(15);
const HOST: &str = "127.0.0.1";
const PARTITIONS: i32 = 4;
pub(super) const WORKERS: usize = 2;
/// Reports a second: enough that something is always under way.
const RATE: f64 = 150.0;
/// Of each partition; clients that have nothing to send yet connect meanwhile.
const FIRST: i64 = 100;
/// More than any of the tests takes time for.
const MOST_REPORTS: u64 = 1_000_000;
/// Servers whose certificates change, with proxies that end connections.
pub(super) struct Servers {
    pub(super) authority: Authority,
    pub(super) tokens: TokenEndpoint,
    pub(super) kafka: Kafka,
    /// Clients have to show a certificate on its port with TLS.
    pub(super) store: Valkey,
    pub(super) way_to_store: Proxy,
}

/// Those of this test process.
pub(super) fn servers() -> &'static Servers {
    static SERVERS: OnceLock<Servers> = OnceLock::new();
    SERVERS.get_or_init(|| Servers::start().unwrap_or_else(|error| panic!("{error:#}")))
}

impl Servers {
    fn start() -> Result<Self> {
        let authority = Authority::new("authority")?;
        let tokens = TokenEndpoint::start(&authority.server(&[HOST])?)?;
        let listeners = [Listener::MutualTls, Listener::ScramSha512, Listener::OAuthBearer];
        let security =
            KafkaSecurity { proxied: true, ..KafkaSecurity::new(&authority, &listeners, &tokens)? };
        let store = Valkey::start(ValkeyOptions {
            password: Some(STORE_PASSWORD.to_owned()),
            tls: Some(StoreTls {
                identity: authority.server(&[HOST])?,
                clients: ClientCertificates::Required,
                client_authorities: authority.pem(),
            }),
            ..ValkeyOptions::default()
        })?;
        let way_to_store = Proxy::start(&store.tls_address()?)?;
        let kafka = Kafka::start(KafkaOptions { security: Some(security), ..KafkaOptions::default() })?;
        Ok(Self { authority, tokens, kafka, store, way_to_store })
    }

    /// Gives `user` what a pipeline of this name needs of Kafka.
    pub(super) fn allow(&self, user: &str, name: &str) -> Result<()> {
        let written = [format!("{name}.dead-letters"), format!("{name}.unlocks")];
        let written: Vec<&str> = written.iter().map(String::as_str).collect();
        self.kafka.allow(&kafka_rights(user, name, &format!("default.{name}"), &written))
    }

    /// Makes a user of the store for the keys of a pipeline of this name.
    pub(super) fn allow_in_store(&self, user: &str, password: &str, name: &str) -> Result<()> {
        let rules = store_rules(&format!("{name}:"))?;
        let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        self.store.set_user(user, password, &rules)
    }

    /// A pipeline of this name that comes to `listener`, with its topics.
    pub(super) fn scene(&self, name: &str, listener: Listener, security: [Value; 2]) -> Result<Played<'_>> {
        let [source, store] = security;
        let address = if store["tls"].is_null() { self.store.address() } else { self.way_to_store.address() };
        let object: AchievementPipeline = serde_json::from_value(json!({
            "apiVersion": "plaudit.dev/v1alpha1",
            "kind": "AchievementPipeline",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "source": {
                    "bootstrapServers": self.kafka.secure_bootstrap(listener)?,
                    "topic": name,
                    "security": source,
                },
                "store": {"addresses": [address], "keyPrefix": format!("{name}:"), "security": store},
                "achievements": achievements(),
                "unlocks": {"topic": format!("{name}.unlocks")},
                "scaling": {"replicas": WORKERS},
            },
        }))?;
        let config = pipeline::parse(&object)?.worker_config();
        let scene = Scene::of((&self.kafka, &self.store), config, PARTITIONS)?;
        Ok(Played { object, scene })
    }
}

/// A pipeline and its topics.
pub(super) struct Played<'a> {
    object: AchievementPipeline,
    scene: Scene<'a>,
}

pub(super) struct Line<'a> {
    scene: &'a Scene<'a>,
    fleet: Fleet,
    directory: TempDir,
    versions: u32,
    /// The processes of its workers.
    pids: BTreeSet<u32>,
    begin: Instant,
}

impl<'a> Line<'a> {
    /// Starts it with these Secrets (name, keys and values), and waits until it is ready.
    pub(super) fn start(played: &'a Played<'_>, secrets: &[(&str, &[(&str, &str)])]) -> Result<Self> {
        let Played { object, scene } = played;
        let directory = tempfile::tempdir()?;
        std::fs::create_dir(directory.path().join("secrets"))?;
        let file = directory.path().join("pipeline.yaml");
        std::fs::write(&file, serde_yaml::to_string(object)?)?;
        let mut versions = 0;
        for (name, values) in secrets {
            versions += 1;
            write(&directory, versions, name, values)?;
        }
        let mut fleet = Fleet::start(&Settings {
            secrets: Some(&directory.path().join("secrets")),
            // Whoever logs most must not log a secret.
            log: Some("trace"),
            ..Settings::under_test(
                &file,
                object.spec.source.bootstrap_servers.clone(),
                object.spec.store.addresses[0].clone(),
            )
        })?;
        let seen = fleet.wait_for("a pipeline that is ready", LIMIT, |seen| {
            is(seen, "Ready", "True", None) && is_complete(seen)
        })?;
        let pids = pids(&seen);
        Ok(Self { scene, fleet, directory, versions, pids, begin: Instant::now() })
    }

    /// Plays `script` under load.
    pub(super) fn play(&mut self, script: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let (scene, stop) = (self.scene, AtomicBool::new(false));
        std::thread::scope(|scope| {
            let load = scope.spawn(|| scene.load_until(rough_mix(71, 300), MOST_REPORTS, RATE, &stop));
            let played = self.begins().and_then(|()| script(self));
            stop.store(true, Ordering::Relaxed);
            let loaded = load.join().expect("the load does not panic");
            played.and(loaded.map(drop))
        })
    }

    /// Workers store reports of each partition: what is refused later need not let in connections that this takes.
    fn begins(&self) -> Result<()> {
        let (log, group) = (self.scene.log()?, &self.scene.config.source.consumer_group);
        until("first reports of each partition to be stored", LIMIT, || {
            let committed = log.committed(group)?;
            Ok((0..PARTITIONS).all(|partition| committed.get(&partition) >= Some(&FIRST)).then_some(()))
        })
        .with_context(|| self.fleet.log())
    }

    /// A Secret now has these keys and no others, from one moment to the next, as a kubelet does it.
    pub(super) fn write(&mut self, secret: &str, values: &[(&str, &str)]) -> Result<()> {
        self.versions += 1;
        write(&self.directory, self.versions, secret, values)
    }

    /// What is new cannot be used: the condition says so, and what runs goes on.
    pub(super) fn refuses(&mut self, condition: &str, reason: &str) -> Result<()> {
        let begin = Instant::now();
        let told = self.fleet.wait_for(reason, LIMIT, |seen| is(seen, condition, "False", Some(reason)))?;
        let took = begin.elapsed();
        ensure!(took < TOLD_WITHIN, "{condition}: {reason} after {took:?}");
        self.note(&format!("{condition} is {reason} after {took:?}"));
        self.goes_on()?;
        let lag = told.pipeline.status.and_then(|status| status.lag);
        ensure!(lag.is_some(), "the lag is not known while {condition} is {reason}");
        Ok(())
    }

    /// The condition is true again, or still, and the same workers store.
    pub(super) fn works(&mut self, condition: &str) -> Result<()> {
        let what = format!("{condition} to be true");
        self.fleet.wait_for(&what, LIMIT, |seen| is(seen, condition, "True", Some("Available")))?;
        self.goes_on()?;
        self.note(&format!("{condition} is true"));
        Ok(())
    }

    /// All workers are replaced, one after the other.
    pub(super) fn replaces_workers(&mut self) -> Result<()> {
        let (before, most_draining) = (self.pids.clone(), Cell::new(0));
        let seen = self.fleet.wait_for("other workers", LIMIT, |seen| {
            let draining = seen.workers.iter().filter(|worker| worker.state == "draining").count();
            most_draining.set(draining.max(most_draining.get()));
            is_complete(seen) && pids(seen).is_disjoint(&before)
        })?;
        ensure!(most_draining.get() <= 1, "{} workers ended at once", most_draining.get());
        self.pids = pids(&seen);
        self.note("other workers");
        self.works("SourceAvailable")
    }

    /// A worker ends without a word, and the one that takes its place does not get in.
    pub(super) fn lose_worker(&mut self) -> Result<()> {
        let lost = self.pids.pop_first().context("a worker")?;
        fleet::signal(lost, Signal::SIGKILL)?;
        let survivors = self.pids.clone();
        let is_new =
            |worker: &WorkerView| worker.pid.is_some_and(|pid| pid != lost && !survivors.contains(&pid));
        let seen = self.fleet.wait_for("another worker", LIMIT, |seen| seen.workers.iter().any(is_new))?;
        let new = seen.workers.iter().find(|worker| is_new(worker)).context("a new worker")?;
        until("it to be kept out", LIMIT, || {
            Ok(self.fleet.worker_log(&new.name).contains("Kafka does not let us in").then_some(()))
        })?;
        self.note("another worker");
        ensure!(pids(&seen).is_superset(&self.pids), "not only one worker ended: {:#?}", seen.workers);
        Ok(())
    }

    /// All workers are ready, and those that were before are still there.
    pub(super) fn is_whole_again(&mut self) -> Result<()> {
        let seen = self.fleet.wait_for("all workers to be ready", LIMIT, is_complete)?;
        ensure!(pids(&seen).is_superset(&self.pids), "more workers ended than one: {:#?}", seen.workers);
        self.pids = pids(&seen);
        self.note("whole again");
        self.works("SourceAvailable")
    }

    /// Ends it, and everything that was reported is stored exactly once.
    pub(super) fn end(mut self) -> Result<()> {
        self.scene.wait_until_stored(LIMIT)?;
        self.fleet.wait_for("no lag", LIMIT, |seen| {
            seen.pipeline.status.as_ref().is_some_and(|status| status.lag == Some(0))
        })?;
        self.fleet.stop()?;
        let verdict = self.scene.assert_exact()?;
        eprintln!("{verdict}");
        Ok(())
    }

    /// What was sent before now is stored, by the workers that there were.
    fn goes_on(&mut self) -> Result<()> {
        let (log, group) = (self.scene.log()?, &self.scene.config.source.consumer_group);
        let ends = log.ends()?;
        let stored = until("reports to be stored", LIMIT, || {
            let committed = log.committed(group)?;
            Ok(ends.iter().all(|(partition, end)| committed.get(partition) >= Some(end)).then_some(()))
        });
        stored.with_context(|| self.fleet.log())?;
        let seen = self.fleet.look()?.context("a look")?;
        ensure!(pids(&seen) == self.pids, "not the workers {:?}: {:#?}", self.pids, seen.workers);
        Ok(())
    }

    fn note(&self, what: &str) {
        eprintln!("{:6.1} s: {what}", self.begin.elapsed().as_secs_f64());
    }
}

/// A new folder takes the place of the old one.
fn write(directory: &TempDir, version: u32, secret: &str, values: &[(&str, &str)]) -> Result<()> {
    let secrets = directory.path().join("secrets");
    let (folder, link) = (format!("..{version}"), secrets.join(format!("..link-{version}")));
    std::fs::create_dir(secrets.join(&folder))?;
    for (key, value) in values {
        std::fs::write(secrets.join(&folder).join(key), value)?;
    }
    symlink(&folder, &link)?;
    Ok(std::fs::rename(link, secrets.join(secret))?)
}
