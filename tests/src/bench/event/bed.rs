//! The bed of an event: Kafka, the store, a way to the store that is as long for both sides, and the sides on it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::ValueEnum as _;
use plaudit::load::Histogram;
use plaudit_crds::worker::WorkerConfig;
use plaudit_crds::{AchievementType, Achievements, Policy, Unlisted};

use super::super::machine;
use super::open_loop::Times;
use super::produce::{self, Places};
use super::run::{Flood, Latencies, Look, Run, Writes};
use super::stored::{Positions, Watch};
use super::trace::{Span, Trace};
use super::usage::Meter;
use super::{exact, requests};
use crate::direct::{Counted, Settings};
use crate::programs;
use crate::scene::{self, Scene, Worker};
use crate::stack::delay::DelayProxy;
use crate::stack::process::{Lifetime, Process};
use crate::stack::{Kafka, Valkey, scratch, unique_name, until};

pub const PARTITIONS: i32 = 12;
/// Requests of a cold broker take a hundred times as long as later ones.
const WARM_UP: Duration = Duration::from_secs(4);
const START_LIMIT: Duration = Duration::from_secs(30);
/// For what is left of the backlog after the trace.
const DRAIN_LIMIT: Duration = Duration::from_secs(120);

/// What both sides share. The topic is for one run.
#[derive(Debug)]
pub struct Bed<'a> {
    scene: Scene<'a>,
    proxy: DelayProxy,
    directory: PathBuf,
}

/// A running `direct`; killed when dropped.
#[derive(Debug)]
pub struct Direct {
    process: Process,
    pub address: String,
    pub config: WorkerConfig,
}

impl<'a> Bed<'a> {
    /// `round_trip`: how much longer the way to the store and back is made.
    pub fn new(servers: (&'a Kafka, &'a Valkey), round_trip: Duration) -> Result<Self> {
        let proxy = DelayProxy::start(&servers.1.address(), round_trip)?;
        let address = proxy.address();
        let scene = Scene::new(servers, "event", PARTITIONS, |config| {
            config.store.address = address;
            config.achievements = achievements();
        })?;
        Ok(Self { scene, proxy, directory: scratch::directory("event")? })
    }

    /// The round trip to the store as both sides have it: the median of some hundred PINGs.
    pub fn round_trip(&self) -> Result<Duration> {
        let client = redis::Client::open(format!("redis://{}/", self.proxy.address()))?;
        let mut connection = client.get_connection()?;
        let mut measured = Histogram::default();
        for _ in 0..300 {
            let begin = Instant::now();
            redis::cmd("PING").exec(&mut connection)?;
            measured.add(begin.elapsed());
        }
        measured.quantile(0.5).context("nothing was measured")
    }

    /// Lets the broker compile what it needs, on a topic of its own: brokers run for months.
    pub fn warm_up(&self, trace: &Arc<Trace>) -> Result<()> {
        let topic = unique_name("warm-up");
        self.scene.kafka.create_topic(&topic, PARTITIONS, &[])?;
        produce::GameServers::connect(&self.scene.kafka.bootstrap(), &topic, trace, 0.0)?.warm_up(WARM_UP)
    }

    /// Starts a server with keys of its own.
    pub fn start_direct(&self, settings: Settings) -> Result<Direct> {
        let name = unique_name("direct");
        let mut config = self.scene.config.clone();
        config.store.key_prefix = format!("{name}:");
        let path = |ending: &str| self.directory.join(format!("{name}.{ending}"));
        std::fs::write(path("yaml"), config.to_yaml()).context("cannot write the configuration")?;
        let Settings { threads, store_connections, in_flight, backoff_milliseconds, cas } = settings;
        let cas = cas.to_possible_value().context("it has a name")?;
        let mut command = Command::new(programs::find("plaudit-tests")?);
        command
            .arg("direct-server")
            .args([Path::new("--config"), &path("yaml")])
            .args([Path::new("--address-file"), &path("address")])
            .args(["--threads", &threads.to_string()])
            .args(["--store-connections", &store_connections.to_string()])
            .args(["--in-flight", &in_flight.to_string()])
            .args(["--backoff-milliseconds", &backoff_milliseconds.to_string()])
            .args(["--cas", cas.get_name()]);
        let mut process = Process::spawn("direct", command, &path("log"), Lifetime::Tied)?;
        let address = until("direct's address", START_LIMIT, || {
            process.check()?;
            Ok(std::fs::read_to_string(path("address")).ok())
        })?;
        Ok(Direct { process, address, config })
    }

    /// Sends the trace to a server.
    pub fn run_direct(&self, trace: &Arc<Trace>, settings: Settings) -> Result<Run> {
        let direct = self.start_direct(settings)?;
        let counted = || {
            let Counted { attempts, conflicts, .. } = direct.counted()?;
            anyhow::Ok(Writes { attempts, conflicts })
        };
        let meter = self.meter(vec![direct.process.pid()]);
        let mut senders = requests::GameServers::connect(&direct.address, trace)?;
        let mut looks = vec![Look { cpu: meter.read()?, stored: 0 }];
        let start = Instant::now();
        let lateness = senders.play(start, |_: &Span, stored| {
            looks.push(Look { cpu: meter.read()?, stored });
            Ok(())
        })?;
        let writes = counted()?;
        looks.push(Look { cpu: meter.read()?, stored: senders.stored() });
        let begin = Instant::now();
        let replied = senders.flood(settings.in_flight as u64)?;
        let elapsed = begin.elapsed();
        looks.push(Look { cpu: meter.read()?, stored: senders.stored() });
        let flood =
            Flood { elapsed, slowest_percent: replied.quantile(0.99), writes: counted()?.since(writes) };
        let verdict = exact::check(trace, &direct.config, &self.scene.valkey.address())?;
        let latencies = || Latencies::of(trace, start, &senders.times);
        // A reply says that the report is stored.
        let (accepted, stored) = (latencies(), latencies());
        senders.end();
        Ok(Run {
            trace: trace.clone(),
            looks,
            accepted,
            stored,
            flood,
            wrong: (!verdict.passed()).then(|| verdict.to_string()),
            writes,
            lateness,
            resident_mebibytes: machine::peak_mebibytes(direct.process.pid())?,
        })
    }

