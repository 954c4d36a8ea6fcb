//! Requests by kind: writes, as the API server counts them or as the operator does, and what the operator asks Kafka.

use std::collections::BTreeMap;
use std::fmt;

use crate::stack::ask;

/// How often each was made. Writes are named by what was done to what, `patch deployments`; those of Leases are not counted: renewing
/// them is how a leader lives, and the same for one pipeline as for thousands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests(BTreeMap<String, u64>);

const LEASES: &str = "leases";

impl Requests {
    /// Writes, from the metrics of an API server.
    pub fn of_server(metrics: &str) -> Self {
        let mut counts = BTreeMap::new();
        for (labels, value) in ask::series(metrics, "apiserver_request_total") {
            let label = |name: &str| labels.get(name).copied().unwrap_or_default();
            let verb = match label("verb") {
                "POST" => "create",
                "PUT" => "update",
                // Server-side apply has a name of its own there.
                "PATCH" | "APPLY" => "patch",
                "DELETE" | "DELETECOLLECTION" => "delete",
                _ => continue,
            };
            let (resource, part) = (label("resource"), label("subresource"));
            let resource = if part.is_empty() { resource.to_owned() } else { format!("{resource}/{part}") };
            add_write(&mut counts, verb, &resource, value);
        }
        Self(counts)
    }

    /// What an operator has asked Kafka, by Kafka's names, from its metrics.
    pub fn of_kafka(metrics: &str, name: &str) -> Self {
        let mut counts = BTreeMap::new();
        for (labels, value) in ask::series(metrics, name) {
            add(&mut counts, labels.get("kind").copied().unwrap_or_default(), value);
        }
        Self(counts)
    }

    /// Writes, from the metrics of an operator.
    pub fn of_operator(metrics: &str, name: &str) -> Self {
        let mut counts = BTreeMap::new();
        for (labels, value) in ask::series(metrics, name) {
            let label = |name: &str| labels.get(name).copied().unwrap_or_default();
            if matches!(label("verb"), "create" | "update" | "patch" | "delete") {
                add_write(&mut counts, label("verb"), label("resource"), value);
            }
        }
        Self(counts)
    }

    pub fn since(&self, before: &Self) -> Self {
        let more = self.0.iter().map(|(name, count)| {
            let before = before.0.get(name).copied().unwrap_or_default();
            (name.clone(), count.saturating_sub(before))
        });
        Self(more.filter(|(_, count)| *count > 0).collect())
    }

    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

fn add_write(counts: &mut BTreeMap<String, u64>, verb: &str, resource: &str, value: f64) {
    if resource != LEASES {
        add(counts, &format!("{verb} {resource}"), value);
    }
}

fn add(counts: &mut BTreeMap<String, u64>, name: &str, value: f64) {
    #[expect(clippy::cast_sign_loss, reason = "counters only grow, from 0")]
    let count = value as u64;
    *counts.entry(name.to_owned()).or_default() += count;
}

impl fmt::Display for Requests {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(|(name, count)| format!("{count} × {name}")).collect();
        out.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_and_operator_count_the_same_writes_in_the_same_words() {
        let series = |labels: &str, count: u32| format!("apiserver_request_total{{{labels}}} {count}\n");
        let server = [
            series(r#"code="200",resource="deployments",subresource="",verb="APPLY""#, 2),
            series(r#"code="409",resource="deployments",subresource="",verb="PATCH""#, 1),
            series(r#"code="200",resource="achievementpipelines",subresource="status",verb="APPLY""#, 4),
            series(r#"code="200",resource="pods",subresource="",verb="WATCH""#, 9),
            series(r#"code="200",resource="leases",subresource="",verb="PUT""#, 9),
        ];
        let operator = r#"
api_requests_total{code="200",resource="deployments",verb="patch"} 3
api_requests_total{code="200",resource="achievementpipelines/status",verb="patch"} 4
api_requests_total{code="200",resource="leases",verb="update"} 9
api_requests_total{code="200",resource="pods",verb="list"} 9
"#;

        let server = Requests::of_server(&server.concat());
        let operator = Requests::of_operator(operator, "api_requests_total");

        assert_eq!(operator, server);
        assert_eq!(server.to_string(), "4 × patch achievementpipelines/status, 3 × patch deployments");
        assert_eq!(server.since(&Requests::default()).total(), 7);
        assert_eq!(server.since(&server), Requests::default());
    }
}
