//! A pump carries one direction of one connection, as the wire says at that moment.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::wire::{Flow, Side, Wire};

const CHUNK_BYTES: usize = 16 << 10;
/// Chunks on their way: what a slow network holds before it holds up the sender.
const CHUNKS: usize = 64;

/// Bytes, and when they arrive.
struct Chunk {
    due: Instant,
    bytes: Vec<u8>,
}

/// Carries a connection until both sides have closed it, or `reset` ends it for both.
pub(super) async fn carry(
    mut client: TcpStream,
    mut server: TcpStream,
    wire: watch::Receiver<Wire>,
    reset: &Notify,
) {
    let carried = async {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::join!(
            pump(from_client, to_server, wire.clone(), Side::Upstream),
            pump(from_server, to_client, wire, Side::Downstream)
        );
    };
    tokio::select! {
        () = carried => {}
        () = reset.notified() => [client, server].into_iter().for_each(abort),
    }
}

/// Closes a connection with RST: what is on its way is lost.
pub(super) fn abort(stream: TcpStream) {
    // one that is gone already needs no RST
    drop(stream.set_zero_linger());
    drop(stream);
}

async fn pump(from: ReadHalf<'_>, to: WriteHalf<'_>, wire: watch::Receiver<Wire>, side: Side) {
    let (queue, chunks) = mpsc::channel(CHUNKS);
    tokio::join!(read(from, queue, &wire, side), write(chunks, to, wire.clone(), side));
}

async fn read(mut from: ReadHalf<'_>, queue: mpsc::Sender<Chunk>, wire: &watch::Receiver<Wire>, side: Side) {
    let mut last = Instant::now();
    loop {
        let mut bytes = vec![0; CHUNK_BYTES];
        // who was reset has closed, too
        let Ok(count @ 1..) = from.read(&mut bytes).await else { return };
        bytes.truncate(count);
        let delay = wire.borrow().of(side).delay(fastrand::f64());
        last = last.max(Instant::now() + delay);
        if queue.send(Chunk { due: last, bytes }).await.is_err() {
            return;
        }
    }
}

async fn write(
    mut chunks: mpsc::Receiver<Chunk>,
    mut to: WriteHalf<'_>,
    mut wire: watch::Receiver<Wire>,
    side: Side,
) {
    let mut forgotten = false;
    while let Some(Chunk { due, bytes }) = chunks.recv().await {
        sleep_until(due).await;
        let Some(flow) = let_through(&mut wire, side).await else { return };
        forgotten |= flow == Flow::Swallowed;
        if forgotten {
            continue;
        }
        if to.write_all(&bytes).await.is_err() {
            return;
        }
        let busy = wire.borrow().of(side).time_to_send(bytes.len());
        if busy > Duration::ZERO {
            sleep(busy).await;
        }
    }
    // the end of a stream travels like its bytes
    if let_through(&mut wire, side).await == Some(Flow::Passes) && !forgotten {
        drop(to.shutdown().await);
    }
}

/// The flow, once it is not [`Flow::Held`]; none when the proxy is gone.
async fn let_through(wire: &mut watch::Receiver<Wire>, side: Side) -> Option<Flow> {
    let open = wire.wait_for(|wire| wire.of(side).flow != Flow::Held).await;
    open.ok().map(|wire| wire.of(side).flow)
}
