//! What can be wrong with TLS, logins, rights and Secrets, and what has to be said of it: by `plaudit local`, by the operator, and in a
//! worker's log.

use anyhow::Result;
use serde_json::{Value, json};

use super::broken::{Broken, Wrong};
use super::{Secrets, Way, kafka_way, store_rules};
use crate::stack::certificates::{Identity, Subject, Validity};
use crate::stack::security::STORE_PASSWORD;
use crate::stack::{Acl, Listener, Operation, Resource, SecureStack, unique_name};

/// A pipeline with one thing that is wrong, and what is said of it.
#[derive(Debug, Clone)]
pub struct Breakage {
    /// What is wrong, as the name of a pipeline.
    pub name: &'static str,
    /// The fields of `source` and `store`.
    pub spec: Value,
    pub secrets: Secrets,
    pub condition: &'static str,
    pub reason: &'static str,
    pub message: String,
}

struct Table<'a> {
    servers: &'a Broken,
    topic: String,
    rows: Vec<Breakage>,
}

/// One row for each thing that can be wrong. Their users, topics and groups are made on the servers.
pub fn breakages(servers: &Broken) -> Result<Vec<Breakage>> {
    let topic = unique_name("breakages");
    servers.secure.kafka.create_topic(&topic, 1, &[])?;
    servers.secure.kafka.create_topic(&format!("{topic}.dead-letters"), 1, &[])?;
    let mut table = Table { servers, topic, rows: Vec::new() };
    table.logins()?;
    table.rights()?;
    table.certificates_of_brokers()?;
    table.certificates_of_ours()?;
    table.secrets();
    table.tokens()?;
    table.logins_of_stores()?;
    table.rights_of_stores()?;
    table.certificates_of_stores()?;
    table.secrets_of_stores()?;
    Ok(table.rows)
}

