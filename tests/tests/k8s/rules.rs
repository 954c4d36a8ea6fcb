//! The rules of our CRD, as the API server holds them: its own implementation of CEL, and its own reading of the schema.

use std::error::Error;

use anyhow::{Result, bail};
use http::Request;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use plaudit_crds::AchievementPipeline;
use plaudit_tests::stack::kubernetes::shared;
use serde_json::{Value, json};

/// Where in the minimal pipeline's spec, and what it becomes.
type Change = (&'static str, Value);

#[tokio::test]
async fn the_server_accepts_and_defaults_what_a_file_may_say() -> Result<()> {
    let namespace = shared().namespace("rules").await?;
    let example: Value = serde_yaml::from_str(include_str!("../../../examples/pipeline.yaml"))?;
    let good = [
        pipeline(&[]),
        example,
        pipeline(&[("source.topic", json!("t".repeat(236))), ("suspend", json!(true))]),
        pipeline(&[
            ("unlocks", json!({"topic": "unlocks"})),
            ("achievements", json!({"types": [{"type": 1, "policy": "min", "tiers": [10, -5]}]})),
        ]),
    ];

    let mut answers = Vec::new();
    for object in &good {
        answers.push(create(&namespace, object).await?);
    }

    let expected: Vec<_> = good.iter().map(|object| Ok(read(object).expect("it is good").spec)).collect();
    assert_eq!(answers, expected.into_iter().map(|spec| spec.map(to_value)).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn the_server_refuses_with_the_words_that_a_file_is_refused_with() -> Result<()> {
    let namespace = shared().namespace("rules").await?;
    let bad: Vec<Vec<Change>> = vec![
        vec![("source.topic", json!(".."))],
        vec![("deadLetters", json!({"topic": "reports"}))],
        vec![("source.topic", json!("t".repeat(237)))],
        vec![("achievements", json!({"types": [{"type": 1, "policy": "max", "tiers": [1]}]}))],
        vec![
            ("unlocks", json!({"topic": "unlocks"})),
            ("achievements", json!({"types": [{"type": 1, "policy": "sum", "tiers": [2, 1]}]})),
        ],
        vec![("scaling", json!({"minReplicas": 2, "maxReplicas": 1}))],
        vec![
            ("source.groupProtocol", json!("consumer")),
            ("source.properties", json!({"session.timeout.ms": 10000})),
        ],
        vec![("source.properties", json!({"heartbeat.interval.ms": 4000}))],
        vec![("source.properties", json!({"max.poll.interval.ms": 20_000, "session.timeout.ms": 30_000}))],
        sasl(&json!({"mechanism": "PLAIN", "username": "u", "password": login()}), false),
        sasl(&json!({"mechanism": "OAUTHBEARER", "oauth": oauth()}), false),
        sasl(&json!({"mechanism": "OAUTHBEARER"}), true),
        sasl(&json!({"mechanism": "OAUTHBEARER", "oauth": oauth(), "username": "u"}), true),
        sasl(&json!({"mechanism": "OAUTHBEARER", "oauth": oauth(), "password": login()}), true),
        sasl(
            &json!({"mechanism": "SCRAM-SHA-512", "username": "u", "password": login(), "oauth": oauth()}),
            false,
        ),
        sasl(&json!({"mechanism": "SCRAM-SHA-256", "username": "u"}), false),
        sasl(&json!({"mechanism": "PLAIN", "password": login()}), true),
        vec![("store.security", json!({"username": "u"}))],
    ];
    let objects: Vec<Value> = bad.iter().map(|changes| pipeline(changes)).collect();

    let mut answers = Vec::new();
    for object in &objects {
        answers.push(create(&namespace, object).await?.map(|_| "accepted"));
    }

    let expected: Vec<_> =
        objects.iter().map(|object| Err(vec![read(object).expect_err("it is bad")])).collect();
    assert_eq!(answers, expected);
    Ok(())
}

/// What a schema cannot give a hint for: these are the server's own words, and docs/security.md has them.
#[tokio::test]
async fn the_server_refuses_a_secret_in_the_pipeline_and_does_not_repeat_it() -> Result<()> {
    const OF_KAFKA: &str = "source.security.sasl.password";
    let namespace = shared().namespace("rules").await?;
    let scram = |password: Value| {
        sasl(&json!({"mechanism": "SCRAM-SHA-512", "username": "u", "password": password}), false)
    };
    let bad: [Vec<Change>; 5] = [
        scram(json!("hunter2")),
        scram(json!(12_345)),
        vec![("store.security", json!({"password": "hunter2"}))],
        vec![("source.security", json!({"tls": {"ca": "-----BEGIN CERTIFICATE-----"}}))],
        scram(json!({"value": "hunter2"})),
    ];

    let mut answers = Vec::new();
    for changes in &bad {
        let Err(error) = offer(&namespace, &pipeline(changes)).await? else {
            bail!("{changes:?} is accepted")
        };
        let whole = format!("{error:?}");
        let is_repeated = ["hunter2", "12345", "BEGIN"].iter().any(|secret| whole.contains(secret));
        // The second says that the rules were not asked.
        answers.push((is_repeated, refusals(&error).into_iter().next()));
    }

    let no_object = |path: &str, kind: &str| {
        (false, Some(format!("spec.{path}: spec.{path} in body must be of type object: \"{kind}\"")))
    };
    let expected = [
        no_object(OF_KAFKA, "string"),
        no_object(OF_KAFKA, "integer"),
        no_object("store.security.password", "string"),
        no_object("source.security.tls.ca", "string"),
        (false, Some(format!("spec.{OF_KAFKA}.secretName: Required value"))),
    ];
    assert_eq!(answers, expected);
    Ok(())
}

#[tokio::test]
async fn the_server_stores_no_setting_that_security_owns_and_names_it_where_kubectl_asks() -> Result<()> {
    let namespace = shared().namespace("rules").await?;
    let names = ["plugin.library.paths", "ssl.key.location", "sasl.password", "security.protocol"];

    let mut answers = Vec::new();
    for name in names {
        let object = pipeline(&[("source.properties", json!({name: "hunter2"}))]);
        let stored = create(&namespace, &object).await?.map(|spec| spec["source"]["properties"].clone());
        answers.push((stored, offer_strictly(&namespace, &object).await?));
    }

    let unknown = |name: &str| {
        Err(format!(
            "AchievementPipeline in version \"v1alpha1\" cannot be handled as a AchievementPipeline: strict decoding error: unknown field \"spec.source.properties.{name}\""
        ))
    };
    let expected = names.map(|name| (Ok(json!({})), unknown(name)));
    assert_eq!(answers, expected);
    Ok(())
}

#[tokio::test]
async fn the_server_keeps_what_stored_records_depend_on() -> Result<()> {
    let namespace = shared().namespace("rules").await?;
    let pipelines: Api<AchievementPipeline> = Api::namespaced(shared().client()?, &namespace);
    let created: AchievementPipeline = serde_json::from_value(pipeline(&[]))?;
    pipelines.create(&PostParams::default(), &created).await?;
    let changes = [
        json!({"source": {"topic": "other"}}),
        json!({"source": {"consumerGroup": "other"}}),
        json!({"store": {"keyPrefix": "other:"}}),
        json!({"source": {"bootstrapServers": "new:9092"}}),
    ];

    let mut answers = Vec::new();
    for change in changes {
        let patch = Patch::Merge(json!({"spec": change}));
        let answer = pipelines.patch("p", &PatchParams::default(), &patch).await;
        answers.push(answer.map(drop).map_err(|error| refusals(&error)));
    }

    let frozen = |path: &str| {
        let message =
            "cannot be changed: what is already stored depends on it; create a new pipeline instead";
        Err(vec![format!("{path}: {message}")])
    };
    let group = "consumerGroup cannot be set, changed or removed later: it holds the position in the topic; create a new pipeline instead";
    let expected = [
        frozen("spec.source.topic"),
        Err(vec![format!("spec.source: {group}")]),
        frozen("spec.store.keyPrefix"),
        Ok(()),
    ];
    assert_eq!(answers, expected);
    Ok(())
}

/// The spec that the server would store, or its refusals.
async fn create(namespace: &str, object: &Value) -> Result<Result<Value, Vec<String>>> {
    let answer = offer(namespace, object).await?;
    Ok(answer.map(|created| created.data["spec"].clone()).map_err(|error| refusals(&error)))
}

/// What the server says to a new object, which it does not keep.
async fn offer(namespace: &str, object: &Value) -> Result<kube::Result<kube::api::DynamicObject>> {
    let resource = kube::api::ApiResource::erase::<AchievementPipeline>(&());
    let pipelines: Api<kube::api::DynamicObject> =
        Api::namespaced_with(shared().client()?, namespace, &resource);
    let mut object = object.clone();
    object["metadata"]["namespace"] = json!(namespace);
    let params = PostParams { dry_run: true, ..PostParams::default() };
    Ok(pipelines.create(&params, &serde_json::from_value(object)?).await)
}

/// What a new object is answered where unknown fields are asked about, as kubectl does.
async fn offer_strictly(namespace: &str, object: &Value) -> Result<Result<(), String>> {
    let path = format!(
        "/apis/plaudit.dev/v1alpha1/namespaces/{namespace}/achievementpipelines?dryRun=All&fieldValidation=Strict"
    );
    let request = Request::post(path).header("content-type", "application/json");
    let answer = shared().client()?.request::<Value>(request.body(serde_json::to_vec(object)?)?).await;
    Ok(answer.map(drop).map_err(|error| match error {
        kube::Error::Api(status) => status.message,
        error => error.to_string(),
    }))
}

/// Path and message of each, as a file's are shown.
fn refusals(error: &kube::Error) -> Vec<String> {
    let kube::Error::Api(status) = error else { return vec![error.to_string()] };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes
        .map(|cause| {
            let message = cause.message.strip_prefix("Invalid value: ").unwrap_or(&cause.message);
            // the value in question stands before it: "object": or what it was
            let message = message.split_once("\": ").map_or(message, |(_, message)| message);
            format!("{}: {message}", cause.field)
        })
        .collect()
}

fn read(object: &Value) -> Result<AchievementPipeline, String> {
    let text = serde_yaml::to_string(object).expect("an object is YAML");
    AchievementPipeline::from_yaml(&text).map_err(|error| {
        let mut last: &dyn Error = &error;
        while let Some(cause) = last.source() {
            last = cause;
        }
        let message = last.to_string();
        message.rsplit_once(" is refused: ").map_or(message.clone(), |(_, refusal)| refusal.to_owned())
    })
}

fn to_value(spec: plaudit_crds::AchievementPipelineSpec) -> Value {
    serde_json::to_value(spec).expect("a spec is JSON")
}

fn sasl(sasl: &Value, tls: bool) -> Vec<Change> {
    let mut security = json!({"sasl": sasl});
    if tls {
        security["tls"] = json!({});
    }
    vec![("source.security", security)]
}

fn login() -> Value {
    json!({"secretName": "user"})
}

fn oauth() -> Value {
    json!({"tokenEndpoint": "https://l/t", "clientId": "p", "clientSecret": {"secretName": "o"}})
}

fn pipeline(changes: &[Change]) -> Value {
    let mut object = json!({
        "apiVersion": "plaudit.dev/v1alpha1",
        "kind": "AchievementPipeline",
        "metadata": {"name": "p"},
        "spec": {"source": {"bootstrapServers": "k:9092", "topic": "reports"}, "store": {"addresses": ["v:6379"]}},
    });
    for (path, value) in changes {
        let place = path.split('.').fold(&mut object["spec"], |place, name| &mut place[name]);
        *place = value.clone();
    }
    object
}
