//! A rule says which requests to an API server go wrong, and how.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

/// Which requests, and what becomes of them. By itself it takes every request that fits, once.
#[derive(Debug, Clone)]
pub struct Rule {
    method: Method,
    part: String,
    skip: u64,
    times: u64,
    fault: Fault,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is refused, and never comes to the server.
    Refuse(Refusal),
    /// The connection ends before it comes to the server.
    Cut,
    /// The server carries it out, and the connection ends before the answer: what became of it is unknown.
    LoseAnswer,
    /// It comes to the server this much later.
    Delay(Duration),
    /// A watch ends after so many events, as the server ends one that has become old.
    EndWatch { events: u64 },
    /// A watch is told after so many events that its resource version is no longer kept (410 within the stream), and ends.
    ExpireWatch { events: u64 },
}

/// In the words of the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// 409: somebody else has written it since.
    Conflict,
    /// 409: there is one of this name.
    AlreadyExists,
    /// 403.
    Forbidden,
    /// 404.
    NotFound,
    /// 410: this resource version, or this page of a list, is no longer kept.
    Expired,
    /// 429, with `Retry-After` in whole seconds. kube's client asks again by itself unless `Config::default_retry` is off.
    TooManyRequests { retry_after_seconds: u32 },
    /// 500.
    Internal,
    /// 503. kube's client asks again, as above.
    Unavailable,
}

/// The rules in force, in the order they came.
#[derive(Debug, Default)]
pub(super) struct Script(Vec<Rule>);

impl Rule {
    /// For requests of this method whose path with query contains `part`. A watch is a GET with `watch=true`.
    pub fn new(method: Method, part: &str, fault: Fault) -> Self {
        Self { method, part: part.to_owned(), skip: 0, times: 1, fault }
    }

    /// The first `requests` that fit pass.
    #[must_use]
    pub fn after(self, requests: u64) -> Self {
        Self { skip: requests, ..self }
    }

    /// So many requests, not one.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }

    /// Every request, until [`super::ApiProxy::heal`].
    #[must_use]
    pub fn always(self) -> Self {
        self.times(u64::MAX)
    }
}

impl Script {
    pub(super) fn add(&mut self, rule: Rule) {
        self.0.push(rule);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// What is to become of this request. Of several rules the first wins; each counts the requests that reach it.
    pub(super) fn next(&mut self, method: &Method, path: &str) -> Option<Fault> {
        for rule in &mut self.0 {
            if rule.times == 0 || rule.method != *method || !path.contains(&rule.part) {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            rule.times -= 1;
            return Some(rule.fault);
        }
        None
    }
}

impl Refusal {
    pub(super) fn status(self) -> StatusCode {
        self.words().0
    }

    pub(super) fn retry_after_seconds(self) -> Option<u32> {
        match self {
            Self::TooManyRequests { retry_after_seconds } => Some(retry_after_seconds),
            Self::Conflict
            | Self::AlreadyExists
            | Self::Forbidden
            | Self::NotFound
            | Self::Expired
            | Self::Internal
            | Self::Unavailable => None,
        }
    }

    /// The object that explains it.
    pub(super) fn object(self) -> Value {
        let (code, reason, message) = self.words();
        json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": code.as_u16(),
        })
    }

    fn words(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Conflict => (StatusCode::CONFLICT, "Conflict", "the object has been modified (injected)"),
            Self::AlreadyExists => (StatusCode::CONFLICT, "AlreadyExists", "it already exists (injected)"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "Forbidden", "it is forbidden (injected)"),
            Self::NotFound => (StatusCode::NOT_FOUND, "NotFound", "it is not found (injected)"),
            Self::Expired => (StatusCode::GONE, "Expired", "too old resource version (injected)"),
            Self::TooManyRequests { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", "too many requests (injected)")
            }
            Self::Internal => {
                (StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "an internal error (injected)")
            }
            Self::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", "it is not available (injected)")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_passes_the_first_ones_then_takes_as_many_as_it_says() {
        let mut script = Script::default();
        script.add(Rule::new(Method::PUT, "/leases/", Fault::Cut).after(1).times(2));
        script.add(Rule::new(Method::PUT, "/leases/b", Fault::LoseAnswer).always());

        let paths = ["/x/leases/a", "/x/leases/a", "/x/pods/a", "/x/leases/b", "/x/leases/a", "/x/leases/b"];
        let faults = paths.map(|path| script.next(&Method::PUT, path));
        let other = script.next(&Method::GET, "/x/leases/b");

        let expected = [None, Some(Fault::Cut), None, Some(Fault::Cut), None, Some(Fault::LoseAnswer)];
        assert_eq!((faults, other), (expected, None));
    }
}
