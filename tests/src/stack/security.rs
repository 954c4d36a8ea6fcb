//! A secure stack is one Kafka and one store that want to know who comes, with the authority and the token endpoint that they trust.

use std::sync::OnceLock;

use anyhow::Result;

use super::certificates::Authority;
use super::kafka::{Kafka, KafkaOptions, KafkaSecurity, Listener, TokenTrust};
use super::tokens::{AUDIENCE, TokenEndpoint};
use super::valkey::{ClientCertificates, StoreTls, Valkey, ValkeyOptions};

/// Where its servers are. No name is theirs, so that a client that comes to `localhost` meets the wrong host.
const HOST: &str = "127.0.0.1";

/// Users of [`Listener::Plain`], with their passwords. Two, since a password changes only with a restart.
pub const PLAIN_USERS: [(&str, &str); 2] =
    [("plain-one", "Qzv7canary-of-one"), ("plain-two", "Qzv7canary-of-two")];
/// Of the store's default user.
pub const STORE_PASSWORD: &str = "Qzv7canary-of-the-store";
/// Of users of the store that tests make.
pub const STORE_USER_PASSWORD: &str = "Qzv7canary-of-the-user";

#[derive(Debug)]
pub struct SecureStack {
    /// Signed the certificates of all the servers, and is trusted for clients.
    pub authority: Authority,
    pub tokens: TokenEndpoint,
    /// With every [`Listener`].
    pub kafka: Kafka,
    /// With TLS, and clients that show a certificate if they like.
    pub store: Valkey,
}

/// The secure stack of this test process, started on first use. Keep apart by names of users, topics and keys; a test that changes
/// certificates, or how the token endpoint behaves, starts its own.
///
/// # Panics
/// When a server can't be started; the message is the whole chain of causes.
pub fn secure() -> &'static SecureStack {
    static SECURE: OnceLock<SecureStack> = OnceLock::new();
    SECURE.get_or_init(|| SecureStack::start().unwrap_or_else(|error| panic!("{error:#}")))
}

impl SecureStack {
    pub fn start() -> Result<Self> {
        let authority = Authority::new("authority")?;
        let tokens = TokenEndpoint::start(&authority.server(&[HOST])?)?;
        let store = Valkey::start(ValkeyOptions {
            password: Some(STORE_PASSWORD.to_owned()),
            tls: Some(StoreTls {
                identity: authority.server(&[HOST])?,
                clients: ClientCertificates::Optional,
                client_authorities: authority.pem(),
            }),
            ..ValkeyOptions::default()
        })?;
        let kafka = Kafka::start(KafkaOptions {
            security: Some(KafkaSecurity::new(&authority, &Listener::ALL, &tokens)?),
            ..KafkaOptions::default()
        })?;
        Ok(Self { authority, tokens, kafka, store })
    }
}

impl KafkaSecurity {
    /// What a broker on 127.0.0.1 with these listeners needs.
    pub fn new(authority: &Authority, listeners: &[Listener], tokens: &TokenEndpoint) -> Result<Self> {
        let owned = |(user, password): (&str, &str)| (user.to_owned(), password.to_owned());
        Ok(Self {
            listeners: listeners.to_vec(),
            identity: authority.server(&[HOST])?,
            client_authorities: authority.pem(),
            plain_users: PLAIN_USERS.map(owned).to_vec(),
            tokens: Some(TokenTrust {
                keys_url: tokens.keys_url(),
                authorities: authority.pem(),
                issuer: tokens.issuer().to_owned(),
                audience: AUDIENCE.to_owned(),
            }),
            proxied: false,
        })
    }
}
