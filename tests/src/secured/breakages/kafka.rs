//! What can be wrong between a pipeline and Kafka.

use super::*;
use crate::secured::CLIENT_SECRET;

impl Table<'_> {
    /// The ways of a stack, with the rights of a worker and of the operator.
    fn allowed(&self, listener: Listener, group: &str, but: Option<usize>) -> Result<Way> {
        let way = kafka_way(self.stack(), listener)?;
        if let Some(user) = &way.user {
            let mut rights = crate::secured::kafka_rights(user, &self.topic, group, &[]);
            if let Some(but) = but {
                rights.remove(but);
            }
            self.stack().kafka.allow(&rights)?;
        }
        Ok(way)
    }

    pub(super) fn logins(&mut self) -> Result<()> {
        for (name, listener, secret_key) in [
            ("wrong-password-plain", Listener::Plain, "user.password"),
            ("wrong-password-256", Listener::ScramSha256, "password"),
            ("wrong-password-512", Listener::ScramSha512, "password"),
        ] {
            let mut way = kafka_way(self.stack(), listener)?;
            way.secrets = way.secrets.with("kafka-user", secret_key, password("wrong"));
            let message = self.not_let_in(listener, &way)?;
            self.source(name, way, "AuthenticationFailed", message);
        }
        let mut way = kafka_way(self.stack(), Listener::ScramSha512)?;
        way.fields["security"]["sasl"]["username"] = json!("nobody");
        way.user = Some("nobody".to_owned());
        let message = self.not_let_in(Listener::ScramSha512, &way)?;
        self.source("unknown-user", way, "AuthenticationFailed", message);
        Ok(())
    }

    fn not_let_in(&self, listener: Listener, way: &Way) -> Result<String> {
        let (peer, user) =
            (self.stack().kafka.secure_bootstrap(listener)?, way.user.as_deref().unwrap_or("?"));
        let mechanism = listener.mechanism().unwrap_or_default();
        let said = match listener {
            Listener::Plain => "Authentication failed: Invalid username or password".to_owned(),
            Listener::ScramSha256 | Listener::ScramSha512 | Listener::ScramInClear => format!(
                "Authentication failed during authentication due to invalid credentials with SASL mechanism {mechanism}"
            ),
            Listener::Tls | Listener::MutualTls | Listener::OAuthBearer => String::new(),
        };
        Ok(format!(
            "{peer} does not let in user {user} ({said}); correct security.sasl.username or the password in its Secret"
        ))
    }

    pub(super) fn rights(&mut self) -> Result<()> {
        let (topic, listener) = (self.topic.clone(), Listener::ScramInClear);
        let no_topic = |user: &str| {
            format!("user {user} may not read topic {topic}; allow it the operation Read on that topic")
        };
        let user_of = |way: &Way| way.user.clone().unwrap_or_default();

        let group = unique_name("no-topic");
        let way = self.allowed(listener, &group, Some(0))?;
        let message = no_topic(&user_of(&way));
        self.source_of("no-right-on-topic", &group, way, "TopicUnauthorized", message);

        let group = unique_name("describe-only");
        let way = self.allowed(listener, &group, Some(0))?;
        let describe = Acl::new(&user_of(&way), Resource::Topic(topic.clone()), Operation::Describe);
        self.stack().kafka.allow(&[describe])?;
        let message = no_topic(&user_of(&way));
        self.source_of("describe-alone-on-topic", &group, way, "TopicUnauthorized", message);

        for (name, describe) in [("no-right-on-group", false), ("describe-alone-on-group", true)] {
            let group = unique_name(name);
            let way = self.allowed(listener, &group, Some(1))?;
            let user = user_of(&way);
            if describe {
                let describe = Acl::new(&user, Resource::Group(group.clone()), Operation::Describe);
                self.stack().kafka.allow(&[describe])?;
            }
            let message = format!(
                "user {user} may not use consumer group {group}; allow it the operation Read on that group"
            );
            self.source_of(name, &group, way, "GroupUnauthorized", message);
        }
        Ok(())
    }

    pub(super) fn certificates_of_brokers(&mut self) -> Result<()> {
        let names = ["broker-expired", "broker-not-yet", "broker-elsewhere", "broker-unknown-authority"];
        for (name, wrong) in names.into_iter().zip(Wrong::ALL) {
            let peer = self.servers.kafka(wrong)?;
            let (reason, message) = of_server(&peer, wrong, CA);
            let way = self.trusting(json!({"bootstrapServers": peer}));
            self.source(name, way, reason, message);
        }
        let peer = self.stack().kafka.secure_bootstrap(Listener::Tls)?;
        let plain = Way::new(json!({"bootstrapServers": peer}), Secrets::default());
        self.source("plain-to-tls", plain, "TlsRequired", expects_tls(&peer));
        let peer = self.stack().kafka.bootstrap();
        let way = self.trusting(json!({"bootstrapServers": peer}));
        self.source("tls-to-plain", way, "TlsNotOffered", has_no_tls(&peer, ANOTHER_PORT));
        Ok(())
    }

    pub(super) fn certificates_of_ours(&mut self) -> Result<()> {
        let peer = self.stack().kafka.secure_bootstrap(Listener::MutualTls)?;
        let at = || json!({"bootstrapServers": peer});
        let way = self.trusting(at());
        self.source("no-certificate", way, "ClientCertificateRefused", no_certificate(&peer));
        let way = self.showing(at(), &self.servers.strangers.client("stranger")?);
        self.source(
            "strange-certificate",
            way,
            "ClientCertificateRefused",
            format!("{peer} does not accept our certificate (certificate unknown); see its log, and whom it trusts"),
        );
        for (name, validity) in [("own-expired", Validity::Expired), ("own-not-yet", Validity::NotYet)] {
            let identity = self.stack().authority.sign(&Subject::client("user").valid(validity))?;
            let way = self.showing(at(), &identity);
            let (reason, message) = out_of_date("own", validity);
            self.source(name, way, reason, message);
        }
        let way = self.with_another_key(at())?;
        self.source("another-key", way, "SecretInvalid", ANOTHER_KEY.to_owned());
        Ok(())
    }

    /// Values that cannot be used: whom they would be for does not matter.
    pub(super) fn secrets(&mut self) {
        let sasl =
            json!({"mechanism": "SCRAM-SHA-512", "username": "user", "password": {"secretName": "login"}});
        let way = |secrets: Secrets| {
            let fields = json!({"bootstrapServers": "127.0.0.1:1", "security": {"sasl": sasl}});
            Way::new(fields, secrets)
        };
        let none = Secrets::default;
        let rows = [
            ("secret-missing", none(), "SecretMissing", MISSING),
            (
                "key-missing",
                none().with("login", "pass", password("elsewhere")),
                "SecretKeyMissing",
                NO_PASSWORD,
            ),
            (
                "value-empty",
                none().with("login", "password", "\n"),
                "SecretInvalid",
                "key password of Secret login is empty; fill it",
            ),
            (
                "value-binary",
                none().with("login", "user.password", binary()),
                "SecretInvalid",
                "key user.password of Secret login is not UTF-8 text; write the text itself, Kubernetes alone adds base64",
            ),
        ];
        for (name, secrets, reason, message) in rows {
            self.source(name, way(secrets), reason, message.to_owned());
        }
        let mut way = self.trusting(json!({"bootstrapServers": "127.0.0.1:1"}));
        way.secrets = way.secrets.with("authorities", "ca.crt", password("no-certificate"));
        self.source("no-pem", way, "SecretInvalid", NO_PEM.to_owned());
    }

    pub(super) fn tokens(&mut self) -> Result<()> {
        let listener = Listener::OAuthBearer;
        let mut way = kafka_way(self.stack(), listener)?;
        let (endpoint, user) = (self.stack().tokens.token_url(), way.user.clone().unwrap_or_default());
        way.secrets = way.secrets.with("client", "client-secret", password("wrong"));
        let message = format!(
            "{endpoint} gave no token to client {user} (401 Unauthorized, invalid_client); check clientId and its secret"
        );
        self.source("token-refused", way, "TokenRefused", message);

        let way = self.with_tokens_from("https://127.0.0.1:1/token")?;
        let message =
            "no token from https://127.0.0.1:1/token: Connection refused (os error 111); check tokenEndpoint";
        self.source("token-endpoint-away", way, "TokenEndpointUnreachable", message.to_owned());

        let names = [
            "token-endpoint-expired",
            "token-endpoint-not-yet",
            "token-endpoint-elsewhere",
            "token-endpoint-distrusted",
        ];
        for (name, wrong) in names.into_iter().zip(Wrong::ALL) {
            let endpoint = self.servers.tokens(wrong);
            let (reason, message) = of_server(&peer_of(&endpoint), wrong, "security.sasl.oauth.ca");
            let way = self.with_tokens_from(&endpoint)?;
            self.source(name, way, reason, message);
        }
        let peer = self.stack().kafka.bootstrap();
        let way = self.with_tokens_from(&format!("https://{peer}/token"))?;
        let message = has_no_tls(&peer, "correct tokenEndpoint");
        self.source("token-endpoint-plain", way, "TlsNotOffered", message);

        let way = self.with_tokens_from(&self.servers.forger.token_url())?;
        let client = way.user.clone().unwrap_or_default();
        self.servers.forger.register(&client, CLIENT_SECRET);
        let peer = self.stack().kafka.secure_bootstrap(listener)?;
        let message = format!(
            "{peer} does not let in client {client} ({{\"status\":\"invalid_token\"}}); see which issuer, audience and scope it expects of tokens"
        );
        self.source("token-forged", way, "AuthenticationFailed", message);
        Ok(())
    }

    fn with_tokens_from(&self, endpoint: &str) -> Result<Way> {
        let mut way = kafka_way(self.stack(), Listener::OAuthBearer)?;
        way.fields["security"]["sasl"]["oauth"]["tokenEndpoint"] = json!(endpoint);
        Ok(way)
    }
}

/// The host and port of a URL.
fn peer_of(url: &str) -> String {
    url.trim_start_matches("https://").split('/').next().unwrap_or_default().to_owned()
}
