//! The store's TLS, users and rights.

use std::time::Duration;

use anyhow::Result;
use plaudit_tests::scene::{Scene, rough_mix};
use plaudit_tests::stack::certificates::Authority;
use plaudit_tests::stack::security::STORE_PASSWORD;
use plaudit_tests::stack::{
    ClientCertificates, SecureStack, StoreTls, Valkey, ValkeyOptions, secure, shared, unique_name,
};

use super::client::{Tls, ask_store};

/// What a client of the store gets.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Answer(String),
    /// It does not trust the store.
    Distrusts,
    /// The store ends the connection, in words or without: a client whose certificate is refused may be sent an alert that a reset overtakes.
    CutOff,
    WrongPassword,
    /// It has to log in first.
    Unknown,
    /// It may not.
    Denied,
}

fn said(answer: Result<String>) -> Said {
    let error = match answer {
        Ok(text) => return Said::Answer(text),
        Err(error) => format!("{error:?}"),
    };
    let known = [
        ("certificate verify failed", Said::Distrusts),
        ("SSL alert", Said::CutOff),
        ("Connection reset", Said::CutOff),
        ("Broken pipe", Said::CutOff),
        ("AuthenticationFailed", Said::WrongPassword),
        ("NOAUTH", Said::Unknown),
        ("NoPerm", Said::Denied),
    ];
    let found = known.into_iter().find(|(words, _)| error.contains(words));
    found.unwrap_or_else(|| panic!("an error of another kind: {error}")).1
}

fn pong() -> Said {
    Said::Answer("PONG".to_owned())
}

fn ping() -> redis::Cmd {
    redis::cmd("PING")
}

#[test]
fn a_store_with_tls_serves_those_who_trust_it_and_know_the_password() -> Result<()> {
    let SecureStack { authority, store, .. } = secure();
    let (ours, strangers) = (authority.pem(), Authority::new("stranger")?.pem());
    let trusts = |authorities| Some(Tls { authorities, identity: None });
    let (tls, plain) = (store.tls_address()?, store.address());
    let password = Some(STORE_PASSWORD);

    let said = [
        said(ask_store(&tls, trusts(&ours), (None, password), &ping())),
        said(ask_store(&tls, trusts(&strangers), (None, password), &ping())),
        said(ask_store(&tls, trusts(&ours), (None, Some("wrong")), &ping())),
        said(ask_store(&tls, trusts(&ours), (None, None), &ping())),
        said(ask_store(&plain, None, (None, password), &ping())),
        said(ask_store(&plain, None, (None, None), &ping())),
    ];

    let expected = [pong(), Said::Distrusts, Said::WrongPassword, Said::Unknown, pong(), Said::Unknown];
    assert_eq!(said, expected);
    Ok(())
}

#[test]
fn a_store_that_wants_certificates_refuses_those_who_show_none_or_another_ones() -> Result<()> {
    let (authority, strangers) = (Authority::new("authority")?, Authority::new("stranger")?);
    let store = Valkey::start(ValkeyOptions {
        tls: Some(StoreTls {
            identity: authority.server(&["127.0.0.1"])?,
            clients: ClientCertificates::Required,
            client_authorities: authority.pem(),
        }),
        ..ValkeyOptions::default()
    })?;
    let (ours, address) = (authority.pem(), store.tls_address()?);
    let (shown, strange) = (authority.client("worker")?, strangers.client("worker")?);
    let ask = |identity| {
        said(ask_store(&address, Some(Tls { authorities: &ours, identity }), (None, None), &ping()))
    };

    let before = [ask(Some(&shown)), ask(Some(&strange)), ask(None)];
    store.set_client_authorities(&strangers.pem())?;
    let after = [ask(Some(&shown)), ask(Some(&strange))];
    store.set_identity(&strangers.server(&["127.0.0.1"])?)?;
    let distrusted = ask(Some(&strange));

    assert_eq!(
        (before, after, distrusted),
        ([pong(), Said::CutOff, Said::CutOff], [Said::CutOff, pong()], Said::Distrusts)
    );
    Ok(())
}

#[test]
fn a_user_may_do_what_its_rules_say_and_keeps_its_password_through_a_restart() -> Result<()> {
    let store = Valkey::start(ValkeyOptions {
        password: Some(STORE_PASSWORD.to_owned()),
        append_fsync: "always",
        ..ValkeyOptions::default()
    })?;
    let user = unique_name("user");
    let set = |key: &str| redis::cmd("SET").arg(key).arg("1").clone();
    let ask = |password: &str, command: &redis::Cmd| {
        said(ask_store(&store.address(), None, (Some(&user), Some(password)), command))
    };

    store.set_user(&user, "old", &["~ours:*", "+set", "+ping"])?;
    let rules =
        [ask("old", &set("ours:1")), ask("old", &set("theirs:1")), ask("old", &redis::cmd("FLUSHALL"))];
    store.set_password(&user, "new")?;
    let passwords = [ask("old", &ping()), ask("new", &ping())];
    store.restart()?;
    let restarted = [ask("old", &ping()), ask("new", &ping())];
    store.delete_user(&user)?;
    let deleted = ask("new", &ping());

    let only_new = || [Said::WrongPassword, pong()];
    assert_eq!(
        (rules, passwords, restarted, deleted),
        (
            [Said::Answer("OK".to_owned()), Said::Denied, Said::Denied],
            only_new(),
            only_new(),
            Said::WrongPassword
        )
    );
    Ok(())
}

#[test]
fn a_worker_on_redis_stores_every_report_once() -> Result<()> {
    let authority = Authority::new("authority")?;
    let redis = Valkey::start(ValkeyOptions {
        tls: Some(StoreTls {
            identity: authority.server(&["127.0.0.1"])?,
            clients: ClientCertificates::Unasked,
            client_authorities: authority.pem(),
        }),
        ..ValkeyOptions::default()
    })?;
    let scene = Scene::new((&shared().kafka, &redis), "redis", 2, |_| ())?;
    let worker = scene.start_worker()?;

    scene.load(rough_mix(61, 300), 3_000, 0.0)?;
    scene.wait_until_committed(Duration::from_secs(60))?;

    scene.assert_exact()?;
    worker.stop()
}
