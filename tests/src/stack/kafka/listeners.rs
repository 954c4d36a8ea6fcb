//! The broker's secure listeners: what `server.properties` says of them, and the files that it names.
//!
//! Rights are checked on all listeners. Whoever comes without proving who they are is `User:ANONYMOUS`, who may do everything: that is the
//! harness on the plain listener, and clients on [`Listener::Tls`] too. All others may do what they were allowed to (see `acl`).

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, ensure};

use super::properties::Extra;
use crate::stack::certificates::Identity;
use crate::stack::{Proxy, ports};

/// A way to the broker besides the plain one, on a port of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Listener {
    /// TLS; nobody proves who they are.
    Tls,
    /// TLS; clients are whom their certificate names.
    MutualTls,
    /// User and password as they are, over TLS.
    Plain,
    /// A proof of the password, over TLS.
    ScramSha256,
    ScramSha512,
    /// SCRAM-SHA-512 without TLS.
    ScramInClear,
    /// A token of a [`TokenEndpoint`](crate::stack::TokenEndpoint), over TLS.
    OAuthBearer,
}

/// What a broker with secure listeners needs.
#[derive(Debug, Clone)]
pub struct KafkaSecurity {
    pub listeners: Vec<Listener>,
    /// Shown on each of them.
    pub identity: Identity,
    /// Whose certificates clients of [`Listener::MutualTls`] may show: certificates in PEM.
    pub client_authorities: String,
    /// Users of [`Listener::Plain`] and their passwords, which have letters, digits, `-` and `_` only. ([`Listener::ScramSha256`] and its
    /// like have users of their own: [`Kafka::set_scram_password`](super::Kafka::set_scram_password).)
    pub plain_users: Vec<(String, String)>,
    /// Needed by [`Listener::OAuthBearer`].
    pub tokens: Option<TokenTrust>,
    /// Clients come to each listener through a proxy ([`Kafka::way_to`](super::Kafka::way_to)).
    pub proxied: bool,
}

/// Which tokens a broker takes. The keys have to be there when it starts.
#[derive(Debug, Clone)]
pub struct TokenTrust {
    pub keys_url: String,
    /// Whom to trust when getting the keys: certificates in PEM.
    pub authorities: String,
    pub issuer: String,
    pub audience: String,
}

/// The listeners of one broker, on their ports.
#[derive(Debug)]
pub(super) struct Secured {
    ports: Vec<(Listener, u16)>,
    /// One for each listener, or none.
    proxies: Vec<Proxy>,
    security: KafkaSecurity,
    plain_users: Mutex<Vec<(String, String)>>,
    directory: PathBuf,
    next: AtomicU32,
}

impl Listener {
    pub const ALL: [Self; 7] = [
        Self::Tls,
        Self::MutualTls,
        Self::Plain,
        Self::ScramSha256,
        Self::ScramSha512,
        Self::ScramInClear,
        Self::OAuthBearer,
    ];

    /// The security protocol, as brokers and clients call it.
    pub fn protocol(self) -> &'static str {
        match self {
            Self::Tls | Self::MutualTls => "SSL",
            Self::Plain | Self::ScramSha256 | Self::ScramSha512 | Self::OAuthBearer => "SASL_SSL",
            Self::ScramInClear => "SASL_PLAINTEXT",
        }
    }

    /// The SASL mechanism, as brokers and clients call it.
    pub fn mechanism(self) -> Option<&'static str> {
        match self {
            Self::Tls | Self::MutualTls => None,
            Self::Plain => Some("PLAIN"),
            Self::ScramSha256 => Some("SCRAM-SHA-256"),
            Self::ScramSha512 | Self::ScramInClear => Some("SCRAM-SHA-512"),
            Self::OAuthBearer => Some("OAUTHBEARER"),
        }
    }

    /// In the broker's settings.
    fn name(self) -> &'static str {
        match self {
            Self::Tls => "TLS",
            Self::MutualTls => "MUTUAL",
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM256",
            Self::ScramSha512 => "SCRAM512",
            Self::ScramInClear => "CLEAR",
            Self::OAuthBearer => "OAUTH",
        }
    }

    /// What names of its own settings begin with.
    pub(super) fn prefix(self) -> String {
        format!("listener.name.{}.", self.name().to_lowercase())
    }
}

impl Secured {
    pub(super) fn new(security: &KafkaSecurity, directory: &Path) -> Result<Self> {
        let port = |listener: &Listener| Ok((*listener, ports::free_port()?));
        let ports = security.listeners.iter().map(port).collect::<Result<Vec<_>>>()?;
        let proxied = ports.iter().filter(|_| security.proxied);
        let proxy = |(_, port): &(Listener, u16)| Proxy::start(&format!("{}:{port}", Ipv4Addr::LOCALHOST));
        Ok(Self {
            proxies: proxied.map(proxy).collect::<Result<_>>()?,
            ports,
            security: security.clone(),
            plain_users: Mutex::new(security.plain_users.clone()),
            directory: directory.to_owned(),
            next: AtomicU32::new(0),
        })
    }

    pub(super) fn extras(&self, host: Ipv4Addr) -> impl Iterator<Item = Extra> {
        self.ports.iter().map(move |&(listener, port)| Extra {
            name: listener.name().to_owned(),
            host,
            port,
            advertised: self.proxy(listener).map_or(port, Proxy::port),
            protocol: listener.protocol(),
        })
    }

