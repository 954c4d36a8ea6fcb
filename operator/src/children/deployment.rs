//! The `Deployment` of the workers: pods without a token, without rights, that drain before they go.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EnvVar, EnvVarSource, HTTPGetAction,
    ObjectFieldSelector, PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ResourceRequirements,
    SeccompProfile, SecurityContext, TopologySpreadConstraint, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{
    CERTIFICATES_ANNOTATION, CONFIG_ANNOTATION, Parent, Settings, WORKER_PORT, annotations, config_map,
    labels, secrets, text_map,
};
use crate::pipeline::LEAST_GRACE_SECONDS;

/// The port's name in pods and Service.
pub(super) const PORT_NAME: &str = "metrics";
const CONTAINER: &str = "worker";
const CONFIG_VOLUME: &str = "config";
const CONFIG_DIRECTORY: &str = "/etc/plaudit";
/// nobody, as distroless images have it.
const USER: i64 = 65_532;
/// Kubernetes' default, which is above what a worker needs to drain.
const GRACE_SECONDS: i64 = 30;
const _: () = assert!(GRACE_SECONDS >= LEAST_GRACE_SECONDS);
/// A pod that is ready for a moment only must not let a rollout go on.
const MIN_READY_SECONDS: i32 = 2;
/// What a worker takes besides three times its budget, at most (12 MiB before the first record, queues and allocator's slack).
const BASE_BYTES: u64 = 68 << 20;

pub(super) fn deployment(
    parent: &Parent<'_>,
    settings: &Settings,
    replicas: u32,
    checksums: (&str, Option<&str>),
) -> Deployment {
    let one_more_first = RollingUpdateDeployment {
        max_surge: Some(IntOrString::Int(1)),
        max_unavailable: Some(IntOrString::Int(0)),
    };
    let spec = DeploymentSpec {
        replicas: i32::try_from(replicas).ok(),
        selector: parent.selector(),
        min_ready_seconds: Some(MIN_READY_SECONDS),
        revision_history_limit: Some(2),
        strategy: Some(DeploymentStrategy {
            type_: Some("RollingUpdate".to_owned()),
            rolling_update: Some(one_more_first),
        }),
        template: template(parent, settings, checksums),
        ..DeploymentSpec::default()
    };
    Deployment { metadata: parent.metadata(), spec: Some(spec), ..Deployment::default() }
}

fn template(
    parent: &Parent<'_>,
    settings: &Settings,
    (config, certificates): (&str, Option<&str>),
) -> PodTemplateSpec {
    let pods = &parent.pipeline.pods;
    let mut pod_labels = pods.labels.clone();
    pod_labels.extend(labels(&parent.name));
    let mut pod_annotations = pods.annotations.clone();
    pod_annotations.extend(annotations(parent.pipeline));
    pod_annotations.extend(text_map([(CONFIG_ANNOTATION, config)]));
    pod_annotations.extend(certificates.map(|sum| (CERTIFICATES_ANNOTATION.to_owned(), sum.to_owned())));
    let (secrets, secret_mounts): (Vec<_>, Vec<_>) = secrets::volumes(parent.pipeline).into_iter().unzip();
    let has_secrets = !secrets.is_empty();
    let spread = pods.spec.topology_spread_constraints.clone();
    let spec = PodSpec {
        containers: vec![container(parent, settings, secret_mounts)],
        volumes: Some([vec![config_volume(parent)], secrets].concat()),
        // A worker never talks to the API server.
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            // The files of Secrets belong to root, and to this group.
            fs_group: has_secrets.then_some(USER),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        }),
        termination_grace_period_seconds: pods.spec.termination_grace_period_seconds.or(Some(GRACE_SECONDS)),
        topology_spread_constraints: Some(spread.unwrap_or_else(|| vec![over_nodes(parent)])),
        affinity: pods.spec.affinity.clone(),
        image_pull_secrets: given(&pods.spec.image_pull_secrets),
        node_selector: (!pods.spec.node_selector.is_empty()).then(|| pods.spec.node_selector.clone()),
        priority_class_name: pods.spec.priority_class_name.clone(),
        runtime_class_name: pods.spec.runtime_class_name.clone(),
        scheduler_name: pods.spec.scheduler_name.clone(),
        tolerations: given(&pods.spec.tolerations),
        ..PodSpec::default()
    };
    let metadata =
        ObjectMeta { labels: Some(pod_labels), annotations: Some(pod_annotations), ..ObjectMeta::default() };
    PodTemplateSpec { metadata: Some(metadata), spec: Some(spec) }
}

