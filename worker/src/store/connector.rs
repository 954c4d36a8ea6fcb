//! Opens connections to one server: TLS, the login, and the scripts that lanes use.

use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use openssl::ssl::SslConnector;
use plaudit_crds::security::StoreSecurity;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo, RedisError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use super::StoreError;
use super::connection::Connection;
use super::eviction::Eviction;
use super::probe::{answers_in_clear, try_on};
use super::refusal::refusal;
use super::scripts::{BATCH, REPLACE_FENCE};
use crate::lane::lock;
use crate::security::{self, Directory, SecurityError, StoreCredentials, TlsMaterial, diagnose};

/// A command unanswered for so long has an unknown outcome.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes collected before a flush: the default of 8 KiB costs twice the CPU with records of 2 KB.
const WRITE_BUFFER_BYTES: usize = 1 << 20;
/// Lanes try again every few seconds at least while they are kept out.
const MEMORY: Duration = Duration::from_secs(30);

/// Opens connections to one server; clones are the same.
#[derive(Clone, Debug)]
pub struct Connector(Arc<Server>);

#[derive(Debug)]
struct Server {
    /// host:port.
    address: String,
    security: StoreSecurity,
    /// Read again for each connection, so that new passwords and certificates need no restart.
    secrets: Directory,
    /// A key that nobody uses, for those who write.
    spare_key: Option<String>,
    /// Whoever is trusted takes a megabyte where it is all that the system trusts: connections share it until the material changes.
    tls: Mutex<Option<(TlsMaterial, SslConnector)>>,
    trouble: Mutex<Option<(SecurityError, Instant)>>,
    eviction: Mutex<Option<Eviction>>,
}

/// A connection that was let in, and the names of the scripts.
pub(super) struct Live {
    pub connection: MultiplexedConnection,
    pub batch: String,
    pub replace_fence: String,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}

impl Connector {
    /// `address` is host:port; `secrets` has a folder for each Secret that `security` names. Nothing is connected yet.
    #[must_use]
    pub fn new(address: &str, security: &StoreSecurity, secrets: &Path) -> Self {
        Self::with(address, security, secrets, None)
    }

    /// The same for those who write. Each new connection tries on `spare_key`, which nobody uses, whether it has the rights.
    #[must_use]
    pub fn writing(address: &str, security: &StoreSecurity, secrets: &Path, spare_key: String) -> Self {
        Self::with(address, security, secrets, Some(spare_key))
    }

    fn with(address: &str, security: &StoreSecurity, secrets: &Path, spare_key: Option<String>) -> Self {
        Self(Arc::new(Server {
            address: address.to_owned(),
            security: security.clone(),
            secrets: Directory(secrets.to_owned()),
            spare_key,
            tls: Mutex::default(),
            trouble: Mutex::default(),
            eviction: Mutex::default(),
        }))
    }

    /// Without encryption, as nobody.
    #[must_use]
    pub fn plain(address: &str) -> Self {
        Self::new(address, &StoreSecurity::default(), Path::new(""))
    }

    /// A connection that connects when first used.
    #[must_use]
    pub fn connection(&self) -> Connection {
        Connection::new(self.clone())
    }

    /// What keeps new connections out, as far as one was tried lately.
    #[must_use]
    pub fn trouble(&self) -> Option<SecurityError> {
        let trouble = lock(&self.0.trouble);
        trouble.as_ref().filter(|(_, since)| since.elapsed() < MEMORY).map(|(trouble, _)| trouble.clone())
    }

    /// Whether the server may drop keys, as far as it was asked.
    #[must_use]
    pub fn eviction(&self) -> Option<Eviction> {
        lock(&self.0.eviction).clone()
    }

    pub(super) fn evicts(&self, found: Option<Eviction>) {
        let mut last = lock(&self.0.eviction);
        if let Some(news) = found.as_ref().filter(|news| last.as_ref() != Some(news)) {
            tracing::warn!(
                address = self.0.address,
                reason = news.reason(),
                because = news.message(),
                "store settings"
            );
        }
        *last = found;
    }

    /// What new connections would be made with.
    ///
    /// # Errors
    /// What is wrong with the Secrets.
    pub fn credentials(&self) -> Result<StoreCredentials, SecurityError> {
        StoreCredentials::read(&self.0.security, &self.0.secrets)
    }

    /// Tries whether a new connection is let in, and remembers why not.
    pub async fn try_out(&self) {
        drop(self.connect().await);
    }

    /// A command was answered with `error`: if that is a matter of rights, it is remembered.
    pub(super) fn note(&self, error: &RedisError) {
        if let Some(trouble) = self.of_server(error) {
            self.remember(&trouble);
        }
    }

    pub(super) async fn connect(&self) -> Result<Live, StoreError> {
        let connected = match tokio::time::timeout(CONNECT_TIMEOUT, self.try_connect()).await {
            Ok(connected) => connected,
            Err(_) => Err(self.silent().await),
        };
        match &connected {
            Ok(_) => drop(lock(&self.0.trouble).take()),
            Err(StoreError::Security(trouble)) => self.remember(trouble),
            Err(_) => {}
        }
        connected
    }

