//! Kafka's listeners, users, rights and certificates.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use plaudit_tests::stack::certificates::{Authority, Identity, Subject, Validity, bundle};
use plaudit_tests::stack::security::PLAIN_USERS;
use plaudit_tests::stack::tokens::AUDIENCE;
use plaudit_tests::stack::{
    Acl, Kafka, KafkaOptions, KafkaSecurity, Listener, Operation, Resource, SecureStack, TokenEndpoint,
    secure, unique_name,
};
use rdkafka::error::RDKafkaErrorCode as Code;

use super::client::{Said, ask_kafka};

/// What a client of a listener sets.
struct Client<'a> {
    listener: Listener,
    authorities: &'a str,
    identity: Option<&'a Identity>,
    login: Option<(&'a str, &'a str)>,
    token: Option<&'a str>,
}

impl<'a> Client<'a> {
    fn new(listener: Listener, authorities: &'a str) -> Self {
        Self { listener, authorities, identity: None, login: None, token: None }
    }

    fn shows(self, identity: &'a Identity) -> Self {
        Self { identity: Some(identity), ..self }
    }

    fn logs_in(self, user: &'a str, password: &'a str) -> Self {
        Self { login: Some((user, password)), ..self }
    }

    fn has(self, token: &'a str) -> Self {
        Self { token: Some(token), ..self }
    }

    fn ask(&self, kafka: &Kafka, topic: &str) -> Result<Said> {
        let bootstrap = kafka.secure_bootstrap(self.listener)?;
        let mut settings =
            vec![("bootstrap.servers", &*bootstrap), ("security.protocol", self.listener.protocol())];
        if self.listener.protocol().ends_with("SSL") {
            settings.push(("ssl.ca.pem", self.authorities));
        }
        if let Some(identity) = self.identity {
            settings
                .extend([("ssl.certificate.pem", &*identity.certificate), ("ssl.key.pem", &*identity.key)]);
        }
        settings.extend(self.listener.mechanism().map(|mechanism| ("sasl.mechanisms", mechanism)));
        if let Some((user, password)) = self.login {
            settings.extend([("sasl.username", user), ("sasl.password", password)]);
        }
        ask_kafka(&settings, self.token, topic).with_context(|| format!("no answer on {:?}", self.listener))
    }
}

/// A topic that these users may see.
fn topic_for(kafka: &Kafka, users: &[&str]) -> Result<String> {
    let topic = unique_name("secure");
    kafka.create_topic(&topic, 1, &[])?;
    kafka.allow(&users.iter().map(|user| sees(user, &topic)).collect::<Vec<_>>())?;
    Ok(topic)
}

fn sees(user: &str, topic: &str) -> Acl {
    Acl::new(user, Resource::Topic(topic.to_owned()), Operation::Describe)
}

#[test]
fn each_listener_serves_its_own_and_refuses_others() -> Result<()> {
    let SecureStack { authority, tokens, kafka, .. } = secure();
    let (ours, strangers) = (authority.pem(), Authority::new("stranger")?);
    let user = unique_name("user");
    kafka.set_scram_password(&user, "correct: \"horse\" \u{1f40e}")?;
    let (plain, plain_password) = PLAIN_USERS[0];
    let topic = topic_for(kafka, &[&user, plain])?;
    let (shown, strange) = (authority.client(&user)?, strangers.client(&user)?);
    let later = SystemTime::now() + Duration::from_secs(60);
    let token = tokens.sign(&user, AUDIENCE, later)?;
    let elsewhere = tokens.sign(&user, "another", later)?;
    let (expired, not_yet) = (
        authority.sign(&Subject::client(&user).valid(Validity::Expired))?,
        authority.sign(&Subject::client(&user).valid(Validity::NotYet))?,
    );
    let over = tokens.sign(&user, AUDIENCE, SystemTime::now() - Duration::from_secs(60))?;
    let scram = |listener| Client::new(listener, &ours).logs_in(&user, "correct: \"horse\" \u{1f40e}");
    let strange_authorities = strangers.pem();
    let distrusted = Said::Refused(Code::SSL);
    let refused_tls = Said::Refused(Code::BrokerTransportFailure);
    let refused = Said::Refused(Code::Authentication);
    let cases = [
        (Client::new(Listener::Tls, &ours), Said::Served),
        (Client::new(Listener::Tls, &strange_authorities), distrusted),
        (Client::new(Listener::MutualTls, &ours).shows(&shown), Said::Served),
        (Client::new(Listener::MutualTls, &ours).shows(&strange), refused_tls),
        (Client::new(Listener::MutualTls, &ours).shows(&expired), refused_tls),
        (Client::new(Listener::MutualTls, &ours).shows(&not_yet), refused_tls),
        (Client::new(Listener::MutualTls, &ours), refused_tls),
        (Client::new(Listener::Plain, &ours).logs_in(plain, plain_password), Said::Served),
        (Client::new(Listener::Plain, &ours).logs_in(plain, "wrong"), refused),
        (scram(Listener::ScramSha256), Said::Served),
        (scram(Listener::ScramSha256).logs_in(&user, "wrong"), refused),
        (scram(Listener::ScramSha512), Said::Served),
        (scram(Listener::ScramSha512).logs_in("nobody", "wrong"), refused),
        (scram(Listener::ScramInClear), Said::Served),
        (scram(Listener::ScramInClear).logs_in(&user, "wrong"), refused),
        (Client::new(Listener::OAuthBearer, &ours).has(&token), Said::Served),
        (Client::new(Listener::OAuthBearer, &ours).has(&elsewhere), refused),
        (Client::new(Listener::OAuthBearer, &ours).has(&over), refused),
    ];

    let said = cases.iter().map(|(client, _)| client.ask(kafka, &topic)).collect::<Result<Vec<_>>>()?;

    assert_eq!(said, cases.map(|(_, expected)| expected));
    Ok(())
}

