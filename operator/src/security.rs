//! What became of the Secrets that a pipeline names: pure but for the reading itself.

use plaudit_worker::security::{KafkaCredentials, Secrets, SecurityError, StoreCredentials, TlsMaterial};
use sha2::{Digest as _, Sha256};

use crate::observe::Trouble;
use crate::pipeline::Pipeline;

/// The credentials of one pipeline, each read or refused with its reason.
#[derive(Clone, Debug, PartialEq)]
pub struct Credentials {
    /// For Kafka.
    pub source: Result<KafkaCredentials, SecurityError>,
    /// For the store: only workers use them.
    pub store: Result<StoreCredentials, SecurityError>,
}

impl Credentials {
    /// Reads everything that `pipeline` names.
    #[must_use]
    pub fn read(pipeline: &Pipeline, secrets: &dyn Secrets) -> Self {
        Self {
            source: KafkaCredentials::read(&pipeline.source.security, secrets),
            store: StoreCredentials::read(&pipeline.store.security, secrets),
        }
    }

    /// What is wrong with those for the store.
    #[must_use]
    pub fn store_trouble(&self) -> Option<Trouble> {
        self.store.as_ref().err().map(Trouble::from)
    }
}

/// Names the certificates and keys that a worker's Kafka client takes only at its start; `None` where there are none. Passwords are not in
/// it: whoever sees it could try them out.
#[must_use]
pub fn certificates(credentials: &KafkaCredentials) -> Option<String> {
    let TlsMaterial { authorities, own } = credentials.tls.as_ref()?;
    if authorities.is_none() && own.is_none() {
        return None;
    }
    let mut hash = Sha256::new();
    for part in [authorities.as_deref(), own.as_ref().map(|(certificates, _)| certificates.as_str())] {
        hash.update(part.map_or(0, str::len).to_be_bytes());
        hash.update(part.unwrap_or_default().as_bytes());
    }
    if let Some((_, key)) = own {
        hash.update(key.reveal().as_bytes());
    }
    Some(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