fn config_volume(parent: &Parent<'_>) -> Volume {
    Volume {
        name: CONFIG_VOLUME.to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: parent.name.clone(),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    }
}

fn container(parent: &Parent<'_>, settings: &Settings, secret_mounts: Vec<VolumeMount>) -> Container {
    let config_mount = VolumeMount {
        name: CONFIG_VOLUME.to_owned(),
        mount_path: CONFIG_DIRECTORY.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    };
    Container {
        name: CONTAINER.to_owned(),
        image: Some(settings.worker_image.clone()),
        image_pull_policy: settings.image_pull_policy.clone(),
        args: Some(
            ["--config", &format!("{CONFIG_DIRECTORY}/{}", config_map::FILE), "--log-format", "json"]
                .map(str::to_owned)
                .to_vec(),
        ),
        env: Some(vec![EnvVar {
            name: "PLAUDIT_WORKER_NAME".to_owned(),
            value_from: Some(EnvVarSource {
                field_ref: Some(ObjectFieldSelector {
                    api_version: Some("v1".to_owned()),
                    field_path: "metadata.name".to_owned(),
                }),
                ..EnvVarSource::default()
            }),
            ..EnvVar::default()
        }]),
        ports: Some(vec![ContainerPort {
            name: Some(PORT_NAME.to_owned()),
            container_port: WORKER_PORT,
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        // It answers 503 only when it has made no step for a minute.
        liveness_probe: Some(probe("/livez", 10, 3)),
        readiness_probe: Some(probe("/readyz", 2, 2)),
        resources: Some(resources(parent)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            ..SecurityContext::default()
        }),
        volume_mounts: Some([vec![config_mount], secret_mounts].concat()),
        ..Container::default()
    }
}

fn probe(path: &str, period_seconds: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(PORT_NAME.to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(2),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

/// As given, and for what is not given: memory by the budget, a tenth of a processor to be scheduled, none to be throttled by.
fn resources(parent: &Parent<'_>) -> ResourceRequirements {
    let limit = BASE_BYTES + 3 * parent.pipeline.worker_config().memory_budget_bytes;
    let mebibytes = |bytes: u64| format!("{}Mi", bytes.div_ceil(1 << 20));
    let given = &parent.pipeline.pods.resources;
    let filled = |given: &Option<BTreeMap<String, Quantity>>, defaults: &[(&str, String)]| {
        let defaults = defaults.iter().map(|(name, value)| ((*name).to_owned(), Quantity(value.clone())));
        let mut all: BTreeMap<String, Quantity> = defaults.collect();
        all.extend(given.clone().unwrap_or_default());
        Some(all)
    };
    let limits = filled(&given.limits, &[("memory", mebibytes(limit))]);
    let requests = match given.limits.as_ref().and_then(|limits| limits.get("memory")) {
        // Kubernetes then asks for as much as the limit, which is never above it.
        Some(_) => filled(&given.requests, &[("cpu", "100m".to_owned())]),
        None => filled(&given.requests, &[("cpu", "100m".to_owned()), ("memory", mebibytes(limit / 2))]),
    };
    ResourceRequirements { requests, limits, ..ResourceRequirements::default() }
}

fn over_nodes(parent: &Parent<'_>) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: "kubernetes.io/hostname".to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(parent.selector()),
        ..TopologySpreadConstraint::default()
    }
}

fn given<T: Clone>(list: &[T]) -> Option<Vec<T>> {
    (!list.is_empty()).then(|| list.to_vec())
}
