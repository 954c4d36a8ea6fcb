//! Pipelines on secure servers: what their `security` says, the Secrets that it names, and what is said when something is wrong.

mod breakages;
mod broken;
mod rights;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

pub use self::breakages::{Breakage, Repair, breakages};
pub use self::broken::Broken;
pub use self::rights::{kafka_rights, store_rules};
use crate::canary;
use crate::stack::certificates::Identity;
use crate::stack::security::{PLAIN_USERS, STORE_PASSWORD, STORE_USER_PASSWORD};
use crate::stack::{Listener, SecureStack, unique_name};

/// Passwords with signs that who writes them somewhere has to escape. (What begins with the canary is found however the rest is written.)
const SCRAM_PASSWORD: &str = "Qzv7canary the password: \"\u{1f40e}\"";
const SCRAM_PASSWORD_IN_CLEAR: &str = "Qzv7canary-in-clear";
const CLIENT_SECRET: &str = "Qzv7canary the secret: 100% & more";

/// Values by Secret and key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secrets(pub BTreeMap<String, BTreeMap<String, Vec<u8>>>);

/// How somebody is let in: the fields of a pipeline's `source` or `store`, and the Secrets that they name.
#[derive(Debug, Clone)]
pub struct Way {
    /// Whom rights are given to; none where everybody has all.
    pub user: Option<String>,
    pub fields: Value,
    pub secrets: Secrets,
}

impl Secrets {
    /// With one more value.
    #[must_use]
    pub fn with(mut self, secret_name: &str, key: &str, value: impl AsRef<[u8]>) -> Self {
        self.0.entry(secret_name.to_owned()).or_default().insert(key.to_owned(), value.as_ref().to_vec());
        self
    }

    /// With a certificate and its key, under the keys that pipelines expect.
    #[must_use]
    pub fn with_identity(self, secret_name: &str, identity: &Identity) -> Self {
        self.with(secret_name, "user.crt", &identity.certificate).with(secret_name, "user.key", &identity.key)
    }

    /// Both.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Places of values that nobody would notice to be shown: neither certificates nor what [`canary::search`] finds.
    pub fn unnoticed(&self) -> Vec<String> {
        let values = self.0.iter().flat_map(|(name, values)| values.iter().map(move |one| (name, one)));
        let is_unnoticed = |value: &[u8]| {
            let text = String::from_utf8_lossy(value);
            let is_certificate = text.starts_with("-----BEGIN CERTIFICATE-----");
            !text.trim().is_empty() && !is_certificate && canary::search("it", &text).is_ok()
        };
        values
            .filter(|(_, (_, value))| is_unnoticed(value))
            .map(|(name, (key, _))| format!("{name}/{key}"))
            .collect()
    }

    /// As files, a folder for each Secret.
    pub fn write(&self, directory: &Path) -> Result<()> {
        for (secret_name, values) in &self.0 {
            let folder = directory.join(secret_name);
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("could not make {}", folder.display()))?;
            for (key, value) in values {
                std::fs::write(folder.join(key), value)
                    .with_context(|| format!("could not write {key} in {}", folder.display()))?;
            }
        }
        Ok(())
    }
}

/// The ways into Kafka, each through its listener and as a user of its own where there is one.
pub fn kafka_ways(stack: &SecureStack) -> Result<Vec<(Listener, Way)>> {
    Listener::ALL.into_iter().map(|listener| Ok((listener, kafka_way(stack, listener)?))).collect()
}

