//! What each program of a node is told: texts of files, for tests. Ready soon, and nothing that needs a registry or the internet.

use std::fmt::Display;
use std::net::Ipv4Addr;
use std::path::Path;

use serde_json::{Value, json};

use super::cgroups;
use super::network::{self, Network};

/// The image that holds a pod's namespaces; `tools/fetch node` makes it.
const PAUSE: &str = "localhost/plaudit/pause:1";

/// Files of one node.
#[derive(Debug)]
pub(super) struct NodeFiles<'a> {
    /// Where each of `cni/`, `kubelet.yaml`, ... is.
    pub(super) directory: &'a Path,
    pub(super) authority: &'a Path,
    pub(super) certificate: &'a Path,
    pub(super) key: &'a Path,
}

/// containerd keeps to its usual folders: they are the node's own (`machine`).
pub(super) fn containerd(plugins: &str, directory: &Path) -> String {
    format!(
        r#"version = 2
# what would write outside of a node's own folders, or asks for what is not here
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp"]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  # profiles belong to the whole machine, and would outlive a node
  disable_apparmor = true
  # where even root may not make a process more important than itself, pods would not start
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{}"
"#,
        directory.join("cni").display()
    )
}

/// The pods' network: a bridge on each node. No address is translated, since everybody has routes to everybody.
pub(super) fn cni(network: Network, node: u8) -> Value {
    let range = json!({"subnet": network.pods(node), "gateway": network.gateway(node)});
    json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [{
            "type": "bridge",
            "bridge": "pods",
            "isGateway": true,
            // a pod that calls a Service may be answered by itself
            "hairpinMode": true,
            "ipam": {"type": "host-local", "ranges": [[range]], "routes": [{"dst": "0.0.0.0/0"}]},
        }],
    })
}

pub(super) fn kubelet(network: Network, node: u8, files: &NodeFiles<'_>) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": network.node(node),
        "authentication": {
            "anonymous": {"enabled": false}, "webhook": {"enabled": true}, "x509": {"clientCAFile": files.authority},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": files.certificate,
        "tlsPrivateKeyFile": files.key,
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        // below a folder of its own in the machine's cgroups, so that nodes keep apart and are removed whole
        "cgroupRoot": cgroups::of(network, node),
        "cgroupDriver": "cgroupfs",
        // older machines have nothing newer
        "failCgroupV1": false,
        "failSwapOn": false,
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        // pods ask only the cluster's DNS
        "resolvConf": files.directory.join("resolv.conf"),
        "clusterDomain": "cluster.local",
        "clusterDNS": [network.dns()],
        // images are imported and could not be pulled again
        "imageMinimumGCAge": "24h",
        "imageGCHighThresholdPercent": 100,
        // not what a developer's disk has left
        "evictionHard": {"memory.available": "100Mi"},
        // more than some 50 requests a second, or many pods take long
        "kubeAPIQPS": 200,
        "kubeAPIBurst": 400,
        "eventRecordQPS": 0,
        "registryPullQPS": 0,
        "serializeImagePulls": false,
        // a node that died is seen so the sooner
        "nodeStatusUpdateFrequency": "4s",
    })
}

pub(super) fn kube_proxy(network: Network, node: u8, kubeconfig: &Path) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": kubeconfig},
        "hostnameOverride": network::name(node),
        "mode": "iptables",
        "detectLocalMode": "ClusterCIDR",
        "clusterCIDR": network.all_pods(),
        // a new pod is in its Service at once
        "iptables": {"minSyncPeriod": "0s", "syncPeriod": "30s"},
        // these are settings of the whole machine
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    })
}

/// Names of Services are the cluster's, `ANYTHING.test` is the host, and nothing else exists: who asks for it is told at once.
pub(super) fn corefile(network: Network, kubeconfig: &Path) -> String {
    let common = format!("bind {}\n    errors\n    cache 2", network.dns());
    let zone = |names: &str, rest: &dyn Display| format!("{names} {{\n    {common}\n    {rest}\n}}\n");
    let services = format!(
        "ready {}:{READY_PORT}\n    kubernetes cluster.local {{\n        kubeconfig {}\n        pods insecure\n        ttl 2\n    }}",
        network.dns(),
        kubeconfig.display()
    );
    let host =
        format!("template IN A {{\n        answer \"{{{{ .Name }}}} 2 IN A {}\"\n    }}", network.host());
    let no_other = "template ANY ANY {\n        rcode NOERROR\n    }";
    let nothing = "template ANY ANY {\n        rcode NXDOMAIN\n    }";
    zone("cluster.local:53", &services)
        + &zone("test:53", &format!("{host}\n    {no_other}"))
        + &zone(".:53", &nothing)
}

/// Where CoreDNS says that it knows the cluster's Services.
pub(super) fn dns_ready(network: Network) -> (Ipv4Addr, u16) {
    (network.dns(), READY_PORT)
}

/// CoreDNS' own choice.
const READY_PORT: u16 = 8181;
