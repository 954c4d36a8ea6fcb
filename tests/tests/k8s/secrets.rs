//! Secrets of pipelines on a real API server: who reads them, what reaches pods, what starts pods anew, and that nothing of them shows.

use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use plaudit::children::CERTIFICATES_ANNOTATION;
use plaudit_tests::canary::password;
use plaudit_tests::secured::kafka_rights;
use plaudit_tests::stack::certificates::{Authority, bundle};
use plaudit_tests::stack::kubernetes::eventually;
use plaudit_tests::stack::{Listener, secure, unique_name};
use serde_json::{Value, json};

use crate::bed::Bed;
use crate::process::Operator;

/// A Secret is read again every twenty seconds, and its pipeline looked at as often.
const LIMIT: Duration = Duration::from_secs(60);
const KEYS: [&str; 2] = ["user.crt", "user.key"];

async fn write(bed: &Bed, name: &str, values: &[(&str, &str)]) -> Result<()> {
    let data: serde_json::Map<String, Value> =
        values.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    let secrets: Api<Secret> = bed.api();
    if secrets.get_opt(name).await?.is_some() {
        secrets.patch(name, &PatchParams::default(), &Patch::Merge(json!({"stringData": data}))).await?;
        return Ok(());
    }
    let secret = Secret {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        string_data: Some(
            values.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        ),
        ..Secret::default()
    };
    secrets.create(&PostParams::default(), &secret).await?;
    Ok(())
}

/// A pipeline with a topic of its own that comes to the listener of the secure Kafka.
async fn create(bed: &Bed, name: &str, listener: Listener, security: Value) -> Result<()> {
    let kafka = &secure().kafka;
    let (topic, bootstrap) = (unique_name(name), kafka.secure_bootstrap(listener)?);
    kafka.create_topic(&topic, 1, &[])?;
    kafka.create_topic(&format!("{topic}.dead-letters"), 1, &[])?;
    if let Some(user) = security["sasl"]["username"].as_str() {
        kafka.allow(&kafka_rights(user, &topic, &format!("{}.{name}", bed.namespace), &[]))?;
    }
    bed.create(name, |spec| {
        spec["source"] = json!({"bootstrapServers": bootstrap, "topic": topic, "security": security});
        spec["store"]["security"] = json!({"password": {"secretName": "store"}});
    })
    .await?;
    bed.until_reason(name, "SourceAvailable", "Available").await?;
    Ok(())
}

async fn checksum(bed: &Bed, name: &str) -> Result<Option<String>> {
    let deployment = bed.api::<Deployment>().get(&format!("{name}-worker")).await?;
    let pods = deployment.spec.context("a spec")?.template.metadata.context("metadata")?;
    Ok(pods.annotations.unwrap_or_default().get(CERTIFICATES_ANNOTATION).cloned())
}

