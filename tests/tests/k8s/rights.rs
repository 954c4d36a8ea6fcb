//! Each right that `plaudit rbac` prints is needed: without it, something that people rely on goes missing.

mod elector;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Api;
use kube::api::{ListParams, PostParams};
use plaudit::rbac::{self, Rule};
use plaudit_tests::stack::kubernetes::fault::ApiProxy;
use plaudit_tests::stack::kubernetes::kubelet::{Kubelet, Pretend};
use plaudit_tests::stack::kubernetes::{Cluster, ClusterOptions, eventually};
use serde_json::json;

use crate::bed::{Bed, condition};

/// What comes comes within a second or two; many operators share the machine.
const LIMIT: Duration = Duration::from_secs(25);

/// A verb on a resource, as `plaudit rbac` prints it.
type Right = (String, &'static str, &'static str);

const NOTHING: &str = "pipelines are not looked at";

/// What goes missing first without a right. A watch that is refused does not end the operator: it goes on with what it saw first.
const PIPELINES: [(&str, &str, &str); 24] = [
    ("achievementpipelines", "list", NOTHING),
    ("achievementpipelines", "watch", "a new pipeline is not seen"),
    ("achievementpipelines/status", "patch", NOTHING),
    ("deployments", "list", NOTHING),
    ("deployments", "watch", "deployments are written again and again"),
    ("deployments", "create", "there are no deployments"),
    ("deployments", "patch", "there are no deployments"),
    ("configmaps", "list", NOTHING),
    ("configmaps", "watch", "configmaps are written again and again"),
    ("configmaps", "create", "there are no configmaps"),
    ("configmaps", "patch", "there are no configmaps"),
    ("services", "list", NOTHING),
    ("services", "watch", "services are written again and again"),
    ("services", "create", "there are no services"),
    ("services", "patch", "there are no services"),
    ("poddisruptionbudgets", "list", NOTHING),
    ("poddisruptionbudgets", "watch", "poddisruptionbudgets are written again and again"),
    ("poddisruptionbudgets", "create", "there are no poddisruptionbudgets"),
    ("poddisruptionbudgets", "patch", "there are no poddisruptionbudgets"),
    ("pods", "list", NOTHING),
    ("pods", "watch", "workers are not seen"),
    ("pods", "patch", "workers are not removed"),
    ("events", "create", "nothing is told"),
    ("secrets", "get", "secrets are not read: SecretForbidden"),
];

fn rights(rules: &[Rule]) -> Vec<Right> {
    let of = |rule: &Rule| -> Vec<Right> {
        let pairs =
            rule.resources.iter().flat_map(|resource| rule.verbs.iter().map(move |verb| (*resource, *verb)));
        pairs.map(|(resource, verb)| (rule.group.to_owned(), resource, verb)).collect()
    };
    rules.iter().flat_map(of).collect()
}

/// The rules without one verb on one resource.
fn without(rules: &[Rule], missing: Option<&Right>) -> Vec<PolicyRule> {
    let mut left = Vec::new();
    for rule in rules {
        for resource in rule.resources {
            let is_missing = |verb: &str| {
                missing
                    .is_some_and(|(group, of, no)| (group.as_str(), *of, *no) == (rule.group, resource, verb))
            };
            let mut part = PolicyRule::from(rule);
            part.resources = Some(vec![(*resource).to_owned()]);
            part.verbs.retain(|verb| !is_missing(verb));
            // a rule without verbs is refused
            left.extend(Some(part).filter(|part| !part.verbs.is_empty()));
        }
    }
    left
}

/// A user who may do what the rules allow, once they count.
async fn user_of(cluster: &Cluster, namespace: &str, rules: &[PolicyRule]) -> Result<String> {
    let user = format!("user-of-{namespace}");
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": {"name": "most", "namespace": namespace}, "rules": rules,
    });
    cluster.allow(namespace, &user, &role.to_string()).await?;
    let one = rules.first().context("a rule")?;
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "metadata": {},
        "spec": {"user": user, "resourceAttributes": {
            "namespace": namespace, "verb": one.verbs[0],
            "group": one.api_groups.as_ref().map(|groups| &groups[0]),
            "resource": one.resources.as_ref().map(|resources| resources[0].split('/').next()),
            "subresource": one.resources.as_ref().map(|resources| resources[0].split('/').nth(1).unwrap_or_default()),
            "name": one.resource_names.as_ref().map(|names| &names[0]),
        }},
    });
    let reviews: Api<k8s_openapi::api::authorization::v1::SubjectAccessReview> = Api::all(cluster.client()?);
    // the server learns of roles by a watch of its own
    eventually("the role to count", LIMIT, async || {
        let answer = reviews.create(&PostParams::default(), &serde_json::from_value(review.clone())?).await?;
        Ok(answer.status.is_some_and(|status| status.allowed).then_some(()))
    })
    .await?;
    Ok(user)
}

