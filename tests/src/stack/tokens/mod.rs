//! A token endpoint is the part of an identity provider that programs talk to: clients show an identifier and a secret over HTTPS, and
//! get a signed token for a while (OAuth 2, client credentials; RFC 6749 section 4.4); servers get the keys that tokens are checked by.

mod jwt;
mod serve;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use openssl::pkey::PKey;
use openssl::ssl::{SslAcceptor, SslMethod};
use openssl::x509::X509;
use serde_json::Value;
use tokio::task::JoinHandle;

use self::jwt::{Claims, Signer};
use super::certificates::Identity;
use super::{ports, thread};

/// Whom tokens are for unless a client asks for another audience.
pub const AUDIENCE: &str = "kafka";

/// An endpoint on a port of 127.0.0.1. Dropping it ends it.
#[derive(Debug)]
pub struct TokenEndpoint {
    url: String,
    shared: Arc<Shared>,
    listening: JoinHandle<()>,
}

/// What it does with a request for a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// It gives one to a client whose secret is right, and refuses all others.
    Serve,
    /// The same, after so long.
    Delay(Duration),
    /// It answers everybody with this status and body.
    Say(u16, &'static str),
}

/// A request for a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// As the client named itself; empty where it did not.
    pub client: String,
    pub scope: Option<String>,
    pub audience: Option<String>,
    /// Of the answer; `None` while there is none.
    pub status: Option<u16>,
}

#[derive(Debug)]
struct Shared {
    issuer: String,
    signer: Signer,
    state: Mutex<State>,
}

struct State {
    acceptor: SslAcceptor,
    /// Secrets by client.
    secrets: HashMap<String, String>,
    behaviour: Behaviour,
    lifetime: Duration,
    asked: Vec<Asked>,
}

impl TokenEndpoint {
    /// Listens on a free port and shows `identity` to its clients. It knows no client yet; tokens last for an hour.
    pub fn start(identity: &Identity) -> Result<Self> {
        let threads = thread::background()?;
        let _inside = threads.enter();
        let listener = ports::listen()?;
        let url = format!("https://{}", listener.local_addr()?);
        let state = State {
            acceptor: acceptor(identity)?,
            secrets: HashMap::new(),
            behaviour: Behaviour::Serve,
            lifetime: Duration::from_secs(3_600),
            asked: Vec::new(),
        };
        let shared =
            Arc::new(Shared { issuer: url.clone(), signer: Signer::new()?, state: Mutex::new(state) });
        let listening = threads.spawn(serve::accept(listener, shared.clone()));
        Ok(Self { url, shared, listening })
    }

    /// Where clients get tokens.
    pub fn token_url(&self) -> String {
        format!("{}{}", self.url, serve::TOKEN)
    }

    /// Where servers get the keys to check them by (a JSON web key set).
    pub fn keys_url(&self) -> String {
        format!("{}{}", self.url, serve::KEYS)
    }

    /// What its tokens say that they are from.
    pub fn issuer(&self) -> &str {
        &self.shared.issuer
    }

    /// Knows a client, or has another secret for one that it knows. Its tokens name it as their subject.
    pub fn register(&self, client: &str, secret: &str) {
        self.shared.state().secrets.insert(client.to_owned(), secret.to_owned());
    }

    /// No longer knows a client.
    pub fn forget(&self, client: &str) {
        self.shared.state().secrets.remove(client);
    }

    /// From now on it does this.
    pub fn set_behaviour(&self, behaviour: Behaviour) {
        self.shared.state().behaviour = behaviour;
    }

    /// How long tokens last from now on, in whole seconds.
    pub fn set_lifetime(&self, lifetime: Duration) {
        self.shared.state().lifetime = lifetime;
    }

    /// Shows this to clients that connect from now on.
    pub fn set_identity(&self, identity: &Identity) -> Result<()> {
        self.shared.state().acceptor = acceptor(identity)?;
        Ok(())
    }

    /// Requests for tokens, in the order that they came in.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.state().asked.clone()
    }

    /// A token that nobody asked for, signed as all others are. One with an end before now has expired.
    pub fn sign(&self, subject: &str, audience: &str, end: SystemTime) -> Result<String> {
        let end = unix_seconds(end);
        // a token has begun before it ends
        let begin = unix_seconds(SystemTime::now()).min(end.saturating_sub(60));
        self.shared.signer.sign(&Claims { issuer: self.issuer(), subject, audience, scope: None, begin, end })
    }
}

impl Drop for TokenEndpoint {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keys(&self) -> Value {
        self.signer.keys()
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("State").field("behaviour", &self.behaviour).finish_non_exhaustive()
    }
}

fn acceptor(identity: &Identity) -> Result<SslAcceptor> {
    let make = || {
        let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls())?;
        builder.set_private_key(&*PKey::private_key_from_pem(identity.key.as_bytes())?)?;
        builder.set_certificate(&*X509::from_pem(identity.certificate.as_bytes())?)?;
        builder.check_private_key()?;
        Ok::<_, openssl::error::ErrorStack>(builder.build())
    };
    make().context("the token endpoint cannot use its certificate")
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
