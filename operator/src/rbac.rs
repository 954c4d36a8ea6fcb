//! The rights that the operator needs: exactly these, each with its reason. `plaudit rbac` prints them.
//!
//! Nothing here may be handed on: the operator creates no Role, no binding and no token, and workers get none (a pod that could reach
//! the API server with the operator's rights would own every pipeline).

use k8s_openapi::api::rbac::v1::PolicyRule;

/// The Lease that operators elect their leader on, unless told otherwise.
pub const LEASE: &str = "plaudit";

/// A rule and why it is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Empty for the core group.
    pub group: &'static str,
    pub resources: &'static [&'static str],
    /// Objects of these names only; empty for all.
    pub names: Vec<String>,
    pub verbs: &'static [&'static str],
    /// What fails without it.
    pub reason: &'static str,
}

/// What the operator does to pipelines and their children, in every namespace that it watches.
///
/// Children name their pipeline as their owner without blocking its deletion: that would take a right on its finalizers where the
/// cluster asks for it (OwnerReferencesPermissionEnforcement).
#[must_use]
pub fn pipeline_rules() -> Vec<Rule> {
    let rule = |group, resources, verbs, reason| Rule { group, resources, names: Vec::new(), verbs, reason };
    vec![
        rule("plaudit.dev", &["achievementpipelines"], &["list", "watch"], "to see pipelines"),
        rule(
            "plaudit.dev",
            &["achievementpipelines/status"],
            &["patch"],
            "to say what was found and decided",
        ),
        rule("apps", &["deployments"], CHILD, "a pipeline's workers"),
        rule(
            "",
            &["configmaps", "services"],
            CHILD,
            "the workers' configuration, and where their metrics are",
        ),
        rule(
            "policy",
            &["poddisruptionbudgets"],
            CHILD,
            "that drained nodes take a quarter of the workers at a time, one at least",
        ),
        rule(
            "",
            &["pods"],
            &["list", "watch", "patch"],
            "to ask workers how they are, and to say which is removed first (controller.kubernetes.io/pod-deletion-cost)",
        ),
        rule("events.k8s.io", &["events"], &["create"], "to tell of changes"),
        rule(
            "",
            &["secrets"],
            &["get"],
            "to ask Kafka for the lag with the credentials that a pipeline names, and to say what is wrong with them and with those for its store; by name only, none is listed or watched",
        ),
    ]
}

/// Server-side apply is a patch that may create. Nothing is deleted: children go with their pipeline.
const CHILD: &[&str] = &["list", "watch", "create", "patch"];

/// What electing a leader takes, in the operator's own namespace.
#[must_use]
pub fn lease_rules(lease: &str) -> Vec<Rule> {
    let rule = |names, verbs, reason| Rule {
        group: "coordination.k8s.io",
        resources: &["leases"],
        names,
        verbs,
        reason,
    };
    vec![
        // An object that does not exist yet has no name to limit the right to.
        rule(Vec::new(), &["create"], "to create the lease that operators elect their leader on"),
        rule(
            vec![lease.to_owned()],
            &["get", "update", "watch"],
            "to take, renew and release that lease, and to see at once that it was released",
        ),
    ]
}

/// Where pipelines are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// In all namespaces.
    Cluster,
    /// In this one, where the operator runs too.
    Namespace(&'a str),
}

/// Both sets of rules as a ClusterRole or Role named `name`, and a Role for the Lease. In cluster scope the latter names no
/// namespace: it belongs where the operator runs (`kubectl apply --namespace`).
#[must_use]
pub fn manifest(scope: Scope<'_>, name: &str, lease: &str) -> String {
    let (kind, namespace) = match scope {
        Scope::Cluster => ("ClusterRole", None),
        Scope::Namespace(namespace) => ("Role", Some(namespace)),
    };
    let pipelines = role(kind, name, namespace, &pipeline_rules());
    let lease = role("Role", &format!("{name}-leader-election"), namespace, &lease_rules(lease));
    format!("{pipelines}---\n{lease}")
}