/// What an operator does not do, of all that it should, without a right; `None`: it does everything.
async fn missing(bed: &Bed, proxy: &ApiProxy) -> Result<Option<String>> {
    let said = |what: &str| Ok(Some(what.to_owned()));
    let looked_at = async |name: &str| {
        eventually("a status", LIMIT, async || Ok(bed.pipelines().get(name).await?.status)).await.is_ok()
    };
    if !looked_at("p").await {
        return said(NOTHING);
    }
    if let Some(kind) = absent(bed).await {
        return Ok(Some(format!("there are no {kind}")));
    }
    if ready(bed, 1).await.is_err() {
        return said("workers are not seen");
    }
    let events: Api<Event> = bed.api();
    let about = |event: &Event| event.reporting_controller.as_deref() == Some("plaudit.dev/operator");
    let told = eventually("an event", LIMIT, async || {
        Ok(events.list(&ListParams::default()).await?.iter().any(about).then_some(()))
    });
    if told.await.is_err() {
        return said("nothing is told");
    }
    bed.create("q", |_| ()).await?;
    if !looked_at("q").await {
        return said("a new pipeline is not seen");
    }
    let secret = of_absent_secret(bed).await?;
    if secret != "SecretMissing" {
        return said(&format!("secrets are not read: {secret}"));
    }
    if let Some(kind) = written_again(bed, proxy).await? {
        return Ok(Some(format!("{kind} are written again and again")));
    }
    bed.edit("p", json!({"spec": {"scaling": {"replicas": 3}}})).await?;
    ready(bed, 3).await?;
    bed.edit("p", json!({"spec": {"scaling": {"replicas": 1}}})).await?;
    let removed = eventually("fewer workers", LIMIT, async || {
        Ok(bed.replicas("p").await?.filter(|replicas| *replicas == 1))
    });
    if removed.await.is_err() {
        return said("workers are not removed");
    }
    Ok(None)
}

/// The reason that a pipeline is given whose Secret does not exist.
async fn of_absent_secret(bed: &Bed) -> Result<String> {
    let absent = json!({"password": {"secretName": "absent"}});
    bed.create("s", |spec| spec["store"]["security"] = absent).await?;
    eventually("a status", LIMIT, async || {
        let object = bed.pipelines().get("s").await?;
        Ok(condition(&object, "StoreAvailable").map(|store| store.reason.clone()))
    })
    .await
}

/// Waits for each child, in the order in which they are written; the first that does not come.
async fn absent(bed: &Bed) -> Option<&'static str> {
    const CHILDREN: [(&str, &str); 4] = [
        ("/api/v1", "configmaps"),
        ("/api/v1", "services"),
        ("/apis/policy/v1", "poddisruptionbudgets"),
        ("/apis/apps/v1", "deployments"),
    ];
    for (group, kind) in CHILDREN {
        let path = format!("{group}/namespaces/{}/{kind}/p-worker", bed.namespace);
        let found = eventually("a child", LIMIT, async || {
            Ok(bed.client.request_text(http::Request::get(&path).body(Vec::new())?).await.ok())
        });
        if found.await.is_err() {
            return Some(kind);
        }
    }
    None
}

async fn ready(bed: &Bed, workers: i32) -> Result<()> {
    eventually("workers that are ready", LIMIT, async || {
        let object = bed.pipelines().get("p").await?;
        let is_ready = condition(&object, "Ready").is_some_and(|ready| ready.status == "True");
        let count = object.status.and_then(|status| status.ready_replicas);
        Ok((is_ready && count == Some(workers)).then_some(()))
    })
    .await
}

/// Whose child is written when a pipeline changes in what concerns no child.
async fn written_again(bed: &Bed, proxy: &ApiProxy) -> Result<Option<String>> {
    proxy.forget();
    bed.edit("p", json!({"spec": {"scaling": {"maxLagSeconds": 20}}})).await?;
    eventually("the change to be looked at", LIMIT, async || {
        let object = bed.pipelines().get("p").await?;
        let observed = object.status.and_then(|status| status.observed_generation);
        Ok((observed == object.metadata.generation).then_some(()))
    })
    .await?;
    let written = proxy.seen().into_iter().filter(|seen| seen.is_write() && seen.path.contains("/p-worker"));
    let kinds =
        written.filter_map(|seen| Some(seen.path.split("/p-worker").next()?.rsplit('/').next()?.to_owned()));
    Ok(kinds.min())
}

/// An operator in a namespace of its own that may do all but this, and what it does not do.
async fn try_operator(
    cluster: &Arc<Cluster>,
    right: Option<Right>,
) -> Result<(Option<Right>, Option<String>)> {
    let namespace = cluster.namespace("rights").await?;
    let rules = without(&rbac::pipeline_rules(), right.as_ref());
    let user = user_of(cluster, &namespace, &rules).await?;
    let proxy = ApiProxy::start(cluster.config_of(&user, &[])?)?;
    let bed = Bed::on(cluster, namespace, proxy.client()?)?;
    bed.create("p", |_| ()).await?;
    let bed = bed.with_operator();
    let found = missing(&bed, &proxy).await.with_context(|| format!("without {right:?}"))?;
    Ok((right, found))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_misses_each_right_that_it_has_not() -> Result<()> {
    // A cluster that asks more of who sets owners: children that block the deletion of their pipeline would take one more right.
    let plugin = "--enable-admission-plugins=OwnerReferencesPermissionEnforcement".to_owned();
    let options = ClusterOptions { api_server: vec![plugin], ..ClusterOptions::default() };
    let cluster = Arc::new(Cluster::start(options)?);
    let _kubelet = Kubelet::start(cluster.config()?, None, Pretend::quick())?;
    let rights = rights(&rbac::pipeline_rules()).into_iter().map(Some).chain([None]);

    let found = try_join_all(rights.map(|right| try_operator(&cluster, right))).await?;

    let found: BTreeMap<_, _> =
        found.into_iter().map(|(right, found)| (right.map(|(_, of, verb)| (of, verb)), found)).collect();
    let expected = PIPELINES.map(|(of, verb, what)| (Some((of, verb)), Some(what.to_owned())));
    assert_eq!(found, expected.into_iter().chain([(None, None)]).collect());
    Ok(())
}
