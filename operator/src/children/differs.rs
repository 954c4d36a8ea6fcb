//! Whether an object in the cluster lacks something of the one that should be there. What the API server and others added beside it
//! is theirs and does not count.

use serde_json::Value;

/// True when `live` has not everything that `desired` says. Lists of named entries are compared by name, as server-side apply
/// merges them; other lists entry by entry.
#[must_use]
pub fn differs(desired: &Value, live: &Value) -> bool {
    match (desired, live) {
        (Value::Object(desired), Value::Object(live)) => desired
            .iter()
            .any(|(name, value)| !value.is_null() && differs(value, live.get(name).unwrap_or(&Value::Null))),
        (Value::Array(desired), Value::Array(live)) => match key_of(desired) {
            Some(key) => desired.iter().any(|entry| {
                let same = live.iter().find(|other| other[key] == entry[key]);
                same.is_none_or(|other| differs(entry, other))
            }),
            None => {
                desired.len() != live.len()
                    || desired.iter().zip(live).any(|(desired, live)| differs(desired, live))
            }
        },
        // An empty object or list is dropped on the way.
        (Value::Object(desired), Value::Null) => !desired.is_empty(),
        (Value::Array(desired), Value::Null) => !desired.is_empty(),
        (desired, live) => desired != live,
    }
}

/// The field that names the entries of a list that is merged by it.
fn key_of(list: &[Value]) -> Option<&'static str> {
    ["name", "mountPath", "containerPort", "topologyKey", "uid"]
        .into_iter()
        .find(|key| !list.is_empty() && list.iter().all(|entry| !entry[*key].is_null()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    type Change<'a> = &'a dyn Fn(&mut Value);

    #[test]
    fn what_others_added_is_no_difference_and_what_is_missing_is() {
        let desired = json!({
            "metadata": {"labels": {"a": "1"}},
            "spec": {"replicas": 3, "containers": [{"name": "worker", "args": ["x"]}], "empty": {}, "none": null},
        });
        let live = |change: &dyn Fn(&mut Value)| {
            let mut live = json!({
                "metadata": {"labels": {"a": "1", "theirs": "2"}, "resourceVersion": "7"},
                "spec": {
                    "replicas": 3,
                    "containers": [{"name": "sidecar"}, {"name": "worker", "args": ["x"], "image": "y"}],
                    "paused": false,
                },
                "status": {},
            });
            change(&mut live);
            live
        };
        let cases: [(&str, Change, bool); 6] = [
            ("added", &|_| (), false),
            ("a number", &|live| live["spec"]["replicas"] = 2.into(), true),
            ("a label", &|live| live["metadata"]["labels"]["a"] = "9".into(), true),
            ("a label is gone", &|live| live["metadata"]["labels"] = Value::Null, true),
            ("an argument", &|live| live["spec"]["containers"][1]["args"] = json!(["x", "z"]), true),
            ("a container is gone", &|live| live["spec"]["containers"] = json!([{"name": "sidecar"}]), true),
        ];

        let found = cases.map(|(name, change, _)| (name, differs(&desired, &live(change))));

        assert_eq!(found, cases.map(|(name, _, expected)| (name, expected)));
    }
}
