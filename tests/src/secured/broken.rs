//! Servers whose certificates are wrong, beside the secure ones whose are right.

use anyhow::Result;

use crate::stack::certificates::{Authority, Identity, Subject, Validity};
use crate::stack::{
    ClientCertificates, Kafka, KafkaOptions, KafkaSecurity, Listener, SecureStack, StoreTls, TokenEndpoint,
    Valkey, ValkeyOptions, secure,
};

const HOST: &str = "127.0.0.1";

/// What a server's certificate can be wrong in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    Expired,
    NotYet,
    Host,
    Authority,
}

/// Servers with wrong certificates, and the secure ones.
#[derive(Debug)]
pub struct Broken {
    pub(super) secure: &'static SecureStack,
    pub(super) strangers: Authority,
    /// A listener for each [`Wrong`].
    kafka: Kafka,
    stores: Vec<Valkey>,
    /// Asks for certificates of the right authority.
    pub(super) strict: Valkey,
    tokens: Vec<TokenEndpoint>,
    /// Its certificate is right, and its tokens are signed by a key that brokers do not know.
    pub(super) forger: TokenEndpoint,
}

impl Wrong {
    pub(super) const ALL: [Self; 4] = [Self::Expired, Self::NotYet, Self::Host, Self::Authority];

    fn identity(self, right: &Authority, strangers: &Authority) -> Result<Identity> {
        match self {
            Self::Expired => right.sign(&Subject::server(&[HOST]).valid(Validity::Expired)),
            Self::NotYet => right.sign(&Subject::server(&[HOST]).valid(Validity::NotYet)),
            Self::Host => right.server(&["elsewhere.test"]),
            Self::Authority => strangers.server(&[HOST]),
        }
    }

    fn at(self) -> usize {
        Self::ALL.iter().position(|one| *one == self).unwrap_or_default()
    }

    /// Its listener: what a client would do after the handshake does not matter.
    fn listener(self) -> Listener {
        match self {
            Self::Expired => Listener::Tls,
            Self::NotYet => Listener::Plain,
            Self::Host => Listener::ScramSha256,
            Self::Authority => Listener::ScramSha512,
        }
    }
}

impl Broken {
    pub fn start() -> Result<Self> {
        let secure = secure();
        let (right, strangers) = (&secure.authority, Authority::new("stranger")?);
        let endpoint = |wrong: Wrong| TokenEndpoint::start(&wrong.identity(right, &strangers)?);
        let tokens = Wrong::ALL.into_iter().map(endpoint).collect::<Result<Vec<_>>>()?;
        let forger = TokenEndpoint::start(&right.server(&[HOST])?)?;
        let listeners = Wrong::ALL.map(Wrong::listener);
        let kafka = Kafka::start(KafkaOptions {
            heap_megabytes: 192,
            security: Some(KafkaSecurity::new(right, &listeners, &forger)?),
            ..KafkaOptions::default()
        })?;
        for wrong in Wrong::ALL {
            kafka.set_identity(wrong.listener(), &wrong.identity(right, &strangers)?)?;
        }
        let store = |identity, clients| {
            let client_authorities = right.pem();
            let tls = Some(StoreTls { identity, clients, client_authorities });
            Valkey::start(ValkeyOptions { append_only: false, tls, ..ValkeyOptions::default() })
        };
        let wrong_store =
            |wrong: Wrong| store(wrong.identity(right, &strangers)?, ClientCertificates::Unasked);
        let stores = Wrong::ALL.into_iter().map(wrong_store).collect::<Result<_>>()?;
        let strict = store(right.server(&[HOST])?, ClientCertificates::Required)?;
        Ok(Self { secure, strangers, kafka, stores, strict, tokens, forger })
    }

    /// `HOST:PORT` of a broker whose certificate is wrong.
    pub(super) fn kafka(&self, wrong: Wrong) -> Result<String> {
        self.kafka.secure_bootstrap(wrong.listener())
    }

    /// The same of a store.
    pub(super) fn store(&self, wrong: Wrong) -> Result<String> {
        self.stores[wrong.at()].tls_address()
    }

    /// The URL of a token endpoint.
    pub(super) fn tokens(&self, wrong: Wrong) -> String {
        self.tokens[wrong.at()].token_url()
    }
}
