//! Values that cannot be meant are refused, with what to change.

use std::collections::BTreeSet;

use anyhow::Result;
use plaudit_tests::chart::{self, Helm, KUBE_VERSION};

use crate::cases::{self, operator_arguments};

/// What a case gives as an extra argument.
const NOT_THE_CHARTS: &str = "--lease-namespace";
const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Values, and what the refusal says.
const CONTRADICTIONS: [(&str, &str); 15] = [
    (
        "image.tag=v1,image.digest=DIGEST",
        "image.tag and image.digest both name the image: leave one of them empty",
    ),
    (
        "worker.image.tag=v1,worker.image.digest=DIGEST",
        "worker.image.tag and worker.image.digest both name the image: leave one of them empty",
    ),
    (
        "replicas=2,leaderElection.enabled=false",
        "replicas is 2 and leaderElection.enabled is false: operators would write against each other; \
         set leaderElection.enabled: true, or replicas: 1",
    ),
    (
        "podDisruptionBudget.enabled=true",
        "podDisruptionBudget.enabled is true and replicas is 1: the budget protects nothing; \
         set replicas: 2, or podDisruptionBudget.enabled: false",
    ),
    (
        "serviceAccount.create=false",
        "serviceAccount.create is false and serviceAccount.name is empty: name an account that is there, \
         or set serviceAccount.create: true",
    ),
    (
        "podMonitor.enabled=true",
        "podMonitor.enabled is true and the cluster has no PodMonitor: install the Prometheus operator first, \
         or set podMonitor.enabled: false (for helm template, add --api-versions monitoring.coreos.com/v1/PodMonitor)",
    ),
    (
        "prometheusRule.enabled=true",
        "prometheusRule.enabled is true and the cluster has no PrometheusRule: install the Prometheus operator first, \
         or set prometheusRule.enabled: false (for helm template, add --api-versions monitoring.coreos.com/v1/PrometheusRule)",
    ),
    (
        "podMonitor.enabled=true,networkPolicy.enabled=true",
        "podMonitor.enabled and networkPolicy.enabled are true and networkPolicy.metricsFrom is empty: \
         Prometheus could not scrape; name its pods in networkPolicy.metricsFrom, or set podMonitor.enabled: false",
    ),
    (
        "networkPolicy.workerNamespaces={games}",
        "networkPolicy.workerNamespaces is given and networkPolicy.enabled is false: set networkPolicy.enabled: true, \
         or workerNamespaces: []",
    ),
    (
        "watchNamespace=games,networkPolicy.enabled=true,networkPolicy.workerNamespaces={other}",
        "networkPolicy.workerNamespaces has other and watchNamespace is games: no worker runs there; leave it out, \
         or set watchNamespace: \"\"",
    ),
    (
        "commonLabels.app\\.kubernetes\\.io/name=x",
        "commonLabels has app.kubernetes.io/name, which the chart sets itself: leave it out",
    ),
    (
        "extraArgs={--lease=x}",
        "extraArgs has --lease, which the chart sets itself: leave it out, and set leaderElection.leaseName",
    ),
    (
        "extraArgs={--admin-address,x}",
        "extraArgs has --admin-address, and probes and Service count on port 8080: leave it out",
    ),
    (
        "extraEnv[0].name=PLAUDIT_LOG,extraEnv[0].value=debug",
        "extraEnv has PLAUDIT_LOG, which the chart sets itself: leave it out, and set log.level",
    ),
    // All at once.
    ("serviceAccount.create=false,podDisruptionBudget.enabled=true", "\n- serviceAccount.create is false"),
];

/// A wrong value, and the key that the refusal names.
const MISTAKES: [(&str, &str); 8] = [
    ("replica=2", "replica"),
    ("image.Tag=1", "Tag"),
    ("worker.image.digest=abc", "worker/image/digest"),
    ("podMonitor.enable=true", "enable"),
    ("resources.limit.memory=1Gi", "limit"),
    ("affinity.nodeAfinity.x=1", "nodeAfinity"),
    ("prometheusRule.disabled={PlauditStoreError}", "prometheusRule/disabled/0"),
    ("log.format=yaml", "log/format"),
];

fn refusal(helm: &Helm, values: &str) -> Result<String> {
    let chart = chart::folder().display().to_string();
    let version = format!("--kube-version={KUBE_VERSION}");
    let output = helm.output(&["template", "plaudit", &chart, &version, "--set", values])?;
    assert!(!output.status.success(), "{values} is taken");
    Ok(String::from_utf8(output.stderr)?)
}

#[test]
fn values_that_contradict_each_other_are_refused_with_the_fix() -> Result<()> {
    let helm = Helm::four()?;
    for (values, expected) in CONTRADICTIONS {
        let said = refusal(&helm, &values.replace("DIGEST", DIGEST))?;

        assert!(said.contains(expected), "{values}: {said}");
    }
    Ok(())
}

#[test]
fn no_flag_of_the_charts_own_can_be_given_twice() -> Result<()> {
    let helm = Helm::four()?;
    let mut flags = BTreeSet::new();
    for case in cases::all()? {
        let arguments = operator_arguments(&case.render(&helm)?)?;
        flags.extend(arguments.iter().filter_map(|flag| Some(flag.split('=').next()?.to_owned())));
    }
    flags.retain(|flag| flag.starts_with("--") && !flag.starts_with(NOT_THE_CHARTS));

    for flag in &flags {
        let said = refusal(&helm, &format!("extraArgs={{{flag}=x}}"))?;

        assert!(said.contains(&format!("extraArgs has {flag}, which the chart sets itself")), "{said}");
    }
    assert_eq!(flags.len(), 8, "{flags:?}");
    Ok(())
}

#[test]
fn a_typing_mistake_is_refused_by_its_name() -> Result<()> {
    for helm in [Helm::four()?, Helm::three()?] {
        for (values, expected) in MISTAKES {
            let said = refusal(&helm, values)?;

            assert!(said.contains(expected), "{values}: {said}");
        }
    }
    Ok(())
}

#[test]
fn a_chart_that_depends_on_this_one_may_give_it_what_helm_adds() -> Result<()> {
    Helm::four()?.template(&["--set", "global.x=1,enabled=true"]).map(drop)
}
