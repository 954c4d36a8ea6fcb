//! A table is what `kubectl get` prints: the API server itself makes its columns and cells.

use anyhow::{Context, Result};
use http::Request;
use http::header::ACCEPT;
use kube::Client;
use plaudit::table::columns;
use serde::Deserialize;
use serde_json::Value;

/// Spaces between two columns, as kubectl has them.
const GAP: usize = 3;

/// Which columns there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// `kubectl get`.
    Narrow,
    /// `kubectl get -o wide`.
    Wide,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Table {
    column_definitions: Vec<Column>,
    #[serde(default)]
    rows: Vec<Row>,
}

#[derive(Debug, Deserialize)]
struct Column {
    name: String,
    priority: i32,
}

#[derive(Debug, Deserialize)]
struct Row {
    cells: Vec<Value>,
}

/// What `kubectl get` would print of the objects at `path`.
pub async fn text(client: &Client, path: &str, detail: Detail) -> Result<String> {
    let request = Request::get(path).header(ACCEPT, "application/json;as=Table;v=v1;g=meta.k8s.io");
    let table = client.request::<Table>(request.body(Vec::new())?).await;
    Ok(render(&table.with_context(|| format!("no table of {path}"))?, detail))
}

fn render(table: &Table, detail: Detail) -> String {
    let definitions = &table.column_definitions;
    let shown: Vec<usize> = (0..definitions.len())
        .filter(|at| detail == Detail::Wide || definitions[*at].priority == 0)
        .collect();
    let head = shown.iter().map(|at| definitions[*at].name.to_uppercase()).collect();
    let row = |row: &Row| shown.iter().map(|at| row.cells.get(*at).map(cell).unwrap_or_default()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(table.rows.iter().map(row)).collect();
    columns(&rows, &[], GAP)
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.lines().next().unwrap_or_default().to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_of_lower_priority_are_shown_only_in_a_wide_table() {
        let table: Table = serde_json::from_value(json!({
            "columnDefinitions": [
                {"name": "Name", "priority": 0}, {"name": "Min", "priority": 1}, {"name": "Lag", "priority": 0},
            ],
            "rows": [{"cells": ["a-long-name", 1, null]}, {"cells": ["b", 2, 30]}],
        }))
        .expect("a table");

        let texts = [Detail::Narrow, Detail::Wide].map(|detail| render(&table, detail));

        assert_eq!(
            texts,
            [
                "NAME          LAG\na-long-name\nb             30\n",
                "NAME          MIN   LAG\na-long-name   1\nb             2     30\n",
            ]
        );
    }
}
