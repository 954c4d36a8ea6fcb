//! An API proxy stands between a client and an API server, makes requests go wrong by rule, and counts what was asked.
//!
//! It speaks plain HTTP to the client and is, to the server, whoever it was started for; so that each of several clients can have its
//! own. Faults of the network (cuts, delays, half-open connections) are those of the [`Proxy`] in front of it, its [`ApiProxy::wire`].

mod relay;
mod rule;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};
use http::Method;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::{Client, Config};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use self::rule::Script;
pub use self::rule::{Fault, Refusal, Rule};
use super::{client, thread};
use crate::stack::{Proxy, ports};

/// A proxy on a port of 127.0.0.1. Dropping it ends its connections.
#[derive(Debug)]
pub struct ApiProxy {
    wire: Proxy,
    shared: Arc<Shared>,
    listening: JoinHandle<()>,
}

/// A request as it came to the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub method: Method,
    /// With its query.
    pub path: String,
    pub outcome: Outcome,
    /// When it came.
    pub came: Instant,
    /// When its answer began, or its connection ended.
    pub ended: Instant,
}

/// What the client got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// An answer with this HTTP status.
    Answered(u16),
    /// The end of the connection.
    Cut,
}

#[derive(Debug, Default)]
struct Shared {
    script: Mutex<Script>,
    seen: Mutex<Vec<Seen>>,
}

impl ApiProxy {
    /// Listens on a free port for a client that is to the server what `config` says.
    pub fn start(mut config: Config) -> Result<Self> {
        // whether to try again is for the client on the other side to say
        config.default_retry = false;
        let threads = thread::background()?;
        let _inside = threads.enter();
        let server = client(config)?;
        let listener = ports::listen()?;
        let wire = Proxy::start(&listener.local_addr()?.to_string())?;
        let shared = Arc::new(Shared::default());
        let listening = threads.spawn(accept(listener, server, shared.clone()));
        Ok(Self { wire, shared, listening })
    }

    /// For clients that go through it.
    pub fn config(&self) -> Result<Config> {
        let url = self.url();
        Ok(Config::new(url.parse().with_context(|| format!("{url} is not a URL"))?))
    }

    /// A client that goes through it, and leaves it to its caller to try again.
    pub fn client(&self) -> Result<Client> {
        let mut config = self.config()?;
        config.default_retry = false;
        client(config)
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.wire.address())
    }

    /// A kubeconfig that leads through it, as text; for programs, which find theirs by `KUBECONFIG`.
    pub fn kubeconfig(&self) -> String {
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "proxy", "cluster": {"server": self.url()}}],
            "users": [{"name": "proxy", "user": {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
            "current-context": "proxy",
        });
        config.to_string()
    }

    /// From now on this goes wrong, too.
    pub fn add(&self, rule: Rule) {
        lock(&self.shared.script).add(rule);
    }

    /// Nothing goes wrong any more, neither by rule nor on the wire.
    pub fn heal(&self) {
        lock(&self.shared.script).clear();
        self.wire.heal();
    }

    /// The connections between the client and the proxy.
    pub fn wire(&self) -> &Proxy {
        &self.wire
    }

    /// What was asked since the start or the last [`ApiProxy::forget`], in the order of the answers.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// Forgets what was asked so far.
    pub fn forget(&self) {
        lock(&self.shared.seen).clear();
    }
}

impl Drop for ApiProxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Seen {
    /// Whether it would change something: all but GET.
    pub fn is_write(&self) -> bool {
        self.method != Method::GET
    }

    /// Whether it is the start of a watch, not a single look.
    pub fn is_watch(&self) -> bool {
        self.path.contains("watch=true")
    }
}

impl Shared {
    fn fault(&self, method: &Method, path: &str) -> Option<Fault> {
        lock(&self.script).next(method, path)
    }

    fn note(&self, seen: Seen) {
        lock(&self.seen).push(seen);
    }
}

async fn accept(listener: TcpListener, server: Client, shared: Arc<Shared>) {
    loop {
        // who went away before it was accepted needs nothing
        if let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(converse(connection, server.clone(), shared.clone()));
        }
    }
}

async fn converse(connection: TcpStream, server: Client, shared: Arc<Shared>) {
    let service = service_fn(move |request| relay::serve(request, server.clone(), shared.clone()));
    // a fault ends it with an error, which is what it is for
    let _ = http1::Builder::new().serve_connection(TokioIo::new(connection), service).await;
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
