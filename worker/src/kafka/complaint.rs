//! What an error of the Kafka client says about TLS, logins and rights: pure, in the words of librdkafka 2.12.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::security::{KafkaCredentials, Login, SecurityError};

/// A complaint about who we are or how we talk.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Complaint {
    /// Its cause is known.
    Known(SecurityError),
    /// A handshake with `peer` (host:port) failed; what to say if a closer look finds nothing.
    Handshake { peer: String, otherwise: SecurityError },
    /// No connection came about or stayed, without a word of the broker.
    Silence,
}

/// The reason of [`topic_denied`].
pub(super) const TOPIC_DENIED: &str = "TopicUnauthorized";
/// The reason of [`group_denied`].
pub(super) const GROUP_DENIED: &str = "GroupUnauthorized";

/// `text` is what the client says besides the error.
pub(super) fn complaint(error: &KafkaError, text: &str, credentials: &KafkaCredentials) -> Option<Complaint> {
    let known = |reason, message| Some(Complaint::Known(SecurityError::new(reason, message)));
    let (peer, said) = parts(text);
    match error.rdkafka_error_code()? {
        RDKafkaErrorCode::Authentication => {
            // A token that did not come has its own words already.
            if said.contains("OAUTHBEARER token") {
                return None;
            }
            let said = said.strip_prefix("SASL authentication error: ").unwrap_or(said);
            let said = said.split(" (after ").next().unwrap_or(said);
            let (who, next) = (who(&credentials.login), after_refusal(&credentials.login));
            known("AuthenticationFailed", format!("{peer} does not let in {who} ({said}); {next}"))
        }
        RDKafkaErrorCode::SSL => handshake(peer, said),
        // With TLS 1.3 a server says only after the handshake what it thinks of our certificate.
        RDKafkaErrorCode::BrokerTransportFailure if said.contains("SSL alert") => handshake(peer, said),
        RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown => {
            Some(Complaint::Silence)
        }
        RDKafkaErrorCode::ClusterAuthorizationFailed => known(
            "ClusterUnauthorized",
            format!("{} may not do that in the cluster", who(&credentials.login)),
        ),
        _ => None,
    }
}

fn handshake(peer: &str, said: &str) -> Option<Complaint> {
    let said = said.strip_prefix("SSL handshake failed: ").unwrap_or(said);
    let otherwise = SecurityError::new("TlsFailed", format!("no secure connection to {peer}: {said}"));
    Some(Complaint::Handshake { peer: peer.to_owned(), otherwise })
}

/// Nobody lets us read `topic`.
pub(super) fn topic_denied(login: &Login, topic: &str) -> SecurityError {
    let who = who(login);
    let message = format!("{who} may not read topic {topic}; allow it the operation Read on that topic");
    SecurityError::new(TOPIC_DENIED, message)
}

/// Nobody lets us into the consumer group `group`.
pub(super) fn group_denied(login: &Login, group: &str) -> SecurityError {
    let who = who(login);
    let message =
        format!("{who} may not use consumer group {group}; allow it the operation Read on that group");
    SecurityError::new(GROUP_DENIED, message)
}

fn after_refusal(login: &Login) -> &'static str {
    match login {
        Login::None => "name a user in security.sasl",
        Login::Password { .. } => "correct security.sasl.username or the password in its Secret",
        Login::Token(_) => "see which issuer, audience and scope it expects of tokens",
    }
}

/// The user, as far as we know it.
fn who(login: &Login) -> String {
    match login {
        Login::None => "our user".to_owned(),
        Login::Password { username, .. } => format!("user {username}"),
        Login::Token(client) => format!("client {}", client.client_id),
    }
}

/// host:port and what the client says of it, of `protocol://host:port/id: what`.
fn parts(text: &str) -> (&str, &str) {
    let split = || {
        let (_, rest) = text.split_once("://")?;
        let (peer, rest) = rest.split_once('/')?;
        let (_, said) = rest.split_once(": ")?;
        Some((peer, said))
    };
    split().unwrap_or(("Kafka", text))
}

#[cfg(test)]
mod tests {
    use plaudit_crds::security::Mechanism;

    use super::*;
    use crate::security::Sensitive;

    #[test]
    fn errors_of_the_client_are_said_in_our_words() {
        let scram = KafkaCredentials {
            tls: None,
            login: Login::Password {
                mechanism: Mechanism::ScramSha512,
                username: "plaudit".to_owned(),
                password: Sensitive::new("hunter2"),
            },
        };
        let error = |code| KafkaError::Global(code);
        let cases = [
            (
                error(RDKafkaErrorCode::Authentication),
                "sasl_ssl://kafka:9093/bootstrap: SASL authentication error: Authentication failed due to invalid credentials with SASL mechanism SCRAM-SHA-512 (after 301ms in state AUTH_REQ)",
                Some(Complaint::Known(SecurityError::new(
                    "AuthenticationFailed",
                    "kafka:9093 does not let in user plaudit (Authentication failed due to invalid credentials with SASL mechanism SCRAM-SHA-512); correct security.sasl.username or the password in its Secret",
                ))),
            ),
            (
                error(RDKafkaErrorCode::SSL),
                "ssl://[::1]:9093/1: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed",
                Some(Complaint::Handshake {
                    peer: "[::1]:9093".to_owned(),
                    otherwise: SecurityError::new(
                        "TlsFailed",
                        "no secure connection to [::1]:9093: error:0A000086:SSL routines::certificate verify failed",
                    ),
                }),
            ),
            (error(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down", Some(Complaint::Silence)),
            (
                error(RDKafkaErrorCode::BrokerTransportFailure),
                "kafka:9092/1: Connect to ipv4#127.0.0.1:1 failed",
                Some(Complaint::Silence),
            ),
        ];

        for (error, text, expected) in cases {
            assert_eq!(complaint(&error, text, &scram), expected);
        }
    }
}