#[test]
fn a_user_sees_a_topic_only_while_allowed() -> Result<()> {
    let SecureStack { authority, kafka, .. } = secure();
    let user = unique_name("user");
    let (shown, ours) = (authority.client(&user)?, authority.pem());
    let topic = unique_name("secure");
    kafka.create_topic(&topic, 1, &[])?;
    let ask = || Client::new(Listener::MutualTls, &ours).shows(&shown).ask(kafka, &topic);

    let before = ask()?;
    kafka.allow(&[sees(&user, &topic)])?;
    let allowed = ask()?;
    kafka.disallow(&[sees(&user, &topic)])?;
    let after = ask()?;

    let denied = Said::Denied(Code::TopicAuthorizationFailed);
    assert_eq!([before, allowed, after], [denied, Said::Served, denied]);
    Ok(())
}

#[test]
fn a_scram_user_comes_with_the_new_password_and_not_with_the_old_one_until_deleted() -> Result<()> {
    let SecureStack { authority, kafka, .. } = secure();
    let (user, ours) = (unique_name("user"), authority.pem());
    let topic = topic_for(kafka, &[&user])?;
    let ask =
        |password| Client::new(Listener::ScramSha512, &ours).logs_in(&user, password).ask(kafka, &topic);

    kafka.set_scram_password(&user, "old")?;
    kafka.set_scram_password(&user, "new")?;
    let (old, new) = (ask("old")?, ask("new")?);
    kafka.delete_scram_user(&user)?;
    let deleted = ask("new")?;

    let refused = Said::Refused(Code::Authentication);
    assert_eq!([old, new, deleted], [refused, Said::Served, refused]);
    Ok(())
}

#[test]
fn certificates_and_authorities_change_while_it_runs_and_plain_passwords_by_a_restart() -> Result<()> {
    let (old, new) = (Authority::new("authority")?, Authority::new("authority")?);
    let tokens = TokenEndpoint::start(&old.server(&["127.0.0.1"])?)?;
    let kafka = Kafka::start(KafkaOptions {
        heap_megabytes: 256,
        security: Some(KafkaSecurity::new(&old, &[Listener::MutualTls, Listener::Plain], &tokens)?),
        ..KafkaOptions::default()
    })?;
    let (user, (plain, _)) = ("worker", PLAIN_USERS[0]);
    let topic = topic_for(&kafka, &[user, plain])?;
    let (first, second) = (old.client(user)?, new.client(user)?);
    let (old_only, new_only, both) = (old.pem(), new.pem(), bundle(&[&old, &new]));
    let ask = |authorities, identity| {
        Client::new(Listener::MutualTls, authorities).shows(identity).ask(&kafka, &topic)
    };
    let pid = kafka.pid();

    kafka.set_identity(Listener::MutualTls, &new.server(&["127.0.0.1"])?)?;
    let of_server = [ask(&old_only, &first)?, ask(&new_only, &first)?, ask(&both, &first)?];
    kafka.set_client_authorities(Listener::MutualTls, &both)?;
    let of_clients = [ask(&both, &first)?, ask(&both, &second)?];
    kafka.set_client_authorities(Listener::MutualTls, &new_only)?;
    let of_new_clients = [ask(&both, &first)?, ask(&both, &second)?];
    let same_process = kafka.pid() == pid;
    kafka.set_plain_password(plain, "another")?;
    let restarted = ask(&new_only, &second)?;
    let plain =
        |password| Client::new(Listener::Plain, &old_only).logs_in(plain, password).ask(&kafka, &topic);
    let passwords = [plain("another")?, plain(PLAIN_USERS[0].1)?];

    let refused = Said::Refused(Code::BrokerTransportFailure);
    assert_eq!(
        (of_server, of_clients, of_new_clients, same_process, restarted, passwords),
        (
            [Said::Refused(Code::SSL), Said::Served, Said::Served],
            [Said::Served, Said::Served],
            [refused, Said::Served],
            true,
            Said::Served,
            [Said::Served, Said::Refused(Code::Authentication)]
        )
    );
    Ok(())
}
