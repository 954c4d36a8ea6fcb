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
    let ready = http::get_with(address, "/readyz", |ready| Some(ready.status == 200));
    let (ready, report) = tokio::join!(ready, ask_for_lanes(address));
    Asked { ready: ready == Some(true), report }
}

/// Asks the worker at `address` (`host:port`) for its lanes only; `None` when it does not say.
pub async fn ask_for_lanes(address: &str) -> Option<LanesReport> {
    http::get_with(address, "/lanes", |answer| {
        lanes(&answer)?
            .inspect_err(|error| tracing::warn!(%error, address, "answer of /lanes not understood"))
            .ok()
    })
    .await
}

/// The lanes in a whole answer to `GET /lanes`, if it is one.
#[must_use]
pub fn read_lanes(answer: &[u8]) -> Option<LanesReport> {
    lanes(&http::parse(answer)?)?.ok()
}

fn lanes(answer: &http::Answer<&str>) -> Option<Result<LanesReport, serde_json::Error>> {
    (answer.status == 200).then(|| serde_json::from_str(answer.body))
}
