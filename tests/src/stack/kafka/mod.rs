//! One Kafka node: broker and controller in one process.

mod acl;
mod listeners;
mod native;
mod properties;
mod secure;

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use nix::sys::signal::Signal;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::RDKafkaErrorCode;

pub use self::acl::{Acl, Operation, Resource};
use self::listeners::Secured;
pub use self::listeners::{KafkaSecurity, Listener, TokenTrust};
use super::ports::lost_port;
use super::process::{Lifetime, Process};
use super::proxy::Proxy;
use super::{fetch, ports, scratch, until};

pub(super) const START_LIMIT: Duration = Duration::from_secs(90);
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// One question to a broker that may be starting, busy or down; `until` asks again.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// What a test may want to differ.
#[derive(Debug, Clone)]
pub struct KafkaOptions {
    /// Largest heap of the broker.
    pub heap_megabytes: u32,
    /// More lines for `server.properties`; they win over ours.
    pub properties: Vec<(String, String)>,
    /// Where it listens, and what it tells its clients to use: an address of this machine.
    pub host: Ipv4Addr,
    /// So many ways to the broker through a proxy each, besides the direct one ([`Kafka::route`]).
    pub routes: usize,
    /// Listeners that want TLS, or to know who comes; rights are then checked on all of them.
    pub security: Option<KafkaSecurity>,
}

/// A listener that the broker tells its clients to reach through a proxy.
#[derive(Debug)]
struct Route {
    port: u16,
    proxy: Proxy,
}

/// A running (or stopped) broker with its data. Dropping it kills the broker and removes the data.
#[derive(Debug)]
pub struct Kafka {
    port: u16,
    controller_port: u16,
    routes: Vec<Route>,
    secured: Option<Secured>,
    directory: PathBuf,
    options: KafkaOptions,
    lifetime: Lifetime,
    process: Mutex<Option<Process>>,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        // 192 MB works too; this leaves room for a backlog being read by several workers
        Self {
            heap_megabytes: 384,
            properties: Vec::new(),
            host: Ipv4Addr::LOCALHOST,
            routes: 0,
            security: None,
        }
    }
}

