//! Writing: each object by server-side apply, and only where the cluster differs from what should be there.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client, Resource, ResourceExt as _};
use plaudit_crds::{AchievementPipeline, AchievementPipelineStatus};
use serde_json::{Value, json};

use super::context::Context;
use super::facts::Fact;
use super::removal::COST_ANNOTATION;
use super::shown::{Child, Shown};
use crate::children::{Children, differs};

/// The name of this program in `metadata.managedFields`.
pub const FIELD_MANAGER: &str = "plaudit-operator";
/// The name of this program in events.
const REPORTER: &str = "plaudit.dev/operator";
/// An API server that takes longer is asked again later.
const DEADLINE: Duration = Duration::from_secs(20);
/// Kubernetes takes notes of at most a kilobyte.
const LONGEST_NOTE: usize = 1_000;

/// Why an object was not written.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The API server says that it must not be as it is; trying again helps only after something changed.
    #[error("the API server refused {kind} {name}: {message}")]
    Refused {
        /// What it was.
        kind: String,
        /// Its name.
        name: String,
        /// The API server's words.
        message: String,
    },
    /// The API server did not take it this time.
    #[error("could not write {kind} {name}")]
    Failed {
        /// What it was.
        kind: String,
        /// Its name.
        name: String,
        /// What the client said.
        #[source]
        source: Box<kube::Error>,
    },
    /// The API server did not answer.
    #[error("the API server did not answer in {} s while {kind} {name} was written", DEADLINE.as_secs())]
    Silent {
        /// What it was.
        kind: String,
        /// Its name.
        name: String,
    },
}

/// What is known of the last comparison of each child.
#[derive(Clone, Debug, Default)]
pub(super) struct Synced {
    config_map: Option<Checked>,
    deployment: Option<Checked>,
    service: Option<Checked>,
    disruption_budget: Option<Checked>,
}

/// One comparison: what should be there, and the object that has it.
#[derive(Clone, Debug)]
struct Checked {
    desired: u64,
    /// The resource version found equal, or the one that came of a write.
    version: String,
    /// Of a write: the version that was written over. The watch may still show it.
    over: Option<String>,
    /// The API server stores something in its own form (a quantity, say), so that it looks different for ever: taken for equal while
    /// the object's spec has this generation.
    accepted: Option<i64>,
}

/// Writes the children that differ. The configuration comes first, since pods read it.
///
/// # Errors
/// The first child that was not written; those after it are left for the next look.
pub(super) async fn apply_children(
    context: &Context,
    children: &Children,
    synced: &mut Synced,
) -> Result<(), ApplyError> {
    let Context { client, stores, .. } = context;
    ensure(client, &stores.config_maps, &children.config_map, &mut synced.config_map).await?;
    ensure(client, &stores.services, &children.service, &mut synced.service).await?;
    ensure(client, &stores.disruption_budgets, &children.disruption_budget, &mut synced.disruption_budget)
        .await?;
    ensure(client, &stores.deployments, &children.deployment, &mut synced.deployment).await
}

async fn ensure<K: Child>(
    client: &Client,
    store: &Store<Shown<K>>,
    desired: &K,
    synced: &mut Option<Checked>,
) -> Result<(), ApplyError> {
    let body = serde_json::to_value(desired).expect("an object of ours is JSON");
    let hash = hash(&body);
    let reference = ObjectRef::new(&desired.name_any()).within(&desired.namespace().unwrap_or_default());
    let live: Option<Arc<Shown<K>>> = store.get(&reference);
    if is_settled(synced.as_ref(), hash, live.as_deref()) {
        return Ok(());
    }
    if let Some(live) = &live
        && !differs(&body, &live.value())
    {
        let version = live.version.clone().unwrap_or_default();
        *synced = Some(Checked { desired: hash, version, over: None, accepted: None });
        return Ok(());
    }
    let written = write(client, desired, &body).await?;
    let stored = serde_json::to_value(&written).expect("an object of the API server is JSON");
    let accepted = differs(&body, &stored).then(|| written.meta().generation).flatten();
    *synced = Some(Checked {
        desired: hash,
        version: written.resource_version().unwrap_or_default(),
        over: live.and_then(|live| live.version.clone()),
        accepted,
    });
    Ok(())
}

/// True when nothing has happened since the last comparison or write.
fn is_settled<K: Child>(checked: Option<&Checked>, desired: u64, live: Option<&Shown<K>>) -> bool {
    let (Some(checked), Some(live)) = (checked, live) else { return false };
    checked.desired == desired
        && (live.version.as_ref() == Some(&checked.version)
            || (checked.over.is_some() && live.version == checked.over)
            || (checked.accepted.is_some() && checked.accepted == live.generation))
}

async fn write<K: Child>(client: &Client, desired: &K, body: &Value) -> Result<K, ApplyError> {
    let (name, namespace) = (desired.name_any(), desired.namespace().unwrap_or_default());
    let kind = K::kind(&()).into_owned();
    let mut body = body.clone();
    body["apiVersion"] = json!(K::api_version(&()));
    body["kind"] = json!(kind);
    let api: Api<K> = Api::namespaced(client.clone(), &namespace);
    let params = PatchParams::apply(FIELD_MANAGER).force();
    tracing::debug!(kind, namespace, name, "object applied");
    let patch = Patch::Apply(&body);
    within(&kind, &name, api.patch(&name, &params, &patch)).await
}

