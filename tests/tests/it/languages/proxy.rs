//! Something that happens between a reader's look at a player's key and its load of the chunks.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use plaudit_tests::scene::Scene;

use super::store;

/// A way to the store on which something may happen just before chunks are loaded (MGET).
pub(super) struct Proxy {
    pub(super) address: String,
    loads: Arc<AtomicUsize>,
}

impl Proxy {
    /// `before` gets the number of the load, from 1.
    pub(super) fn start(
        scene: &Scene<'_>,
        before: impl Fn(usize, &mut redis::Connection) -> redis::RedisResult<()> + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let loads = Arc::new(AtomicUsize::new(0));
        let (own, upstream, mut side) = (loads.clone(), scene.valkey.address(), store(scene)?);
        // It ends with the test process; one client comes, and a connection at a time.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let served = stream.and_then(|mut client| {
                    let mut server = TcpStream::connect(&upstream)?;
                    let (mut back, mut answers) = (client.try_clone()?, server.try_clone()?);
                    std::thread::spawn(move || std::io::copy(&mut answers, &mut back));
                    let mut buffer = vec![0; 1 << 16];
                    loop {
                        let size = client.read(&mut buffer)?;
                        if size == 0 {
                            return server.shutdown(std::net::Shutdown::Both);
                        }
                        let request = buffer[..size].to_ascii_lowercase();
                        if request.windows(6).any(|bytes| bytes == b"mget\r\n") {
                            let load = own.fetch_add(1, Ordering::SeqCst) + 1;
                            before(load, &mut side).map_err(std::io::Error::other)?;
                        }
                        server.write_all(&buffer[..size])?;
                    }
                });
                // A client that ends without a farewell is no news; a failed `before` shows in what it reads.
                drop(served);
            }
        });
        Ok(Self { address, loads })
    }

    pub(super) fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }
}
