//! The children as a person reads them.

use super::*;
use crate::pipeline::parse;
use crate::pipeline::tests::object;

fn settings() -> Settings {
    Settings { worker_image: "example.test/plaudit-worker:1".to_owned(), image_pull_policy: None }
}

fn of(extra: &str, replicas: u32) -> Children {
    children(&parse(&object(extra)).expect("a pipeline"), None, &settings(), replicas, None)
}

#[test]
fn pods_are_rolled_by_what_workers_read_and_by_nothing_else() {
    let template = |extra: &str, replicas| {
        let deployment = of(extra, replicas).deployment;
        deployment.spec.expect("a spec").template
    };
    let minimal = template("", 1);

    let same = [
        template("", 5) == minimal,
        template("  scaling: {minReplicas: 3}", 1) == minimal,
        template("  batch: {maxRecords: 10}", 1) == minimal,
        template("  worker: {template: {spec: {nodeSelector: {disk: ssd}}}}", 1) == minimal,
    ];

    assert_eq!(same, [true, true, false, false]);
}

#[test]
fn a_worker_may_nothing_and_has_no_token() {
    let spec = of("", 1).deployment.spec.and_then(|spec| spec.template.spec).expect("a pod");

    let pod = spec.security_context.clone().expect("a context");
    let container = spec.containers[0].security_context.clone().expect("a context");
    assert_eq!(
        (
            spec.automount_service_account_token,
            spec.service_account_name,
            pod.run_as_non_root,
            pod.seccomp_profile.map(|profile| profile.type_),
            container.allow_privilege_escalation,
            container.read_only_root_filesystem,
            container.capabilities.and_then(|capabilities| capabilities.drop),
        ),
        (
            Some(false),
            None,
            Some(true),
            Some("RuntimeDefault".to_owned()),
            Some(false),
            Some(true),
            Some(vec!["ALL".to_owned()])
        )
    );
}

#[test]
fn memory_follows_the_budget_unless_it_is_given() {
    let memory = |extra: &str| {
        let spec = of(extra, 1).deployment.spec.and_then(|spec| spec.template.spec).expect("a pod");
        let resources = spec.containers[0].resources.clone().expect("resources");
        let of = |given: Option<BTreeMap<_, _>>| {
            given.and_then(|given: BTreeMap<String, _>| {
                given.get("memory").map(
                    |quantity: &k8s_openapi::apimachinery::pkg::api::resource::Quantity| quantity.0.clone(),
                )
            })
        };
        (of(resources.requests), of(resources.limits))
    };
    let text = |text: &str| Some(text.to_owned());

    let found = [
        memory(""),
        memory("  batch: {maxBytes: 67108864}"),
        memory("  worker: {resources: {limits: {memory: 1Gi}}}"),
    ];

    assert_eq!(found, [(text("64Mi"), text("128Mi")), (text("418Mi"), text("836Mi")), (None, text("1Gi"))]);
}

#[test]
fn every_child_is_the_pipelines_and_found_by_its_labels() {
    let owner = OwnerReference { name: "p".to_owned(), uid: "u".to_owned(), ..OwnerReference::default() };
    let pipeline = parse(&object("")).expect("a pipeline");
    let Children { config_map, deployment, service, disruption_budget } =
        children(&pipeline, Some(&owner), &settings(), 1, None);

    let metadata = [config_map.metadata, deployment.metadata, service.metadata, disruption_budget.metadata];
    let label = metadata.each_ref().map(|metadata| {
        metadata.labels.as_ref().and_then(|labels| labels.get(PIPELINE_LABEL).cloned()).unwrap_or_default()
    });

    assert_eq!(
        (
            label,
            metadata.each_ref().map(|metadata| metadata.owner_references.clone()),
            selector_text(&pipeline)
        ),
        (
            ["p-worker"; 4].map(str::to_owned),
            [(); 4].map(|()| Some(vec![owner.clone()])),
            "app.kubernetes.io/name=plaudit-worker,plaudit.dev/pipeline=p-worker".to_owned()
        )
    );
}
