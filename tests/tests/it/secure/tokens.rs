//! The token endpoint.

use std::time::Duration;

use anyhow::Result;
use plaudit_tests::stack::certificates::Authority;
use plaudit_tests::stack::tokens::{Behaviour, TokenEndpoint};
use serde_json::Value;

use super::client::post;

#[test]
fn an_endpoint_serves_clients_with_their_secret_and_does_as_it_is_told() -> Result<()> {
    let (authority, strangers) = (Authority::new("authority")?, Authority::new("stranger")?);
    let endpoint = TokenEndpoint::start(&authority.server(&["127.0.0.1"])?)?;
    endpoint.register("worker", "old & new");
    endpoint.set_lifetime(Duration::from_secs(90));
    let (url, ours) = (endpoint.token_url(), authority.pem());
    let ask = |secret| {
        let form = [("grant_type", "client_credentials"), ("client_id", "worker"), ("client_secret", secret)];
        let (status, body) = post(&url, &ours, &form)?;
        let body: Value = serde_json::from_str(&body)?;
        let parts = body["access_token"].as_str().map(|token| token.split('.').count());
        Ok::<_, anyhow::Error>((
            status,
            body["expires_in"].as_u64(),
            parts,
            body["error"].as_str().map(str::to_owned),
        ))
    };
    let token = || (200, Some(90), Some(3), None);
    let error = |status, error: &str| (status, None, None, Some(error.to_owned()));

    let served = ask("old & new")?;
    endpoint.register("worker", "other");
    let changed = (ask("old & new")?, ask("other")?);
    endpoint.set_behaviour(Behaviour::Say(503, r#"{"error":"temporarily_unavailable"}"#));
    let refused = ask("other")?;
    endpoint.set_behaviour(Behaviour::Delay(Duration::from_secs(3)));
    let late = ask("other").is_err();
    endpoint.set_behaviour(Behaviour::Serve);
    endpoint.set_identity(&strangers.server(&["127.0.0.1"])?)?;
    let distrusted = ask("other").is_err();

    let asked: Vec<Option<u16>> = endpoint.asked().into_iter().map(|asked| asked.status).collect();
    assert_eq!(
        (served, changed, refused, late, distrusted, asked),
        (
            token(),
            (error(401, "invalid_client"), token()),
            error(503, "temporarily_unavailable"),
            true,
            true,
            vec![Some(200), Some(401), Some(200), Some(503), None]
        )
    );
    Ok(())
}
