//! Pods played by processes: started with their pod, ended by SIGTERM, ready when they say so over HTTP.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::Request;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use nix::sys::signal::Signal;
use tokio::net::TcpStream;

use super::container::{Container, Look, Runtime};
use crate::stack::process::{Lifetime, Process};

/// A process of this machine answers at once, or is not ready.
const PROBE_LIMIT: Duration = Duration::from_secs(1);

/// What is run for a pod.
#[derive(Debug)]
pub struct Launch {
    pub command: Command,
    /// Where its output goes, added to what is there. Its number lies beside it, in a file that ends in `.pid`.
    pub log: PathBuf,
    /// Where it says whether it is ready, by the status of its answer; `None`: ready as soon as it runs.
    pub ready: Option<(SocketAddr, String)>,
}

/// Plays each pod by the process that a function names for it.
pub struct Processes<F>(pub F);

struct Played {
    process: Process,
    ready: Option<(SocketAddr, String)>,
}

impl<F> fmt::Debug for Processes<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Processes")
    }
}

impl<F> Runtime for Processes<F>
where
    F: Fn(&Pod, Ipv4Addr) -> BoxFuture<'static, Result<Launch>> + Send + Sync + 'static,
{
    fn start<'a>(&'a self, pod: &'a Pod, address: Ipv4Addr) -> BoxFuture<'a, Result<Box<dyn Container>>> {
        let launch = (self.0)(pod, address);
        Box::pin(async move {
            let Launch { command, log, ready } = launch.await?;
            let process = Process::spawn("a pod's process", command, &log, Lifetime::Tied)?;
            std::fs::write(log.with_extension("pid"), process.pid().to_string())?;
            Ok(Box::new(Played { process, ready }) as Box<dyn Container>)
        })
    }
}

impl Container for Played {
    fn look(&mut self) -> BoxFuture<'_, Result<Look>> {
        Box::pin(async {
            if let Some(status) = self.process.exited()? {
                return Ok(Look::Ended { status: number(status) });
            }
            let ready = match &self.ready {
                None => true,
                Some((address, path)) => answers(*address, path).await,
            };
            Ok(Look::Running { ready })
        })
    }

    fn terminate(&mut self) -> Result<()> {
        self.process.signal(Signal::SIGTERM)
    }
}

/// As container runtimes count.
fn number(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(255)
}

async fn answers(address: SocketAddr, path: &str) -> bool {
    let answer = tokio::time::timeout(PROBE_LIMIT, get(address, path)).await;
    matches!(answer, Ok(Ok(status)) if status.is_success())
}

async fn get(address: SocketAddr, path: &str) -> Result<http::StatusCode> {
    let stream = TcpStream::connect(address).await.context("nobody listens")?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request =
        Request::get(path).header(http::header::HOST, address.to_string()).body(Empty::<Bytes>::new())?;
    let ask = async {
        let answer = sender.send_request(request).await;
        // ends the connection
        drop(sender);
        answer
    };
    let (answer, _) = tokio::join!(ask, connection);
    Ok(answer?.status())
}
