//! What a worker says about itself at its HTTP address, be it a process or a pod.

use super::LanesReport;
use super::http;

/// The answers of `/readyz` and `/lanes`; what the worker does not say stays unknown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asked {
    /// It says that it is ready.
    pub ready: bool,
    /// What it says about its lanes.
    pub report: Option<LanesReport>,
}

/// Asks the worker at `address` (`host:port`) both questions at once.
pub async fn ask(address: &str) -> Asked {
    let (ready, report) = tokio::join!(http::get(address, "/readyz"), ask_for_lanes(address));
    Asked { ready: ready.is_some_and(|ready| ready.status == 200), report }
}

/// Asks the worker at `address` (`host:port`) for its lanes only; `None` when it does not say.
pub async fn ask_for_lanes(address: &str) -> Option<LanesReport> {
    let lanes = http::get(address, "/lanes").await.filter(|lanes| lanes.status == 200)?;
    serde_json::from_str(&lanes.body)
        .inspect_err(|error| tracing::warn!(%error, address, "answer of /lanes not understood"))
        .ok()
}
