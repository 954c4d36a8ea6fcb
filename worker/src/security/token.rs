//! Tokens for OAUTHBEARER: OAuth 2.0 client credentials (RFC 6749, 4.4), asked for over HTTPS.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use super::{SecurityError, Sensitive, TlsMaterial, diagnose};
use crate::process::now_ms;

/// The Kafka client waits for it on the thread that serves it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Tokens have some kilobytes.
const LARGEST_ANSWER: usize = 64 << 10;
/// Where the server does not say (RFC 6749 recommends that it does).
const LIFETIME: Duration = Duration::from_secs(300);

/// A client of an authorization server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OAuthClient {
    pub token_endpoint: String,
    pub client_id: String,
    pub client_secret: Sensitive,
    pub scope: Option<String>,
    pub audience: Option<String>,
    pub tls: TlsMaterial,
}

/// A token, and until when it is good.
#[derive(Clone, Debug)]
pub struct Token {
    pub value: Sensitive,
    /// Milliseconds since 1970.
    pub expires_ms: i64,
    fetched: Instant,
    lifetime: Duration,
}

/// The last token, shared by all clients of a cluster.
#[derive(Debug, Default)]
pub struct Tokens(Mutex<Option<(OAuthClient, Token)>>);

impl Tokens {
    /// A token in the first half of its life: the last one, or a new one, for which it waits.
    ///
    /// # Errors
    /// `TokenRefused`, `TokenEndpointUnreachable`, or what is wrong with the endpoint's certificate.
    pub fn get(&self, client: &OAuthClient) -> Result<Token, SecurityError> {
        // Held meanwhile: the others want the same one.
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((whose, token)) = &*last
            && whose == client
            && token.fetched.elapsed() < token.lifetime / 2
        {
            return Ok(token.clone());
        }
        let token = fetch_on_a_thread(client)?;
        *last = Some((client.clone(), token.clone()));
        Ok(token)
    }
}

/// Callers may be on a thread of a runtime, which must not start another one.
fn fetch_on_a_thread(client: &OAuthClient) -> Result<Token, SecurityError> {
    let failed = |error: &dyn std::fmt::Display| unreachable(client, &error.to_string());
    std::thread::scope(|scope| {
        let fetching = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| failed(&error))?;
            runtime.block_on(async {
                tokio::time::timeout(PATIENCE, fetch(client))
                    .await
                    .unwrap_or_else(|_| Err(failed(&format!("no answer within {} s", PATIENCE.as_secs()))))
            })
        });
        fetching.join().unwrap_or_else(|_| Err(failed(&"the request broke off")))
    })
}

async fn fetch(client: &OAuthClient) -> Result<Token, SecurityError> {
    let unreachable = |error: &dyn std::fmt::Display| unreachable(client, &error.to_string());
    let (authority, path) = parts(&client.token_endpoint);
    let peer = if has_port(authority) { authority.to_owned() } else { format!("{authority}:443") };
    let stream = TcpStream::connect(&peer).await.map_err(|error| unreachable(&error))?;
    let ssl = client
        .tls
        .connector()?
        .configure()
        .and_then(|configuration| configuration.into_ssl(diagnose::host(&peer)))
        .map_err(|error| unreachable(&error))?;
    let mut stream = SslStream::new(ssl, stream).map_err(|error| unreachable(&error))?;
    if let Err(error) = Pin::new(&mut stream).connect().await {
        let verified = stream.ssl().verify_result();
        return Err(diagnose::refused(&peer, &error, verified, &client.tls, &diagnose::TOKEN_ENDPOINT));
    }
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| unreachable(&error))?;
    tokio::spawn(connection);
    let fetched = Instant::now();
    let request = Request::post(path)
        .header(HOST, authority)
        .header(ACCEPT, "application/json")
        .header(AUTHORIZATION, basic(&client.client_id, client.client_secret.reveal()))
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Full::new(Bytes::from(form(client))))
        .map_err(|error| unreachable(&error))?;
    let answer = match sender.send_request(request).await {
        Ok(answer) => answer,
        Err(error) => {
            // With TLS 1.3 a server says only after the handshake that it wants a certificate, and hyper may keep that to itself.
            let tls = client.tls.clone();
            let look =
                tokio::task::spawn_blocking(move || diagnose::look(&peer, &tls, &diagnose::TOKEN_ENDPOINT));
            return Err(look.await.ok().flatten().unwrap_or_else(|| unreachable(&error)));
        }
    };
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LARGEST_ANSWER).collect().await;
    let body = body.map_err(|error| unreachable(&error))?.to_bytes();
    token(client, status, &body, fetched)
}

fn token(
    client: &OAuthClient,
    status: StatusCode,
    body: &[u8],
    fetched: Instant,
) -> Result<Token, SecurityError> {
    /// RFC 6749, 5.1 and 5.2.
    #[derive(Default, Deserialize)]
    struct Answer {
        access_token: Option<String>,
        expires_in: Option<u64>,
        error: Option<String>,
    }
    let answer: Answer = serde_json::from_slice(body).unwrap_or_default();
    let (endpoint, id) = (&client.token_endpoint, &client.client_id);
    match answer.access_token {
        Some(token) if status.is_success() && !token.is_empty() => {
            let lifetime = answer.expires_in.map_or(LIFETIME, |seconds| Duration::from_secs(seconds.max(1)));
            let milliseconds = i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX);
            Ok(Token {
                value: Sensitive::new(token),
                expires_ms: now_ms().saturating_add(milliseconds),
                fetched,
                lifetime,
            })
        }
        _ => {
            // A code of the standard, as it defines them; anything else may be anything.
            let is_code = |code: &String| {
                code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            };
            let code = answer.error.filter(is_code).map(|code| format!(", {code}")).unwrap_or_default();
            Err(SecurityError::new(
                "TokenRefused",
                format!(
                    "{endpoint} gave no token to client {id} ({status}{code}); check clientId and its secret"
                ),
            ))
        }
    }
}

