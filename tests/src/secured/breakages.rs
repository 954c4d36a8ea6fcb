//! What can be wrong with TLS, logins, rights and Secrets, and what has to be said of it: by `plaudit local`, by the operator, and in a
//! worker's log.

mod kafka;
mod repair;
mod store;

use anyhow::Result;
use serde_json::{Value, json};

pub use self::repair::Repair;
use self::repair::Rights;
use super::broken::{Broken, Wrong};
use super::{Secrets, Way, kafka_rights, kafka_way, store_rules};
use crate::canary::password;
use crate::stack::certificates::{Identity, Subject, Validity};
use crate::stack::security::STORE_PASSWORD;
use crate::stack::{Acl, Listener, Operation, Resource, SecureStack, unique_name};

/// A pipeline with one thing that is wrong, what is said of it, and what mends it.
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
    pub repair: Repair,
}

/// How a pipeline comes to its servers: as it is, and as it should be.
struct Ways {
    broken: Way,
    good: Way,
}

struct Table<'a> {
    servers: &'a Broken,
    topic: String,
    rows: Vec<Breakage>,
    /// To be given at once: each time takes a while.
    rights: Vec<Acl>,
}

/// One row for each thing that can be wrong. Their users, topics and groups are made on the servers.
pub fn breakages(servers: &Broken) -> Result<Vec<Breakage>> {
    let topic = unique_name("breakages");
    servers.secure.kafka.create_topic(&topic, 1, &[])?;
    servers.secure.kafka.create_topic(&format!("{topic}.dead-letters"), 1, &[])?;
    let mut table = Table { servers, topic, rows: Vec::new(), rights: Vec::new() };
    table.logins()?;
    table.rights()?;
    table.certificates_of_brokers()?;
    table.certificates_of_ours()?;
    table.secrets()?;
    table.tokens()?;
    table.logins_of_stores()?;
    table.rights_of_stores()?;
    table.certificates_of_stores()?;
    table.secrets_of_stores()?;
    servers.secure.kafka.allow(&table.rights)?;
    Ok(table.rows)
}

