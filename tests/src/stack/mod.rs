//! A stack is one real Kafka and one real Valkey on free ports of 127.0.0.1, living exactly as long as the test process.
//!
//! Tests share one pair ([`shared`]) and keep apart by names ([`unique_name`]); a test that kills or pauses a server starts its own.
//! Nothing is left behind: the servers die with this process however it ends (see `process`), and their files go after them (see `scratch`).

mod admin;
pub(crate) mod ask;
pub mod background;
pub mod certificates;
pub mod delay;
pub(crate) mod fetch;
mod kafka;
pub mod kubernetes;
pub(crate) mod ports;
pub(crate) mod process;
pub mod proxy;
pub(crate) mod scratch;
pub mod security;
pub(crate) mod thread;
pub mod tokens;
mod valkey;

use std::fmt::Debug;
use std::net::Ipv4Addr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

pub use self::kafka::{Acl, Kafka, KafkaOptions, KafkaSecurity, Listener, Operation, Resource, TokenTrust};
pub use self::proxy::Proxy;
pub use self::security::{SecureStack, secure};
pub use self::tokens::TokenEndpoint;
pub use self::valkey::{ClientCertificates, StoreTls, Valkey, ValkeyOptions, jemalloc};

#[derive(Debug)]
pub struct Stack {
    pub kafka: Kafka,
    pub valkey: Valkey,
}

/// The pair of this test process, started on first use. Not for tests that stop or pause a server: others are using it.
///
/// # Panics
/// When a server can't be started; the message is the whole chain of causes.
pub fn shared() -> &'static Stack {
    static SHARED: OnceLock<Stack> = OnceLock::new();
    SHARED.get_or_init(|| Stack::start().unwrap_or_else(|error| panic!("{error:#}")))
}

/// A name for a topic, group or key prefix that no other test of this or an earlier process used: `prefix-1a2b3c4d-0`.
pub fn unique_name(prefix: &str) -> String {
    static PROCESS: OnceLock<u32> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let process = PROCESS.get_or_init(|| fastrand::u32(..));
    format!("{prefix}-{process:08x}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Asks `probe` every 25 ms until it answers `Some`; fails with `what` (a noun phrase) when `limit` is over, at once when `probe` fails.
pub fn until<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begin = Instant::now();
    loop {
        if let Some(value) = probe()? {
            return Ok(value);
        }
        if begin.elapsed() >= limit {
            bail!("waited {limit:?} in vain for {what}");
        }
        std::thread::sleep(Duration::from_millis(25));
    }
}

impl Stack {
    /// Both, for clients on this machine.
    pub fn start() -> Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST)
    }

    /// Both, listening at an address of this machine. At once: Kafka takes seconds, Valkey next to nothing.
    pub fn start_at(host: Ipv4Addr) -> Result<Self> {
        std::thread::scope(|scope| {
            let valkey =
                scope.spawn(move || Valkey::start(ValkeyOptions { host, ..ValkeyOptions::default() }));
            let kafka = Kafka::start(KafkaOptions { host, ..KafkaOptions::default() })?;
            let valkey = valkey.join().expect("starting valkey does not panic")?;
            Ok(Self { kafka, valkey })
        })
    }
}