impl Kafka {
    /// Starts a broker and returns when it answers.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers have a literal, and each try takes its own copy"
    )]
    pub fn start(options: KafkaOptions) -> Result<Self> {
        let mut lost = None;
        for _ in 0..3 {
            let kafka =
                Self::at(scratch::directory("kafka")?, ports::free_port()?, options.clone(), Lifetime::Tied)?;
            match kafka.launch() {
                Ok(()) => return Ok(kafka),
                Err(error) if lost_port(&error) => {
                    lost = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(lost.expect("the loop ran")).context("no port for kafka stayed free")
    }

    pub(crate) fn at(
        directory: PathBuf,
        port: u16,
        options: KafkaOptions,
        lifetime: Lifetime,
    ) -> Result<Self> {
        let controller_port = ports::free_port()?;
        let routes = (0..options.routes).map(|_| Route::new()).collect::<Result<_>>()?;
        let secured =
            options.security.as_ref().map(|security| Secured::new(security, &directory)).transpose()?;
        let process = Mutex::new(None);
        let kafka = Self { port, controller_port, routes, secured, directory, options, lifetime, process };
        kafka.format()?;
        Ok(kafka)
    }

    /// `HOST:PORT`, the same after a restart.
    pub fn bootstrap(&self) -> String {
        format!("{}:{}", self.options.host, self.port)
    }

    /// The proxy of a route. A client that begins at its address meets the broker only there.
    ///
    /// # Panics
    /// Where [`KafkaOptions::routes`] made fewer.
    pub fn route(&self, at: usize) -> &Proxy {
        &self.routes[at].proxy
    }

    /// Process number; `None` while it is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.process().as_ref().map(Process::pid)
    }

    /// Kills it (SIGKILL). Does nothing when it is not running.
    pub fn kill(&self) -> Result<()> {
        self.process().take().map_or(Ok(()), |mut process| process.kill())
    }

    /// Stops it in an orderly way (SIGTERM). Does nothing when it is not running.
    pub fn stop(&self) -> Result<()> {
        self.process().take().map_or(Ok(()), |mut process| process.stop(STOP_LIMIT))
    }

    /// Freezes it (SIGSTOP): connections stay, answers don't come.
    pub fn pause(&self) -> Result<()> {
        self.process().as_ref().context("kafka is not running")?.signal(Signal::SIGSTOP)
    }

    /// Ends [`Kafka::pause`].
    pub fn resume(&self) -> Result<()> {
        self.process().as_ref().context("kafka is not running")?.signal(Signal::SIGCONT)
    }

    /// Stops it if it runs, and starts it again on the same port and data; returns when it answers.
    pub fn restart(&self) -> Result<()> {
        self.stop()?;
        self.launch()
    }

    pub(crate) fn launch(&self) -> Result<()> {
        let start = fetch::part("kafka")?;
        let java = std::env::var_os("JAVA_HOME")
            .filter(|home| !home.is_empty())
            .map_or_else(|| "java".into(), |home| PathBuf::from(home).join("bin/java"));
        let mut command = Command::new(java);
        command
            .arg(format!("@{}", start.join("args").display()))
            .arg(format!("-Xmx{}m", self.options.heap_megabytes))
            // two shared cores: the concurrent collector's threads would only compete with the test
            .args(["-Xshare:auto", "-XX:+UseSerialGC", "-Djava.awt.headless=true"])
            .arg(format!("-Dlog4j2.configurationFile={}/tests/stack/log4j2.properties", fetch::ROOT))
            .args(self.secured.as_ref().and_then(Secured::java_argument))
            .arg("kafka.Kafka")
            .arg(self.directory.join("server.properties"));
        let mut process = Process::spawn("kafka", command, &self.directory.join("log"), self.lifetime)?;
        let admin = self.admin()?;
        // a topic that is only validated still goes through the broker to the controller: both work
        let probe = NewTopic::new("probe", 1, TopicReplication::Fixed(1));
        let options = AdminOptions::new().validate_only(true).request_timeout(Some(ANSWER_LIMIT));
        let ready = until("an answer from kafka", START_LIMIT, || {
            process.check()?;
            Ok(create(&admin, &probe, &options).ok())
        });
        if let Err(error) = ready {
            // a detached one would stay
            drop(process.kill());
            return Err(error);
        }
        *self.process() = Some(process);
        Ok(())
    }

    fn format(&self) -> Result<()> {
        let data = self.directory.join("data");
        let formatted = fetch::part("kafka")?.join("formatted");
        fs::create_dir_all(&data).with_context(|| format!("could not create {}", data.display()))?;
        for entry in
            fs::read_dir(&formatted).with_context(|| format!("could not read {}", formatted.display()))?
        {
            let entry = entry?;
            fs::copy(entry.path(), data.join(entry.file_name()))
                .context("could not copy a formatted storage directory")?;
        }
        self.write_properties()
    }

    pub(super) fn admin(&self) -> Result<AdminClient<DefaultClientContext>> {
        ClientConfig::new()
            .set("bootstrap.servers", self.bootstrap())
            .set("reconnect.backoff.ms", "20")
            .set("reconnect.backoff.max.ms", "100")
            // refused connections are what we expect while it starts
            .set_log_level(RDKafkaLogLevel::Emerg)
            .create()
            .context("could not create an admin client")
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Route {
    fn new() -> Result<Self> {
        let port = ports::free_port()?;
        Ok(Self { port, proxy: Proxy::start(&format!("{}:{port}", Ipv4Addr::LOCALHOST))? })
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        if self.lifetime == Lifetime::Tied {
            self.process().take();
            scratch::remove(&self.directory);
        }
    }
}

pub(super) fn create(
    admin: &AdminClient<DefaultClientContext>,
    topic: &NewTopic<'_>,
    options: &AdminOptions,
) -> Result<()> {
    let answer = block_on(admin.create_topics([topic], options))?.context("kafka did not answer")?;
    match answer.into_iter().next() {
        Some(Ok(_)) => Ok(()),
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Err(anyhow!("it exists already")),
        Some(Err((_, code))) => Err(anyhow!("kafka refused it: {code}")),
        None => Err(anyhow!("kafka answered nothing")),
    }
}

/// On a thread of its own, because tests call this inside and outside of an async runtime.
fn block_on<F: Future<Output: Send> + Send>(future: F) -> Result<F::Output> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future))
        });
        thread.join().map_err(|_| anyhow!("a request to kafka panicked"))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_lost_to_somebody_else_is_recognised() -> Result<()> {
        let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = taken.local_addr()?.port();
        let kafka = Kafka::at(scratch::directory("kafka")?, port, KafkaOptions::default(), Lifetime::Tied)?;

        let error = kafka.launch().expect_err("the port is taken");

        assert!(lost_port(&error), "{error:#}");
        Ok(())
    }
}