    /// Where its clients come to.
    pub(super) fn port(&self, wanted: Listener) -> Option<u16> {
        let (_, port) = self.ports.iter().find(|(listener, _)| *listener == wanted)?;
        Some(self.proxy(wanted).map_or(*port, Proxy::port))
    }

    pub(super) fn proxy(&self, wanted: Listener) -> Option<&Proxy> {
        let at = self.ports.iter().position(|(listener, _)| *listener == wanted)?;
        self.proxies.get(at)
    }

    /// A system property that this broker's Java needs.
    pub(super) fn java_argument(&self) -> Option<String> {
        let tokens = self.security.tokens.as_ref()?;
        Some(format!("-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={}", tokens.keys_url))
    }

    /// The part of `server.properties`; writes the files that it names.
    pub(super) fn properties(&self) -> Result<String> {
        let mut text = COMMON.to_owned();
        let identity = self.write("identity.pem", &self.security.identity.both())?;
        let authorities = self.write("authorities.pem", &self.security.client_authorities)?;
        for (listener, _) in &self.ports {
            let prefix = listener.prefix();
            // the plain one's two for each of these would be many
            writeln!(text, "{prefix}num.network.threads=1")?;
            match listener {
                Listener::ScramInClear => {}
                Listener::Tls
                | Listener::MutualTls
                | Listener::Plain
                | Listener::ScramSha256
                | Listener::ScramSha512
                | Listener::OAuthBearer => {
                    let client = if *listener == Listener::MutualTls { "required" } else { "none" };
                    write!(
                        text,
                        "{prefix}ssl.keystore.type=PEM\n\
                         {prefix}ssl.keystore.location={}\n\
                         {prefix}ssl.truststore.type=PEM\n\
                         {prefix}ssl.truststore.location={}\n\
                         {prefix}ssl.client.auth={client}\n",
                        identity.display(),
                        authorities.display()
                    )?;
                }
            }
            if let Some(mechanism) = listener.mechanism() {
                writeln!(text, "{prefix}sasl.enabled.mechanisms={mechanism}")?;
                let prefix = format!("{prefix}{}.", mechanism.to_lowercase());
                text.push_str(&self.of_mechanism(*listener, &prefix)?);
            }
        }
        Ok(text)
    }

    /// Lines for one mechanism.
    fn of_mechanism(&self, listener: Listener, prefix: &str) -> Result<String> {
        const MODULES: &str = "org.apache.kafka.common.security";
        Ok(match listener {
            Listener::Tls | Listener::MutualTls => String::new(),
            Listener::Plain => {
                let mut users = String::new();
                for (user, password) in &*self.plain_users() {
                    ensure!(is_plain(user) && is_plain(password), "{user} or its password has other signs");
                    write!(users, " user_{user}=\"{password}\"")?;
                }
                format!("{prefix}sasl.jaas.config={MODULES}.plain.PlainLoginModule required{users};\n")
            }
            Listener::ScramSha256 | Listener::ScramSha512 | Listener::ScramInClear => {
                format!("{prefix}sasl.jaas.config={MODULES}.scram.ScramLoginModule required;\n")
            }
            Listener::OAuthBearer => {
                let tokens = self.security.tokens.as_ref().context("no tokens for Listener::OAuthBearer")?;
                let authorities = self.write("token-authorities.pem", &tokens.authorities)?;
                // The module wants a subject as soon as it has any option; the broker itself logs in nowhere.
                format!(
                    "{prefix}sasl.server.callback.handler.class={MODULES}.oauthbearer.OAuthBearerValidatorCallbackHandler\n\
                     {prefix}sasl.jaas.config={MODULES}.oauthbearer.OAuthBearerLoginModule required \
                     unsecuredLoginStringClaim_sub=\"broker\" \
                     ssl.truststore.type=\"PEM\" ssl.truststore.location=\"{}\";\n\
                     {prefix}sasl.oauthbearer.jwks.endpoint.url={}\n\
                     {prefix}sasl.oauthbearer.expected.issuer={}\n\
                     {prefix}sasl.oauthbearer.expected.audience={}\n\
                     {prefix}sasl.oauthbearer.clock.skew.seconds=0\n",
                    authorities.display(),
                    tokens.keys_url,
                    tokens.issuer,
                    tokens.audience
                )
            }
        })
    }

    /// A file of its own for this text: the broker takes a file for unchanged when its name is.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.directory.join(format!("{number}-{name}"));
        std::fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))?;
        Ok(path)
    }

    pub(super) fn set_plain_password(&self, user: &str, password: &str) {
        let mut users = self.plain_users();
        users.retain(|(known, _)| known != user);
        users.push((user.to_owned(), password.to_owned()));
    }

    fn plain_users(&self) -> MutexGuard<'_, Vec<(String, String)>> {
        self.plain_users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_plain(text: &str) -> bool {
    text.chars().all(|sign| sign.is_ascii_alphanumeric() || "-_".contains(sign))
}

/// Users are called by the common name of their certificate alone. Certificates may be exchanged for any others at run time.
const COMMON: &str = "\
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
ssl.principal.mapping.rules=RULE:^CN=([^,]+).*$/$1/,DEFAULT
ssl.allow.dn.changes=true
ssl.allow.san.changes=true
";