impl Table<'_> {
    fn stack(&self) -> &'static SecureStack {
        self.servers.secure
    }

    /// Something about Kafka that has nothing to do with rights: the good way has all of them.
    fn source(&mut self, name: &'static str, ways: Ways, reason: &'static str, message: String) {
        let group = unique_name(name);
        if let Some(user) = &ways.good.user {
            self.rights.extend(kafka_rights(user, &self.topic, &group, &[]));
        }
        self.source_of(name, &group, (ways, Rights::None), reason, message);
    }

    fn source_of(
        &mut self,
        name: &'static str,
        group: &str,
        (Ways { broken, good }, rights): (Ways, Rights),
        reason: &'static str,
        message: String,
    ) {
        let (store, prefix) = (self.good_store(), format!("{}:", unique_name(name)));
        let message = with_names(&broken.fields, name, message);
        let repair = Repair::of(self.whole(name, (group, &prefix), (&good, &store)), rights);
        let row = self.whole(name, (group, &prefix), (&broken, &store));
        self.add(name, row, ("SourceAvailable", reason, message), repair);
    }

    /// Something about the store.
    fn store(&mut self, name: &'static str, ways: Ways, reason: &'static str, message: String) {
        let prefix = format!("{}:", unique_name(name));
        self.store_of(name, &prefix, (ways, Rights::None), reason, message);
    }

    fn store_of(
        &mut self,
        name: &'static str,
        prefix: &str,
        (Ways { broken, good }, rights): (Ways, Rights),
        reason: &'static str,
        message: String,
    ) {
        let bootstrap = self.stack().kafka.bootstrap();
        let kafka = Way::new(json!({"bootstrapServers": bootstrap}), Secrets::default());
        let group = unique_name(name);
        let message = with_names(&broken.fields, name, message);
        let repair = Repair::of(self.whole(name, (&group, prefix), (&kafka, &good)), rights);
        let row = self.whole(name, (&group, prefix), (&kafka, &broken));
        self.add(name, row, ("StoreAvailable", reason, message), repair);
    }

    fn add(
        &mut self,
        name: &'static str,
        (spec, secrets): (Value, Secrets),
        (condition, reason, message): (&'static str, &'static str, String),
        repair: Repair,
    ) {
        self.rows.push(Breakage { name, spec, secrets, condition, reason, message, repair });
    }

    /// Spec and Secrets of a pipeline that comes by these ways. Each row has Secrets of its own, though all may lie in one namespace.
    fn whole(
        &self,
        row: &str,
        (group, prefix): (&str, &str),
        (source, store): (&Way, &Way),
    ) -> (Value, Secrets) {
        let mut spec = json!({"source": source.fields, "store": store.fields});
        spec["source"]["topic"] = json!(self.topic);
        spec["source"]["consumerGroup"] = json!(group);
        spec["source"]["properties"] = json!({"session.timeout.ms": 6_000});
        spec["store"]["keyPrefix"] = json!(prefix);
        name_secrets(&mut spec, row);
        let secrets = source.secrets.clone().and(store.secrets.clone()).0;
        let named = secrets.into_iter().map(|(secret_name, values)| (named(row, &secret_name), values));
        (spec, Secrets(named.collect()))
    }

    fn good_store(&self) -> Way {
        let address = self.stack().store.address();
        Way::new(
            json!({"addresses": [address], "security": {"password": {"secretName": "store"}}}),
            Secrets::default().with("store", "password", STORE_PASSWORD),
        )
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

    /// A certificate with the key of another one.
    fn with_another_key(&self, fields: Value) -> Result<Way> {
        let (one, other) = (self.stack().authority.client("one")?, self.stack().authority.client("other")?);
        let mut way = self.showing(fields, &one);
        way.secrets = way.secrets.with("own", "user.key", other.key);
        Ok(way)
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

/// Gives all Secrets that a spec names their names of this row.
fn name_secrets(spec: &mut Value, row: &str) {
    let Value::Object(fields) = spec else { return };
    for (field, value) in fields {
        match value {
            Value::String(text) if field == "secretName" => *text = named(row, text),
            value => name_secrets(value, row),
        }
    }
}

/// A message with those names.
fn with_names(fields: &Value, row: &str, message: String) -> String {
    let Value::Object(fields) = fields else { return message };
    fields.iter().fold(message, |message, (field, value)| match value {
        Value::String(text) if field == "secretName" => {
            message.replace(&format!("Secret {text} "), &format!("Secret {} ", named(row, text)))
        }
        value => with_names(value, row, message),
    })
}

const NO_PASSWORD: &str =
    "Secret login has no key password and no key user.password; add it, or name another key";
const NO_PEM: &str = "key ca.crt of Secret authorities has no certificate that can be read; write PEM";
const ANOTHER_KEY: &str =
    "key user.key of Secret own does not belong to the certificate in user.crt; write both anew";
const MISSING: &str = "Secret login does not exist; create it, or correct secretName";

/// `ca`: the field that says who is trusted.
fn of_server(peer: &str, wrong: Wrong, ca: &str) -> (&'static str, String) {
    let trust =
        format!("is of an authority that is not trusted; put that one's certificate into the Secret of {ca}");
    let (reason, what) = match wrong {
        Wrong::Expired => ("TlsCertificateExpired", "has expired; the server needs a new one"),
        Wrong::NotYet => ("TlsCertificateNotYetValid", "is not valid yet; check the clocks, or wait"),
        Wrong::Host => (
            "TlsHostnameMismatch",
            "names another host; use a name that is in it, or give the server one with this name",
        ),
        Wrong::Authority => ("TlsUnknownAuthority", trust.as_str()),
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

/// A value that is no text, and a secret all the same.
fn binary() -> Vec<u8> {
    [&[0xff, 0xfe], password("binary").as_bytes()].concat()
}

fn expects_tls(peer: &str) -> String {
    format!("{peer} expects TLS on this port; add security.tls, or use its port without TLS")
}

fn has_no_tls(peer: &str, remedy: &str) -> String {
    format!("{peer} does not answer in TLS: this port has no TLS; {remedy}")
}

/// The end of a message about a port of a broker or a store.
const ANOTHER_PORT: &str = "use the one that has, or remove security.tls";
/// Whom brokers and stores are trusted by.
const CA: &str = "security.tls.ca";

fn no_certificate(peer: &str) -> String {
    format!("{peer} asks for a client certificate; name one in security.tls.certificate")
}
