//! How to reach one Kafka cluster, shared by all clients of it: servers, credentials, and what went wrong lately.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::OAuthToken;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::complaint::{Complaint, GROUP_DENIED, TOPIC_DENIED, complaint, group_denied, topic_denied};
use super::config::reader_config;
use super::link::LinkContext;
use super::looks::Looks;
use crate::lane::lock;
use crate::security::{KafkaCredentials, Login, SecurityError, Tokens, diagnose};

/// The client repeats a complaint every half a minute while its cause stands.
const MEMORY: Duration = Duration::from_secs(45);

/// A closer look at a failed handshake takes no longer.
const PATIENCE: Duration = Duration::from_secs(6);

/// Bootstrap servers that are looked at where no broker answers: one would do.
const LOOKED_AT: usize = 3;

/// One cluster and the rights to talk to it.
#[derive(Debug)]
pub struct Access {
    servers: String,
    credentials: Mutex<Arc<KafkaCredentials>>,
    /// Counts the replacements of the credentials.
    edition: AtomicU64,
    tokens: Tokens,
    trouble: Mutex<Option<(SecurityError, Instant)>>,
    /// A broker has answered.
    reached: AtomicBool,
    looks: Looks,
}

impl Access {
    /// `servers`: host:port, separated by commas.
    #[must_use]
    pub fn new(servers: &str, credentials: KafkaCredentials) -> Arc<Self> {
        Arc::new(Self {
            servers: servers.to_owned(),
            credentials: Mutex::new(Arc::new(credentials)),
            edition: AtomicU64::new(0),
            tokens: Tokens::default(),
            trouble: Mutex::default(),
            reached: AtomicBool::new(false),
            looks: Looks::default(),
        })
    }

    /// Without encryption, as nobody.
    #[must_use]
    pub fn plain(servers: &str) -> Arc<Self> {
        Self::new(servers, KafkaCredentials::default())
    }

    /// The bootstrap servers.
    #[must_use]
    pub fn servers(&self) -> &str {
        &self.servers
    }

    /// Sets servers, how often they are tried, and credentials. The result holds secrets, so it is never logged.
    pub fn configure(&self, client: &mut ClientConfig) {
        client
            .set("bootstrap.servers", &self.servers)
            // While no broker lets it in, the client tries one twice in this time, whatever the longest time is: by default each of
            // its clients would cost a broker 20 handshakes a second.
            .set("reconnect.backoff.ms", "500")
            // By default it waits up to ten seconds before it tries a broker that is back.
            .set("reconnect.backoff.max.ms", "2000");
        self.credentials().configure(client);
    }

    /// Which edition of the credentials that is.
    pub(super) fn edition(&self) -> u64 {
        self.edition.load(Ordering::Relaxed)
    }

    /// The credentials of new connections.
    #[must_use]
    pub fn credentials(&self) -> Arc<KafkaCredentials> {
        lock(&self.credentials).clone()
    }

    /// Gives running clients a new password or client secret for their next connections. Only for what
    /// [`KafkaCredentials::for_client_of`] gives.
    pub fn replace(&self, credentials: KafkaCredentials) {
        *lock(&self.credentials) = Arc::new(credentials);
        // It was about what is replaced.
        lock(&self.trouble).take();
        self.edition.fetch_add(1, Ordering::Relaxed);
        self.looks.renew();
    }

    /// A broker has answered, as somebody whom it let in.
    pub fn reached(&self) {
        self.reached.store(true, Ordering::Relaxed);
        lock(&self.trouble).take();
    }

    /// A commit was accepted: whatever kept us out is over, but a right that is missing elsewhere may still be.
    pub fn committed(&self) {
        lock(&self.trouble).take_if(|(trouble, _)| !trouble.reason.ends_with("Unauthorized"));
    }

    /// True once a broker has answered.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }

    /// A consumer without a group, for questions and for reading single records.
    ///
    /// # Errors
    /// When the client refuses its settings, or gets no token.
    pub fn reader(self: &Arc<Self>) -> Result<BaseConsumer<LinkContext>, KafkaError> {
        let consumer: BaseConsumer<LinkContext> =
            reader_config(self).create_with_context(LinkContext::new(self))?;
        let link = consumer.context().0.clone();
        link.log_in(consumer.client()).map_err(|error| KafkaError::ClientCreation(error.message))?;
        Ok(consumer)
    }

