//! A proxy stands between a client and a server and spoils their TCP connections on command.
//!
//! The words are toxiproxy's (latency, jitter, rate; upstream is towards the server, downstream towards the client). It is our
//! own because a failover needs more than that has: new connections go to another server while open ones stay with the old
//! one, bytes that a broken network held back still arrive, and nothing has to be installed.

mod pump;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

pub use self::wire::{Flow, Stream, Wire};
use super::ports;

/// Somebody may hold the port for a moment after the proxy let it go.
const BIND_AGAIN: Duration = Duration::from_millis(10);

/// A proxy on a port of 127.0.0.1. Dropping it ends its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    wire: watch::Sender<Wire>,
    /// Whether new connections are accepted.
    open: watch::Sender<bool>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Where new connections go.
    server: SocketAddr,
    next: u64,
    /// What ends each open connection with RST.
    resets: HashMap<u64, Arc<Notify>>,
}

impl Proxy {
    /// Listens on a free port for `server` (host:port), which need not be there yet.
    pub fn start(server: &str) -> Result<Self> {
        let server = parse(server)?;
        let _inside = runtime()?.enter();
        let listener = ports::listen()?;
        let address = listener.local_addr()?;
        let state = State { server, next: 0, resets: HashMap::new() };
        let shared = Arc::new(Shared {
            wire: watch::Sender::default(),
            open: watch::Sender::new(true),
            state: Mutex::new(state),
        });
        let listening = runtime()?.spawn(listen(listener, address, shared.clone()));
        Ok(Self { address, shared, listening })
    }

    /// `127.0.0.1:PORT`, where clients find it.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on all connections, open ones too, are on this wire.
    pub fn set(&self, wire: Wire) {
        self.shared.wire.send_replace(wire);
    }

    /// Ends all connections with RST and refuses new ones.
    pub fn cut(&self) {
        self.shared.open.send_replace(false);
        self.reset();
    }

    /// Accepts connections again, on a wire without faults.
    pub fn heal(&self) {
        self.set(Wire::default());
        self.shared.open.send_replace(true);
    }

    /// Ends all connections with RST.
    pub fn reset(&self) {
        for (_, reset) in self.shared.state().resets.drain() {
            reset.notify_one();
        }
    }

    /// New connections go to this server (host:port); open ones stay where they are.
    pub fn redirect(&self, server: &str) -> Result<()> {
        self.shared.state().server = parse(server)?;
        Ok(())
    }

    /// Open connections.
    pub fn connections(&self) -> usize {
        self.shared.state().resets.len()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
        self.cut();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a connection; none when connections are refused by now.
    fn admit(&self) -> Option<(u64, Arc<Notify>, SocketAddr)> {
        let mut state = self.state();
        if !*self.open.borrow() {
            return None;
        }
        state.next += 1;
        let (id, reset) = (state.next, Arc::new(Notify::new()));
        state.resets.insert(id, reset.clone());
        Some((id, reset, state.server))
    }
}

/// Accepts connections while the proxy is open. The port is let go while it is not, so that the system itself refuses.
async fn listen(mut listener: TcpListener, address: SocketAddr, shared: Arc<Shared>) {
    let mut open = shared.open.subscribe();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // who went away before it was accepted needs nothing
                if let Ok((client, _)) = accepted {
                    tokio::spawn(serve(client, shared.clone()));
                }
            }
            () = until_open(&mut open, false) => {
                drop(listener);
                listener = bind_again(address, &mut open).await;
            }
        }
    }
}

async fn bind_again(address: SocketAddr, open: &mut watch::Receiver<bool>) -> TcpListener {
    loop {
        until_open(open, true).await;
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(_) => tokio::time::sleep(BIND_AGAIN).await,
        }
    }
}

async fn until_open(open: &mut watch::Receiver<bool>, wanted: bool) {
    // the sender lives as long as the task that asks
    let _ = open.wait_for(|open| *open == wanted).await;
}

async fn serve(client: TcpStream, shared: Arc<Shared>) {
    let Some((id, reset, address)) = shared.admit() else { return pump::abort(client) };
    match connect(&client, address).await {
        Ok(server) => pump::carry(client, server, shared.wire.subscribe(), &reset).await,
        Err(_) => pump::abort(client),
    }
    shared.state().resets.remove(&id);
}

async fn connect(client: &TcpStream, address: SocketAddr) -> io::Result<TcpStream> {
    let server = TcpStream::connect(address).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    Ok(server)
}

fn parse(server: &str) -> Result<SocketAddr> {
    server.parse().with_context(|| format!("{server} is not an address"))
}

/// One thread carries the bytes of all proxies of this process.
fn runtime() -> Result<&'static Runtime> {
    static RUNTIME: OnceLock<io::Result<Runtime>> = OnceLock::new();
    let built = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    RUNTIME.get_or_init(built).as_ref().map_err(|error| anyhow::anyhow!("no runtime for proxies: {error}"))
}
