//! Secrets that change under load: nothing is lost, and workers are replaced only where they have to be.

mod line;
mod seen;

use std::time::Duration;

use anyhow::Result;
use plaudit_tests::canary::password;
use plaudit_tests::stack::certificates::{Authority, Identity, bundle};
use plaudit_tests::stack::security::STORE_PASSWORD;
use plaudit_tests::stack::tokens::Asked;
use plaudit_tests::stack::{Listener, unique_name, until};
use serde_json::json;

use self::line::{Line, servers};

const HOST: &str = "127.0.0.1";
const LIMIT: Duration = Duration::from_secs(45);
/// Of three processes that each ask every four seconds: one alone would take longer than a token lasts.
const TOKENS: usize = 4;
const NO_PEM: &str = "-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----\n";

#[test]
fn passwords_and_all_of_the_store_change_without_a_restart() -> Result<()> {
    let servers = servers();
    let (name, user) = (unique_name("passwords"), unique_name("user"));
    let (of_kafka, of_store) = (password("kafka-old"), password("store-old"));
    servers.kafka.set_scram_password(&user, &of_kafka)?;
    servers.allow(&user, &name)?;
    servers.allow_in_store(&user, &of_store, &name)?;
    let played = servers.scene(
        &name,
        Listener::ScramSha512,
        [
            json!({
                "tls": {"ca": {"secretName": "kafka-ca"}},
                "sasl": {
                    "mechanism": "SCRAM-SHA-512",
                    "username": user,
                    "password": {"secretName": "kafka"},
                },
            }),
            json!({
                "tls": {"ca": {"secretName": "store-ca"}, "certificate": {"secretName": "store-client"}},
                "username": user,
                "password": {"secretName": "store"},
            }),
        ],
    )?;
    let (ours, client) = (servers.authority.pem(), servers.authority.client("worker")?);
    let mut line = Line::start(
        &played,
        &[
            ("kafka-ca", &[("ca.crt", &ours)]),
            ("kafka", &[("password", &of_kafka)]),
            ("store-ca", &[("ca.crt", &ours)]),
            ("store-client", &shown(&client)),
            ("store", &[("password", &of_store)]),
        ],
    )?;

    line.play(|line| {
        kafka_password(line, &user)?;
        store_password(line, &user)?;
        store_certificates(line)
    })?;

    line.end()
}

fn kafka_password(line: &mut Line<'_>, user: &str) -> Result<()> {
    let (servers, new) = (servers(), password("kafka-new"));

    line.write("kafka", &[("password", &password("kafka-wrong"))])?;
    line.refuses("SourceAvailable", "AuthenticationFailed")?;

    servers.kafka.set_scram_password(user, &new)?;
    line.write("kafka", &[("password", &new)])?;
    line.works("SourceAvailable")?;
    servers.kafka.way_to(Listener::ScramSha512)?.reset();
    line.works("SourceAvailable")
}

fn store_password(line: &mut Line<'_>, user: &str) -> Result<()> {
    let (servers, new) = (servers(), password("store-new"));

    line.write("store", &[("password", &password("store-wrong"))])?;
    line.refuses("StoreAvailable", "AuthenticationFailed")?;

    servers.store.set_password(user, &new)?;
    line.write("store", &[("password", &new)])?;
    line.works("StoreAvailable")?;
    servers.way_to_store.reset();
    line.works("StoreAvailable")
}

fn store_certificates(line: &mut Line<'_>) -> Result<()> {
    let (servers, old, new) = (servers(), &servers().authority, Authority::new("new")?);

    line.write("store-ca", &[("ca.crt", NO_PEM)])?;
    line.refuses("StoreAvailable", "SecretInvalid")?;
    line.write("store-ca", &[("ca.crt", &Authority::new("stranger")?.pem())])?;
    line.refuses("StoreAvailable", "TlsUnknownAuthority")?;

    let both = bundle(&[old, &new]);
    line.write("store-ca", &[("ca.crt", &both)])?;
    line.works("StoreAvailable")?;
    servers.store.set_identity(&new.server(&[HOST])?)?;
    servers.store.set_client_authorities(&both)?;
    servers.way_to_store.reset();
    line.works("StoreAvailable")?;

    line.write("store-ca", &[("ca.crt", &new.pem())])?;
    line.write("store-client", &shown(&new.client("worker")?))?;
    line.works("StoreAvailable")?;
    servers.store.set_client_authorities(&new.pem())?;
    servers.way_to_store.reset();
    line.works("StoreAvailable")
}