    /// What keeps a client out that has just failed; waits some seconds while that is looked at. `poll` serves the client.
    #[must_use]
    pub fn explain(&self, poll: impl Fn()) -> Option<SecurityError> {
        let until = Instant::now() + PATIENCE;
        poll();
        while self.looks.is_looking() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(50));
        }
        self.trouble()
    }

    /// What keeps clients out, as far as they said so lately.
    #[must_use]
    pub fn trouble(&self) -> Option<SecurityError> {
        let trouble = lock(&self.trouble);
        // The client says once that it may not join its group; an assignment ends that.
        let stands = |trouble: &SecurityError, since: &Instant| {
            trouble.reason == GROUP_DENIED || since.elapsed() < MEMORY
        };
        trouble.as_ref().filter(|(trouble, since)| stands(trouble, since)).map(|(trouble, _)| trouble.clone())
    }

    /// What denies a consumer its topic or its group, so that it gets no record.
    #[must_use]
    pub fn denial(&self) -> Option<SecurityError> {
        self.trouble().filter(|trouble| [TOPIC_DENIED, GROUP_DENIED].contains(&trouble.reason))
    }

    /// To be told each error of a client, with the client's own words.
    pub fn note(self: &Arc<Self>, error: &KafkaError, text: &str) {
        let credentials = self.credentials();
        match complaint(error, text, &credentials) {
            None => {}
            Some(Complaint::Known(trouble)) => self.remember(trouble),
            Some(Complaint::Handshake { peer, otherwise }) => {
                self.look(vec![peer], Some(otherwise), credentials);
            }
            // A port with TLS meets a client without it, or the other way round; or a client certificate is missing. Brokers that answered
            // once are merely down.
            Some(Complaint::Silence) if !self.is_reached() => {
                let peers = self.servers.split(',').take(LOOKED_AT).map(str::to_owned).collect();
                self.look(peers, None, credentials);
            }
            Some(Complaint::Silence) => {}
        }
    }

    /// To be told an error of a consumer of `topic` in `group`: whether it lacks a right to either.
    pub fn note_denial(&self, error: &KafkaError, topic: &str, group: &str) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => self.remember(self.topic_denied(topic)),
            Some(RDKafkaErrorCode::GroupAuthorizationFailed) => self.remember(self.group_denied(group)),
            _ => {}
        }
    }

    /// What is said where Kafka denies us a topic.
    #[must_use]
    pub fn topic_denied(&self, topic: &str) -> SecurityError {
        topic_denied(&self.credentials().login, topic)
    }

    /// What is said where Kafka denies us a consumer group.
    #[must_use]
    pub fn group_denied(&self, group: &str) -> SecurityError {
        group_denied(&self.credentials().login, group)
    }

    /// A token for a client that asks for one; waits for the authorization server.
    pub(super) fn token(self: &Arc<Self>) -> Result<OAuthToken, SecurityError> {
        let credentials = self.credentials();
        let Login::Token(client) = &credentials.login else {
            return Err(SecurityError::new("TokenRefused", "there is no client of an authorization server"));
        };
        let token = self.tokens.get(client).inspect_err(|error| self.remember(error.clone()))?;
        Ok(OAuthToken {
            token: token.value.reveal().to_owned(),
            // For the client's own logs.
            principal_name: client.client_id.clone(),
            lifetime_ms: token.expires_ms,
        })
    }

    fn remember(&self, trouble: SecurityError) {
        let mut last = lock(&self.trouble);
        if last.as_ref().is_none_or(|(known, _)| *known != trouble) {
            tracing::warn!(reason = trouble.reason, because = trouble.message, "Kafka does not let us in");
        }
        *last = Some((trouble, Instant::now()));
    }

    /// Looks at failed handshakes more closely, on a thread of its own.
    fn look(
        self: &Arc<Self>,
        peers: Vec<String>,
        otherwise: Option<SecurityError>,
        credentials: Arc<KafkaCredentials>,
    ) {
        let edition = self.edition();
        if !self.looks.begin() {
            return;
        }
        let access = self.clone();
        let look = move || {
            let found = peers.iter().find_map(|peer| diagnose(peer, credentials.tls.as_ref())).or(otherwise);
            // What was replaced meanwhile is nobody's trouble.
            let found = found.filter(|_| access.edition() == edition);
            let is_found = found.is_some();
            if let Some(trouble) = found {
                access.remember(trouble);
            }
            access.looks.end(is_found);
        };
        if std::thread::Builder::new().name("diagnose".to_owned()).spawn(look).is_err() {
            self.looks.end(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::security::TlsMaterial;

    const LIMIT: Duration = Duration::from_secs(10);

    fn until(what: &str, is: impl Fn() -> bool) {
        let begin = Instant::now();
        while !is() {
            assert!(begin.elapsed() < LIMIT, "waited in vain for {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_client_that_fails_all_the_time_is_looked_at_seldom() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = listener.local_addr().unwrap().to_string();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        std::thread::spawn(move || {
            // Whoever connects is sent away.
            for _ in listener.incoming() {
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        let tls = || KafkaCredentials { tls: Some(TlsMaterial::default()), ..KafkaCredentials::default() };
        let access = Access::new(&peer, tls());
        let fail = || {
            let error = KafkaError::Global(RDKafkaErrorCode::SSL);
            access.note(&error, &format!("ssl://{peer}/bootstrap: SSL handshake failed: closed"));
        };
        fail();
        until("what keeps it out", || access.trouble().is_some() && !access.looks.is_looking());
        (0..100).for_each(|_| fail());

        let looked_at_once = (connections.load(Ordering::Relaxed), access.looks.is_looking());
        access.replace(tls());
        fail();
        until("what keeps the new credentials out", || access.trouble().is_some());

        assert_eq!((looked_at_once, connections.load(Ordering::Relaxed)), ((1, false), 2));
    }
}
