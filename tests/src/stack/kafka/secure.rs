//! The secure listeners of a broker: where they are, and what its administrator changes of users and certificates.

use std::path::Path;

use anyhow::{Context as _, Result};
use rdkafka::bindings::rd_kafka_ScramMechanism_t as scram;

use super::listeners::Secured;
use super::native::{self, Credential};
use super::{Kafka, Listener};
use crate::stack::Proxy;
use crate::stack::certificates::Identity;

/// Both mechanisms: a user has a password for each.
const MECHANISMS: [scram; 2] =
    [scram::RD_KAFKA_SCRAM_MECHANISM_SHA_256, scram::RD_KAFKA_SCRAM_MECHANISM_SHA_512];

impl Kafka {
    /// `HOST:PORT` of a secure listener, the same after a restart.
    pub fn secure_bootstrap(&self, listener: Listener) -> Result<String> {
        let port = self.secured()?.port(listener).with_context(|| format!("kafka has no {listener:?}"))?;
        Ok(format!("{}:{port}", self.options.host))
    }

    /// What stands between a listener and its clients, with [`KafkaSecurity::proxied`](super::KafkaSecurity::proxied).
    pub fn way_to(&self, listener: Listener) -> Result<&Proxy> {
        self.secured()?.proxy(listener).with_context(|| format!("kafka has no proxy for {listener:?}"))
    }

    /// From now on clients of a listener are shown this; open connections stay. A restart keeps it.
    pub fn set_identity(&self, listener: Listener, identity: &Identity) -> Result<()> {
        let file = self.secured()?.write("identity.pem", &identity.both())?;
        self.set_listener_file(listener, "ssl.keystore.location", &file)
    }

    /// From now on clients of a listener may show certificates of these authorities (PEM); open connections stay. A restart keeps it.
    pub fn set_client_authorities(&self, listener: Listener, authorities: &str) -> Result<()> {
        let file = self.secured()?.write("authorities.pem", authorities)?;
        self.set_listener_file(listener, "ssl.truststore.location", &file)
    }

    /// Gives a user of [`Listener::Plain`] another password, or makes one. It takes a restart: the broker reads these only when it starts.
    pub fn set_plain_password(&self, user: &str, password: &str) -> Result<()> {
        self.secured()?.set_plain_password(user, password);
        self.write_properties()?;
        self.restart()
    }

    /// Makes a user of the SCRAM listeners, or gives one another password; who is connected stays. It holds when it returns.
    pub fn set_scram_password(&self, user: &str, password: &str) -> Result<()> {
        self.alter_scram(user, Some(password))
            .with_context(|| format!("could not set the password of {user}"))
    }

    /// Ends a user of the SCRAM listeners; who is connected stays. It holds when it returns.
    pub fn delete_scram_user(&self, user: &str) -> Result<()> {
        self.alter_scram(user, None).with_context(|| format!("could not delete the user {user}"))
    }

    fn alter_scram(&self, user: &str, password: Option<&str>) -> Result<()> {
        let admin = self.admin()?;
        // Kafka takes a user once a request
        for mechanism in MECHANISMS {
            native::alter_scram(&admin, &Credential { user, mechanism, password })?;
        }
        self.settle()
    }

    fn set_listener_file(&self, listener: Listener, setting: &str, file: &Path) -> Result<()> {
        let name = format!("{}{setting}", listener.prefix());
        native::set_broker(&self.admin()?, &name, &file.display().to_string())
            .with_context(|| format!("could not set {name}"))?;
        self.settle()
    }

    fn secured(&self) -> Result<&Secured> {
        self.secured.as_ref().context("kafka was started without KafkaOptions::security")
    }
}
