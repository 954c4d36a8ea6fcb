//! A delay proxy stands before a server and makes the way to it longer: what clients send is held back for a fixed time.
//!
//! One thread looks at all connections every tick, which is far below a millisecond: timers of the async runtime, which
//! [`proxy`](super::proxy) uses, are too coarse for that. A thread for each connection would take a core where much is sent.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::prctl::set_timerslack;

/// How often connections are looked at: on the way there and back this adds as much on average.
const TICK: Duration = Duration::from_micros(100);
/// After so long without a byte, looking once in a while is enough.
const IDLE_AFTER: Duration = Duration::from_secs(1);
const IDLE_TICK: Duration = Duration::from_millis(1);
const CHUNK_BYTES: usize = 64 << 10;
/// A client that has sent so much ahead has to wait: its own socket holds the rest.
const MOST_HELD_BYTES: usize = 64 << 20;

/// A running proxy; its connections end with it.
#[derive(Debug)]
pub struct DelayProxy {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    thread_id: i32,
}

impl DelayProxy {
    /// Listens on a free port of 127.0.0.1; `round_trip` is what it adds to a request and its answer together.
    pub fn start(target: &str, round_trip: Duration) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("the proxy cannot listen")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let (send_id, receive_id) = std::sync::mpsc::channel();
        let proxy = Proxy {
            listener,
            target: target.to_owned(),
            held_for: round_trip.saturating_sub(TICK),
            links: Vec::new(),
            chunk: vec![0; CHUNK_BYTES],
        };
        let thread = std::thread::spawn({
            let stop = stop.clone();
            move || {
                // Nobody waits for the number only if the one who started this thread is gone.
                let _ = send_id.send(nix::unistd::gettid().as_raw());
                proxy.run(&stop);
            }
        });
        let thread_id = receive_id.recv().context("the proxy's thread has ended")?;
        Ok(Self { address, stop, thread: Some(thread), thread_id })
    }

    /// host:port to connect to in place of the target's.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// The thread, for whoever wants to know what it costs (`/proc/self/task`).
    pub fn thread_id(&self) -> i32 {
        self.thread_id
    }
}

impl Drop for DelayProxy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // A panic of the proxy has been seen by its clients.
        drop(self.thread.take().map(JoinHandle::join));
    }
}

struct Proxy {
    listener: TcpListener,
    target: String,
    held_for: Duration,
    links: Vec<Link>,
    chunk: Vec<u8>,
}

/// One client and its connection to the target.
struct Link {
    client: TcpStream,
    target: TcpStream,
    /// On the way to the target, with the time at which each is due.
    held: VecDeque<(Instant, Vec<u8>)>,
    held_bytes: usize,
    /// What the client did not take at once.
    answers: Vec<u8>,
}

impl Proxy {
    fn run(mut self, stop: &AtomicBool) {
        // Sleeps of a tick would be half as long again otherwise; without it the proxy is less exact, and works.
        let _ = set_timerslack(1);
        let mut moved = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            self.accept();
            let now = Instant::now();
            let Self { links, chunk, held_for, .. } = &mut self;
            links.retain_mut(|link| match link.pump(now, *held_for, chunk) {
                Ok(active) => {
                    if active {
                        moved = now;
                    }
                    true
                }
                // One side has gone: the other learns it by losing its connection too.
                Err(_) => false,
            });
            std::thread::sleep(if moved.elapsed() < IDLE_AFTER { TICK } else { IDLE_TICK });
        }
    }

    fn accept(&mut self) {
        while let Ok((client, _)) = self.listener.accept() {
            let link = TcpStream::connect(&self.target).and_then(|target| Link::new(client, target));
            // A target that refuses shows to the client as a connection that ends.
            self.links.extend(link);
        }
    }
}

impl Link {
    fn new(client: TcpStream, target: TcpStream) -> io::Result<Self> {
        for stream in [&client, &target] {
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
        }
        Ok(Self { client, target, held: VecDeque::new(), held_bytes: 0, answers: Vec::new() })
    }

    /// Moves what can be moved; whether anything is under way. An error: one side has ended the connection.
    fn pump(&mut self, now: Instant, held_for: Duration, chunk: &mut [u8]) -> io::Result<bool> {
        let mut active = false;
        while self.held_bytes < MOST_HELD_BYTES {
            let Some(bytes) = read(&mut self.client, chunk)? else { break };
            self.held.push_back((now + held_for, chunk[..bytes].to_vec()));
            self.held_bytes += bytes;
        }
        while let Some((_, held)) = self.held.front_mut().filter(|(due, _)| *due <= now) {
            let written = write(&mut self.target, held)?;
            self.held_bytes -= written;
            if written < held.len() {
                held.drain(..written);
                break;
            }
            self.held.pop_front();
            active = true;
        }
        while self.answers.is_empty() {
            let Some(bytes) = read(&mut self.target, chunk)? else { break };
            let written = write(&mut self.client, &chunk[..bytes])?;
            self.answers.extend_from_slice(&chunk[written..bytes]);
            active = true;
        }
        if !self.answers.is_empty() {
            let written = write(&mut self.client, &self.answers)?;
            self.answers.drain(..written);
        }
        Ok(active || !self.held.is_empty())
    }
}

/// Bytes read; none where there are none yet. An error also at the end of the stream.
fn read(stream: &mut TcpStream, chunk: &mut [u8]) -> io::Result<Option<usize>> {
    match stream.read(chunk) {
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Bytes that the other side took at once.
fn write(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match stream.write(bytes) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
        written => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what it gets.
    fn echo() -> Result<String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?.to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || io::copy(&mut &stream, &mut &stream));
            }
        });
        Ok(address)
    }

    #[test]
    fn an_answer_takes_the_round_trip_longer_and_many_under_way_at_once_no_more() -> Result<()> {
        let round_trip = Duration::from_millis(40);
        let proxy = DelayProxy::start(&echo()?, round_trip)?;
        let mut client = TcpStream::connect(proxy.address())?;

        let begin = Instant::now();
        for number in 0..8_u8 {
            client.write_all(&[number])?;
        }
        let mut answer = [0; 8];
        client.read_exact(&mut answer)?;
        let elapsed = begin.elapsed();

        assert_eq!(answer, [0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(elapsed >= round_trip - TICK, "{elapsed:?}");
        // One after the other they would take eight times as long.
        assert!(elapsed < 4 * round_trip, "{elapsed:?}");
        Ok(())
    }

    #[test]
    fn more_than_sockets_hold_comes_whole_and_in_order() -> Result<()> {
        let proxy = DelayProxy::start(&echo()?, Duration::from_millis(1))?;
        let client = TcpStream::connect(proxy.address())?;
        let sent: Vec<u8> = (0..8_000_000_u32).map(|at| (at % 251) as u8).collect();
        let mut back = vec![0; sent.len()];
        std::thread::scope(|scope| {
            scope.spawn(|| (&client).write_all(&sent));
            (&client).read_exact(&mut back)
        })?;
        assert!(back == sent, "something else came back");
        Ok(())
    }
}
