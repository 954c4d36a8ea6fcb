//! values.yaml as documentation: each value with the comment above it and its default.

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// One value that has a comment.
#[derive(Clone, Debug, PartialEq)]
pub struct Documented {
    /// `image.tag`.
    pub path: String,
    /// The comment, in one line.
    pub text: String,
    /// The default; `None` where values below this one are documented, too.
    pub default: Option<Value>,
}

/// Reads the text of a values.yaml: block style, indented by two spaces.
///
/// # Errors
/// No YAML, or a comment above something that is no value.
pub fn read(text: &str) -> Result<Vec<Documented>> {
    let values: Value = serde_yaml::from_str(text).context("values.yaml is not YAML")?;
    let (mut found, mut above, mut path) = (Vec::<Documented>::new(), Vec::new(), Vec::<&str>::new());
    for line in text.lines() {
        let depth = line.len() - line.trim_start().len();
        match line.trim_start() {
            "" => above.clear(),
            comment if comment.starts_with('#') => above.push(comment.trim_start_matches('#').trim()),
            content => {
                let Some((key, _)) = content.split_once(':') else { bail!("no value: {line}") };
                path.truncate(depth / 2);
                path.push(key);
                if !above.is_empty() {
                    let path = path.join(".");
                    let pointer = format!("/{}", path.replace('.', "/"));
                    let default = values.pointer(&pointer).with_context(|| format!("no value: {path}"))?;
                    found.push(Documented { path, text: above.join(" "), default: Some(default.clone()) });
                    above.clear();
                }
            }
        }
    }
    let paths: Vec<String> = found.iter().map(|value| format!("{}.", value.path)).collect();
    for (value, own) in found.iter_mut().zip(&paths) {
        if paths.iter().any(|path| path != own && path.starts_with(own)) {
            value.default = None;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_comment_belongs_to_the_value_below_it() {
        let text = "# About the file.\n\n# How\n# many.\nreplicas: 1\n\n# The image.\nimage:\n  # Its tag.\n  tag: \"\"\nplain: {}\n\
                    # The context.\ncontext:\n  user: 1\n";
        let value = |path: &str, text: &str, default| Documented {
            path: path.to_owned(),
            text: text.to_owned(),
            default,
        };

        let found = read(text).unwrap();

        assert_eq!(
            found,
            [
                value("replicas", "How many.", Some(json!(1))),
                value("image", "The image.", None),
                value("image.tag", "Its tag.", Some(json!(""))),
                value("context", "The context.", Some(json!({"user": 1}))),
            ]
        );
    }
}