    /// Sends the trace to the topic and lets so many workers of this program store it.
    pub fn run_plaudit(
        &self,
        trace: &Arc<Trace>,
        program: &Path,
        workers: usize,
        linger_ms: f64,
    ) -> Result<Run> {
        let config = &self.scene.config;
        let workers: Vec<Worker> =
            (0..workers).map(|_| self.scene.start_program(program)).collect::<Result<_>>()?;
        let watch = Watch::start(&self.scene.valkey.address(), &config.store.key_prefix, PARTITIONS)?;
        until("every partition to be taken", START_LIMIT, || {
            Ok((watch.known() == PARTITIONS as usize).then_some(()))
        })?;
        for worker in &workers {
            until("a worker to be ready", START_LIMIT, || {
                Ok((worker.get("/readyz")?.0 == 200).then_some(()))
            })?;
        }
        let meter = self.meter(workers.iter().map(Worker::pid).collect());
        let (servers, topic) = (&config.source.bootstrap_servers, &config.source.topic);
        let mut senders = produce::GameServers::connect(servers, topic, trace, linger_ms)?;
        senders.prime()?;
        drain(&watch, senders.acknowledged());
        let mut looks = vec![Look { cpu: meter.read()?, stored: watch.stored() }];
        let start = Instant::now();
        let lateness = senders.play(start, |_: &Span| {
            looks.push(Look { cpu: meter.read()?, stored: watch.stored() });
            Ok(())
        })?;
        drain(&watch, senders.acknowledged());
        let writes = written(&workers)?;
        looks.push(Look { cpu: meter.read()?, stored: watch.stored() });
        // Stopped, so that the flood is a backlog.
        workers.iter().try_for_each(Worker::pause)?;
        let flooded = senders.flood();
        let begin = Instant::now();
        workers.iter().try_for_each(Worker::resume)?;
        flooded?;
        drain(&watch, senders.acknowledged());
        looks.push(Look { cpu: meter.read()?, stored: watch.stored() });
        let flood = Flood {
            elapsed: begin.elapsed(),
            slowest_percent: None,
            writes: written(&workers)?.since(writes),
        };
        let stored = stored_times(trace, start, &senders.places, &watch.end()?);
        let resident: Vec<f64> =
            workers.iter().map(|worker| machine::peak_mebibytes(worker.pid())).collect::<Result<_>>()?;
        workers.into_iter().try_for_each(Worker::stop)?;
        let verdict = self.scene.check()?;
        let exact = verdict.passed() && verdict.not_stored_yet == 0;
        Ok(Run {
            trace: trace.clone(),
            looks,
            accepted: Latencies::of(trace, start, &senders.times),
            stored: Latencies::of(trace, start, &stored),
            flood,
            wrong: (!exact).then(|| verdict.to_string()),
            writes,
            lateness,
            resident_mebibytes: resident.into_iter().fold(0.0, f64::max),
        })
    }

    fn meter(&self, subjects: Vec<u32>) -> Meter<'_> {
        Meter { subjects, kafka: self.scene.kafka, valkey: self.scene.valkey, proxy: &self.proxy }
    }
}

impl Direct {
    /// What it has counted so far.
    pub fn counted(&self) -> Result<Counted> {
        requests::counters(&self.address)
    }
}

impl Drop for Bed<'_> {
    fn drop(&mut self) {
        scratch::remove(&self.directory);
    }
}

/// Levels, counters and deltas are kept as latest, greatest and sum: what needs no order, which `direct` does not have.
fn achievements() -> Achievements {
    let policies = [Policy::Latest, Policy::Max, Policy::Sum].into_iter().cycle();
    let listed = |(r#type, policy)| AchievementType { r#type, policy, tiers: Vec::new() };
    let types = (1_001..).zip(policies).take(scene::TYPES as usize).map(listed).collect();
    Achievements { default_policy: Policy::Latest, unlisted: Unlisted::Accept, types }
}

/// Waits until so many reports are stored, or too long: what is missing then shows in the count.
fn drain(watch: &Watch, reports: u64) {
    drop(until("the rest to be stored", DRAIN_LIMIT, || Ok((watch.stored() >= reports).then_some(()))));
}

fn written(workers: &[Worker]) -> Result<Writes> {
    let sum = |name: &str| workers.iter().map(|worker| worker.metric(name)).sum::<Result<f64>>();
    let conflicts = sum("plaudit_conflicts_total")? as u64;
    Ok(Writes { attempts: sum("plaudit_players_written_total")? as u64 + conflicts, conflicts })
}

fn stored_times(trace: &Trace, start: Instant, places: &Places, positions: &Positions) -> Times {
    let times = Times::new(trace.reports.len(), start);
    for report in 0..trace.reports.len() {
        let place = places.get(report);
        if let Some(seen) = place.and_then(|(partition, offset)| positions.stored_at(partition, offset)) {
            times.put(report, seen);
        }
    }
    times
}
