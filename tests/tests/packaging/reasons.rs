//! Every reason that a condition, an event or a lane may have is in docs/.

use std::collections::BTreeSet;

/// Where reasons are given, without tests.
const SOURCES: [&str; 17] = [
    include_str!("../../../operator/src/controller/facts.rs"),
    include_str!("../../../operator/src/controller/secrets.rs"),
    include_str!("../../../operator/src/controller/workers.rs"),
    include_str!("../../../operator/src/controller/workload.rs"),
    include_str!("../../../operator/src/local/look.rs"),
    include_str!("../../../operator/src/observe/kafka/thread.rs"),
    include_str!("../../../operator/src/observe/source.rs"),
    include_str!("../../../operator/src/scaling/steps.rs"),
    include_str!("../../../operator/src/status/verdicts.rs"),
    include_str!("../../../worker/src/kafka/access.rs"),
    include_str!("../../../worker/src/kafka/complaint.rs"),
    include_str!("../../../worker/src/lane/shared.rs"),
    include_str!("../../../worker/src/security/secrets.rs"),
    include_str!("../../../worker/src/security/tls.rs"),
    include_str!("../../../worker/src/source_warning.rs"),
    include_str!("../../../worker/src/store/eviction.rs"),
    include_str!("../../../worker/src/store/refusal.rs"),
];
const DOCS: [&str; 3] = [
    include_str!("../../../docs/reasons.md"),
    include_str!("../../../docs/scaling.md"),
    include_str!("../../../docs/security.md"),
];
/// Words of the same shape that are no reasons: names of conditions and states, of Kubernetes and of Kafka.
const OTHERS: [&str; 20] = [
    "Available",
    "CompletingRebalance",
    "ContainerCreating",
    "Dead",
    "Empty",
    "Error",
    "Failed",
    "False",
    "Kafka",
    "PodInitializing",
    "PodScheduled",
    "PreparingRebalance",
    "Ready",
    "ScalingActive",
    "SourceAvailable",
    "Stable",
    "StoreAvailable",
    "Succeeded",
    "True",
    "Unknown",
];

/// Whether it is words in one, each with a capital.
fn is_reason(text: &str) -> bool {
    let mut letters = text.chars();
    let begins = letters.next().is_some_and(|first| first.is_ascii_uppercase())
        && letters.next().is_some_and(|second| second.is_ascii_lowercase());
    begins && letters.all(|letter| letter.is_ascii_alphabetic()) && !OTHERS.contains(&text)
}

#[test]
fn every_reason_is_explained() {
    let code = SOURCES.map(|source| source.split("#[cfg(test)]").next().unwrap_or_default());
    let reasons: BTreeSet<_> =
        code.iter().flat_map(|code| code.split('"')).filter(|text| is_reason(text)).collect();

    let explained = |reason: &str| DOCS.iter().any(|page| page.contains(&format!("`{reason}`")));
    let missing: Vec<_> = reasons.iter().filter(|reason| !explained(reason)).collect();

    assert!(reasons.len() > 50, "{reasons:?}");
    assert_eq!(missing, Vec::<&&str>::new());
}
