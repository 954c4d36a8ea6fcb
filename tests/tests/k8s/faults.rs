//! The API proxy: what goes wrong does so by rule, all else passes, and what was asked is counted.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures::TryStreamExt as _;
use http::Method;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, ObjectMeta, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, Client};
use plaudit_tests::stack::kubernetes::fault::{ApiProxy, Fault, Outcome, Refusal, Rule};
use plaudit_tests::stack::kubernetes::{client, eventually, shared};
use serde_json::json;

#[tokio::test]
async fn without_rules_everything_passes_and_is_counted() -> Result<()> {
    let (proxy, namespace) = proxy().await?;
    let maps = maps(proxy.client()?, &namespace);

    maps.create(&PostParams::default(), &map("one")).await?;
    let patch = Patch::Apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}}));
    maps.patch("one", &PatchParams::apply("tests").force(), &patch).await?;
    let found = maps.list(&ListParams::default()).await?.items;

    let path = format!("/api/v1/namespaces/{namespace}/configmaps");
    let expected = |method, path: String, status| (method, path, Outcome::Answered(status));
    let seen: Vec<_> = proxy.seen().into_iter().map(|seen| (seen.method, seen.path, seen.outcome)).collect();
    let data = found.into_iter().map(|map| map.data.unwrap_or_default()).collect::<Vec<_>>();
    assert_eq!(
        (data, seen),
        (
            vec![[("a".to_owned(), "b".to_owned())].into()],
            vec![
                expected(Method::POST, format!("{path}?"), 201),
                expected(Method::PATCH, format!("{path}/one?&force=true&fieldManager=tests"), 200),
                expected(Method::GET, format!("{path}?"), 200),
            ]
        )
    );
    Ok(())
}

#[tokio::test]
async fn the_chosen_requests_are_refused_and_the_others_pass() -> Result<()> {
    let (proxy, namespace) = proxy().await?;
    let maps = maps(proxy.client()?, &namespace);
    proxy.add(Rule::new(Method::POST, "/configmaps", Fault::Refuse(Refusal::Conflict)).after(1).times(1));
    proxy.add(Rule::new(Method::GET, "/configmaps/", Fault::Refuse(Refusal::Expired)));
    proxy.add(Rule::new(Method::GET, "/configmaps/", Fault::Refuse(Refusal::Internal)));

    let mut answers = Vec::new();
    for name in ["a", "b", "c"] {
        answers.push(maps.create(&PostParams::default(), &map(name)).await.map(drop).map_err(told));
    }
    for _ in 0..3 {
        answers.push(maps.get("a").await.map(drop).map_err(told));
    }

    let refused = |code, reason: &str| Err((code, reason.to_owned()));
    let expected = [
        Ok(()),
        refused(409, "Conflict"),
        Ok(()),
        refused(410, "Expired"),
        refused(500, "InternalError"),
        Ok(()),
    ];
    assert_eq!(answers, expected);
    Ok(())
}

#[tokio::test]
async fn a_client_that_is_told_to_wait_does_so() -> Result<()> {
    let (proxy, namespace) = proxy().await?;
    let maps = maps(client(proxy.config()?)?, &namespace);
    let busy = Refusal::TooManyRequests { retry_after_seconds: 1 };
    proxy.add(Rule::new(Method::GET, "/configmaps", Fault::Refuse(busy)));

    let begin = Instant::now();
    let found = maps.list(&ListParams::default()).await?.items.len();

    let outcomes: Vec<Outcome> = proxy.seen().iter().map(|seen| seen.outcome).collect();
    assert_eq!((found, outcomes), (0, vec![Outcome::Answered(429), Outcome::Answered(200)]));
    assert!(begin.elapsed() >= Duration::from_secs(1), "{:?}", begin.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_cut_request_does_nothing_and_a_lost_answer_leaves_it_done() -> Result<()> {
    let (proxy, namespace) = proxy().await?;
    let maps = maps(proxy.client()?, &namespace);
    proxy.add(Rule::new(Method::POST, "/configmaps", Fault::Cut));
    proxy.add(Rule::new(Method::POST, "/configmaps", Fault::LoseAnswer));

    let cut = maps.create(&PostParams::default(), &map("cut")).await.is_err();
    let lost = maps.create(&PostParams::default(), &map("lost")).await.is_err();
    let found = maps.list(&ListParams::default()).await?.items;

    let names: Vec<_> = found.into_iter().filter_map(|map| map.metadata.name).collect();
    assert_eq!((cut, lost, names), (true, true, vec!["lost".to_owned()]));
    Ok(())
}

#[tokio::test]
async fn a_watch_ends_or_expires_after_as_many_events_as_its_rule_says() -> Result<()> {
    let (proxy, namespace) = proxy().await?;
    let maps = maps(proxy.client()?, &namespace);
    for name in ["a", "b", "c"] {
        maps.create(&PostParams::default(), &map(name)).await?;
    }
    proxy.add(Rule::new(Method::GET, "watch=true", Fault::EndWatch { events: 2 }));
    proxy.add(Rule::new(Method::GET, "watch=true", Fault::ExpireWatch { events: 1 }));

    let (ended, expired) = (watched(&maps).await?, watched(&maps).await?);

    let expected = (vec!["a".to_owned(), "b".to_owned()], vec!["a".to_owned(), "410 Expired".to_owned()]);
    assert_eq!((ended, expired), expected);
    Ok(())
}

#[tokio::test]
async fn an_answer_can_be_late_and_a_connection_reset() -> Result<()> {
    let (proxy, namespace) = proxy().await?;
    let maps = maps(proxy.client()?, &namespace);
    let late = Duration::from_millis(300);
    proxy.add(Rule::new(Method::GET, "/configmaps", Fault::Delay(late)));

    let begin = Instant::now();
    maps.list(&ListParams::default()).await?;
    let took = begin.elapsed();
    proxy.wire().cut();
    let cut = maps.list(&ListParams::default()).await.is_err();
    proxy.heal();
    let heard = || async { Ok(maps.list(&ListParams::default()).await.ok().map(drop)) };
    let healed = eventually("an answer", Duration::from_secs(10), heard).await.is_ok();

    assert_eq!((took >= late, cut, healed), (true, true, true));
    Ok(())
}

/// A proxy for everything, and a namespace of one's own behind it.
async fn proxy() -> Result<(ApiProxy, String)> {
    Ok((ApiProxy::start(shared().config()?)?, shared().namespace("faults").await?))
}

/// Names of what a watch from the beginning shows, to its end.
async fn watched(maps: &Api<ConfigMap>) -> Result<Vec<String>> {
    let events = maps.watch(&WatchParams::default(), "0").await?;
    let names = events.map_ok(|event| match event {
        WatchEvent::Added(map) => map.metadata.name.unwrap_or_default(),
        WatchEvent::Error(status) => format!("{} {}", status.code, status.reason),
        other => format!("{other:?}"),
    });
    Ok(names.try_collect().await?)
}

fn maps(client: Client, namespace: &str) -> Api<ConfigMap> {
    Api::namespaced(client, namespace)
}

fn map(name: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        ..ConfigMap::default()
    }
}

fn told(error: kube::Error) -> (u16, String) {
    match error {
        kube::Error::Api(status) => (status.code, status.reason),
        other => (0, other.to_string()),
    }
}