/// What a pod gets of Secrets and of the API server.
async fn access(bed: &Bed, name: &str) -> Result<Value> {
    let deployment = serde_json::to_value(bed.api::<Deployment>().get(&format!("{name}-worker")).await?)?;
    let pod = &deployment["spec"]["template"]["spec"];
    let volumes = pod["volumes"].as_array().context("volumes")?;
    let secrets: Vec<&Value> = volumes.iter().filter(|volume| !volume["secret"].is_null()).collect();
    let container = &pod["containers"][0];
    let mounts = container["volumeMounts"].as_array().context("mounts")?;
    let is_secret =
        |mount: &&Value| mount["mountPath"].as_str().is_some_and(|path| path.contains("/secrets/plaudit/"));
    let environment = container["env"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of_secrets = environment.iter().filter(|entry| !entry["valueFrom"]["secretKeyRef"].is_null());
    Ok(json!({
        "volumes": secrets,
        "mounts": mounts.iter().filter(is_secret).collect::<Vec<_>>(),
        "fsGroup": pod["securityContext"]["fsGroup"],
        "token": pod["automountServiceAccountToken"],
        "environment": of_secrets.count(),
        "environmentFrom": container["envFrom"],
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn new_certificates_start_pods_anew_and_nothing_else_of_secrets_does() -> Result<()> {
    let bed = Bed::idle("secrets").await?;
    let (authority, kafka) = (&secure().authority, &secure().kafka);
    let (user, old, new) = (unique_name("user"), password("old"), password("new"));
    kafka.set_scram_password(&user, &old)?;
    for name in ["ca-good", "ca-broken", "ca-strange", "ca-password"] {
        write(&bed, name, &[("ca.crt", &authority.pem())]).await?;
    }
    let client = authority.client("worker")?;
    write(&bed, "client", &[(KEYS[0], &client.certificate), (KEYS[1], &client.key), ("other", "x")]).await?;
    write(&bed, "user", &[("user.password", &old)]).await?;
    write(&bed, "store", &[("password", &password("store"))]).await?;
    write(&bed, "bystander", &[("password", &password("bystander"))]).await?;
    let operator = Operator::start(&bed)?;
    let trusts = |secret: &str| json!({"tls": {"ca": {"secretName": secret}}});
    let shows = json!({"tls": {"ca": {"secretName": "ca-good"}, "certificate": {"secretName": "client"}}});
    let logs_in = json!({
        "tls": {"ca": {"secretName": "ca-password"}},
        "sasl": {"mechanism": "SCRAM-SHA-512", "username": user, "password": {"secretName": "user"}},
    });
    create(&bed, "good", Listener::Tls, shows).await?;
    create(&bed, "broken", Listener::Tls, trusts("ca-broken")).await?;
    create(&bed, "strange", Listener::Tls, trusts("ca-strange")).await?;
    create(&bed, "password", Listener::ScramSha512, logs_in).await?;
    let names = ["good", "broken", "strange", "password"];
    let mut before = Vec::new();
    for name in names {
        before.push(checksum(&bed, name).await?.context("no certificates")?);
    }

    let stranger = Authority::new("stranger")?;
    write(&bed, "ca-good", &[("ca.crt", &bundle(&[authority, &stranger]))]).await?;
    write(&bed, "ca-broken", &[("ca.crt", "no PEM")]).await?;
    write(&bed, "ca-strange", &[("ca.crt", &stranger.pem())]).await?;
    kafka.set_scram_password(&user, &new)?;
    write(&bed, "user", &[("user.password", &new)]).await?;
    eventually("a new checksum", LIMIT, async || {
        Ok((checksum(&bed, "good").await?.as_ref() != Some(&before[0])).then_some(()))
    })
    .await?;
    bed.until_reason("broken", "SourceAvailable", "SecretInvalid").await?;
    bed.until_reason("strange", "SourceAvailable", "TlsUnknownAuthority").await?;
    let mut changed = Vec::new();
    for (name, before) in names.iter().zip(&before) {
        changed.push(checksum(&bed, name).await?.as_ref() != Some(before));
    }

    let asked = operator.secrets(&bed.namespace);
    operator.shows_no_secret(&bed).await?;
    drop(operator);
    let next = Operator::start(&bed)?;
    eventually("the next operator to look", LIMIT, async || {
        Ok(next.secrets(&bed.namespace).contains("ca-strange").then_some(()))
    })
    .await?;
    // what it would write it writes in the same look
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after = checksum(&bed, "strange").await?;

    assert_eq!(changed, [true, false, false, false]);
    assert_eq!(
        after.as_ref(),
        Some(&before[2]),
        "certificates that nobody has proven reach workers by a restart"
    );
    assert_eq!(access(&bed, "good").await?, expected_access());
    let named = ["ca-broken", "ca-good", "ca-password", "ca-strange", "client", "store", "user"];
    assert_eq!(asked, named.map(str::to_owned).into());
    Ok(())
}

fn expected_access() -> Value {
    let volume = |at: usize, name: &str, keys: &[&str]| {
        let items: Vec<Value> = keys.iter().map(|key| json!({"key": key, "path": key})).collect();
        json!({
            "name": format!("secret-{at}"),
            "secret": {"secretName": name, "items": items, "defaultMode": 0o400, "optional": true},
        })
    };
    let mount = |at: usize, name: &str| json!({"name": format!("secret-{at}"), "mountPath": format!("/var/run/secrets/plaudit/{name}"), "readOnly": true});
    json!({
        "volumes": [
            volume(0, "ca-good", &["ca.crt"]),
            volume(1, "client", &KEYS),
            volume(2, "store", &["password", "user.password"]),
        ],
        "mounts": [mount(0, "ca-good"), mount(1, "client"), mount(2, "store")],
        "fsGroup": 65532,
        "token": false,
        "environment": 0,
        "environmentFrom": null,
    })
}
