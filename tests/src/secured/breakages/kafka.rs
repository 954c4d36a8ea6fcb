//! What can be wrong between a pipeline and Kafka.

use super::*;
use crate::secured::CLIENT_SECRET;

impl Table<'_> {
    /// A way whose user has the rights of a worker and of the operator but one, and all of them.
    fn without(&mut self, group: &str, right: usize) -> Result<(Way, Vec<Acl>)> {
        let way = kafka_way(self.stack(), Listener::ScramInClear)?;
        let all = kafka_rights(way.user.as_deref().unwrap_or_default(), &self.topic, group, &[]);
        let mut rights = all.clone();
        rights.remove(right);
        self.rights.extend(rights);
        Ok((way, all))
    }

    pub(super) fn logins(&mut self) -> Result<()> {
        for (name, listener, secret_key) in [
            ("wrong-password-plain", Listener::Plain, "user.password"),
            ("wrong-password-256", Listener::ScramSha256, "password"),
            ("wrong-password-512", Listener::ScramSha512, "password"),
        ] {
            let good = kafka_way(self.stack(), listener)?;
            let mut broken = good.clone();
            broken.secrets = broken.secrets.with("kafka-user", secret_key, password("wrong"));
            let message = self.not_let_in(listener, &broken)?;
            self.source(name, Ways { broken, good }, "AuthenticationFailed", message);
        }
        let good = kafka_way(self.stack(), Listener::ScramSha512)?;
        let mut broken = good.clone();
        broken.fields["security"]["sasl"]["username"] = json!("nobody");
        broken.user = Some("nobody".to_owned());
        let message = self.not_let_in(Listener::ScramSha512, &broken)?;
        self.source("unknown-user", Ways { broken, good }, "AuthenticationFailed", message);
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
        let topic = self.topic.clone();
        // Which of the rights is missing (that on the topic is the first), and whether the user may at least describe the resource.
        let rows = [
            ("no-right-on-topic", 0, false),
            ("describe-alone-on-topic", 0, true),
            ("no-right-on-group", 1, false),
            ("describe-alone-on-group", 1, true),
        ];
        for (name, right, describes) in rows {
            let group = unique_name(name);
            let (way, all) = self.without(&group, right)?;
            let user = way.user.clone().unwrap_or_default();
            let (resource, reason, message) = if right == 0 {
                (
                    Resource::Topic(topic.clone()),
                    "TopicUnauthorized",
                    format!(
                        "user {user} may not read topic {topic}; allow it the operation Read on that topic"
                    ),
                )
            } else {
                (
                    Resource::Group(group.clone()),
                    "GroupUnauthorized",
                    format!(
                        "user {user} may not use consumer group {group}; allow it the operation Read on that group"
                    ),
                )
            };
            if describes {
                self.rights.push(Acl::new(&user, resource, Operation::Describe));
            }
            let ways = Ways { broken: way.clone(), good: way };
            self.source_of(name, &group, (ways, Rights::OfKafka(all)), reason, message);
        }
        Ok(())
    }

    pub(super) fn certificates_of_brokers(&mut self) -> Result<()> {
        let tls = self.stack().kafka.secure_bootstrap(Listener::Tls)?;
        let good = self.trusting(json!({"bootstrapServers": tls}));
        let ways = |broken| Ways { broken, good: good.clone() };
        let names = ["broker-expired", "broker-not-yet", "broker-elsewhere", "broker-unknown-authority"];
        for (name, wrong) in names.into_iter().zip(Wrong::ALL) {
            let peer = self.servers.kafka(wrong)?;
            let (reason, message) = of_server(&peer, wrong, CA);
            let broken = self.trusting(json!({"bootstrapServers": peer}));
            self.source(name, ways(broken), reason, message);
        }
        let plain = Way::new(json!({"bootstrapServers": tls}), Secrets::default());
        self.source("plain-to-tls", ways(plain), "TlsRequired", expects_tls(&tls));
        let peer = self.stack().kafka.bootstrap();
        let broken = self.trusting(json!({"bootstrapServers": peer}));
        self.source("tls-to-plain", ways(broken), "TlsNotOffered", has_no_tls(&peer, ANOTHER_PORT));
        Ok(())
    }

    pub(super) fn certificates_of_ours(&mut self) -> Result<()> {
        let peer = self.stack().kafka.secure_bootstrap(Listener::MutualTls)?;
        let at = || json!({"bootstrapServers": peer});
        let user = unique_name("user");
        let mut good = self.showing(at(), &self.stack().authority.client(&user)?);
        good.user = Some(user);
        let ways = |broken| Ways { broken, good: good.clone() };
        let broken = self.trusting(at());
        self.source("no-certificate", ways(broken), "ClientCertificateRefused", no_certificate(&peer));
        let broken = self.showing(at(), &self.servers.strangers.client("stranger")?);
        self.source(
            "strange-certificate",
            ways(broken),
            "ClientCertificateRefused",
            format!("{peer} does not accept our certificate (certificate unknown); see its log, and whom it trusts"),
        );
        for (name, validity) in [("own-expired", Validity::Expired), ("own-not-yet", Validity::NotYet)] {
            let identity = self.stack().authority.sign(&Subject::client("user").valid(validity))?;
            let broken = self.showing(at(), &identity);
            let (reason, message) = out_of_date("own", validity);
            self.source(name, ways(broken), reason, message);
        }
        let broken = self.with_another_key(at())?;
        self.source("another-key", ways(broken), "SecretInvalid", ANOTHER_KEY.to_owned());
        Ok(())
    }

    /// Values that cannot be used.
    pub(super) fn secrets(&mut self) -> Result<()> {
        let kafka = &self.stack().kafka;
        let (user, right) = (unique_name("user"), password("right"));
        kafka.set_scram_password(&user, &right)?;
        let peer = kafka.secure_bootstrap(Listener::ScramInClear)?;
        let sasl =
            json!({"mechanism": "SCRAM-SHA-512", "username": user, "password": {"secretName": "login"}});
        let way = |secrets: Secrets| {
            let fields = json!({"bootstrapServers": peer, "security": {"sasl": sasl}});
            Way { user: Some(user.clone()), fields, secrets }
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
            let good = way(none().with("login", "password", &right));
            self.source(name, Ways { broken: way(secrets), good }, reason, message.to_owned());
        }
        let tls = self.stack().kafka.secure_bootstrap(Listener::Tls)?;
        let good = self.trusting(json!({"bootstrapServers": tls}));
        let mut broken = good.clone();
        broken.secrets = broken.secrets.with("authorities", "ca.crt", password("no-certificate"));
        self.source("no-pem", Ways { broken, good }, "SecretInvalid", NO_PEM.to_owned());
        Ok(())
    }

    pub(super) fn tokens(&mut self) -> Result<()> {
        let good = kafka_way(self.stack(), Listener::OAuthBearer)?;
        let (endpoint, user) = (self.stack().tokens.token_url(), good.user.clone().unwrap_or_default());
        let mut broken = good.clone();
        broken.secrets = broken.secrets.with("client", "client-secret", password("wrong"));
        let message = format!(
            "{endpoint} gave no token to client {user} (401 Unauthorized, invalid_client); check clientId and its secret"
        );
        self.source("token-refused", Ways { broken, good }, "TokenRefused", message);

        let ways = self.with_tokens_from("https://127.0.0.1:1/token")?;
        let message =
            "no token from https://127.0.0.1:1/token: Connection refused (os error 111); check tokenEndpoint";
        self.source("token-endpoint-away", ways, "TokenEndpointUnreachable", message.to_owned());

        let names = [
            "token-endpoint-expired",
            "token-endpoint-not-yet",
            "token-endpoint-elsewhere",
            "token-endpoint-distrusted",
        ];
        for (name, wrong) in names.into_iter().zip(Wrong::ALL) {
            let endpoint = self.servers.tokens(wrong);
            let (reason, message) = of_server(&peer_of(&endpoint), wrong, "security.sasl.oauth.ca");
            let ways = self.with_tokens_from(&endpoint)?;
            self.source(name, ways, reason, message);
        }
        let peer = self.stack().kafka.bootstrap();
        let ways = self.with_tokens_from(&format!("https://{peer}/token"))?;
        let message = has_no_tls(&peer, "correct tokenEndpoint");
        self.source("token-endpoint-plain", ways, "TlsNotOffered", message);

        let ways = self.with_tokens_from(&self.servers.forger.token_url())?;
        let client = ways.good.user.clone().unwrap_or_default();
        self.servers.forger.register(&client, CLIENT_SECRET);
        let peer = self.stack().kafka.secure_bootstrap(Listener::OAuthBearer)?;
        let message = format!(
            "{peer} does not let in client {client} ({{\"status\":\"invalid_token\"}}); see which issuer, audience and scope it expects of tokens"
        );
        self.source("token-forged", ways, "AuthenticationFailed", message);
        Ok(())
    }

    fn with_tokens_from(&self, endpoint: &str) -> Result<Ways> {
        let good = kafka_way(self.stack(), Listener::OAuthBearer)?;
        let mut broken = good.clone();
        broken.fields["security"]["sasl"]["oauth"]["tokenEndpoint"] = json!(endpoint);
        Ok(Ways { broken, good })
    }
}

/// The host and port of a URL.
fn peer_of(url: &str) -> String {
    url.trim_start_matches("https://").split('/').next().unwrap_or_default().to_owned()
}