/// Writes the status of a pipeline; nothing else touches it, so it is applied as a whole.
pub(super) async fn apply_status(
    client: &Client,
    (namespace, name): (&str, &str),
    status: &AchievementPipelineStatus,
) -> Result<(), ApplyError> {
    let kind = AchievementPipeline::kind(&()).into_owned();
    let body = json!({
        "apiVersion": AchievementPipeline::api_version(&()),
        "kind": kind,
        "metadata": {"name": name},
        "status": status,
    });
    // As plain JSON: what comes back need not be decodable for the status to be written.
    let resource = kube::core::ApiResource::erase::<AchievementPipeline>(&());
    let api: Api<kube::core::DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let patch = Patch::Apply(&body);
    within(&kind, name, api.patch_status(name, &params, &patch)).await?;
    Ok(())
}

/// Writes the removal costs of pods. A pod that is gone meanwhile needs none.
pub(super) async fn mark_pods(
    client: &Client,
    namespace: &str,
    costs: &[(String, String)],
) -> Result<(), ApplyError> {
    const NOT_FOUND: u16 = 404;
    // The metadata alone: what comes back is small.
    let api: Api<kube::core::PartialObjectMeta<Pod>> = Api::namespaced(client.clone(), namespace);
    for (name, cost) in costs {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {COST_ANNOTATION: cost}}}));
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let answer = async {
            match api.patch_metadata(name, &params, &patch).await {
                Err(kube::Error::Api(status)) if status.code == NOT_FOUND => Ok(()),
                answer => answer.map(drop),
            }
        };
        within("Pod", name, answer).await?;
    }
    Ok(())
}

/// Tells what happened to a pipeline. An event that is not taken is lost: it is a message, not a state.
pub(super) async fn publish(context: &Context, object: &AchievementPipeline, facts: &[Fact]) {
    use k8s_openapi::api::events::v1::Event;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
    use k8s_openapi::jiff::Timestamp;

    let namespace = object.namespace().unwrap_or_default();
    let api: Api<Event> = Api::namespaced(context.client.clone(), &namespace);
    for (at, fact) in facts.iter().enumerate() {
        let now = Timestamp::now();
        let name = format!("{}.{:x}{at}", object.name_any(), now.as_nanosecond());
        let event = Event {
            metadata: kube::core::ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(namespace.clone()),
                ..kube::core::ObjectMeta::default()
            },
            action: Some("Reconcile".to_owned()),
            reason: Some(fact.reason.clone()),
            note: Some(fact.note.chars().take(LONGEST_NOTE).collect()),
            type_: Some(if fact.warning { "Warning" } else { "Normal" }.to_owned()),
            event_time: Some(MicroTime(now)),
            regarding: Some(object.object_ref(&())),
            reporting_controller: Some(REPORTER.to_owned()),
            reporting_instance: Some(context.options.instance.clone()),
            ..Event::default()
        };
        if let Err(error) =
            within("Event", &name, api.create(&kube::api::PostParams::default(), &event)).await
        {
            tracing::debug!(error = &error as &dyn std::error::Error, "event not written");
        }
    }
}

async fn within<T>(
    kind: &str,
    name: &str,
    answer: impl Future<Output = kube::Result<T>>,
) -> Result<T, ApplyError> {
    let (kind, name) = (kind.to_owned(), name.to_owned());
    match tokio::time::timeout(DEADLINE, answer).await {
        Ok(Ok(written)) => Ok(written),
        Ok(Err(kube::Error::Api(status))) if is_refusal(status.code) => {
            Err(ApplyError::Refused { kind, name, message: status.message.clone() })
        }
        Ok(Err(source)) => Err(ApplyError::Failed { kind, name, source: Box::new(source) }),
        Err(_) => Err(ApplyError::Silent { kind, name }),
    }
}

/// Answers that say something about the object or our rights, not about the moment.
fn is_refusal(code: u16) -> bool {
    const CONFLICT: u16 = 409;
    const GONE: u16 = 410;
    const TOO_MANY_REQUESTS: u16 = 429;
    (400..500).contains(&code) && ![CONFLICT, GONE, TOO_MANY_REQUESTS].contains(&code)
}

fn hash(body: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    body.to_string().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    #[test]
    fn nothing_is_compared_again_until_something_happened() {
        let live = |version: &str, generation: i64| {
            Shown::from(ConfigMap {
                metadata: kube::core::ObjectMeta {
                    name: Some("child".to_owned()),
                    resource_version: Some(version.to_owned()),
                    generation: Some(generation),
                    ..kube::core::ObjectMeta::default()
                },
                ..ConfigMap::default()
            })
        };
        let checked = |over: Option<&str>, accepted| Checked {
            desired: 7,
            version: "20".to_owned(),
            over: over.map(str::to_owned),
            accepted,
        };
        let cases = [
            ("never looked", None, 7, live("20", 1), false),
            ("found equal", Some(checked(None, None)), 7, live("20", 1), true),
            ("wants something else", Some(checked(None, None)), 8, live("20", 1), false),
            ("changed by somebody", Some(checked(Some("10"), None)), 7, live("30", 2), false),
            ("the watch is behind", Some(checked(Some("10"), None)), 7, live("10", 1), true),
            ("stored in another form", Some(checked(Some("10"), Some(2))), 7, live("30", 2), true),
            ("and then changed", Some(checked(Some("10"), Some(2))), 7, live("40", 3), false),
        ];

        let found = cases.each_ref().map(|(name, checked, desired, live, _)| {
            (*name, is_settled(checked.as_ref(), *desired, Some(live)))
        });

        assert_eq!(found, cases.each_ref().map(|(name, .., expected)| (*name, *expected)));
    }
}
