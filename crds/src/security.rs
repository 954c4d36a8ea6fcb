//! Who may talk to whom: TLS, SASL and passwords, and the Secrets they come from.
//!
//! Secrets are named here, never written: what they hold reaches workers as mounted files, and the operator through the API server.

mod keys;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use keys::SecretKey;

use crate::{forms, relations};

/// How workers and operator talk to Kafka. Nothing: without encryption, as nobody.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("has(self.tls) || !has(self.sasl) || self.sasl.mechanism.startsWith('SCRAM')").message(relations::SASL_IN_CLEAR))]
#[serde(rename_all = "camelCase")]
pub struct SourceSecurity {
    /// Encrypts, and makes sure that the brokers are who they say. An empty group of fields trusts public authorities.
    #[schemars(with = "Tls")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Says who we are. A client certificate (tls.certificate) may do that alone.
    #[schemars(with = "Sasl")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl: Option<Sasl>,
}

/// How workers talk to Redis or Valkey. Nothing: without encryption, as nobody.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("!has(self.username) || has(self.password)").message(relations::USERNAME_ALONE))]
#[serde(rename_all = "camelCase")]
pub struct StoreSecurity {
    /// Encrypts, and makes sure that the server is who it says. An empty group of fields trusts public authorities.
    #[schemars(with = "Tls")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// The ACL user. Default: the server's default user.
    #[schemars(with = "String", length(min = 1, max = 256), regex(pattern = forms::USERNAME))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The Secret with the password.
    #[schemars(with = "Password")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Password>,
}

/// Transport encryption. Servers' names are always checked.
#[derive(Clone, Debug, Default, Eq, Hash, JsonSchema, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// The Secret with the certificates (PEM) of the authorities to trust, several while they are exchanged. Default: the public ones.
    #[schemars(with = "Authorities")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<Authorities>,
    /// The Secret with our own certificate and its key, for servers that ask for one.
    #[schemars(with = "Certificate")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
}

/// Certificates of authorities in a Secret.
#[derive(Clone, Debug, Eq, Hash, JsonSchema, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Authorities {
    /// The Secret, in the pipeline's namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = forms::NAME))]
    pub secret_name: String,
    /// Its key.
    #[schemars(length(min = 1, max = 253), regex(pattern = forms::SECRET_KEY))]
    #[serde(default = "Authorities::default_key")]
    pub key: String,
}

/// A client certificate in a Secret.
#[derive(Clone, Debug, Eq, Hash, JsonSchema, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// The Secret, in the pipeline's namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = forms::NAME))]
    pub secret_name: String,
    /// The key of the certificate (PEM), with those between it and its authority.
    #[schemars(length(min = 1, max = 253), regex(pattern = forms::SECRET_KEY))]
    #[serde(default = "Certificate::default_certificate")]
    pub certificate: String,
    /// The key of the private key (PEM, without a password).
    #[schemars(length(min = 1, max = 253), regex(pattern = forms::SECRET_KEY))]
    #[serde(default = "Certificate::default_key")]
    pub key: String,
}

/// A password in a Secret.
#[derive(Clone, Debug, Eq, Hash, JsonSchema, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Password {
    /// The Secret, in the pipeline's namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = forms::NAME))]
    pub secret_name: String,
    /// Its key. Default: password, and user.password where there is none.
    #[schemars(with = "String", length(min = 1, max = 253), regex(pattern = forms::SECRET_KEY))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// Who we are to Kafka.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("self.mechanism != 'OAUTHBEARER' || has(self.oauth)").message(relations::OAUTH_MISSING))]
#[x_kube(validation = Rule::new("self.mechanism == 'OAUTHBEARER' || !has(self.oauth)").message(relations::OAUTH_UNUSED))]
#[x_kube(validation = Rule::new("self.mechanism == 'OAUTHBEARER' || (has(self.username) && has(self.password))").message(relations::LOGIN_MISSING))]
#[x_kube(validation = Rule::new("self.mechanism != 'OAUTHBEARER' || !(has(self.username) || has(self.password))").message(relations::LOGIN_UNUSED))]
#[serde(rename_all = "camelCase")]
pub struct Sasl {
    /// PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER.
    pub mechanism: Mechanism,
    /// The user, for PLAIN and SCRAM.
    #[schemars(with = "String", length(min = 1, max = 256), regex(pattern = forms::USERNAME))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The Secret with the user's password, for PLAIN and SCRAM.
    #[schemars(with = "Password")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Password>,
    /// Where tokens come from, for OAUTHBEARER.
    #[schemars(with = "OAuth")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth: Option<OAuth>,
}

/// How a client proves who it is.
#[derive(Clone, Copy, Debug, Eq, Hash, JsonSchema, PartialEq, Serialize, Deserialize)]
pub enum Mechanism {
    /// User and password as they are.
    #[serde(rename = "PLAIN")]
    Plain,
    /// User and a proof of the password (RFC 7677).
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// User and a proof of the password.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    /// A token of an authorization server (RFC 7628).
    #[serde(rename = "OAUTHBEARER")]
    OAuthBearer,
}

/// OAuth 2.0 client credentials (RFC 6749, 4.4).
#[derive(Clone, Debug, Eq, Hash, JsonSchema, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OAuth {
    /// The token endpoint of the authorization server, an https URL.
    #[schemars(length(min = 9, max = 1024), regex(pattern = forms::HTTPS))]
    pub token_endpoint: String,
    /// Our client ID there.
    #[schemars(length(min = 1, max = 256), regex(pattern = forms::USERNAME))]
    pub client_id: String,
    /// The Secret with our secret there.
    pub client_secret: ClientSecret,
    /// The scope to ask for.
    #[schemars(with = "String", length(min = 1, max = 1024), regex(pattern = forms::SCOPE))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The audience to ask for.
    #[schemars(with = "String", length(min = 1, max = 1024), regex(pattern = forms::SCOPE))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// The Secret with the certificates of the authorities that the endpoint is trusted by. Default: the public ones.
    #[schemars(with = "Authorities")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<Authorities>,
}

/// An OAuth client's secret in a Secret.
#[derive(Clone, Debug, Eq, Hash, JsonSchema, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientSecret {
    /// The Secret, in the pipeline's namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = forms::NAME))]
    pub secret_name: String,
    /// Its key.
    #[schemars(length(min = 1, max = 253), regex(pattern = forms::SECRET_KEY))]
    #[serde(default = "ClientSecret::default_key")]
    pub key: String,
}

impl Authorities {
    fn default_key() -> String {
        "ca.crt".to_owned()
    }
}

impl Certificate {
    fn default_certificate() -> String {
        "user.crt".to_owned()
    }

    fn default_key() -> String {
        "user.key".to_owned()
    }
}

impl ClientSecret {
    fn default_key() -> String {
        "client-secret".to_owned()
    }
}

impl Mechanism {
    /// Its name, as Kafka has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OAuthBearer => "OAUTHBEARER",
        }
    }
}

impl SourceSecurity {
    /// True without any field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl StoreSecurity {
    /// True without any field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
