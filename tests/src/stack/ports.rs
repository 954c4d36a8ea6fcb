//! A free port is one of 127.0.0.1 that nobody listens on, from below the range the kernel hands out to outgoing connections.
//!
//! A port out of that range could be taken by any client while its server is down for a restart, even by that server's own
//! client: connecting to a port nobody listens on, from that same port, succeeds.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result, bail};

/// Below it are well-known ports that people run things on.
const LOWEST: u16 = 10_000;

/// Not reserved: whoever uses it must cope with losing a race for it.
pub(crate) fn free_port() -> Result<u16> {
    let end = lowest_outgoing().max(LOWEST + 1000);
    for _ in 0..1000 {
        let port = fastrand::u16(LOWEST..end);
        if is_free(port) {
            return Ok(port);
        }
    }
    bail!("found no free port between {LOWEST} and {end}")
}

/// Listens on a free port, for the async runtime that it is called in.
pub(crate) fn listen() -> Result<tokio::net::TcpListener> {
    let mut last = None;
    for _ in 0..3 {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, free_port()?)) {
            Ok(listener) => {
                listener.set_nonblocking(true)?;
                return Ok(tokio::net::TcpListener::from_std(listener)?);
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.expect("the loop ran")).context("no port for a proxy stayed free")
}

/// Whether a server could not start because somebody else was quicker to listen there; its log, which the error repeats, says so.
pub(crate) fn lost_port(error: &anyhow::Error) -> bool {
    format!("{error:#}").to_lowercase().contains("address already in use")
}

pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn lowest_outgoing() -> u16 {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .unwrap_or(32_768)
}
