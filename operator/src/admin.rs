//! The operator's HTTP endpoints: `/livez`, `/readyz` and `/metrics`. Read-only.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use plaudit_worker::exposition;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::metrics::Metrics;

/// Where the endpoints listen unless told otherwise: on every address of the pod, IPv6 and IPv4, or IPv4 where there is no IPv6.
const DEFAULT_ADDRESSES: [&str; 2] = ["[::]:8080", "0.0.0.0:8080"];

/// An event loop that got no turn for so long is wedged.
const WEDGED: Duration = Duration::from_secs(60);

/// A listener on `address`, host:port; port 0 takes a free one.
///
/// # Errors
/// The address cannot be listened on: of several, what was wrong with the last.
pub async fn listen(address: Option<&str>) -> std::io::Result<TcpListener> {
    match address {
        Some(address) => TcpListener::bind(address).await,
        None => {
            let [both, old] = DEFAULT_ADDRESSES;
            match TcpListener::bind(both).await {
                Ok(listener) => Ok(listener),
                Err(_) => TcpListener::bind(old).await,
            }
        }
    }
}

/// What probes ask for. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Health {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    started: AtomicBool,
    reached: AtomicBool,
    hearts: Mutex<BTreeMap<&'static str, Beat>>,
}

/// When a loop went round last, and how long a round may take.
#[derive(Clone, Copy, Debug)]
struct Beat {
    last: Instant,
    allowed: Duration,
}

impl Health {
    /// Everything that this process runs has been set up.
    pub fn started(&self) {
        self.inner.started.store(true, Ordering::Relaxed);
    }

    /// The API server has answered.
    pub fn reached_api_server(&self) {
        self.inner.reached.store(true, Ordering::Relaxed);
    }

    /// A loop that must go round at least each `allowed`, from now on until the heart is dropped.
    #[must_use]
    pub fn heart(&self, name: &'static str, allowed: Duration) -> Heart {
        let heart = Heart { inner: self.inner.clone(), name, allowed };
        heart.beat();
        heart
    }

    /// Beats for the event loop itself, until it is dropped.
    pub async fn beat(self) {
        let heart = self.heart("event loop", WEDGED);
        loop {
            tokio::time::sleep(WEDGED / 10).await;
            heart.beat();
        }
    }

    /// Why this process is not alive; a loop that stands still is what a restart mends.
    pub(crate) fn dead(&self, now: Instant) -> Option<String> {
        let hearts = self.inner.hearts.lock().unwrap_or_else(PoisonError::into_inner);
        let (name, silent) = hearts.iter().find_map(|(name, beat)| {
            let silent = now.saturating_duration_since(beat.last);
            (silent > beat.allowed).then_some((name, silent))
        })?;
        Some(format!("the {name} has made no step for {} s", silent.as_secs()))
    }

    /// Why this process is not ready. Who leads is no matter: a standby that were not ready would hold up every rollout.
    fn unready(&self) -> Option<&'static str> {
        if !self.inner.started.load(Ordering::Relaxed) {
            return Some("starting");
        }
        (!self.inner.reached.load(Ordering::Relaxed)).then_some("the API server has not answered yet")
    }
}

/// One loop's sign of life.
#[derive(Debug)]
pub struct Heart {
    inner: Arc<Inner>,
    name: &'static str,
    allowed: Duration,
}

impl Heart {
    /// The loop went round.
    pub fn beat(&self) {
        let beat = Beat { last: Instant::now(), allowed: self.allowed };
        self.hearts().insert(self.name, beat);
    }

    fn hearts(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, Beat>> {
        self.inner.hearts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        self.hearts().remove(self.name);
    }
}

#[derive(Clone)]
struct Served {
    health: Health,
    metrics: Metrics,
}

/// The routes; [`plaudit_worker::server::serve`] serves them within bounds.
pub fn router(health: Health, metrics: Metrics) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(show_metrics))
        .with_state(Served { health, metrics })
}

async fn livez(State(served): State<Served>) -> Response {
    answer(served.health.dead(Instant::now()))
}

async fn readyz(State(served): State<Served>) -> Response {
    answer(served.health.unready().map(str::to_owned))
}

async fn show_metrics(State(served): State<Served>) -> Response {
    served.metrics.refresh();
    exposition::response(&served.metrics.registry)
}

fn answer(trouble: Option<String>) -> Response {
    match trouble {
        Some(trouble) => (StatusCode::SERVICE_UNAVAILABLE, trouble + "\n").into_response(),
        None => "ok\n".into_response(),
    }
}

#[cfg(test)]
mod tests {
    use plaudit_worker::server::{Limits, serve};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    #[test]
    fn readiness_waits_for_the_start_and_the_api_server_and_for_no_lease() {
        let health = Health::default();
        let starting = health.unready();
        health.started();
        let alone = health.unready();
        health.reached_api_server();

        let ready = health.unready();

        assert_eq!(
            [starting, alone, ready],
            [Some("starting"), Some("the API server has not answered yet"), None]
        );
    }

    #[test]
    fn a_loop_that_stands_still_is_named_until_it_beats_or_ends() {
        let health = Health::default();
        let _other = health.heart("lag monitor", Duration::from_secs(600));
        let heart = health.heart("scale loop", Duration::from_secs(60));
        let (soon, later) =
            (Instant::now() + Duration::from_secs(59), Instant::now() + Duration::from_secs(99));
        let checks = [health.dead(soon), health.dead(later)];
        drop(heart);

        let ended = health.dead(later);

        assert_eq!(checks, [None, Some("the scale loop has made no step for 99 s".to_owned())]);
        assert_eq!(ended, None);
    }

    #[tokio::test]
    async fn the_endpoints_only_read_and_hang_up_on_the_slow() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limits = Limits { headers: Duration::from_millis(100), ..Limits::default() };
        let server =
            tokio::spawn(serve(listener, router(Health::default(), Metrics::new().unwrap()), limits));
        let ask = async |question: &str| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(question.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            let ended = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
            // A reset is an end as well.
            assert!(ended.is_ok(), "the connection stayed open");
            String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap_or_default().to_owned()
        };

        let answers = [
            ask("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").await,
            ask("DELETE /livez HTTP/1.1\r\nHost: x\r\n\r\n").await,
            ask(&format!("GET /livez HTTP/1.1\r\nHost: {}\r\n\r\n", "x".repeat(20_000))).await,
            ask("GET /livez HTTP/1.1\r\nHo").await,
        ];

        assert_eq!(answers, ["405", "405", "431", ""]);
        server.abort();
    }

    #[tokio::test]
    async fn the_endpoints_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let health = Health::default();
        let server =
            tokio::spawn(serve(listener, router(health.clone(), Metrics::new().unwrap()), Limits::default()));
        let ask = async |path: &str| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            (head.split(' ').nth(1).unwrap().to_owned(), body.to_owned())
        };

        let (livez, readyz, metrics) = (ask("/livez").await, ask("/readyz").await, ask("/metrics").await);

        assert_eq!(livez, ("200".to_owned(), "ok\n".to_owned()));
        assert_eq!(readyz, ("503".to_owned(), "starting\n".to_owned()));
        assert!(metrics.0 == "200" && metrics.1.contains("\nplaudit_operator_leader 0\n"), "{metrics:?}");
        server.abort();
    }
}