fn unreachable(client: &OAuthClient, error: &str) -> SecurityError {
    let endpoint = &client.token_endpoint;
    SecurityError::new(
        "TokenEndpointUnreachable",
        format!("no token from {endpoint}: {error}; check tokenEndpoint"),
    )
}

/// Authority and path of an https URL, whose form was checked.
fn parts(url: &str) -> (&str, &str) {
    let rest = url.strip_prefix("https://").unwrap_or(url);
    match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    }
}

fn has_port(authority: &str) -> bool {
    authority.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
}

fn form(client: &OAuthClient) -> String {
    let mut form = "grant_type=client_credentials".to_owned();
    for (name, value) in [("scope", &client.scope), ("audience", &client.audience)] {
        if let Some(value) = value {
            form += &format!("&{name}={}", encoded(value));
        }
    }
    form
}

/// RFC 6749, 2.3.1: both are encoded as in a form, and then as RFC 7617 has it.
fn basic(id: &str, secret: &str) -> String {
    format!(
        "Basic {}",
        openssl::base64::encode_block(format!("{}:{}", encoded(id), encoded(secret)).as_bytes())
    )
}

/// As in a form (application/x-www-form-urlencoded).
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => {
                encoded.push(char::from(byte));
            }
            b' ' => encoded.push('+'),
            _ => encoded += &format!("%{byte:02X}"),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use openssl::pkey::PKey;
    use openssl::ssl::{SslAcceptor, SslMethod, SslVerifyMode, SslVersion};
    use openssl::x509::X509;

    use super::*;

    fn client() -> OAuthClient {
        OAuthClient {
            token_endpoint: "https://login.example.com/realms/game/token".to_owned(),
            client_id: "pla udit".to_owned(),
            client_secret: Sensitive::new("a:b%"),
            scope: Some("kafka read".to_owned()),
            audience: None,
            tls: TlsMaterial::default(),
        }
    }

    #[test]
    fn the_request_is_that_of_the_standard() {
        assert_eq!(form(&client()), "grant_type=client_credentials&scope=kafka+read");
        // pla+udit:a%3Ab%25
        assert_eq!(basic("pla udit", "a:b%"), "Basic cGxhK3VkaXQ6YSUzQWIlMjU=");
        assert_eq!(parts("https://host:8443/a/b"), ("host:8443", "/a/b"));
        assert_eq!(parts("https://host"), ("host", "/"));
    }

    #[test]
    fn an_answer_without_a_token_is_told_without_what_it_holds() {
        let cases: [(u16, &[u8], &str); 4] = [
            (
                401,
                br#"{"error":"invalid_client","error_description":"hunter2"}"#,
                " (401 Unauthorized, invalid_client)",
            ),
            (400, br#"{"error":"hunter2 is wrong"}"#, " (400 Bad Request)"),
            (200, b"<html>hunter2", " (200 OK)"),
            (200, br#"{"access_token":""}"#, " (200 OK)"),
        ];
        for (status, body, expected) in cases {
            let refused =
                token(&client(), StatusCode::from_u16(status).unwrap(), body, Instant::now()).unwrap_err();
            assert_eq!(
                (refused.reason, refused.message),
                (
                    "TokenRefused",
                    format!(
                        "https://login.example.com/realms/game/token gave no token to client pla udit{expected}; check clientId and its secret"
                    )
                )
            );
        }
    }

    /// An endpoint on loopback that lets nobody in without a certificate, and the client of it.
    fn demanding(most: SslVersion, connections: usize) -> (OAuthClient, std::thread::JoinHandle<()>) {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = X509::from_pem(own.cert.pem().as_bytes()).unwrap();
        let key = PKey::private_key_from_pem(own.signing_key.serialize_pem().as_bytes()).unwrap();
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
        acceptor.set_certificate(&certificate).unwrap();
        acceptor.set_private_key(&key).unwrap();
        acceptor.set_max_proto_version(Some(most)).unwrap();
        acceptor.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = acceptor.build();
        let serving = std::thread::spawn(move || {
            for _ in 0..connections {
                let (mut stream, _) = listener.accept().unwrap();
                assert!(acceptor.accept(stream.try_clone().unwrap()).is_err());
                // What was sent meanwhile is read: a reset would take the alert along.
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
            }
        });
        let tls = TlsMaterial { authorities: Some(own.cert.pem()), own: None };
        (OAuthClient { token_endpoint: format!("https://localhost:{port}/token"), tls, ..client() }, serving)
    }

    #[test]
    fn an_endpoint_that_asks_for_a_certificate_is_told_as_such() {
        for (most, connections) in [(SslVersion::TLS1_2, 1), (SslVersion::TLS1_3, 2)] {
            let (client, serving) = demanding(most, connections);
            let peer = parts(&client.token_endpoint).0.to_owned();

            let refused = fetch_on_a_thread(&client).unwrap_err();
            serving.join().unwrap();

            let expected =
                format!("{peer} asks for a client certificate; take an endpoint that asks for none");
            assert_eq!((refused.reason, refused.message), ("ClientCertificateRefused", expected));
        }
    }

    #[test]
    fn a_token_lives_as_long_as_its_server_says() {
        let body = br#"{"access_token":"t","token_type":"Bearer","expires_in":60}"#;
        let before = now_ms();
        let token = token(&client(), StatusCode::OK, body, Instant::now()).unwrap();
        assert_eq!((token.value.reveal(), token.lifetime), ("t", Duration::from_secs(60)));
        assert!((before + 60_000..before + 70_000).contains(&token.expires_ms));
    }
}
