//! The threads that asynchronous parts of the harness run on, so that they may be used from tests of any kind.

use std::future::Future;
use std::io;
use std::sync::OnceLock;

use anyhow::{Context, Result};
use tokio::runtime::{Builder, Runtime};

/// Runs `work` to its end on a thread of its own, so that it may be called inside an async runtime, too.
pub(crate) fn blocking<T: Send>(work: impl Future<Output = Result<T>> + Send) -> Result<T> {
    let run = || {
        let runtime = Builder::new_current_thread().enable_all().build();
        runtime.context("no runtime to ask a server in")?.block_on(work)
    };
    std::thread::scope(|scope| scope.spawn(run).join().expect("asking a server does not panic"))
}

/// One thread serves all API proxies, kubelets and token endpoints of this process.
pub(crate) fn background() -> Result<&'static Runtime> {
    static RUNTIME: OnceLock<io::Result<Runtime>> = OnceLock::new();
    let built = || Builder::new_multi_thread().worker_threads(1).enable_all().build();
    RUNTIME
        .get_or_init(built)
        .as_ref()
        .map_err(|error| anyhow::anyhow!("no runtime for the harness: {error}"))
}
