//! `security` as a whole: what contradicts itself, what would show a secret, and what tries to come in by another way.

use plaudit_crds::AchievementPipeline;
use plaudit_crds::security::SecretKey;
use serde_json::{Value, json};

use crate::object::{file_says, pipeline, rules_say};

fn source(security: &Value) -> Value {
    pipeline(&[("/spec/source/security", security.clone())])
}

fn store(security: &Value) -> Value {
    pipeline(&[("/spec/store/security", security.clone())])
}

fn login() -> Value {
    json!({"secretName": "user"})
}

#[test]
fn whole_securities_are_accepted_by_file_and_by_rules() {
    let oauth = json!({"tokenEndpoint": "https://login.example.com:8443/oauth2/token", "clientId": "plaudit", "clientSecret": {"secretName": "o"},
        "scope": "kafka read", "audience": "kafka", "ca": {"secretName": "o", "key": "issuer.pem"}});
    let cases = [
        source(&json!({"tls": {}})),
        source(&json!({"tls": {"ca": {"secretName": "ca"}, "certificate": {"secretName": "user"}}})),
        source(&json!({"tls": {}, "sasl": {"mechanism": "PLAIN", "username": "u", "password": login()}})),
        source(&json!({"sasl": {"mechanism": "SCRAM-SHA-256", "username": "u", "password": login()}})),
        source(
            &json!({"tls": {}, "sasl": {"mechanism": "SCRAM-SHA-512", "username": "ü", "password": login()}}),
        ),
        source(&json!({"tls": {}, "sasl": {"mechanism": "OAUTHBEARER", "oauth": oauth}})),
        store(&json!({"password": login()})),
        store(
            &json!({"tls": {"ca": {"secretName": "ca", "key": ".ca"}}, "username": "u", "password": {"secretName": "u", "key": "pw"}}),
        ),
    ];

    let answers: Vec<_> =
        cases.iter().map(|object| [file_says(object), rules_say(object, None)].concat()).collect();

    assert_eq!(answers, vec![Vec::<String>::new(); cases.len()]);
}

#[test]
fn what_contradicts_itself_is_refused_by_file_and_by_rules_with_the_same_words() {
    let oauth = json!({"tokenEndpoint": "https://l/t", "clientId": "p", "clientSecret": {"secretName": "o"}});
    let cases = [
        (
            source(&json!({"sasl": {"mechanism": "PLAIN", "username": "u", "password": login()}})),
            "spec.source.security: sasl.mechanism PLAIN and OAUTHBEARER send a secret as it is, and without tls everybody on the way can read it; add tls, or take SCRAM-SHA-512",
        ),
        (
            source(&json!({"sasl": {"mechanism": "OAUTHBEARER", "oauth": oauth}})),
            "spec.source.security: sasl.mechanism PLAIN and OAUTHBEARER send a secret as it is, and without tls everybody on the way can read it; add tls, or take SCRAM-SHA-512",
        ),
        (
            source(&json!({"tls": {}, "sasl": {"mechanism": "OAUTHBEARER"}})),
            "spec.source.security.sasl: oauth is missing: mechanism OAUTHBEARER has its tokens from there; add oauth.tokenEndpoint, clientId and clientSecret",
        ),
        (
            source(
                &json!({"tls": {}, "sasl": {"mechanism": "OAUTHBEARER", "oauth": oauth, "username": "u"}}),
            ),
            "spec.source.security.sasl: username and password are not used by mechanism OAUTHBEARER; remove them or change mechanism",
        ),
        (
            source(
                &json!({"sasl": {"mechanism": "SCRAM-SHA-512", "username": "u", "password": login(), "oauth": oauth}}),
            ),
            "spec.source.security.sasl: oauth is for mechanism OAUTHBEARER only; remove it or change mechanism",
        ),
        (
            source(&json!({"sasl": {"mechanism": "SCRAM-SHA-512", "username": "u"}})),
            "spec.source.security.sasl: username and password are both needed by mechanisms PLAIN and SCRAM; add what is missing",
        ),
        (
            store(&json!({"username": "u"})),
            "spec.store.security: username without password: the server asks for both; add password or remove username",
        ),
    ];

    let answers: Vec<_> =
        cases.iter().map(|(object, _)| (file_says(object), rules_say(object, None))).collect();

    let expected: Vec<_> =
        cases.iter().map(|(_, message)| (vec![(*message).to_owned()], vec![(*message).to_owned()])).collect();
    assert_eq!(answers, expected);
}