impl Table<'_> {
    fn stack(&self) -> &'static SecureStack {
        self.servers.secure
    }

    /// Something about Kafka.
    fn source(&mut self, name: &'static str, way: Way, reason: &'static str, message: String) {
        let group = unique_name(name);
        self.source_of(name, &group, way, reason, message);
    }

    fn source_of(
        &mut self,
        name: &'static str,
        group: &str,
        way: Way,
        reason: &'static str,
        message: String,
    ) {
        let store = self.good_store();
        self.push(name, group, (way, store), "SourceAvailable", (reason, message));
    }

    /// Something about the store.
    fn store(&mut self, name: &'static str, way: Way, reason: &'static str, message: String) {
        let bootstrap = self.stack().kafka.bootstrap();
        let kafka = Way::new(json!({"bootstrapServers": bootstrap}), Secrets::default());
        self.push(name, &unique_name(name), (kafka, way), "StoreAvailable", (reason, message));
    }

    fn push(
        &mut self,
        name: &'static str,
        group: &str,
        (source, store): (Way, Way),
        condition: &'static str,
        (reason, message): (&'static str, String),
    ) {
        let mut spec = json!({"source": source.fields, "store": store.fields});
        let common = [
            ("topic", json!(self.topic)),
            ("consumerGroup", json!(group)),
            ("properties", json!({"session.timeout.ms": 6_000})),
        ];
        for (field, value) in common {
            if spec["source"].get(field).is_none() {
                spec["source"][field] = value;
            }
        }
        if spec["store"].get("keyPrefix").is_none() {
            spec["store"]["keyPrefix"] = json!(format!("{}:", unique_name(name)));
        }
        let mut secrets = source.secrets.and(store.secrets);
        // Each row has Secrets of its own, though all may lie in one namespace.
        let message = name_secrets(&mut spec, name, message);
        secrets.0 =
            secrets.0.into_iter().map(|(secret_name, values)| (named(name, &secret_name), values)).collect();
        self.rows.push(Breakage { name, spec, secrets, condition, reason, message });
    }

    fn good_store(&self) -> Way {
        let address = self.stack().store.address();
        Way::new(
            json!({"addresses": [address], "security": {"password": {"secretName": "store"}}}),
            Secrets::default().with("store", "password", STORE_PASSWORD),
        )
    }

    /// The ways of a stack, with the rights of a worker and of the operator.
    fn allowed(&self, listener: Listener, group: &str, but: Option<usize>) -> Result<Way> {
        let way = kafka_way(self.stack(), listener)?;
        if let Some(user) = &way.user {
            let mut rights = super::kafka_rights(user, &self.topic, group, &[]);
            if let Some(but) = but {
                rights.remove(but);
            }
            self.stack().kafka.allow(&rights)?;
        }
        Ok(way)
    }

    fn logins(&mut self) -> Result<()> {
        for (name, listener, secret_key) in [
            ("wrong-password-plain", Listener::Plain, "user.password"),
            ("wrong-password-256", Listener::ScramSha256, "password"),
            ("wrong-password-512", Listener::ScramSha512, "password"),
        ] {
            let mut way = kafka_way(self.stack(), listener)?;
            way.secrets = way.secrets.with("kafka-user", secret_key, "wrong");
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

    fn rights(&mut self) -> Result<()> {
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

    fn certificates_of_brokers(&mut self) -> Result<()> {
        let names = ["broker-expired", "broker-not-yet", "broker-elsewhere", "broker-unknown-authority"];
        for (name, wrong) in names.into_iter().zip(Wrong::ALL) {
            let peer = self.servers.kafka(wrong)?;
            let (reason, message) = of_server(&peer, wrong);
            let way = self.trusting(json!({"bootstrapServers": peer}));
            self.source(name, way, reason, message);
        }
        let peer = self.stack().kafka.secure_bootstrap(Listener::Tls)?;
        let plain = Way::new(json!({"bootstrapServers": peer}), Secrets::default());
        self.source("plain-to-tls", plain, "TlsRequired", expects_tls(&peer));
        let peer = self.stack().kafka.bootstrap();
        let way = self.trusting(json!({"bootstrapServers": peer}));
        self.source("tls-to-plain", way, "TlsNotOffered", has_no_tls(&peer));
        Ok(())
    }

    /// With the authority of the right servers, and without any login.
    fn trusting(&self, fields: Value) -> Way {
        let mut fields = fields;
        fields["security"] = json!({"tls": {"ca": {"secretName": "authorities"}}});
        let secrets = Secrets::default().with("authorities", "ca.crt", self.stack().authority.pem());
        Way::new(fields, secrets)
    }

    /// The same with a certificate of our own.
    fn showing(&self, fields: Value, identity: &Identity) -> Way {
        let mut way = self.trusting(fields);
        way.fields["security"]["tls"]["certificate"] = json!({"secretName": "own"});
        way.secrets = way.secrets.with_identity("own", identity);
        way
    }

    fn certificates_of_ours(&mut self) -> Result<()> {
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
        let (one, other) = (self.stack().authority.client("one")?, self.stack().authority.client("other")?);
        let mut way = self.showing(at(), &one);
        way.secrets = way.secrets.with("own", "user.key", other.key);
        let message =
            "key user.key of Secret own does not belong to the certificate in user.crt; write both anew";
        self.source("another-key", way, "SecretInvalid", message.to_owned());
        Ok(())
    }

    /// Values that cannot be used: whom they would be for does not matter.
    fn secrets(&mut self) {
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
                none().with("login", "pass", "word"),
                "SecretKeyMissing",
                "Secret login has no key password and no key user.password; add it, or name another key",
            ),
            (
                "value-empty",
                none().with("login", "password", "\n"),
                "SecretInvalid",
                "key password of Secret login is empty; fill it",
            ),
            (
                "value-binary",
                none().with("login", "user.password", [0xff, 0xfe]),
                "SecretInvalid",
                "key user.password of Secret login is not UTF-8 text; write the text itself, Kubernetes alone adds base64",
            ),
        ];
        for (name, secrets, reason, message) in rows {
            self.source(name, way(secrets), reason, message.to_owned());
        }
        let mut way = self.trusting(json!({"bootstrapServers": "127.0.0.1:1"}));
        way.secrets = way.secrets.with("authorities", "ca.crt", "no certificate");
        let message = "key ca.crt of Secret authorities has no certificate that can be read; write PEM";
        self.source("no-pem", way, "SecretInvalid", message.to_owned());
    }

    fn tokens(&mut self) -> Result<()> {
        let listener = Listener::OAuthBearer;
        let mut way = kafka_way(self.stack(), listener)?;
        let (endpoint, user) = (self.stack().tokens.token_url(), way.user.clone().unwrap_or_default());
        way.secrets = way.secrets.with("client", "client-secret", "wrong");
        let message = format!(
            "{endpoint} gave no token to client {user} (401 Unauthorized, invalid_client); check clientId and its secret"
        );
        self.source("token-refused", way, "TokenRefused", message);

        let mut way = kafka_way(self.stack(), listener)?;
        way.fields["security"]["sasl"]["oauth"]["tokenEndpoint"] = json!("https://127.0.0.1:1/token");
        let message =
            "no token from https://127.0.0.1:1/token: Connection refused (os error 111); check tokenEndpoint";
        self.source("token-endpoint-away", way, "TokenEndpointUnreachable", message.to_owned());

        let mut way = kafka_way(self.stack(), listener)?;
        let endpoint = self.servers.tokens.token_url();
        way.fields["security"]["sasl"]["oauth"]["tokenEndpoint"] = json!(endpoint);
        let peer = endpoint.trim_start_matches("https://").split('/').next().unwrap_or_default();
        let message = format!(
            "the certificate of {peer} is of an authority that is not trusted; put that one's certificate into the Secret of security.sasl.oauth.ca"
        );
        self.source("token-endpoint-distrusted", way, "TlsUnknownAuthority", message);
        Ok(())
    }

    fn logins_of_stores(&mut self) -> Result<()> {
        let stack = self.stack();
        let (address, user) = (stack.store.address(), unique_name("user"));
        stack.store.set_user(&user, "right", &["~*", "+@all"])?;
        let way = |user: Option<&str>, password: &str| {
            let mut security = json!({"password": {"secretName": "store"}});
            if let Some(user) = user {
                security["username"] = json!(user);
            }
            Way::new(
                json!({"addresses": [address], "security": security}),
                Secrets::default().with("store", "password", password),
            )
        };
        let refused = |user: &str| {
            format!(
                "{address} does not let in user {user}: the password is wrong, or there is no such user; correct security.username or the password in its Secret"
            )
        };
        let rows = [
            ("store-wrong-password", way(None, "wrong"), refused("default")),
            ("store-wrong-password-of-user", way(Some(&user), "wrong"), refused(&user)),
            ("store-unknown-user", way(Some("nobody"), "right"), refused("nobody")),
            (
                "store-no-password",
                Way::new(json!({"addresses": [address]}), Secrets::default()),
                format!("{address} asks for a password; name it in security.password"),
            ),
        ];
        for (name, way, message) in rows {
            self.store(name, way, "AuthenticationFailed", message);
        }
        let plain = self.servers.strict.address();
        let way = Way::new(
            json!({"addresses": [plain], "security": {"password": {"secretName": "store"}}}),
            Secrets::default().with("store", "password", "unasked"),
        );
        let message =
            format!("{plain} has no password for user default; remove security.password, or set one there");
        self.store("store-unasked-password", way, "AuthenticationFailed", message);
        Ok(())
    }

    fn rights_of_stores(&mut self) -> Result<()> {
        let stack = self.stack();
        let address = stack.store.address();
        let rows = [
            ("store-no-right-on-keys", None, "use keys that begin with keyPrefix; allow it all of them"),
            ("store-no-right-on-command", Some("+mget"), "run mget; allow it all commands that workers need"),
        ];
        for (name, but, what) in rows {
            let (user, prefix) = (unique_name("user"), format!("{}:", unique_name(name)));
            // All commands but one, or all of them for other keys.
            let mut rules = store_rules(if but.is_some() { &prefix } else { "others:" })?;
            rules.retain(|rule| Some(rule.as_str()) != but);
            stack.store.set_user(&user, "right", &rules.iter().map(String::as_str).collect::<Vec<_>>())?;
            let security = json!({"username": user, "password": {"secretName": "store"}});
            let fields = json!({"addresses": [address], "keyPrefix": prefix, "security": security});
            let way = Way::new(fields, Secrets::default().with("store", "password", "right"));
            let message = format!("user {user} of {address} may not {what}");
            self.store(name, way, "Unauthorized", message);
        }
        Ok(())
    }

    fn certificates_of_stores(&mut self) -> Result<()> {
        let names = ["store-expired", "store-not-yet", "store-elsewhere", "store-unknown-authority"];
        for (name, wrong) in names.into_iter().zip(Wrong::ALL) {
            let peer = self.servers.store(wrong)?;
            let (reason, message) = of_server(&peer, wrong);
            let way = self.trusting(json!({"addresses": [peer]}));
            self.store(name, way, reason, message);
        }
        let peer = self.servers.strict.tls_address()?;
        let at = || json!({"addresses": [peer]});
        let plain = Way::new(at(), Secrets::default());
        self.store("store-plain-to-tls", plain, "TlsRequired", expects_tls(&peer));
        let plain = self.servers.strict.address();
        let way = self.trusting(json!({"addresses": [plain]}));
        self.store("store-tls-to-plain", way, "TlsNotOffered", has_no_tls(&plain));
        let way = self.trusting(at());
        self.store("store-no-certificate", way, "ClientCertificateRefused", no_certificate(&peer));
        let way = self.showing(at(), &self.servers.strangers.client("stranger")?);
        let message =
            format!("{peer} does not trust the authority of our certificate; take one that it knows");
        self.store("store-strange-certificate", way, "ClientCertificateRefused", message);
        let identity = self.stack().authority.sign(&Subject::client("user").valid(Validity::Expired))?;
        let way = self.showing(at(), &identity);
        let (reason, message) = out_of_date("own", Validity::Expired);
        self.store("store-own-expired", way, reason, message);
        Ok(())
    }

    fn secrets_of_stores(&mut self) -> Result<()> {
        let address = self.stack().store.address();
        let fields = json!({"addresses": [address], "security": {"password": {"secretName": "login"}}});
        let rows = [
            ("store-secret-missing", Secrets::default(), "SecretMissing", MISSING),
            (
                "store-value-empty",
                Secrets::default().with("login", "password", ""),
                "SecretInvalid",
                "key password of Secret login is empty; fill it",
            ),
        ];
        for (name, secrets, reason, message) in rows {
            self.store(name, Way::new(fields.clone(), secrets), reason, message.to_owned());
        }
        Ok(())
    }
}

impl Way {
    fn new(fields: Value, secrets: Secrets) -> Self {
        Self { user: None, fields, secrets }
    }
}

fn named(row: &str, secret_name: &str) -> String {
    format!("{row}-{secret_name}")
}

/// Gives all Secrets that a spec names their names of this row; the message with these names.
fn name_secrets(spec: &mut Value, row: &str, mut message: String) -> String {
    match spec {
        Value::Object(fields) => {
            for (field, value) in fields {
                match value {
                    Value::String(text) if field == "secretName" => {
                        let name = named(row, text);
                        message = message.replace(&format!("Secret {text} "), &format!("Secret {name} "));
                        *text = name;
                    }
                    value => message = name_secrets(value, row, message),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {}
    }
    message
}

const MISSING: &str = "Secret login does not exist; create it, or correct secretName";

fn of_server(peer: &str, wrong: Wrong) -> (&'static str, String) {
    let (reason, what) = match wrong {
        Wrong::Expired => ("TlsCertificateExpired", "has expired; the server needs a new one"),
        Wrong::NotYet => ("TlsCertificateNotYetValid", "is not valid yet; check the clocks, or wait"),
        Wrong::Host => (
            "TlsHostnameMismatch",
            "names another host; use a name that is in it, or give the server one with this name",
        ),
        Wrong::Authority => (
            "TlsUnknownAuthority",
            "is of an authority that is not trusted; put that one's certificate into the Secret of security.tls.ca",
        ),
    };
    (reason, format!("the certificate of {peer} {what}"))
}

fn out_of_date(secret_name: &str, validity: Validity) -> (&'static str, String) {
    let place = format!("the certificate in key user.crt of Secret {secret_name}");
    match validity {
        Validity::Now => ("", String::new()),
        Validity::Expired => {
            ("CertificateExpired", format!("{place} expired on Jan  1 00:00:00 2001 GMT; write a new one"))
        }
        Validity::NotYet => (
            "CertificateNotYetValid",
            format!("{place} is not valid before Jan  1 00:00:00 3000 GMT; check the clock, or wait"),
        ),
    }
}

fn expects_tls(peer: &str) -> String {
    format!("{peer} expects TLS on this port; add security.tls, or use its port without TLS")
}

fn has_no_tls(peer: &str) -> String {
    format!(
        "{peer} does not answer in TLS: this port has no TLS; use the one that has, or remove security.tls"
    )
}

fn no_certificate(peer: &str) -> String {
    format!("{peer} asks for a client certificate; name one in security.tls.certificate")
}
