//! Clients as anybody would set them up, by the libraries alone, and what the servers say to them.

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use openssl::pkey::PKey;
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use openssl::x509::X509;
use plaudit_tests::stack::certificates::Identity;
use plaudit_tests::stack::until;
use rdkafka::ClientConfig;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo};
use tokio_openssl::SslStream;

const LIMIT: Duration = Duration::from_secs(30);
const UNHARMED: &str = "nobody panics while holding it";

/// What a client of Kafka gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// The topic that it asked for.
    Served,
    /// No connection.
    Refused(Code),
    /// A connection, but not the topic.
    Denied(Code),
}

/// Keeps why a client has no connection, and has its token.
#[derive(Debug)]
struct Context {
    token: Option<String>,
    refused: Mutex<Option<Code>>,
    /// All that it was told of.
    errors: Mutex<Vec<String>>,
}

impl ConsumerContext for Context {}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    // errors come below, and are what is asked for
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, error: KafkaError, reason: &str) {
        self.errors.lock().expect(UNHARMED).push(format!("{error}: {reason}"));
        let KafkaError::Global(code) = error else { return };
        let refused = match code {
            Code::SSL | Code::Authentication => true,
            // What a broker says of a client's certificate comes after the client has taken the handshake for done (TLS 1.3).
            Code::BrokerTransportFailure => reason.contains("SSL alert"),
            _ => false,
        };
        if refused {
            *self.refused.lock().expect(UNHARMED) = Some(code);
        }
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        let token = self.token.clone().ok_or("no token")?;
        let end = SystemTime::now().duration_since(UNIX_EPOCH)? + Duration::from_secs(3_600);
        Ok(OAuthToken {
            token,
            principal_name: "unused".to_owned(),
            lifetime_ms: i64::try_from(end.as_millis())?,
        })
    }
}

/// Asks for a topic with these settings, and with this token where the mechanism is OAUTHBEARER.
pub(super) fn ask_kafka(settings: &[(&str, &str)], token: Option<&str>, topic: &str) -> Result<Said> {
    let mut config = ClientConfig::new();
    for (name, value) in settings {
        config.set(*name, *value);
    }
    config.set("reconnect.backoff.ms", "20").set("reconnect.backoff.max.ms", "100");
    let context =
        Context { token: token.map(str::to_owned), refused: Mutex::default(), errors: Mutex::default() };
    let client: BaseConsumer<Context> = config.create_with_context(context)?;
    until("an answer of kafka", LIMIT, || {
        // Tokens and errors come this way, after all log lines; in no time at all it would take a single one.
        client.poll(Duration::from_millis(50));
        if let Some(code) = *client.context().refused.lock().expect(UNHARMED) {
            return Ok(Some(Said::Refused(code)));
        }
        let Ok(metadata) = client.fetch_metadata(Some(topic), Duration::from_millis(200)) else {
            return Ok(None);
        };
        let error = metadata.topics().iter().find_map(|topic| topic.error());
        Ok(Some(error.map_or(Said::Served, |code| Said::Denied(code.into()))))
    })
    .with_context(|| format!("{:?}", client.context().errors.lock().expect(UNHARMED)))
}

/// How a client of the store, or of the token endpoint, sets up TLS.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tls<'a> {
    /// Certificates in PEM.
    pub(super) authorities: &'a str,
    pub(super) identity: Option<&'a Identity>,
}

impl Tls<'_> {
    fn connector(self) -> Result<SslConnector> {
        let mut builder = SslConnector::builder(SslMethod::tls())?;
        builder.set_verify(SslVerifyMode::PEER);
        for authority in X509::stack_from_pem(self.authorities.as_bytes())? {
            builder.cert_store_mut().add_cert(authority)?;
        }
        if let Some(identity) = self.identity {
            builder.set_certificate(&*X509::from_pem(identity.certificate.as_bytes())?)?;
            builder.set_private_key(&*PKey::private_key_from_pem(identity.key.as_bytes())?)?;
        }
        Ok(builder.build())
    }
}

/// Sends one command to a store at `HOST:PORT`: as a user with a password, as the default user with one, or without.
pub(super) fn ask_store(
    address: &str,
    tls: Option<Tls<'_>>,
    login: (Option<&str>, Option<&str>),
    command: &redis::Cmd,
) -> Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut settings = RedisConnectionInfo::default();
        if let Some(user) = login.0 {
            settings = settings.set_username(user);
        }
        if let Some(password) = login.1 {
            settings = settings.set_password(password);
        }
        let stream = tokio::net::TcpStream::connect(address).await?;
        let config = AsyncConnectionConfig::new();
        let mut connection = match tls {
            None => {
                let (connection, driver) =
                    MultiplexedConnection::new_with_config(&settings, stream, config).await?;
                tokio::spawn(driver);
                connection
            }
            Some(tls) => {
                let (host, _) = address.split_once(':').context("no port")?;
                let ssl = tls.connector()?.configure()?.into_ssl(host)?;
                let mut stream = SslStream::new(ssl, stream)?;
                Pin::new(&mut stream).connect().await?;
                let (connection, driver) =
                    MultiplexedConnection::new_with_config(&settings, stream, config).await?;
                tokio::spawn(driver);
                connection
            }
        };
        Ok(command.query_async(&mut connection).await?)
    })
}

/// Posts a form to `https://HOST:PORT/PATH`; status and body of the answer.
pub(super) fn post(url: &str, authorities: &str, form: &[(&str, &str)]) -> Result<(u16, String)> {
    let (address, path) =
        url.strip_prefix("https://").and_then(|url| url.split_once('/')).context("no URL")?;
    let (host, _) = address.split_once(':').context("no port")?;
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut stream = Tls { authorities, identity: None }.connector()?.connect(host, stream)?;
    write!(
        stream,
        "POST /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("not an HTTP answer")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
    Ok((status, body.to_owned()))
}
