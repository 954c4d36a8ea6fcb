//! What a PromQL expression asks for: names of metrics and of labels, without its grammar, which promtool checks.

use std::collections::BTreeSet;

/// The metrics of Plaudit that an expression names, as they are exported: a histogram's parts by its own name.
#[must_use]
pub fn metrics(expression: &str) -> BTreeSet<String> {
    let names = words(&outside_of_texts(expression)).into_iter().filter(|word| word.starts_with("plaudit_"));
    names
        .map(|name| {
            let parts = ["_bucket", "_sum", "_count"].iter();
            let part = parts.filter_map(|suffix| name.strip_suffix(suffix)).next();
            part.unwrap_or(&name).to_owned()
        })
        .collect()
}

/// The labels that an expression selects or groups by.
#[must_use]
pub fn labels(expression: &str) -> BTreeSet<String> {
    let bare = outside_of_texts(expression);
    let mut found = BTreeSet::new();
    for (open, close) in [("{", '}'), ("by (", ')'), ("by(", ')'), ("on (", ')'), ("without (", ')')] {
        for part in bare.split(open).skip(1) {
            found.extend(words(part.split(close).next().unwrap_or_default()));
        }
    }
    found
}

fn outside_of_texts(expression: &str) -> String {
    // No text of ours has a quote inside.
    expression.split('"').step_by(2).collect::<Vec<_>>().join(" ")
}

fn words(text: &str) -> Vec<String> {
    let parts = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    parts.filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase())).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_and_labels_are_found() {
        let expression = "sum by (namespace, le) (rate(plaudit_a_seconds_bucket{kind=~\"x|plaudit_no\"}[5m])) \
                          / on (pod) plaudit_b_total";
        let set = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>();

        let found = (metrics(expression), labels(expression));

        assert_eq!(
            found,
            (set(&["plaudit_a_seconds", "plaudit_b_total"]), set(&["namespace", "le", "kind", "pod"]))
        );
    }
}
