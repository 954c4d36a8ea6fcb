//! The headless `Service` that gives each worker's endpoints a name.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::deployment::PORT_NAME;
use super::{Parent, WORKER_PORT, selector_labels};

pub(super) fn service(parent: &Parent<'_>) -> Service {
    let port = ServicePort {
        name: Some(PORT_NAME.to_owned()),
        port: WORKER_PORT,
        target_port: Some(IntOrString::String(PORT_NAME.to_owned())),
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    };
    let spec = ServiceSpec {
        cluster_ip: Some("None".to_owned()),
        // Metrics of a worker that is not ready say why.
        publish_not_ready_addresses: Some(true),
        selector: Some(selector_labels(&parent.name)),
        ports: Some(vec![port]),
        ..ServiceSpec::default()
    };
    Service { metadata: parent.metadata(), spec: Some(spec), ..Service::default() }
}
