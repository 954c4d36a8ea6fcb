//! Everything a client needs to be let in, read from Secrets and checked.

use plaudit_crds::security::{Mechanism, OAuth, SourceSecurity, StoreSecurity};
use rdkafka::ClientConfig;

use super::secrets::text;
use super::tls::PUBLIC_AUTHORITIES;
use super::{OAuthClient, Secrets, SecurityError, Sensitive, TlsMaterial};

/// How a client of a Kafka cluster encrypts, and who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct KafkaCredentials {
    pub tls: Option<TlsMaterial>,
    pub login: Login,
}

/// Who a client of Kafka is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Login {
    /// Nobody, or whom its certificate names.
    #[default]
    None,
    /// A user with a password.
    Password { mechanism: Mechanism, username: String, password: Sensitive },
    /// Whom its token names.
    Token(Box<OAuthClient>),
}

/// How a client of a store encrypts, and who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct StoreCredentials {
    pub tls: Option<TlsMaterial>,
    /// `None`: the server's default user.
    pub username: Option<String>,
    pub password: Option<Sensitive>,
}

impl KafkaCredentials {
    /// Reads and checks what `security` names.
    ///
    /// # Errors
    /// As [`TlsMaterial::read`].
    pub fn read(security: &SourceSecurity, secrets: &dyn Secrets) -> Result<Self, SecurityError> {
        let tls = security.tls.as_ref().map(|tls| TlsMaterial::read(tls, secrets)).transpose()?;
        let Some(sasl) = &security.sasl else { return Ok(Self { tls, login: Login::None }) };
        let login = match (&sasl.oauth, &sasl.username, &sasl.password) {
            (Some(oauth), _, _) => Login::Token(Box::new(client(oauth, secrets)?)),
            (None, Some(username), Some(password)) => Login::Password {
                mechanism: sasl.mechanism,
                username: username.clone(),
                password: text(secrets, password.at())?,
            },
            // The configuration's own rules refuse that.
            (None, _, _) => Login::None,
        };
        Ok(Self { tls, login })
    }

    /// Sets what a client has to know. The result holds secrets, so it is never logged.
    pub fn configure(&self, client: &mut ClientConfig) {
        let protocol = match (&self.tls, &self.login) {
            (None, Login::None) => return,
            (Some(_), Login::None) => "SSL",
            (None, Login::Password { .. } | Login::Token(_)) => "SASL_PLAINTEXT",
            (Some(_), Login::Password { .. } | Login::Token(_)) => "SASL_SSL",
        };
        client.set("security.protocol", protocol);
        if let Some(tls) = &self.tls {
            match &tls.authorities {
                Some(authorities) => client.set("ssl.ca.pem", authorities),
                None if std::path::Path::new(PUBLIC_AUTHORITIES).exists() => {
                    client.set("ssl.ca.location", PUBLIC_AUTHORITIES)
                }
                // Where this system keeps them.
                None => client.set("ssl.ca.location", "probe"),
            };
            if let Some((certificates, key)) = &tls.own {
                client.set("ssl.certificate.pem", certificates).set("ssl.key.pem", key.reveal());
            }
        }
        match &self.login {
            Login::None => {}
            Login::Password { mechanism, username, password } => {
                client
                    .set("sasl.mechanisms", mechanism.name())
                    .set("sasl.username", username)
                    .set("sasl.password", password.reveal());
            }
            Login::Token(_) => {
                client.set("sasl.mechanisms", Mechanism::OAuthBearer.name());
            }
        }
    }

    /// What of these a running client can take that was made with `before`: a new password, but never new certificates. `None` where
    /// it is to log in in another way.
    #[must_use]
    pub fn for_client_of(&self, before: &Self) -> Option<Self> {
        let same_way = match (&self.login, &before.login) {
            (Login::None, Login::None) | (Login::Token(_), Login::Token(_)) => true,
            (Login::Password { mechanism: now, .. }, Login::Password { mechanism: then, .. }) => now == then,
            (Login::None | Login::Password { .. } | Login::Token(_), _) => false,
        };
        same_way.then(|| Self { tls: before.tls.clone(), login: self.login.clone() })
    }
}

impl StoreCredentials {
    /// Reads and checks what `security` names.
    ///
    /// # Errors
    /// As [`TlsMaterial::read`].
    pub fn read(security: &StoreSecurity, secrets: &dyn Secrets) -> Result<Self, SecurityError> {
        Ok(Self {
            tls: security.tls.as_ref().map(|tls| TlsMaterial::read(tls, secrets)).transpose()?,
            username: security.username.clone(),
            password: security.password.as_ref().map(|password| text(secrets, password.at())).transpose()?,
        })
    }
}

fn client(oauth: &OAuth, secrets: &dyn Secrets) -> Result<OAuthClient, SecurityError> {
    let tls = plaudit_crds::security::Tls { ca: oauth.ca.clone(), certificate: None };
    Ok(OAuthClient {
        token_endpoint: oauth.token_endpoint.clone(),
        client_id: oauth.client_id.clone(),
        client_secret: text(secrets, oauth.client_secret.at())?,
        scope: oauth.scope.clone(),
        audience: oauth.audience.clone(),
        tls: TlsMaterial::read(&tls, secrets)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_client_takes_a_new_password_and_keeps_its_certificates() {
        let tls = |authorities: &str| {
            Some(TlsMaterial { authorities: Some(authorities.to_owned()), ..TlsMaterial::default() })
        };
        let user = |mechanism, password: &str| Login::Password {
            mechanism,
            username: "plaudit".to_owned(),
            password: Sensitive::new(password),
        };
        let scram = |password| user(Mechanism::ScramSha512, password);
        let before = KafkaCredentials { tls: tls("old"), login: scram("old") };
        let found = [scram("new"), user(Mechanism::Plain, "new"), Login::None]
            .map(|login| KafkaCredentials { tls: tls("new"), login }.for_client_of(&before));

        assert_eq!(found, [Some(KafkaCredentials { tls: tls("old"), login: scram("new") }), None, None]);
    }
}
