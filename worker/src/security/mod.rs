//! TLS, SASL and passwords: what a pipeline's `security` names, read, checked, and made fit for the clients.
//!
//! What is secret is held in [`Sensitive`], which no log, error or message shows.

mod credentials;
mod diagnose;
mod secrets;
mod tls;
mod token;

pub use credentials::{KafkaCredentials, Login, StoreCredentials};
pub use diagnose::diagnose;
pub(crate) use diagnose::{SERVER, host, no_tls, refused};
pub use secrets::{Directory, Secrets, Sensitive, missing};
pub use tls::TlsMaterial;
pub use token::{OAuthClient, Token, Tokens};

/// Why somebody cannot be talked to securely: a reason for machines, and a sentence that says what is wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SecurityError {
    /// One word, as conditions and metrics show it.
    pub reason: &'static str,
    /// The sentence, without anything secret.
    pub message: String,
}

impl SecurityError {
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}
