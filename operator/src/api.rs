//! The operator's client of the API server: counts what it asks, and sends no write without leadership.
//!
//! Both are done where requests leave, so that no caller can forget them. The term is asked for at the last moment: a process that was
//! stopped for longer than a lease and goes on does not write, though its elector has not noticed yet.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use http::{Method, Request, Response};
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use tower_layer::Layer;
use tower_service::Service;

use crate::leader::Term;
use crate::metrics::Metrics;

/// A client of the cluster that `config` names. Writes are sent while `term` holds; without a term, always: that is for the elector.
///
/// # Errors
/// A configuration that no client can be built from.
pub fn client(mut config: Config, metrics: Metrics, term: Option<Term>) -> Result<Client, kube::Error> {
    // A write that is sent again after a pause would pass the term unasked. Whoever asked tries again, with what is true then.
    config.default_retry = false;
    Ok(ClientBuilder::try_from(config)?.with_layer(&Watched { metrics, term }).build())
}

/// A write that was not sent.
#[derive(Debug, thiserror::Error)]
#[error("this operator does not lead any more")]
pub struct NotLeading;

#[derive(Clone)]
struct Watched {
    metrics: Metrics,
    term: Option<Term>,
}

impl<S> Layer<S> for Watched {
    type Service = WatchedService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        WatchedService { inner, watched: self.clone() }
    }
}

struct WatchedService<S> {
    inner: S,
    watched: Watched,
}

type Error = Box<dyn std::error::Error + Send + Sync>;

impl<S, B> Service<Request<Body>> for WatchedService<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<Error>,
{
    type Response = Response<B>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Watched { metrics, term } = self.watched.clone();
        let asked = asked(request.method(), request.uri().path(), request.uri().query().unwrap_or_default());
        let start = Instant::now();
        if asked.is_write && term.is_some_and(|term| !term.holds()) {
            return Box::pin(async move {
                metrics.api_request(&asked.resource, asked.verb, None, start.elapsed());
                Err(NotLeading.into())
            });
        }
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await.map_err(Into::into);
            let code = answer.as_ref().ok().map(|answer| answer.status().as_u16());
            metrics.api_request(&asked.resource, asked.verb, code, start.elapsed());
            answer
        })
    }
}

/// What a request is about, in the words of RBAC.
#[derive(Debug, PartialEq)]
struct Asked {
    /// Plural, with its subresource: `deployments`, `achievementpipelines/status`.
    resource: String,
    verb: &'static str,
    is_write: bool,
}

/// Reads `/api/v1/…` and `/apis/GROUP/VERSION/…`; the names of objects and namespaces are left out, so that there are few labels.
fn asked(method: &Method, path: &str, query: &str) -> Asked {
    let mut parts = path.trim_matches('/').split('/');
    let skip = match parts.next() {
        Some("api") => 1,
        Some("apis") => 2,
        // /version, /livez and the like.
        Some(_) | None => {
            return Asked { resource: "other".to_owned(), verb: verb(method, true, query), is_write: false };
        }
    };
    let mut parts = parts.skip(skip).peekable();
    let mut first = parts.next();
    // A namespace is a place, unless it is what is asked for.
    if first == Some("namespaces") {
        let name = parts.next();
        if parts.peek().is_some() {
            first = parts.next();
        } else {
            let verb = verb(method, name.is_some(), query);
            return Asked { resource: "namespaces".to_owned(), verb, is_write: is_write(method) };
        }
    }
    let Some(resource) = first.filter(|resource| !resource.is_empty()) else {
        return Asked { resource: "discovery".to_owned(), verb: verb(method, true, query), is_write: false };
    };
    let (name, subresource) = (parts.next(), parts.next());
    let resource =
        subresource.map_or_else(|| resource.to_owned(), |subresource| format!("{resource}/{subresource}"));
    Asked { resource, verb: verb(method, name.is_some(), query), is_write: is_write(method) }
}

fn is_write(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn verb(method: &Method, is_one: bool, query: &str) -> &'static str {
    let is_watch = query.split('&').any(|pair| pair == "watch=true" || pair == "watch=1");
    match *method {
        Method::GET if is_watch => "watch",
        Method::GET if is_one => "get",
        Method::GET => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if is_one => "delete",
        Method::DELETE => "deletecollection",
        _ => "other",
    }
}

#[cfg(test)]
mod tests;
