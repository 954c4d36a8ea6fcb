//! Access to a server: users with passwords and rights, and TLS.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::Valkey;
use crate::stack::certificates::Identity;
use crate::stack::ports;

/// The harness's own user, on a server whose default user has a password. It is no secret.
const HARNESS: &str = "harness";
const HARNESS_PASSWORD: &str = "harness";

/// A second port, with TLS.
#[derive(Debug, Clone)]
pub struct StoreTls {
    pub identity: Identity,
    pub clients: ClientCertificates,
    /// Whose certificates clients may show: certificates in PEM.
    pub client_authorities: String,
}

/// Whether clients have to show a certificate (`tls-auth-clients`). It says nothing of the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificates {
    Unasked,
    Optional,
    Required,
}

impl Valkey {
    /// `HOST:PORT` with TLS, the same after a restart.
    pub fn tls_address(&self) -> Result<String> {
        let port = self.tls_port.context("the store was started without ValkeyOptions::tls")?;
        Ok(format!("{}:{port}", self.options.host))
    }

    /// Whether [`Valkey::address`] alone may not be what its clients need.
    pub fn is_secured(&self) -> bool {
        self.has_users() || self.tls_port.is_some()
    }

    /// For whoever may do everything: `HOST:PORT` without TLS, after `USER:PASSWORD@` of the harness where passwords are asked for.
    pub fn login(&self) -> String {
        let user = if self.has_users() { format!("{HARNESS}:{HARNESS_PASSWORD}@") } else { String::new() };
        format!("{user}{}", self.address())
    }

    /// Makes a user with this password and these rules (`~players:*`, `+@read`, `+get`, ...) and no others, or changes one; a restart
    /// keeps it. Who is connected stays, and has the new rights at once.
    pub fn set_user(&self, user: &str, password: &str, rules: &[&str]) -> Result<()> {
        let mut change = redis::cmd("ACL");
        change.arg("SETUSER").arg(user).arg("reset").arg("on").arg(format!(">{password}")).arg(rules);
        self.change_users(&change).with_context(|| format!("could not set the user {user}"))
    }

    /// Gives a user (`default` is one) another password, and takes the old ones; a restart keeps it. Who is connected stays.
    pub fn set_password(&self, user: &str, password: &str) -> Result<()> {
        let mut change = redis::cmd("ACL");
        change.arg("SETUSER").arg(user).arg("resetpass").arg(format!(">{password}"));
        self.change_users(&change).with_context(|| format!("could not set the password of {user}"))
    }

    /// Ends a user; who is connected as this user is cut off.
    pub fn delete_user(&self, user: &str) -> Result<()> {
        self.change_users(redis::cmd("ACL").arg("DELUSER").arg(user))
            .with_context(|| format!("could not delete the user {user}"))
    }

    /// From now on clients are shown this; open connections stay. A restart keeps it.
    pub fn set_identity(&self, identity: &Identity) -> Result<()> {
        self.write_identity(identity)?;
        // of both, or the key would not fit
        let mut change = redis::cmd("CONFIG");
        change
            .arg("SET")
            .arg("tls-cert-file")
            .arg(self.file(CERTIFICATE))
            .arg("tls-key-file")
            .arg(self.file(KEY));
        change.exec(&mut self.connect()?).context("could not change the store's certificate")
    }

    /// From now on clients may show certificates of these authorities (PEM); open connections stay. A restart keeps it.
    pub fn set_client_authorities(&self, authorities: &str) -> Result<()> {
        write(&self.directory.join(AUTHORITIES), authorities)?;
        let mut change = redis::cmd("CONFIG");
        change.arg("SET").arg("tls-ca-cert-file").arg(self.file(AUTHORITIES));
        change.exec(&mut self.connect()?).context("could not change whom the store trusts")
    }

    /// Writes the files that [`Valkey::access_settings`] names.
    pub(super) fn write_access(&self) -> Result<()> {
        let users = self.directory.join(USERS);
        // a restart finds those of the last change
        if let (Some(password), false) = (&self.options.password, users.exists()) {
            let all = "~* &* +@all";
            let text =
                format!("user default on >{password} {all}\nuser {HARNESS} on >{HARNESS_PASSWORD} {all}\n");
            write(&users, &text)?;
        }
        if let (Some(tls), false) = (&self.options.tls, self.directory.join(KEY).exists()) {
            self.write_identity(&tls.identity)?;
            write(&self.directory.join(AUTHORITIES), &tls.client_authorities)?;
        }
        Ok(())
    }

    /// Settings for users and TLS, by name.
    pub(super) fn access_settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = Vec::new();
        if self.has_users() {
            settings.push(("aclfile", self.file(USERS)));
            // of a primary that this one may be told to follow
            settings.push(("masteruser", HARNESS.to_owned()));
            settings.push(("masterauth", HARNESS_PASSWORD.to_owned()));
        }
        if let (Some(tls), Some(port)) = (&self.options.tls, self.tls_port) {
            let clients = match tls.clients {
                ClientCertificates::Unasked => "no",
                ClientCertificates::Optional => "optional",
                ClientCertificates::Required => "yes",
            };
            settings.extend([
                ("tls-port", port.to_string()),
                ("tls-cert-file", self.file(CERTIFICATE)),
                ("tls-key-file", self.file(KEY)),
                ("tls-ca-cert-file", self.file(AUTHORITIES)),
                ("tls-auth-clients", clients.to_owned()),
            ]);
        }
        settings
    }

    fn has_users(&self) -> bool {
        self.options.password.is_some()
    }

    fn change_users(&self, change: &redis::Cmd) -> Result<()> {
        let mut connection = self.connect()?;
        change.exec(&mut connection)?;
        if self.has_users() {
            redis::cmd("ACL").arg("SAVE").exec(&mut connection)?;
        }
        Ok(())
    }

    fn write_identity(&self, identity: &Identity) -> Result<()> {
        write(&self.directory.join(CERTIFICATE), &identity.certificate)?;
        write(&self.directory.join(KEY), &identity.key)
    }

    fn file(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }
}

/// A port for TLS, where the options ask for one.
pub(super) fn tls_port(tls: Option<&StoreTls>) -> Result<Option<u16>> {
    tls.map(|_| ports::free_port()).transpose()
}

const USERS: &str = "users.acl";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const AUTHORITIES: &str = "authorities.crt";

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("could not write {}", path.display()))
}
