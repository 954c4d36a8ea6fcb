//! One client's way to its cluster: what its context hears, and what it is given while it runs.

use std::error::Error;
use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext, OAuthToken};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;

use super::access::Access;
use super::bootstrap::Bootstrap;
use crate::security::{Login, SecurityError};

/// The servers and the edition of the credentials that one client has.
#[derive(Debug)]
pub struct Link {
    access: Arc<Access>,
    bootstrap: Bootstrap,
    /// The edition of the credentials that the client has.
    edition: AtomicU64,
}

impl Link {
    /// For a client that is about to be made.
    #[must_use]
    pub fn new(access: &Arc<Access>) -> Self {
        let edition = AtomicU64::new(access.edition());
        Self { access: access.clone(), bootstrap: Bootstrap::new(access.servers()), edition }
    }

    /// The cluster.
    #[must_use]
    pub fn access(&self) -> &Arc<Access> {
        &self.access
    }

    /// To be told each error that the client reports.
    pub fn note(&self, error: &KafkaError, text: &str) {
        self.bootstrap.note(error);
        self.access.note(error, text);
    }

    /// Gives the client what it lacks: its servers, if it has lost all brokers, and a password that was replaced. To be called now and
    /// then.
    pub fn tend<C: ClientContext>(&self, client: &Client<C>) {
        self.bootstrap.restore(client);
        let edition = self.access.edition();
        if self.edition.swap(edition, Ordering::Relaxed) == edition {
            return;
        }
        let credentials = self.access.credentials();
        let Login::Password { username, password, .. } = &credentials.login else { return };
        let (Ok(username), Ok(password)) = (CString::new(username.as_str()), CString::new(password.reveal()))
        else {
            return;
        };
        // SAFETY: the client outlives the call, which copies both texts; the error, if any, is ours to destroy.
        unsafe {
            let error =
                sys::rd_kafka_sasl_set_credentials(client.native_ptr(), username.as_ptr(), password.as_ptr());
            if !error.is_null() {
                tracing::error!("the Kafka client does not take its new password");
                sys::rd_kafka_error_destroy(error);
            }
        }
    }

    /// Gives the client its first token, if it needs one: it asks for it only when it is polled, which callers who only ask never do.
    ///
    /// # Errors
    /// Why there is no token.
    pub fn log_in<C: ClientContext>(&self, client: &Client<C>) -> Result<(), SecurityError> {
        if matches!(self.access.credentials().login, Login::Token(_)) {
            set_token(client, &self.access.token()?);
        }
        Ok(())
    }

    /// A token for the client.
    ///
    /// # Errors
    /// Why there is none.
    pub fn token(&self) -> Result<OAuthToken, Box<dyn Error>> {
        Ok(self.access.token()?)
    }
}

fn set_token<C: ClientContext>(client: &Client<C>, token: &OAuthToken) {
    let (Ok(value), Ok(principal)) =
        (CString::new(token.token.as_str()), CString::new(token.principal_name.as_str()))
    else {
        return;
    };
    let mut error = [0; 256];
    // SAFETY: the client outlives the call, which copies both texts and writes no more than the buffer's length.
    let code = unsafe {
        sys::rd_kafka_oauthbearer_set_token(
            client.native_ptr(),
            value.as_ptr(),
            token.lifetime_ms,
            principal.as_ptr(),
            std::ptr::null_mut(),
            0,
            error.as_mut_ptr(),
            error.len(),
        )
    };
    if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        tracing::error!("the Kafka client does not take its token");
    }
}

/// The context of clients that need no other one.
#[derive(Clone, Debug)]
pub struct LinkContext(pub Arc<Link>);

impl LinkContext {
    /// For a client that is about to be made.
    #[must_use]
    pub fn new(access: &Arc<Access>) -> Self {
        Self(Arc::new(Link::new(access)))
    }
}

impl ClientContext for LinkContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client");
        self.0.note(&error, reason);
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.0.token()
    }
}

impl ConsumerContext for LinkContext {}