/// The way through one listener.
pub fn kafka_way(stack: &SecureStack, listener: Listener) -> Result<Way> {
    let SecureStack { authority, tokens, kafka, .. } = stack;
    let user = unique_name("user");
    let authorities = Secrets::default().with("authorities", "ca.crt", authority.pem());
    let tls = json!({"ca": {"secretName": "authorities"}});
    let scram = |password: &str| {
        let mechanism = listener.mechanism();
        kafka.set_scram_password(&user, password)?;
        // With the line break of an editor.
        let secrets = authorities.clone().with("kafka-user", "password", format!("{password}\n"));
        let sasl =
            json!({"mechanism": mechanism, "username": user, "password": {"secretName": "kafka-user"}});
        Ok::<_, anyhow::Error>((sasl, secrets))
    };
    let (user, security, secrets) = match listener {
        Listener::Tls => (None, json!({"tls": tls}), authorities),
        Listener::MutualTls => {
            let secrets = authorities.with_identity("kafka-user", &authority.client(&user)?);
            let certificate = json!({"secretName": "kafka-user"});
            let tls = json!({"ca": {"secretName": "authorities"}, "certificate": certificate});
            (Some(user), json!({"tls": tls}), secrets)
        }
        Listener::Plain => {
            let (user, password) = PLAIN_USERS[0];
            // As Strimzi calls it.
            let secrets = authorities.with("kafka-user", "user.password", password);
            let sasl =
                json!({"mechanism": "PLAIN", "username": user, "password": {"secretName": "kafka-user"}});
            (Some(user.to_owned()), json!({"tls": tls, "sasl": sasl}), secrets)
        }
        Listener::ScramSha256 | Listener::ScramSha512 => {
            let (sasl, secrets) = scram(SCRAM_PASSWORD)?;
            (Some(user), json!({"tls": tls, "sasl": sasl}), secrets)
        }
        Listener::ScramInClear => {
            let (sasl, secrets) = scram(SCRAM_PASSWORD_IN_CLEAR)?;
            (Some(user), json!({"sasl": sasl}), secrets)
        }
        Listener::OAuthBearer => {
            tokens.register(&user, CLIENT_SECRET);
            let secrets = authorities.with("client", "client-secret", CLIENT_SECRET);
            let oauth = json!({
                "tokenEndpoint": tokens.token_url(), "clientId": user,
                "clientSecret": {"secretName": "client"}, "ca": {"secretName": "authorities"},
            });
            let sasl = json!({"mechanism": "OAUTHBEARER", "oauth": oauth});
            (Some(user), json!({"tls": tls, "sasl": sasl}), secrets)
        }
    };
    let fields = json!({"bootstrapServers": kafka.secure_bootstrap(listener)?, "security": security});
    Ok(Way { user, fields, secrets })
}

/// The ways into the stack's store, for keys with this prefix: with a password, as a user, over TLS, and with a certificate.
pub fn store_ways(stack: &SecureStack, key_prefix: &str) -> Result<[Way; 4]> {
    let SecureStack { authority, store, .. } = stack;
    let user = unique_name("user");
    let rules = store_rules(key_prefix)?;
    store.set_user(&user, STORE_USER_PASSWORD, &rules.iter().map(String::as_str).collect::<Vec<_>>())?;
    let (plain, secure) = (store.address(), store.tls_address()?);
    let password = json!({"secretName": "store"});
    let of_all = Secrets::default().with("store", "password", STORE_PASSWORD);
    let of_user = Secrets::default().with("store", "password", format!("{STORE_USER_PASSWORD}\n"));
    let trusting = |secrets: &Secrets| secrets.clone().with("store-authorities", "ca.crt", authority.pem());
    let ca = json!({"secretName": "store-authorities"});
    let own = trusting(&of_user).with_identity("store-certificate", &authority.client("worker")?);
    let way = |address: &str, user: Option<&str>, security: Value, secrets: Secrets| {
        let fields = json!({"addresses": [address], "keyPrefix": key_prefix, "security": security});
        Way { user: user.map(str::to_owned), fields, secrets }
    };
    Ok([
        way(&plain, None, json!({"password": password}), of_all.clone()),
        way(&plain, Some(&user), json!({"username": user, "password": password}), of_user),
        way(&secure, None, json!({"tls": {"ca": ca}, "password": password}), trusting(&of_all)),
        way(
            &secure,
            Some(&user),
            json!({
                "tls": {"ca": ca, "certificate": {"secretName": "store-certificate"}},
                "username": user, "password": password,
            }),
            own,
        ),
    ])
}
