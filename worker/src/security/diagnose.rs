//! Why a secure connection did not come about, said so that somebody can mend it.
//!
//! The Kafka client says no more than that a certificate was not verified. So whoever has such an error tries the handshake once
//! more, with the same library and the same material, and looks at what that library found.

use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use openssl::ssl::{Error, HandshakeError, SslConnector, SslMethod, SslVerifyMode};
use openssl::x509::X509VerifyResult;

use super::{SecurityError, TlsMaterial, tls};

/// For each step of a try.
const PATIENCE: Duration = Duration::from_secs(2);

/// What somebody changes in a pipeline where a handshake with such a peer fails.
pub(crate) struct Remedies {
    /// The field that names who is trusted.
    ca: &'static str,
    /// The peer does not speak TLS.
    no_tls: &'static str,
    /// It wants to see a certificate.
    certificate: &'static str,
}

/// Of brokers and stores.
pub(crate) const SERVER: Remedies = Remedies {
    ca: "security.tls.ca",
    no_tls: "use the one that has, or remove security.tls",
    certificate: "name one in security.tls.certificate",
};

/// Of the endpoint of an authorization server.
pub(crate) const TOKEN_ENDPOINT: Remedies = Remedies {
    ca: "security.sasl.oauth.ca",
    no_tls: "correct tokenEndpoint",
    certificate: "take an endpoint that asks for none",
};

/// With TLS 1.3 a server says only after the handshake what it thinks of our certificate.
const AFTERTHOUGHT: Duration = Duration::from_millis(500);

/// Tries a TLS handshake with `peer` (host:port) and says what is wrong; `None` where nothing is, or nobody answers. `material`: none
/// where the client speaks without TLS. Takes some seconds at most, and a thread.
#[must_use]
pub fn diagnose(peer: &str, material: Option<&TlsMaterial>) -> Option<SecurityError> {
    let stream = connect(peer)?;
    let Some(material) = material else {
        return speaks_tls(peer, stream).then(|| {
            SecurityError::new(
                "TlsRequired",
                format!("{peer} expects TLS on this port; add security.tls, or use its port without TLS"),
            )
        });
    };
    handshake(peer, stream, material, &SERVER)
}

/// The same for a peer that is to speak TLS, with what would remedy it there.
pub(super) fn look(peer: &str, material: &TlsMaterial, remedies: &Remedies) -> Option<SecurityError> {
    handshake(peer, connect(peer)?, material, remedies)
}

fn handshake(
    peer: &str,
    stream: TcpStream,
    material: &TlsMaterial,
    remedies: &Remedies,
) -> Option<SecurityError> {
    let connector = material.connector().ok()?;
    match connector.connect(host(peer), stream) {
        Ok(mut stream) => {
            stream.get_ref().set_read_timeout(Some(AFTERTHOUGHT)).ok()?;
            match stream.ssl_read(&mut [0]) {
                Err(error) if error.ssl_error().is_some() => {
                    Some(refused(peer, &error, X509VerifyResult::OK, material, remedies))
                }
                Ok(_) | Err(_) => None,
            }
        }
        Err(HandshakeError::Failure(failed)) => {
            Some(refused(peer, failed.error(), failed.ssl().verify_result(), material, remedies))
        }
        Err(HandshakeError::SetupFailure(_) | HandshakeError::WouldBlock(_)) => None,
    }
}

/// What a failed handshake with `peer` means; `verified` is what became of the server's certificate.
pub(crate) fn refused(
    peer: &str,
    error: &Error,
    verified: X509VerifyResult,
    material: &TlsMaterial,
    remedies: &Remedies,
) -> SecurityError {
    if verified != X509VerifyResult::OK {
        return of_certificate(peer, verified, remedies.ca);
    }
    let said = error.ssl_error().map(tls::said).unwrap_or_default();
    let is_about_us = material.own.is_some() || asks_for_certificate(&said);
    let (reason, message) = if said.contains("alert") && is_about_us {
        ("ClientCertificateRefused", of_alert(peer, &said, material.own.is_some(), remedies))
    } else if said.is_empty() || is_no_tls(&said) {
        return no_tls(peer, remedies);
    } else {
        ("TlsFailed", format!("no TLS connection to {peer}: {said}"))
    };
    SecurityError::new(reason, message)
}

