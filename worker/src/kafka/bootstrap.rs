//! The way back for a client that lost all its brokers.
//!
//! A broker that is starting, or was away for long, may answer that there are no brokers. librdkafka 2.12.1 then drops those
//! it knows, and forgets to go back to its bootstrap servers (librdkafka #5301, open in 2026): it never connects again.

use std::ffi::CString;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::lane::lock;

/// The servers are added again after so long, and no more often: in a usual outage the client comes back by itself, and it
/// keeps what it was given each time.
const PATIENCE: Duration = Duration::from_secs(15);

/// The bootstrap servers of one client, and since when it has had no broker, as far as it said.
#[derive(Debug)]
pub struct Bootstrap {
    servers: CString,
    /// When all brokers were first reported down after the servers were last added.
    down: Mutex<Option<Instant>>,
}

impl Bootstrap {
    /// `servers`: what the client has as `bootstrap.servers`.
    pub fn new(servers: &str) -> Self {
        // Anything with a zero in it was refused as `bootstrap.servers`.
        Self { servers: CString::new(servers).unwrap_or_default(), down: Mutex::new(None) }
    }

    /// To be told each error that the client reports.
    pub fn note(&self, error: &KafkaError) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            lock(&self.down).get_or_insert_with(Instant::now);
        }
    }

    /// Gives `client` its servers again if all brokers were down a while ago: harmless if they are back.
    pub fn restore<C: ClientContext>(&self, client: &Client<C>) {
        let is_due = {
            let mut down = lock(&self.down);
            let is_due = down.is_some_and(|since| since.elapsed() >= PATIENCE);
            down.take_if(|_| is_due);
            is_due
        };
        if is_due {
            tracing::debug!(servers = ?self.servers, "bootstrap servers added again");
            // SAFETY: the client outlives the call, which copies the C string.
            unsafe { sys::rd_kafka_brokers_add(client.native_ptr(), self.servers.as_ptr()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, Producer as _};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);
    const DOWN: KafkaError = KafkaError::Global(RDKafkaErrorCode::AllBrokersDown);

    fn is_due(bootstrap: &Bootstrap) -> bool {
        lock(&bootstrap.down).is_some()
    }

    #[test]
    fn a_client_without_brokers_finds_them_again() {
        let cluster = MockCluster::new(1).unwrap();
        // Nobody listens there, as if the client had been told that there are no brokers.
        let mut config = ClientConfig::new();
        let producer: BaseProducer = config.set("bootstrap.servers", "127.0.0.1:1").create().unwrap();
        let bootstrap = Bootstrap::new(&cluster.bootstrap_servers());
        bootstrap.note(&DOWN);
        let noted = lock(&bootstrap.down).map(|since| since - PATIENCE);
        *lock(&bootstrap.down) = noted;

        bootstrap.restore(producer.client());

        let metadata = producer.client().fetch_metadata(None, LIMIT);
        assert_eq!(metadata.map(|metadata| metadata.brokers().len()), Ok(1));
    }

    #[test]
    fn servers_are_added_again_once_and_only_after_a_while() {
        let producer: BaseProducer = ClientConfig::new().create().unwrap();
        let bootstrap = Bootstrap::new("127.0.0.1:1");
        bootstrap.note(&KafkaError::Global(RDKafkaErrorCode::BrokerTransportFailure));
        assert!(!is_due(&bootstrap));
        bootstrap.note(&DOWN);
        bootstrap.restore(producer.client());
        assert!(is_due(&bootstrap), "not yet");
        let since = Instant::now().checked_sub(PATIENCE);
        *lock(&bootstrap.down) = since;
        bootstrap.note(&DOWN);
        assert_eq!(*lock(&bootstrap.down), since, "the first report counts");
        bootstrap.restore(producer.client());
        assert!(!is_due(&bootstrap));
    }
}
