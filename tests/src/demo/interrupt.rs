//! An interrupt is the wish to end early: Ctrl-C, SIGTERM. The first ends the demo in order, the second at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a shell reports for a program that Ctrl-C ended.
pub(super) const EXIT_CODE: i32 = 130;

/// A flag that becomes true with the first one.
pub(super) fn watch() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (interrupt, terminate) = {
        let _inside = runtime.enter();
        let handle = |kind| signal(kind).context("could not handle signals");
        (handle(SignalKind::interrupt())?, handle(SignalKind::terminate())?)
    };
    let seen = flag.clone();
    std::thread::spawn(move || runtime.block_on(count(interrupt, terminate, &seen)));
    Ok(flag)
}

async fn count(mut interrupt: Signal, mut terminate: Signal, seen: &AtomicBool) {
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if seen.swap(true, Ordering::Relaxed) {
            // every server and worker dies with this process
            std::process::exit(EXIT_CODE);
        }
    }
}