#[test]
fn certificates_of_kafka_replace_one_worker_after_the_other() -> Result<()> {
    let servers = servers();
    let (name, user) = (unique_name("certificates"), unique_name("user"));
    servers.allow(&user, &name)?;
    let played = servers.scene(
        &name,
        Listener::MutualTls,
        [
            json!({"tls": {"ca": {"secretName": "ca"}, "certificate": {"secretName": "user"}}}),
            json!({"password": {"secretName": "store"}}),
        ],
    )?;
    let (old, new) = (&servers.authority, Authority::new("new")?);
    let mut line = Line::start(
        &played,
        &[
            ("ca", &[("ca.crt", &old.pem())]),
            ("user", &shown(&old.client(&user)?)),
            ("store", &[("password", STORE_PASSWORD)]),
        ],
    )?;

    line.play(|line| {
        line.write("ca", &[("ca.crt", NO_PEM)])?;
        line.refuses("SourceAvailable", "SecretInvalid")?;
        line.write("ca", &[("ca.crt", &Authority::new("stranger")?.pem())])?;
        line.refuses("SourceAvailable", "TlsUnknownAuthority")?;

        // the certificates are those of the other workers again, which therefore need not be replaced
        line.lose_worker()?;
        line.write("ca", &[("ca.crt", &old.pem())])?;
        line.is_whole_again()?;

        line.write("ca", &[("ca.crt", &bundle(&[old, &new]))])?;
        line.replaces_workers()?;
        servers.kafka.set_identity(Listener::MutualTls, &new.server(&[HOST])?)?;
        servers.kafka.way_to(Listener::MutualTls)?.reset();
        line.works("SourceAvailable")?;
        line.write("ca", &[("ca.crt", &new.pem())])?;
        line.replaces_workers()?;

        line.write("user", &shown(&Authority::new("stranger")?.client(&user)?))?;
        line.refuses("SourceAvailable", "ClientCertificateRefused")?;
        servers.kafka.set_client_authorities(Listener::MutualTls, &new.pem())?;
        line.write("user", &shown(&new.client(&user)?))?;
        line.replaces_workers()
    })?;

    line.end()
}

#[test]
fn a_client_secret_changes_with_the_next_token() -> Result<()> {
    let servers = servers();
    let (name, client) = (unique_name("tokens"), unique_name("client"));
    let old = password("client-old");
    servers.tokens.register(&client, &old);
    // They are asked for anew while the test runs.
    servers.tokens.set_lifetime(Duration::from_secs(8));
    servers.allow(&client, &name)?;
    let played = servers.scene(
        &name,
        Listener::OAuthBearer,
        [
            json!({
                "tls": {"ca": {"secretName": "ca"}},
                "sasl": {
                    "mechanism": "OAUTHBEARER",
                    "oauth": {
                        "tokenEndpoint": servers.tokens.token_url(),
                        "clientId": client,
                        "clientSecret": {"secretName": "client"},
                        "ca": {"secretName": "ca"},
                    },
                },
            }),
            json!({"password": {"secretName": "store"}}),
        ],
    )?;
    let mut line = Line::start(
        &played,
        &[
            ("ca", &[("ca.crt", &servers.authority.pem())]),
            ("client", &[("client-secret", &old)]),
            ("store", &[("password", STORE_PASSWORD)]),
        ],
    )?;

    let new = password("client-new");
    line.play(|line| {
        line.write("client", &[("client-secret", &password("client-wrong"))])?;
        line.refuses("SourceAvailable", "TokenRefused")?;

        servers.tokens.register(&client, &new);
        line.write("client", &[("client-secret", &new)])?;
        line.works("SourceAvailable")?;
        // Monitor and workers alike; by then no token is left that was given for the old one.
        let before = given(&client);
        until("tokens for the new secret", LIMIT, || Ok((given(&client) >= before + TOKENS).then_some(())))?;
        servers.kafka.way_to(Listener::OAuthBearer)?.reset();
        line.works("SourceAvailable")
    })?;

    line.end()
}

/// Tokens that a client was given so far.
fn given(client: &str) -> usize {
    let is_given = |asked: &Asked| asked.client == client && asked.status == Some(200);
    servers().tokens.asked().iter().filter(|asked| is_given(asked)).count()
}

/// A certificate under the names that Strimzi has for it.
fn shown(identity: &Identity) -> [(&str, &str); 2] {
    [("user.crt", &identity.certificate), ("user.key", &identity.key)]
}
