//! The workers of all pipelines, played by one server: each says that it is ready and that its lanes have nothing to do.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use plaudit::children::WORKER_PORT;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::stack::kubernetes::kubelet::{Container, Pretend, Runtime};

/// A question is one line and some headers.
const LARGEST_QUESTION: usize = 4_096;
/// Whoever asks is on this machine.
const LIMIT: Duration = Duration::from_secs(5);
/// Loopback addresses whose port may be taken are passed over.
const ADDRESSES: u32 = 10;

/// Answers until it is dropped.
pub struct Workers {
    address: Ipv4Addr,
    listening: JoinHandle<()>,
}

/// Plays pods at the address of [`Workers`].
pub struct Played(Ipv4Addr);

impl Workers {
    /// In the async runtime that it is called in. Every pod has the address of this server: a listener for each of thousands would
    /// say the same.
    pub async fn start(partitions: i32) -> Result<Self> {
        let port = u16::try_from(WORKER_PORT)?;
        let mut last = None;
        for _ in 0..ADDRESSES {
            // Not 127.0.0.x, where servers listen.
            let address = Ipv4Addr::new(127, fastrand::u8(1..255), fastrand::u8(..), fastrand::u8(1..255));
            match TcpListener::bind(SocketAddr::from((address, port))).await {
                Ok(listener) => {
                    let listening = tokio::spawn(serve(listener, lanes(partitions)));
                    return Ok(Self { address, listening });
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.expect("the loop ran")).context("no loopback address for the workers")
    }

    /// For pods that are ready at once.
    pub fn runtime(&self) -> Played {
        Played(self.address)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Runtime for Played {
    fn start<'a>(&'a self, pod: &'a Pod, address: Ipv4Addr) -> BoxFuture<'a, Result<Box<dyn Container>>> {
        const PRETEND: Pretend =
            Pretend { ready_after: Some(Duration::ZERO), fails_after: None, ends_after: Duration::ZERO };
        PRETEND.start(pod, address)
    }

    fn address(&self) -> Ipv4Addr {
        self.0
    }
}

/// What an idle worker that owns all partitions says at `/lanes`.
fn lanes(partitions: i32) -> String {
    let lane = |partition| {
        json!({"partition": partition, "state": "running", "reason": null, "message": null,
               "position": null, "committed": null, "logEnd": null, "lag": null})
    };
    let lanes: Vec<_> = (0..partitions).map(lane).collect();
    json!({"pipeline": "bench/played", "worker": "1", "lanes": lanes, "conflicts": 0, "records": 0,
           "cpuSeconds": 1.5, "residentBytes": 30_000_000})
    .to_string()
}

async fn serve(listener: TcpListener, lanes: String) {
    let answer = |kind: &str, body: &str| {
        let length = body.len();
        format!("HTTP/1.0 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}")
    };
    let (lanes, ready) = (answer("application/json", &lanes), answer("text/plain", "ok\n"));
    loop {
        // A connection that was closed meanwhile is no loss.
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (lanes, ready) = (lanes.clone(), ready.clone());
        tokio::spawn(tokio::time::timeout(LIMIT, async move { reply(stream, &lanes, &ready).await.ok() }));
    }
}

async fn reply(mut stream: TcpStream, lanes: &str, ready: &str) -> Result<()> {
    let mut question = Vec::new();
    while !question.ends_with(b"\r\n\r\n") && question.len() < LARGEST_QUESTION {
        if stream.read_buf(&mut question).await? == 0 {
            break;
        }
    }
    let answer = if question.starts_with(b"GET /lanes ") { lanes } else { ready };
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    Ok(())
}
