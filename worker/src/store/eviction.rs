//! Whether the server may drop keys when its memory is full, which would be players.
//!
//! Managed servers deny CONFIG, so INFO is asked. A server that denies that too is not refused: somebody else may have looked.

use redis::{RedisError, Value};

/// What an answer of `INFO memory` says about it; `None` when nothing is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Eviction {
    /// Keys are dropped by this policy once memory is full.
    Allowed { policy: String },
    /// The server does not say.
    Unknown { why: String },
}

impl Eviction {
    /// One word for conditions.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Allowed { .. } => "EvictionAllowed",
            Self::Unknown { .. } => "EvictionUnknown",
        }
    }

    /// What it means, and what to do.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Allowed { policy } => format!(
                "its maxmemory-policy is {policy}, so it may drop players when its memory is full; set noeviction"
            ),
            Self::Unknown { why } => {
                format!("it does not tell its maxmemory-policy ({why}); make sure that it is noeviction")
            }
        }
    }
}

/// Reads the answer to `INFO memory`.
pub(super) fn eviction(answer: Result<Value, RedisError>) -> Option<Eviction> {
    let unknown = |why: &str| Some(Eviction::Unknown { why: why.to_owned() });
    let text = match answer {
        Ok(Value::BulkString(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
        Ok(Value::VerbatimString { text, .. }) => text,
        Ok(Value::ServerError(error)) => return unknown(error.code()),
        Ok(_) => return unknown("an unexpected answer"),
        Err(error) => return unknown(error.code().unwrap_or("no answer")),
    };
    let of = |name: &str| text.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'));
    match (of("maxmemory_policy"), of("maxmemory")) {
        (Some("noeviction"), _) | (Some(_), Some("0")) => None,
        (Some(policy), _) => Some(Eviction::Allowed { policy: policy.to_owned() }),
        (None, _) => unknown("INFO has no such line"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_full_memory_with_a_policy_drops_keys() {
        let info = |text: &str| Ok(Value::BulkString(text.as_bytes().to_vec()));
        let allowed = |policy: &str| Some(Eviction::Allowed { policy: policy.to_owned() });
        let unknown = |why: &str| Some(Eviction::Unknown { why: why.to_owned() });
        let cases = [
            (info("# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n"), None),
            (info("maxmemory:1048576\r\nmaxmemory_policy:noeviction\r\n"), None),
            (info("maxmemory:1048576\r\nmaxmemory_policy:allkeys-lru\r\n"), allowed("allkeys-lru")),
            (info("maxmemory_policy:volatile-ttl\r\n"), allowed("volatile-ttl")),
            (info("used_memory:1\r\n"), unknown("INFO has no such line")),
            (Ok(Value::Int(1)), unknown("an unexpected answer")),
        ];
        for (answer, expected) in cases {
            assert_eq!(eviction(answer), expected);
        }
    }
}
