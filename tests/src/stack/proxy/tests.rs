use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Instant;

use super::super::until;
use super::*;

const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn a_healthy_proxy_carries_both_directions_and_their_ends() -> Result<()> {
    let proxy = Proxy::start(&echo("")?)?;
    let mut client = connect(&proxy)?;
    let sent = vec![7; 1 << 20];
    let reader = std::thread::spawn({
        let mut client = client.try_clone()?;
        move || {
            let mut got = Vec::new();
            client.read_to_end(&mut got).map(|_| got)
        }
    });
    client.write_all(&sent)?;
    client.shutdown(std::net::Shutdown::Write)?;

    let got = reader.join().expect("reading does not panic")?;

    assert!(got == sent, "{} bytes came back", got.len());
    drop(client);
    until("the connection to be forgotten", LIMIT, || Ok((proxy.connections() == 0).then_some(())))
}

#[test]
fn latency_delays_what_is_sent() -> Result<()> {
    let proxy = Proxy::start(&echo("")?)?;
    let mut client = connect(&proxy)?;
    ask(&mut client, "before")?;
    let latency = Duration::from_millis(120);
    proxy.set(Wire { downstream: Stream { latency, ..Stream::default() }, ..Wire::default() });
    let begin = Instant::now();
    ask(&mut client, "after")?;
    assert!(begin.elapsed() >= latency, "{:?}", begin.elapsed());
    Ok(())
}

#[test]
fn a_rate_bounds_bytes_per_second() -> Result<()> {
    let proxy = Proxy::start(&echo("")?)?;
    proxy.set(Wire { upstream: Stream { rate: Some(100_000), ..Stream::default() }, ..Wire::default() });
    let mut client = connect(&proxy)?;
    let begin = Instant::now();
    ask(&mut client, &"x".repeat(20_000))?;
    ask(&mut client, "y")?;
    assert!(begin.elapsed() >= Duration::from_millis(200), "{:?}", begin.elapsed());
    Ok(())
}

#[test]
fn a_cut_resets_connections_and_refuses_new_ones_until_healed() -> Result<()> {
    let proxy = Proxy::start(&echo("")?)?;
    let mut client = connect(&proxy)?;
    ask(&mut client, "before")?;
    proxy.cut();
    let reset = client.read(&mut [0; 1]).expect_err("the connection is gone");
    assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
    until("connections to be refused", LIMIT, || {
        let refused = TcpStream::connect(proxy.address)
            .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused);
        Ok(refused.then_some(()))
    })?;
    proxy.heal();
    let mut client = until("connections to be accepted", LIMIT, || Ok(connect(&proxy).ok()))?;
    ask(&mut client, "after")
}

#[test]
fn what_is_held_arrives_when_healed() -> Result<()> {
    let proxy = Proxy::start(&echo("")?)?;
    let mut client = connect(&proxy)?;
    ask(&mut client, "before")?;
    proxy.set(Wire { upstream: Stream { flow: Flow::Held, ..Stream::default() }, ..Wire::default() });
    client.write_all(b"late")?;
    let mut other = connect(&proxy)?;
    other.write_all(b"too")?;
    assert!(is_silent(&mut client)? && is_silent(&mut other)?);
    proxy.heal();
    assert_eq!((read(&mut client, 4)?, read(&mut other, 3)?), ("late".to_owned(), "too".to_owned()));
    Ok(())
}

#[test]
fn a_swallowed_connection_stays_dead_and_a_new_one_lives() -> Result<()> {
    let proxy = Proxy::start(&echo("")?)?;
    let mut client = connect(&proxy)?;
    ask(&mut client, "before")?;
    proxy.set(Wire { downstream: Stream { flow: Flow::Swallowed, ..Stream::default() }, ..Wire::default() });
    client.write_all(b"lost")?;
    assert!(is_silent(&mut client)?);
    proxy.heal();
    client.write_all(b"lost too")?;
    assert!(is_silent(&mut client)?);
    ask(&mut connect(&proxy)?, "after")
}

#[test]
fn redirected_new_connections_go_elsewhere_and_open_ones_stay() -> Result<()> {
    let (old, new) = (echo("old ")?, echo("new ")?);
    let proxy = Proxy::start(&old)?;
    let mut open = connect(&proxy)?;
    assert_eq!(read(&mut open, 4)?, "old ");
    proxy.redirect(&new)?;
    let mut fresh = connect(&proxy)?;
    assert_eq!(read(&mut fresh, 4)?, "new ");
    ask(&mut open, "still there")
}

#[test]
fn a_server_that_is_away_looks_like_one() -> Result<()> {
    let address = echo("")?;
    let away = format!("127.0.0.1:{}", ports::free_port()?);
    let proxy = Proxy::start(&away)?;
    let mut client = connect(&proxy)?;
    client.read(&mut [0; 1]).expect_err("nobody is there");
    proxy.redirect(&address)?;
    ask(&mut connect(&proxy)?, "now it is")
}

/// A server that greets and then sends everything back.
fn echo(greeting: &'static str) -> Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?.to_string();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            std::thread::spawn(move || -> io::Result<u64> {
                let mut connection = connection?;
                connection.write_all(greeting.as_bytes())?;
                io::copy(&mut connection.try_clone()?, &mut connection)
            });
        }
    });
    Ok(address)
}

fn connect(proxy: &Proxy) -> Result<TcpStream> {
    let client = TcpStream::connect(proxy.address)?;
    client.set_read_timeout(Some(LIMIT))?;
    Ok(client)
}

fn ask(client: &mut TcpStream, text: &str) -> Result<()> {
    client.write_all(text.as_bytes())?;
    assert_eq!(read(client, text.len())?, text);
    Ok(())
}

fn read(client: &mut TcpStream, bytes: usize) -> Result<String> {
    let mut got = vec![0; bytes];
    client.read_exact(&mut got)?;
    Ok(String::from_utf8(got)?)
}

/// Nothing comes for a while.
fn is_silent(client: &mut TcpStream) -> Result<bool> {
    client.set_read_timeout(Some(Duration::from_millis(150)))?;
    let silent = client.read(&mut [0; 1]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    client.set_read_timeout(Some(LIMIT))?;
    Ok(silent)
}