/// A port without TLS.
pub(crate) fn no_tls(peer: &str, remedies: &Remedies) -> SecurityError {
    let message = format!("{peer} does not answer in TLS: this port has no TLS; {}", remedies.no_tls);
    SecurityError::new("TlsNotOffered", message)
}

/// The host of host:port, without the brackets of an IPv6 address.
pub(crate) fn host(peer: &str) -> &str {
    let host = peer.rsplit_once(':').map_or(peer, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn of_certificate(peer: &str, verified: X509VerifyResult, ca: &str) -> SecurityError {
    // The codes of OpenSSL's x509_vfy.h.
    let (reason, what) = match verified.as_raw() {
        9 => ("TlsCertificateNotYetValid", "is not valid yet; check the clocks, or wait"),
        10 => ("TlsCertificateExpired", "has expired; the server needs a new one"),
        62 | 64 => (
            "TlsHostnameMismatch",
            "names another host; use a name that is in it, or give the server one with this name",
        ),
        2 | 18 | 19 | 20 | 21 => {
            let message = format!(
                "the certificate of {peer} is of an authority that is not trusted; put that one's certificate into the Secret of {ca}"
            );
            return SecurityError::new("TlsUnknownAuthority", message);
        }
        _ => {
            let message = format!("the certificate of {peer} is refused: {}", verified.error_string());
            return SecurityError::new("TlsFailed", message);
        }
    };
    SecurityError::new(reason, format!("the certificate of {peer} {what}"))
}

/// `shown`: it has seen a certificate of ours.
fn of_alert(peer: &str, said: &str, shown: bool, remedies: &Remedies) -> String {
    // OpenSSL's releases differ in what stands before.
    let said = said.split_once("alert ").map_or(said, |(_, alert)| alert);
    if !shown {
        format!("{peer} asks for a client certificate; {}", remedies.certificate)
    } else if said.contains("expired") {
        format!("{peer} finds our certificate expired; write a new one, and check the clocks")
    } else if said.contains("unknown ca") {
        format!("{peer} does not trust the authority of our certificate; take one that it knows")
    } else {
        format!("{peer} does not accept our certificate ({said}); see its log, and whom it trusts")
    }
}

/// An alert to a client that has shown no certificate.
fn asks_for_certificate(said: &str) -> bool {
    ["certificate required", "bad certificate", "handshake failure"].iter().any(|sign| said.contains(sign))
}

fn is_no_tls(said: &str) -> bool {
    [
        "wrong version number",
        "packet length too long",
        "http request",
        "record layer failure",
        "unexpected eof",
    ]
    .iter()
    .any(|sign| said.contains(sign))
}

fn speaks_tls(peer: &str, stream: TcpStream) -> bool {
    let Ok(mut builder) = SslConnector::builder(SslMethod::tls_client()) else { return false };
    // Nothing is sent over this connection.
    builder.set_verify(SslVerifyMode::NONE);
    match builder.build().connect(host(peer), stream) {
        Ok(_) => true,
        // An alert is TLS too.
        Err(HandshakeError::Failure(failed)) => {
            failed.error().ssl_error().is_some_and(|error| tls::said(error).contains("alert"))
        }
        Err(HandshakeError::SetupFailure(_) | HandshakeError::WouldBlock(_)) => false,
    }
}

fn connect(peer: &str) -> Option<TcpStream> {
    let stream = peer
        .to_socket_addrs()
        .ok()?
        .find_map(|address| TcpStream::connect_timeout(&address, PATIENCE).ok())?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    Some(stream)
}