    async fn try_connect(&self) -> Result<Live, StoreError> {
        let Server { address, .. } = &*self.0;
        let credentials = self.credentials()?;
        let stream = TcpStream::connect(address).await.map_err(|error| StoreError::Connect(error.into()))?;
        // Off by default; it costs 39-68 % of throughput.
        stream.set_nodelay(true).map_err(|error| StoreError::Connect(error.into()))?;
        let Some(tls) = &credentials.tls else { return self.log_in(stream, &credentials).await };
        let ssl = self
            .tls(tls)?
            .configure()
            .and_then(|configuration| configuration.into_ssl(security::host(address)))
            .and_then(|ssl| SslStream::new(ssl, stream));
        let mut stream = ssl.map_err(|error| SecurityError::new("TlsFailed", error.to_string()))?;
        if let Err(error) = Pin::new(&mut stream).connect().await {
            let verified = stream.ssl().verify_result();
            return Err(security::refused(address, &error, verified, tls, &security::SERVER).into());
        }
        self.log_in(stream, &credentials).await
    }

    fn tls(&self, material: &TlsMaterial) -> Result<SslConnector, SecurityError> {
        let mut last = lock(&self.0.tls);
        if let Some((_, connector)) = last.as_ref().filter(|(of, _)| of == material) {
            return Ok(connector.clone());
        }
        let connector = material.connector()?;
        *last = Some((material.clone(), connector.clone()));
        Ok(connector)
    }

    async fn log_in<S>(&self, stream: S, credentials: &StoreCredentials) -> Result<Live, StoreError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_write_backpressure_boundary(WRITE_BUFFER_BYTES);
        let connected =
            MultiplexedConnection::new_with_config(&RedisConnectionInfo::default(), stream, config).await;
        let (mut connection, driver) = match connected {
            Ok(connected) => connected,
            Err(error) => return Err(self.refused(error).await),
        };
        tokio::spawn(driver);
        if let Some(password) = &credentials.password {
            // Not left to the library, which does not tell what the server says.
            let mut login = redis::cmd("AUTH");
            if let Some(username) = &credentials.username {
                login.arg(username);
            }
            if let Err(error) = login.arg(password.reveal()).exec_async(&mut connection).await {
                return Err(self.refused(error).await);
            }
        }
        let mut shas = Vec::new();
        for script in [BATCH, REPLACE_FENCE] {
            let sha = redis::cmd("SCRIPT").arg("LOAD").arg(script).query_async(&mut connection).await;
            match sha {
                Ok(sha) => shas.push(sha),
                Err(error) => return Err(self.refused(error).await),
            }
        }
        let [batch, replace_fence] = <[String; 2]>::try_from(shas).map_err(|_| StoreError::Answer)?;
        if let Some(key) = &self.0.spare_key {
            let answers = try_on(key, &replace_fence, &mut connection).await;
            let answers = answers.map_err(StoreError::Connect)?;
            // A store that is full or read-only is for those to tell who write.
            if let Some(denial) = answers.iter().find_map(|answer| self.of_server(answer)) {
                return Err(denial.into());
            }
        }
        Ok(Live { connection, batch, replace_fence })
    }

    /// Why the server ended the beginning of a connection.
    async fn refused(&self, error: RedisError) -> StoreError {
        if let Some(trouble) = self.of_server(&error) {
            return trouble.into();
        }
        if error.is_io_error() && !error.is_timeout() {
            // A server that speaks TLS ends a connection that does not, without a word; one that does not like our certificate may say
            // so only now.
            let (address, tls) =
                (self.0.address.clone(), self.credentials().ok().and_then(|found| found.tls));
            let look = tokio::task::spawn_blocking(move || diagnose(&address, tls.as_ref()));
            if let Ok(Some(trouble)) = look.await {
                return trouble.into();
            }
        }
        StoreError::Connect(error)
    }

    /// Why the server said nothing: one without TLS waits for the end of a line, which a handshake need not have.
    async fn silent(&self) -> StoreError {
        let address = &self.0.address;
        let encrypts = self.0.security.tls.is_some();
        match tokio::time::timeout(CONNECT_TIMEOUT, answers_in_clear(address)).await {
            Ok(Ok(true)) if encrypts => security::no_tls(address, &security::SERVER).into(),
            _ => StoreError::Silent { seconds: CONNECT_TIMEOUT.as_secs() },
        }
    }

    fn of_server(&self, error: &RedisError) -> Option<SecurityError> {
        let user = self.0.security.username.as_deref().unwrap_or("default");
        refusal(&self.0.address, user, error)
    }

    fn remember(&self, trouble: &SecurityError) {
        let mut last = lock(&self.0.trouble);
        if last.as_ref().is_none_or(|(known, _)| known != trouble) {
            tracing::warn!(
                reason = trouble.reason,
                because = trouble.message,
                "the store does not let us in"
            );
        }
        *last = Some((trouble.clone(), Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_share_whom_they_trust_until_that_changes() {
        let connector = Connector::plain("127.0.0.1:1");
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let public = TlsMaterial::default();
        let other = TlsMaterial { authorities: Some(own.cert.pem()), own: None };
        let [one, same, renewed] =
            [&public, &public, &other].map(|material| connector.tls(material).unwrap());

        let shared = |another: &SslConnector| std::ptr::eq(one.context(), another.context());

        assert_eq!((shared(&same), shared(&renewed)), (true, false));
    }
}