#[test]
fn a_secret_in_the_pipeline_is_refused_and_not_repeated() {
    const IN_A_SECRET: &str = "is not written here but in a Secret; put it into one and write {secretName: ITS-NAME}, and key if it has another name there";
    const IN_AN_ADDRESS: &str = "has an '@', as if with user or password; they belong in a Secret that security names: write the address alone";
    let sasl = |password| {
        source(&json!({"sasl": {"mechanism": "SCRAM-SHA-512", "username": "u", "password": password}}))
    };
    let oauth = |endpoint, secret| {
        source(&json!({"tls": {}, "sasl": {"mechanism": "OAUTHBEARER",
            "oauth": {"tokenEndpoint": endpoint, "clientId": "p", "clientSecret": secret}}}))
    };
    let cases = [
        (sasl(json!("hunter2")), format!("spec.source.security.sasl.password: {IN_A_SECRET}")),
        (sasl(json!(12345)), format!("spec.source.security.sasl.password: {IN_A_SECRET}")),
        (store(&json!({"password": "hunter2"})), format!("spec.store.security.password: {IN_A_SECRET}")),
        (
            source(&json!({"tls": {"ca": "-----BEGIN CERTIFICATE-----"}})),
            format!("spec.source.security.tls.ca: {IN_A_SECRET}"),
        ),
        (
            oauth(json!("https://l/t"), json!("hunter2")),
            format!("spec.source.security.sasl.oauth.clientSecret: {IN_A_SECRET}"),
        ),
        (
            oauth(json!("https://p:hunter2@l/t"), login()),
            format!("spec.source.security.sasl.oauth.tokenEndpoint: {IN_AN_ADDRESS}"),
        ),
        (
            oauth(json!("http://l/t"), login()),
            r#"spec.source.security.sasl.oauth.tokenEndpoint: "http://l/t" does not fit; write https://host/path; secrets do not belong in it"#.to_owned(),
        ),
        (
            pipeline(&[("/spec/store/addresses", json!([":hunter2@redis:6379"]))]),
            format!("spec.store.addresses[0]: {IN_AN_ADDRESS}"),
        ),
        (
            pipeline(&[("/spec/source/bootstrapServers", json!("u:hunter2@k:9092"))]),
            format!("spec.source.bootstrapServers: {IN_AN_ADDRESS}"),
        ),
    ];

    let answers: Vec<_> = cases.iter().map(|(object, _)| file_says(object)).collect();

    let expected: Vec<_> = cases.iter().map(|(_, message)| vec![message.clone()]).collect();
    assert_eq!(answers, expected);
}

#[test]
fn properties_cannot_bring_in_what_security_owns() {
    const OWN_FIELDS: &str = "is not a known field; TLS, SASL and passwords have fields of their own: source.security and store.security";
    let owned = [
        "ssl.key.location",
        "ssl.ca.location",
        "ssl.engine.location",
        "ssl.providers",
        "enable.ssl.certificate.verification",
        "sasl.password",
        "sasl.mechanisms",
        "sasl.oauthbearer.token.endpoint.url",
        "security.protocol",
    ];
    let elsewhere = ["plugin.library.paths", "bootstrap.servers", "debug", "group.id", "log_level"];

    let says = |name: &str| file_says(&pipeline(&[("/spec/source/properties", json!({name: "x"}))])).concat();

    for name in owned {
        assert_eq!(says(name), format!("spec.source.properties[\"{name}\"]: {OWN_FIELDS}"));
    }
    for name in elsewhere {
        let answer = says(name);
        assert!(answer.contains(": is not a known field; remove it, or use client.rack,"), "{answer}");
    }
}

#[test]
fn names_of_keys_lead_out_of_no_folder() {
    for key in ["..", ".", "../token", "a/b", "..data", ""] {
        let answer = file_says(&store(&json!({"password": {"secretName": "s", "key": key}})));
        assert_eq!(
            answer,
            [format!(
                "spec.store.security.password.key: {key:?} does not fit; write the name of a key of a Secret: up to 253 of a-z, A-Z, 0-9, '.', '_' and '-'"
            )]
        );
    }
}

#[test]
fn keys_default_to_those_of_strimzi() {
    let object = pipeline(&[
        (
            "/spec/source/security",
            json!({"tls": {"ca": {"secretName": "cluster-ca-cert"}, "certificate": {"secretName": "user"}}}),
        ),
        ("/spec/store/security", json!({"password": {"secretName": "user"}})),
    ]);
    let object = AchievementPipeline::from_yaml(&serde_yaml::to_string(&object).unwrap()).unwrap();

    let keys = [object.spec.source.security.keys(), object.spec.store.security.keys()].concat();

    let key = |secret_name, key, otherwise| SecretKey { secret_name, key, otherwise };
    assert_eq!(
        keys,
        [
            key("cluster-ca-cert", "ca.crt", None),
            key("user", "user.crt", None),
            key("user", "user.key", None),
            key("user", "password", Some("user.password")),
        ]
    );
}
