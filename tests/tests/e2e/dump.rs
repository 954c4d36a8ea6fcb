//! What the cluster says when a test has failed: pods, events and logs of its namespace and of the operator's.

use std::fmt::Write as _;

use anyhow::Result;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{ListParams, LogParams};
use kube::{Api, ResourceExt as _};
use plaudit_crds::AchievementPipeline;

use crate::bed::{Bed, is_ready};
use crate::release::SYSTEM;

/// Of each container; a worker says little.
const LINES: i64 = 60;

pub async fn print(bed: &Bed) {
    for namespace in [bed.namespace.as_str(), SYSTEM] {
        let text = of(bed, namespace).await.unwrap_or_else(|error| format!("not to be had: {error:#}\n"));
        eprintln!("--- namespace {namespace}\n{text}");
    }
}

async fn of(bed: &Bed, namespace: &str) -> Result<String> {
    let mut text = String::new();
    let (all, client) = (ListParams::default(), &bed.client);
    for pipeline in Api::<AchievementPipeline>::namespaced(client.clone(), namespace).list(&all).await? {
        let status = serde_json::to_string_pretty(&pipeline.status)?;
        writeln!(text, "pipeline {}: {status}", pipeline.name_any())?;
    }
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let found = pods.list(&all).await?.items;
    for pod in &found {
        let status = pod.status.clone().unwrap_or_default();
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or("no node");
        let phase = status.phase.unwrap_or_default();
        let ended = if pod.metadata.deletion_timestamp.is_some() { ", ending" } else { "" };
        writeln!(text, "pod {} on {node}: {phase}, ready {}{ended}", pod.name_any(), is_ready(pod))?;
    }
    for event in Api::<Event>::namespaced(client.clone(), namespace).list(&all).await? {
        let (object, reason) = (event.involved_object, event.reason.unwrap_or_default());
        let name = object.name.unwrap_or_default();
        let kind = object.kind.unwrap_or_default();
        writeln!(text, "event {kind} {name}: {reason}: {}", event.message.unwrap_or_default())?;
    }
    for pod in &found {
        for previous in [true, false] {
            let which = LogParams { tail_lines: Some(LINES), previous, ..LogParams::default() };
            // there is no previous one of most
            if let Ok(log) = pods.logs(&pod.name_any(), &which).await {
                writeln!(text, "log of {}, previous {previous}:\n{log}", pod.name_any())?;
            }
        }
    }
    Ok(text)
}
