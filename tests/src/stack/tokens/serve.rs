//! Serving of a token endpoint: connections, requests, and the answer that the state has for each.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, WWW_AUTHENTICATE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use openssl::base64;
use openssl::ssl::Ssl;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_openssl::SslStream;

use super::jwt::Claims;
use super::{AUDIENCE, Asked, Behaviour, Shared, unix_seconds};

pub(super) const TOKEN: &str = "/token";
pub(super) const KEYS: &str = "/keys";

/// A request for a token has some hundred bytes.
const LARGEST_BODY: usize = 64 * 1024;

/// What a client sent in its form, and who it says it is.
#[derive(Debug, Default, PartialEq, Eq)]
struct Form {
    grant_type: String,
    client: String,
    secret: String,
    scope: Option<String>,
    audience: Option<String>,
}

pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        // who went away before it was accepted needs nothing
        if let Ok((connection, _)) = listener.accept().await {
            let shared = shared.clone();
            // a client that does not trust us, or is cut off, sees an error itself
            tokio::spawn(async move { drop(converse(connection, shared).await) });
        }
    }
}

async fn converse(connection: TcpStream, shared: Arc<Shared>) -> Result<()> {
    let ssl = Ssl::new(shared.state().acceptor.context())?;
    let mut stream = SslStream::new(ssl, connection)?;
    Pin::new(&mut stream).accept().await?;
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(answer(request, &shared).await) }
    });
    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await?;
    Ok(())
}

async fn answer(request: Request<Incoming>, shared: &Shared) -> Response<Full<Bytes>> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, KEYS) => say(StatusCode::OK, shared.keys().to_string()),
        (&Method::POST, TOKEN) => token(request, shared).await,
        _ => refuse(StatusCode::NOT_FOUND, "not_found"),
    }
}

async fn token(request: Request<Incoming>, shared: &Shared) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, LARGEST_BODY).collect().await else {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request");
    };
    let form = form(&head.headers, &body.to_bytes());
    let (behaviour, number) = shared.note(&form);
    let answer = match behaviour {
        Behaviour::Serve => decide(&form, shared),
        Behaviour::Delay(delay) => {
            tokio::time::sleep(delay).await;
            decide(&form, shared)
        }
        Behaviour::Say(status, body) => {
            say(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body.to_owned())
        }
    };
    shared.state().asked[number].status = Some(answer.status().as_u16());
    answer
}

impl Shared {
    /// Counts a request; what to do with it, and its number.
    fn note(&self, form: &Form) -> (Behaviour, usize) {
        let mut state = self.state();
        let (client, scope, audience) = (form.client.clone(), form.scope.clone(), form.audience.clone());
        state.asked.push(Asked { client, scope, audience, status: None });
        (state.behaviour.clone(), state.asked.len() - 1)
    }
}

/// The errors are those of RFC 6749 section 5.2.
fn decide(form: &Form, shared: &Shared) -> Response<Full<Bytes>> {
    if form.grant_type != "client_credentials" {
        return refuse(StatusCode::BAD_REQUEST, "unsupported_grant_type");
    }
    let (known, lifetime) = {
        let state = shared.state();
        (state.secrets.get(&form.client) == Some(&form.secret), state.lifetime)
    };
    if !known {
        return refuse(StatusCode::UNAUTHORIZED, "invalid_client");
    }
    let begin = unix_seconds(SystemTime::now());
    let claims = Claims {
        issuer: &shared.issuer,
        subject: &form.client,
        audience: form.audience.as_deref().unwrap_or(AUDIENCE),
        scope: form.scope.as_deref(),
        begin,
        end: begin + lifetime.as_secs(),
    };
    match shared.signer.sign(&claims) {
        Ok(token) => {
            let body =
                json!({"access_token": token, "token_type": "Bearer", "expires_in": lifetime.as_secs()});
            say(StatusCode::OK, body.to_string())
        }
        Err(_) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
    }
}

/// Identifier and secret may come in the form, or as user and password of HTTP, each encoded as in a form (RFC 6749 section 2.3.1).
fn form(headers: &HeaderMap, body: &[u8]) -> Form {
    let mut form = Form::default();
    for (name, value) in form_urlencoded::parse(body) {
        match &*name {
            "grant_type" => form.grant_type = value.into_owned(),
            "client_id" => form.client = value.into_owned(),
            "client_secret" => form.secret = value.into_owned(),
            "scope" => form.scope = Some(value.into_owned()),
            "audience" => form.audience = Some(value.into_owned()),
            _ => {}
        }
    }
    if let Ok((client, secret)) = basic(headers) {
        (form.client, form.secret) = (client, secret);
    }
    form
}

fn basic(headers: &HeaderMap) -> Result<(String, String)> {
    let header = headers.get(AUTHORIZATION).context("no Authorization")?.to_str()?;
    let encoded = header.strip_prefix("Basic ").context("not Basic")?;
    let text = String::from_utf8(base64::decode_block(encoded)?)?;
    let (client, secret) = text.split_once(':').context("no password")?;
    let decode = |part: &str| {
        let pair = format!("x={part}");
        form_urlencoded::parse(pair.as_bytes())
            .map(|(_, value)| value.into_owned())
            .next()
            .unwrap_or_default()
    };
    Ok((decode(client), decode(secret)))
}

fn refuse(status: StatusCode, error: &str) -> Response<Full<Bytes>> {
    let mut answer = say(status, json!({"error": error}).to_string());
    if status == StatusCode::UNAUTHORIZED {
        let challenge = http::HeaderValue::from_static("Basic realm=\"tokens\"");
        answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    answer
}

fn say(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    answer.headers_mut().insert(CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    answer
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_client_names_itself_in_the_form_or_in_the_header() -> Result<()> {
        let in_form = b"grant_type=client_credentials&client_id=a%20b&client_secret=x%2By%26z&scope=r+w";
        let header = format!("Basic {}", base64::encode_block(b"a+b:x%2By%26z"));
        let in_header = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(&header)?)]);

        let found =
            [form(&HeaderMap::new(), in_form), form(&in_header, b"grant_type=client_credentials&scope=r+w")];

        let expected = || Form {
            grant_type: "client_credentials".into(),
            client: "a b".into(),
            secret: "x+y&z".into(),
            scope: Some("r w".into()),
            audience: None,
        };
        assert_eq!(found, [expected(), expected()]);
        Ok(())
    }
}
