//! Follows the Secrets of a running worker: what can be taken without a restart is taken.
//!
//! The Kafka client takes a new password for its next connections, but reads certificates and keys only when it is made: for those
//! the operator starts workers anew, one after the other. A worker that Kafka has never let in ends by itself, to be started again: if it
//! began while its Secret was wrong for a while, the operator finds the certificates that it knows. The store's connections read
//! everything when they are made.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::kafka::KafkaOutbox;
use crate::security::{Directory, KafkaCredentials, SecurityError};
use crate::worker::Worker;

/// A kubelet brings new Secrets within a minute or so.
const PERIOD: Duration = Duration::from_secs(5);

/// Looks every few seconds until the worker stops.
pub(crate) async fn follow(worker: Worker, outbox: KafkaOutbox, secrets: Directory, stop: CancellationToken) {
    let (source, store) = (&worker.config.source.security, &worker.config.store.security);
    if source.keys().is_empty() && store.keys().is_empty() {
        return;
    }
    let mut told: Option<SecurityError> = None;
    let mut tried = worker.connector.credentials();
    loop {
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = stop.cancelled() => return,
        }
        match KafkaCredentials::read(source, &secrets) {
            Ok(credentials) => {
                told = None;
                take(&worker, &outbox, &credentials);
                if !worker.access.is_reached() && credentials.tls != worker.access.credentials().tls {
                    tracing::warn!(
                        "Kafka has not let this worker in, and its certificates are new: it ends, to be started with them"
                    );
                    stop.cancel();
                    return;
                }
            }
            Err(error) if told.as_ref() != Some(&error) => {
                let SecurityError { reason, message } = &error;
                tracing::warn!(reason, because = message, "new secrets refused; what was read before stays");
                told = Some(error);
            }
            Err(_) => {}
        }
        // While connections that were made before go on, nobody would notice that no new one can be made.
        let now = worker.connector.credentials();
        if now != tried || worker.connector.trouble().is_some() {
            worker.connector.try_out().await;
            tried = now;
        }
    }
}

fn take(worker: &Worker, outbox: &KafkaOutbox, found: &KafkaCredentials) {
    let before = worker.access.credentials();
    let Some(credentials) = found.for_client_of(&before).filter(|credentials| *credentials != *before) else {
        return;
    };
    tracing::info!("Kafka credentials replaced; new connections use them");
    worker.access.replace(credentials);
    outbox.tend();
}
