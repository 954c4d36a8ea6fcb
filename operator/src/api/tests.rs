use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::PostParams;
use plaudit_worker::exposition;

use super::*;

#[test]
fn a_request_is_named_in_the_words_of_rbac() {
    let cases = [
        (Method::GET, "/apis/plaudit.dev/v1alpha1/achievementpipelines", "", "achievementpipelines list"),
        (
            Method::GET,
            "/apis/plaudit.dev/v1alpha1/achievementpipelines",
            "a=b&watch=true",
            "achievementpipelines watch",
        ),
        (
            Method::PATCH,
            "/apis/plaudit.dev/v1alpha1/namespaces/games/achievementpipelines/a/status",
            "",
            "achievementpipelines/status patch write",
        ),
        (
            Method::PATCH,
            "/apis/apps/v1/namespaces/games/deployments/a",
            "fieldManager=x",
            "deployments patch write",
        ),
        (Method::GET, "/api/v1/namespaces/games/pods", "", "pods list"),
        (Method::GET, "/api/v1/namespaces/games/pods/a", "", "pods get"),
        (Method::DELETE, "/api/v1/namespaces/games/configmaps/a", "", "configmaps delete write"),
        (Method::POST, "/apis/events.k8s.io/v1/namespaces/games/events", "", "events create write"),
        (Method::PUT, "/apis/coordination.k8s.io/v1/namespaces/p/leases/plaudit", "", "leases update write"),
        (Method::GET, "/api/v1/namespaces/games", "", "namespaces get"),
        (Method::GET, "/apis/apps/v1", "", "discovery get"),
        (Method::GET, "/version", "", "other get"),
        (Method::GET, "/", "", "other get"),
    ];

    let named = cases.clone().map(|(method, path, query, _)| {
        let Asked { resource, verb, is_write } = asked(&method, path, query);
        format!("{resource} {verb}{}", if is_write { " write" } else { "" })
    });

    assert_eq!(named, cases.map(|(_, _, _, named)| named.to_owned()));
}

/// Answers every request with an empty ConfigMap, and counts.
#[derive(Clone, Default)]
struct Server {
    requests: Arc<AtomicUsize>,
}

impl Service<Request<Body>> for Server {
    type Response = Response<Body>;
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<Response<Body>, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        self.requests.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok(Response::new(Body::from(b"{}".to_vec()))))
    }
}

#[tokio::test(start_paused = true)]
async fn writes_are_not_sent_when_the_term_is_over_and_reads_are() {
    let (server, metrics, term) = (Server::default(), Metrics::new().unwrap(), Term::endless());
    let layer = Watched { metrics: metrics.clone(), term: Some(term.clone()) };
    let client = ClientBuilder::new(server.clone(), "games").with_layer(&layer).build();
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    let write = async || api.create(&PostParams::default(), &ConfigMap::default()).await;
    write().await.unwrap();
    term.give_up();

    let refused = write().await.unwrap_err();
    api.get("a").await.unwrap();

    assert!(matches!(&refused, kube::Error::Service(error) if error.is::<NotLeading>()), "{refused:?}");
    assert_eq!(server.requests.load(Ordering::Relaxed), 2);
    let text = exposition::text(&metrics.registry);
    let counted: Vec<&str> =
        text.lines().filter(|line| line.starts_with("plaudit_operator_api_requests")).collect();
    assert_eq!(
        counted,
        [
            r#"plaudit_operator_api_requests_total{code="200",resource="configmaps",verb="create"} 1"#,
            r#"plaudit_operator_api_requests_total{code="200",resource="configmaps",verb="get"} 1"#,
            r#"plaudit_operator_api_requests_total{code="none",resource="configmaps",verb="create"} 1"#,
        ]
    );
}
