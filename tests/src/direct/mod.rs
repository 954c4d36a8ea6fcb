//! `direct` is the synchronous design that Plaudit takes the place of: a server whose connections each take a report, read
//! the player, merge, write with compare-and-set, try again after a conflict, and reply.
//!
//! It is here to be compared with, so it is built as well as that design can be: asynchronous, many requests under way
//! on each connection, a pool of shared connections to the store, the worker's own decoding, merge and record, and its
//! settings are searched by the benchmark. What is not in it is what the design cannot have: reports of a player meet
//! in different servers, so nothing is kept between requests, and nothing is merged before it is written.
//!
//! Reports of a player are stored in whatever order they win in. That is enough for `latest` (by timestamp), `max` and `sum`; it is
//! not for deletions, which are refused, nor for `bitOr`, whose key is that of the last item that added a bit. Unlocks are not sent.
//!
//! What it promises: a report that was replied to with [`Outcome::Stored`] is stored. What it does not: a sender that
//! got no reply in time, or [`Outcome::Unknown`], cannot know whether the report is stored. Not sending it again may lose
//! it; sending it again may count it twice.

mod protocol;
mod report;
mod server;
mod store;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use plaudit_crds::worker::WorkerConfig;
use tokio::net::TcpListener;

pub use protocol::{Outcome, REPLY_BYTES, put_report, reply};
pub use report::Handler;
pub use server::{Counted, serve};
pub use store::{Cas, Store};

/// What a server has to know.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A worker's configuration; store and achievements count.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Where the address it listens on is written to.
    #[arg(long, value_name = "FILE")]
    pub address_file: PathBuf,
    #[command(flatten)]
    pub settings: Settings,
}

/// What can be tuned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
pub struct Settings {
    /// Threads of the runtime.
    #[arg(long, default_value_t = 2)]
    pub threads: usize,
    /// Connections to the store, each shared by many requests.
    #[arg(long, default_value_t = 2)]
    pub store_connections: usize,
    /// Reports worked on at once.
    #[arg(long, default_value_t = 256)]
    pub in_flight: usize,
    /// Wait up to so many milliseconds after the first conflict, twice as long after the next; 0: try again at once
    /// with the record that came with the conflict.
    #[arg(long, default_value_t = 1)]
    pub backoff_milliseconds: u64,
    #[arg(long, value_enum, default_value_t = Cas::Script)]
    pub cas: Cas,
}

/// Serves until it is killed.
pub fn run(args: &Args) -> Result<()> {
    let file = args.config.display();
    let text = std::fs::read_to_string(&args.config).with_context(|| format!("cannot read {file}"))?;
    let config = WorkerConfig::from_yaml(&text).with_context(|| format!("cannot use {file}"))?;
    let Settings { threads, store_connections, in_flight, backoff_milliseconds, cas } = args.settings;
    let store = Store::new(&config.store.address, store_connections, cas)
        .with_context(|| format!("store.address {} in {file} is no host:port", config.store.address))?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(threads.max(1)).enable_all().build()?;
    runtime.block_on(async {
        let reached = store.connect_all().await;
        reached.with_context(|| format!("cannot reach the store at {}", config.store.address))?;
        let handler = Arc::new(Handler::new(&config, store, Duration::from_millis(backoff_milliseconds)));
        let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen")?;
        let part = args.address_file.with_extension("part");
        // Whole or not at all: somebody is waiting for the file.
        std::fs::write(&part, listener.local_addr()?.to_string())
            .and_then(|()| std::fs::rename(&part, &args.address_file))
            .with_context(|| format!("cannot write {}", args.address_file.display()))?;
        serve(listener, handler, in_flight).await.context("cannot accept connections")
    })
}
