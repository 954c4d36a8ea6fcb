//! The chart's values as types, which its schema is made of. What a value is for stands in values.yaml.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, EnvVar, LocalObjectReference, PodSecurityContext, ResourceRequirements, SecurityContext,
    Toleration, TopologySpreadConstraint,
};
use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use schemars::JsonSchema;

type Texts = BTreeMap<String, String>;

macro_rules! values {
    ($($name:ident { $($(#[$attribute:meta])* $field:ident: $kind:ty,)* })*) => {
        $(
            #[derive(Clone, Debug, JsonSchema)]
            #[schemars(rename_all = "camelCase", deny_unknown_fields, inline)]
            pub struct $name {
                $($(#[$attribute])* pub $field: $kind,)*
            }
        )*
    };
}

values! {
    Values {
        // One leads; more than a handful only cost memory.
        #[schemars(range(min = 0, max = 10))]
        replicas: u32,
        #[schemars(regex(pattern = NAME_OR_NONE))]
        name_override: String,
        #[schemars(regex(pattern = NAME_OR_NONE))]
        fullname_override: String,
        common_labels: Texts,
        #[schemars(regex(pattern = NAME_OR_NONE))]
        watch_namespace: String,
        pipeline_selector: String,
        #[schemars(range(min = 0.1, max = 60.0))]
        poll_seconds: f64,
        image: Image,
        image_pull_secrets: Vec<LocalObjectReference>,
        worker: Worker,
        crds: Crds,
        leader_election: LeaderElection,
        rbac: Rbac,
        service_account: ServiceAccount,
        log: Log,
        extra_args: Vec<String>,
        extra_env: Vec<EnvVar>,
        resources: ResourceRequirements,
        pod_annotations: Texts,
        pod_labels: Texts,
        pod_security_context: PodSecurityContext,
        security_context: SecurityContext,
        priority_class_name: String,
        node_selector: Texts,
        tolerations: Vec<Toleration>,
        affinity: Affinity,
        topology_spread_constraints: Vec<TopologySpreadConstraint>,
        pod_disruption_budget: PodDisruptionBudget,
        service: Service,
        pod_monitor: PodMonitor,
        prometheus_rule: PrometheusRule,
        dashboard: Dashboard,
        network_policy: NetworkPolicy,
    }
    Image {
        #[schemars(length(min = 1))]
        repository: String,
        #[schemars(regex(pattern = r"^([A-Za-z0-9_][A-Za-z0-9._-]{0,127})?$"))]
        tag: String,
        #[schemars(regex(pattern = r"^(sha256:[0-9a-f]{64})?$"))]
        digest: String,
        pull_policy: PullPolicy,
    }
    Worker { image: Image, }
    Crds { install: bool, }
    LeaderElection {
        enabled: bool,
        #[schemars(regex(pattern = NAME_OR_NONE))]
        lease_name: String,
    }
    Rbac { create: bool, aggregate_roles: bool, }
    ServiceAccount {
        create: bool,
        #[schemars(regex(pattern = NAME_OR_NONE))]
        name: String,
        annotations: Texts,
    }
    Log {
        format: LogFormat,
        #[schemars(length(min = 1))]
        level: String,
    }
    PodDisruptionBudget { enabled: bool, }
    Service { annotations: Texts, }
    PodMonitor {
        enabled: bool,
        workers: bool,
        #[schemars(regex(pattern = r"^([0-9]+(ms|[smh]))+$"))]
        interval: String,
        labels: Texts,
    }
    PrometheusRule {
        enabled: bool,
        labels: Texts,
        alert_labels: Texts,
        disabled: Vec<String>,
        runbook_prefix: String,
    }
    Dashboard { enabled: bool, labels: Texts, annotations: Texts, }
    NetworkPolicy {
        enabled: bool,
        #[schemars(inner(regex(pattern = NAME)))]
        worker_namespaces: Vec<String>,
        metrics_from: Vec<NetworkPolicyPeer>,
        api_server: Egress,
        kafka: Egress,
        store: Egress,
        token_endpoint: EgressIfAny,
        dns: Peers,
    }
    Egress {
        // Without a port, every port would be open.
        #[schemars(length(min = 1), inner(range(min = 1, max = 65_535)))]
        ports: Vec<u16>,
        to: Vec<NetworkPolicyPeer>,
    }
    EgressIfAny {
        // Without a port, no way is opened.
        #[schemars(inner(range(min = 1, max = 65_535)))]
        ports: Vec<u16>,
        to: Vec<NetworkPolicyPeer>,
    }
    Peers { to: Vec<NetworkPolicyPeer>, }
}

/// A name of an object, as the API server takes it.
const NAME: &str = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$";
const NAME_OR_NONE: &str = "^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$";

#[derive(Clone, Copy, Debug, JsonSchema)]
#[schemars(inline)]
pub enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

#[derive(Clone, Copy, Debug, JsonSchema)]
#[schemars(rename_all = "lowercase", inline)]
pub enum LogFormat {
    Json,
    Text,
}