impl From<&Rule> for PolicyRule {
    fn from(rule: &Rule) -> Self {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        Self {
            api_groups: Some(vec![rule.group.to_owned()]),
            resources: Some(owned(rule.resources)),
            resource_names: (!rule.names.is_empty()).then(|| rule.names.clone()),
            verbs: owned(rule.verbs),
            ..Self::default()
        }
    }
}

/// By hand around each rule, since reasons are comments, which no serializer writes.
fn role(kind: &str, name: &str, namespace: Option<&str>, rules: &[Rule]) -> String {
    let quoted = |text: &str| serde_json::to_string(text).unwrap_or_default();
    let mut text = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata:\n  name: {}\n",
        quoted(name)
    );
    if let Some(namespace) = namespace {
        text += &format!("  namespace: {}\n", quoted(namespace));
    }
    format!("{text}rules:\n{}", rules_yaml(rules))
}

/// Rules as a YAML list, each below its reason.
#[must_use]
pub fn rules_yaml(rules: &[Rule]) -> String {
    let mut text = String::new();
    for rule in rules {
        text += &format!("# {}\n", rule.reason);
        text += &serde_yaml::to_string(&[PolicyRule::from(rule)]).unwrap_or_default();
    }
    text
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::rbac::v1::{ClusterRole, Role};
    use serde::Deserialize as _;

    use super::*;

    #[test]
    fn the_manifest_is_the_rules_and_their_reasons() {
        let text = manifest(Scope::Cluster, "plaudit", "the-lease");

        let mut documents = serde_yaml::Deserializer::from_str(&text);
        let pipelines = ClusterRole::deserialize(documents.next().unwrap()).unwrap();
        let lease = Role::deserialize(documents.next().unwrap()).unwrap();
        let rules = |rules: &[Rule]| Some(rules.iter().map(PolicyRule::from).collect::<Vec<_>>());
        assert_eq!(pipelines.rules, rules(&pipeline_rules()));
        assert_eq!(lease.rules, rules(&lease_rules("the-lease")));
        assert_eq!(lease.metadata.name.as_deref(), Some("plaudit-leader-election"));
        for rule in pipeline_rules() {
            assert!(text.contains(&format!("# {}\n", rule.reason)));
        }
    }

    #[test]
    fn one_namespace_takes_roles_only() {
        let text = manifest(Scope::Namespace("games"), "plaudit", LEASE);

        let roles: Vec<Role> = serde_yaml::Deserializer::from_str(&text)
            .map(|document| Role::deserialize(document).unwrap())
            .collect();
        let namespaces: Vec<_> = roles.iter().map(|role| role.metadata.namespace.as_deref()).collect();
        assert_eq!(namespaces, [Some("games"); 2]);
        assert!(!text.contains("ClusterRole"));
    }

    #[test]
    fn no_right_lets_the_operator_hand_on_rights_or_run_things_in_pods() {
        let rules = [pipeline_rules(), lease_rules(LEASE)].concat();
        let words = |rule: &Rule| [rule.resources, rule.verbs, &[rule.group]].concat();

        let dangerous = [
            "*",
            "escalate",
            "bind",
            "impersonate",
            "pods/exec",
            "rbac.authorization.k8s.io",
            "serviceaccounts",
        ];

        let found: Vec<_> = rules.iter().flat_map(words).filter(|word| dangerous.contains(word)).collect();
        assert_eq!(found, Vec::<&str>::new());
    }

    #[test]
    fn secrets_are_read_one_by_one_and_never_listed() {
        let rules = pipeline_rules();

        let of_secrets: Vec<_> = rules.iter().filter(|rule| rule.resources.contains(&"secrets")).collect();

        assert_eq!(
            of_secrets.iter().map(|rule| (rule.resources, rule.verbs)).collect::<Vec<_>>(),
            [(&["secrets"][..], &["get"][..])]
        );
    }
}
