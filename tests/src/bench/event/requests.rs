//! Game servers of the synchronous design: connections to `direct`, each with many requests under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use plaudit::load::Histogram;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::open_loop::{Sender, Times, send_all};
use super::trace::{Span, Trace};
use crate::direct::{Counted, Outcome, REPLY_BYTES, put_report, reply};

/// Game servers that report to one server of the fleet.
const CONNECTIONS: usize = 16;
/// Requests that share one write.
const MOST_REQUESTS: usize = 64;
/// For a reply; a report without one by then has none.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often is looked for replies.
const LOOK_EVERY: Duration = Duration::from_micros(200);

/// All connections to a server, and what came back over them.
#[derive(Debug)]
pub struct GameServers {
    trace: Arc<Trace>,
    runtime: Runtime,
    sender: Requests,
    /// When each report was replied to as stored.
    pub times: Arc<Times>,
    tally: Arc<Tally>,
}

/// Counts of replies so far.
#[derive(Debug, Default)]
struct Tally {
    stored: AtomicU64,
    /// Refused, turned away or unknown.
    not_stored: AtomicU64,
}

impl GameServers {
    pub fn connect(address: &str, trace: &Arc<Trace>) -> Result<Self> {
        let runtime = runtime()?;
        let times = Arc::new(Times::new(trace.reports.len(), Instant::now()));
        let tally = Arc::new(Tally::default());
        let queues = runtime.block_on(async {
            let mut queues = Vec::new();
            for _ in 0..CONNECTIONS {
                let stream = TcpStream::connect(address).await.context("direct does not listen")?;
                stream.set_nodelay(true)?;
                let (read, write) = stream.into_split();
                let (queue, reports) = mpsc::unbounded_channel();
                tokio::spawn(write_requests(write, reports, trace.clone()));
                tokio::spawn(read_replies(read, times.clone(), tally.clone()));
                queues.push(queue);
            }
            anyhow::Ok(queues)
        })?;
        let sender = Requests { queues, next: 0 };
        Ok(Self { trace: trace.clone(), runtime, sender, times, tally })
    }

    /// Sends each report when it is due and waits for all replies; how late reports were sent. `passed` is called at the
    /// end of each phase with the number of reports stored by then.
    pub fn play(
        &mut self,
        start: Instant,
        mut passed: impl FnMut(&Span, u64) -> Result<()>,
    ) -> Result<Histogram> {
        let Self { trace, sender, tally, .. } = self;
        let stored = || tally.stored.load(Ordering::Relaxed);
        let lateness = send_all(trace, start, sender, |span| passed(span, stored()))?;
        self.wait_for(self.trace.event_reports());
        Ok(lateness)
    }

    /// Sends the flood, at most so many reports ahead of the replies; from sending each to its reply.
    pub fn flood(&mut self, ahead: u64) -> Result<Histogram> {
        let sent = Times::new(self.trace.reports.len(), Instant::now());
        let begin = self.answered();
        for (number, report) in (begin..).zip(self.trace.flood.clone()) {
            self.wait_for((number + 1).saturating_sub(ahead));
            sent.note(report);
            self.sender.send(report)?;
        }
        self.wait_for(self.trace.reports.len() as u64);
        Ok(self.times.after(self.trace.flood.clone(), |report| sent.get(report)))
    }

    pub fn stored(&self) -> u64 {
        self.tally.stored.load(Ordering::Relaxed)
    }

    /// Ends all connections.
    pub fn end(self) {
        self.runtime.shutdown_background();
    }

    fn answered(&self) -> u64 {
        self.stored() + self.tally.not_stored.load(Ordering::Relaxed)
    }

    /// Until so many replies are there, or patience ends: what is missing then shows in the count.
    fn wait_for(&self, replies: u64) {
        let begin = Instant::now();
        while self.answered() < replies && begin.elapsed() < PATIENCE {
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// What a server has counted so far.
pub fn counters(address: &str) -> Result<Counted> {
    runtime()?.block_on(async {
        let mut stream = BufReader::new(TcpStream::connect(address).await.context("direct does not listen")?);
        stream.write_all(&0_u32.to_le_bytes()).await?;
        let mut line = String::new();
        ensure!(stream.read_line(&mut line).await? > 0, "direct ended the connection");
        Ok(serde_json::from_str(&line)?)
    })
}

fn runtime() -> Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().context("cannot start a runtime")
}

#[derive(Debug)]
struct Requests {
    queues: Vec<mpsc::UnboundedSender<usize>>,
    next: usize,
}

impl Sender for Requests {
    /// By turns: reports of a player come from different game servers.
    fn send(&mut self, report: usize) -> Result<()> {
        self.next = (self.next + 1) % self.queues.len();
        self.queues[self.next].send(report).context("direct ended a connection")
    }
}

/// Ends when the sender does, or with the connection: reports without a reply tell.
async fn write_requests(
    mut stream: OwnedWriteHalf,
    mut queue: mpsc::UnboundedReceiver<usize>,
    trace: Arc<Trace>,
) {
    let (mut due, mut out) = (Vec::new(), Vec::new());
    while queue.recv_many(&mut due, MOST_REQUESTS).await > 0 {
        out.clear();
        for report in due.drain(..) {
            let record = &trace.reports[report].record;
            let payload = record.payload.as_deref().unwrap_or_default();
            put_report(report as u64, record.timestamp_ms, payload, &mut out);
        }
        if stream.write_all(&out).await.is_err() {
            return;
        }
    }
}

async fn read_replies(stream: OwnedReadHalf, times: Arc<Times>, tally: Arc<Tally>) {
    let mut stream = BufReader::new(stream);
    let mut bytes = [0; REPLY_BYTES];
    while stream.read_exact(&mut bytes).await.is_ok() {
        match reply(&bytes) {
            Some((number, Outcome::Stored)) => {
                times.note(number as usize);
                tally.stored.fetch_add(1, Ordering::Relaxed);
            }
            Some((_, Outcome::Refused | Outcome::Busy | Outcome::Unknown)) | None => {
                tally.not_stored.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
