//! The server: connections that hand each report to a task of its own and send replies as they come.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};

use super::protocol::{self, Request};
use super::report::{Counters, Handler};

const READ_BYTES: usize = 64 << 10;
/// Replies that share one write.
const MOST_REPLIES: usize = 256;

/// The counters as they are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    pub attempts: u64,
    pub conflicts: u64,
    pub reads: u64,
    pub stored: u64,
    pub refused: u64,
    pub busy: u64,
    pub unknown: u64,
}

type Replies = mpsc::UnboundedSender<Vec<u8>>;

/// Serves until the listener fails. At most `in_flight` reports are worked on at once; the next ones wait unread.
pub async fn serve(listener: TcpListener, handler: Arc<Handler>, in_flight: usize) -> std::io::Result<()> {
    let permits = Arc::new(Semaphore::new(in_flight.max(1)));
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(connection(stream, handler.clone(), permits.clone()));
    }
}

/// Ends with the client, or with a request that is none.
async fn connection(stream: TcpStream, handler: Arc<Handler>, permits: Arc<Semaphore>) {
    if let Err(error) = stream.set_nodelay(true) {
        eprintln!("cannot use a connection: {error}");
        return;
    }
    let (requests, answers) = stream.into_split();
    let (replies, queue) = mpsc::unbounded_channel();
    tokio::spawn(answer(answers, queue));
    if let Err(error) = read(requests, &handler, &permits, &replies).await {
        eprintln!("a connection ends: {error}");
    }
}

async fn read(
    mut requests: OwnedReadHalf,
    handler: &Arc<Handler>,
    permits: &Arc<Semaphore>,
    replies: &Replies,
) -> anyhow::Result<()> {
    let mut buffer = Vec::with_capacity(READ_BYTES);
    while requests.read_buf(&mut buffer).await? > 0 {
        let mut taken = 0;
        while let Some((request, bytes)) = protocol::take_request(&buffer[taken..])? {
            taken += bytes;
            let (number, timestamp_ms, payload) = match request {
                Request::Report { number, timestamp_ms, payload } => (number, timestamp_ms, payload.to_vec()),
                Request::Counters => {
                    let mut line = serde_json::to_vec(&handler.counters().counted())?;
                    line.push(b'\n');
                    replies.send(line)?;
                    continue;
                }
            };
            let permit = permits.clone().acquire_owned().await?;
            let (handler, replies) = (handler.clone(), replies.clone());
            tokio::spawn(async move {
                let outcome = handler.take(number, timestamp_ms, &payload).await;
                let mut reply = Vec::with_capacity(protocol::REPLY_BYTES);
                protocol::put_reply(number, outcome, &mut reply);
                // A sender that is gone will never know.
                drop(replies.send(reply));
                drop(permit);
            });
        }
        buffer.drain(..taken);
    }
    Ok(())
}

/// Sends replies, as many together as there are.
async fn answer(mut answers: OwnedWriteHalf, mut queue: mpsc::UnboundedReceiver<Vec<u8>>) {
    let (mut replies, mut out) = (Vec::new(), Vec::new());
    while queue.recv_many(&mut replies, MOST_REPLIES).await > 0 {
        out.clear();
        replies.drain(..).for_each(|reply| out.extend_from_slice(&reply));
        if answers.write_all(&out).await.is_err() {
            return;
        }
    }
}

impl Counters {
    pub fn counted(&self) -> Counted {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counted {
            attempts: read(&self.attempts),
            conflicts: read(&self.conflicts),
            reads: read(&self.reads),
            stored: read(&self.stored),
            refused: read(&self.refused),
            busy: read(&self.busy),
            unknown: read(&self.unknown),
        }
    }
}
