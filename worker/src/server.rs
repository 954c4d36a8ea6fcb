//! The HTTP server of probes and scrapers: bounded in connections, in headers, in answers, and in the time that a client may take.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::HttpBody as _;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// Bounds of a server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once. One more, and the oldest is dropped: it is answered, or held open by somebody who does not mean well.
    pub connections: usize,
    /// A request's headers are here within this.
    pub headers: Duration,
    /// A connection is over within this, answer included. It serves one request: whoever asks again in some seconds connects again.
    pub connection: Duration,
    /// Bytes of a request's first line and headers.
    pub header_bytes: usize,
    /// Bytes of all answers that are under way. Above it the oldest are dropped, for the same reason; one alone may be larger.
    pub answer_bytes: usize,
}

impl Default for Limits {
    /// A probe asks each few seconds from one place, a scraper too, a person now and then.
    fn default() -> Self {
        Self {
            connections: 64,
            headers: Duration::from_secs(5),
            connection: Duration::from_secs(30),
            header_bytes: 16 * 1024,
            answer_bytes: 8 << 20,
        }
    }
}

/// After a connection could not be accepted, mostly for want of file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Serves until it is dropped, and its connections with it.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits) {
    let mut tasks = JoinSet::new();
    let open = Arc::new(Open::default());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = tasks.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) => {
                let answer = Arc::new(AtomicUsize::new(0));
                let router = counted(router.clone(), &open, &answer, limits);
                let task = tasks.spawn(connection(stream, router, limits));
                open.add(Connection { task, answer }, limits.connections);
            }
            Err(error) => {
                tracing::warn!(%error, "connection not accepted");
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

/// The router of one connection, which makes room for its answer.
fn counted(router: Router, open: &Arc<Open>, answer: &Arc<AtomicUsize>, limits: Limits) -> Router {
    let (open, answer) = (open.clone(), answer.clone());
    router.layer(middleware::from_fn(move |request: Request, next: Next| {
        let (open, answer) = (open.clone(), answer.clone());
        async move {
            let response: Response = next.run(request).await;
            // Every answer here is made before it is sent, so that its size is known.
            let bytes = response.body().size_hint().lower();
            open.make_room(&answer, usize::try_from(bytes).unwrap_or(usize::MAX), limits.answer_bytes);
            response
        }
    }))
}

async fn connection(stream: TcpStream, router: Router, limits: Limits) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.headers)
        .keep_alive(false)
        .max_buf_size(limits.header_bytes)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // A client that broke off or was too slow is none of our troubles.
    let _ = timeout(limits.connection, served).await;
}

/// The connections that are open, oldest first.
#[derive(Debug, Default)]
struct Open(Mutex<VecDeque<Connection>>);

#[derive(Debug)]
struct Connection {
    task: AbortHandle,
    /// Bytes of the answer that is under way; 0 before there is one.
    answer: Arc<AtomicUsize>,
}

impl Open {
    /// Takes in a connection, and drops the oldest where there are too many.
    fn add(&self, connection: Connection, most: usize) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|connection| !connection.task.is_finished());
        if open.len() >= most
            && let Some(oldest) = open.pop_front()
        {
            oldest.task.abort();
        }
        open.push_back(connection);
    }

    /// Notes the size of an answer, and drops the oldest other ones until all of them fit.
    fn make_room(&self, answer: &Arc<AtomicUsize>, bytes: usize, most: usize) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|connection| !connection.task.is_finished());
        answer.store(bytes, Ordering::Relaxed);
        let of = |connection: &Connection| connection.answer.load(Ordering::Relaxed);
        let mut all = open.iter().map(of).fold(0, usize::saturating_add);
        open.retain(|connection| {
            let stays = all <= most || Arc::ptr_eq(&connection.answer, answer) || of(connection) == 0;
            if !stays {
                all -= of(connection);
                connection.task.abort();
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::task::JoinHandle;

    use super::*;

    const QUICK: Limits = Limits {
        connections: 2,
        headers: Duration::from_millis(100),
        connection: Duration::from_millis(300),
        header_bytes: 8 * 1024,
        answer_bytes: 65 << 20,
    };

    async fn server(limits: Limits) -> (SocketAddr, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let large = "x".repeat(64 << 20);
        let router =
            Router::new().route("/", get(|| async { "ok" })).route("/large", get(|| async { large }));
        (address, tokio::spawn(serve(listener, router, limits)))
    }

    /// The first line of the answer, once the server has closed the connection; empty without an answer.
    async fn ask(address: SocketAddr, question: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(question.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A reset is an end as well.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn a_connection_serves_one_request_that_only_reads() {
        let (address, _server) = server(QUICK).await;

        let answers = [
            ask(address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await,
            ask(address, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").await,
            ask(address, &format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "x".repeat(20_000))).await,
        ];

        assert_eq!(
            answers,
            [
                "HTTP/1.1 200 OK",
                "HTTP/1.1 405 Method Not Allowed",
                "HTTP/1.1 431 Request Header Fields Too Large"
            ]
        );
    }

    #[tokio::test]
    async fn a_client_that_does_not_finish_its_question_is_dropped() {
        let limits = Limits { connection: Duration::from_secs(60), ..QUICK };
        let (address, _server) = server(limits).await;

        let answer = timeout(Duration::from_secs(5), ask(address, "GET / HTTP/1.1\r\nHo")).await;

        assert!(answer.is_ok(), "the connection stayed open");
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_its_answer_is_dropped() {
        let (address, _server) = server(QUICK).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut first = [0; 1];
        stream.read_exact(&mut first).await.unwrap();
        sleep(QUICK.connection * 2).await;

        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;

        assert!(rest.len() < 64 << 20, "all {} bytes came", rest.len());
    }

    #[tokio::test]
    async fn those_who_hold_connections_open_keep_nobody_out() {
        let limits =
            Limits { headers: Duration::from_secs(60), connection: Duration::from_secs(60), ..QUICK };
        let (address, _server) = server(limits).await;
        let mut held = Vec::new();
        for _ in 0..limits.connections * 3 {
            held.push(TcpStream::connect(address).await.unwrap());
        }

        let answer = timeout(Duration::from_secs(5), ask(address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        let mut dropped = 0;
        for stream in &mut held[..limits.connections * 2] {
            let mut byte = [0; 1];
            dropped += usize::from(timeout(Duration::from_secs(5), stream.read(&mut byte)).await.is_ok());
        }

        assert_eq!(answer.as_deref(), Ok("HTTP/1.1 200 OK"));
        assert_eq!(dropped, limits.connections * 2);
    }

    #[tokio::test]
    async fn those_who_do_not_read_large_answers_make_room_for_the_next() {
        let limits = Limits { connections: 64, connection: Duration::from_secs(60), ..QUICK };
        let (address, _server) = server(limits).await;
        let mut held = Vec::new();
        for _ in 0..3 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            let mut first = [0; 1];
            stream.read_exact(&mut first).await.unwrap();
            held.push(stream);
        }

        let small = ask(address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let mut whole = Vec::new();
        for mut stream in held {
            let mut rest = Vec::new();
            let _ = timeout(Duration::from_secs(30), stream.read_to_end(&mut rest)).await;
            whole.push(rest.len() >= 64 << 20);
        }

        assert_eq!((small.as_str(), whole), ("HTTP/1.1 200 OK", vec![false, false, true]));
    }
}
