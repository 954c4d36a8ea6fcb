//! The broker's `server.properties`.

use std::net::Ipv4Addr;
use std::path::Path;

/// Clients come to `host` and the first of `ports`; the second is the controller's, on 127.0.0.1. `routes` are pairs of a listener's port and the port of the proxy that clients of that listener have to use; `more` wins.
pub(super) fn text(
    host: Ipv4Addr,
    (port, controller_port): (u16, u16),
    routes: &[(u16, u16)],
    data: &Path,
    more: &[(String, String)],
) -> String {
    const HOST: Ipv4Addr = Ipv4Addr::LOCALHOST;
    let mut listeners = format!("PLAINTEXT://{host}:{port},CONTROLLER://{HOST}:{controller_port}");
    let mut advertised = format!("PLAINTEXT://{host}:{port}");
    let mut protocols = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned();
    for (at, (listener, proxy)) in routes.iter().enumerate() {
        listeners.push_str(&format!(",ROUTE{at}://{HOST}:{listener}"));
        advertised.push_str(&format!(",ROUTE{at}://{HOST}:{proxy}"));
        protocols.push_str(&format!(",ROUTE{at}:PLAINTEXT"));
    }
    let mut text = format!(
        "controller.quorum.voters=1@{HOST}:{controller_port}\n\
         listeners={listeners}\n\
         advertised.listeners={advertised}\n\
         listener.security.protocol.map={protocols}\n\
         log.dirs={}\n{SMALL_NODE}{FAST_DETECTION}",
        data.display()
    );
    for (name, value) in more {
        text.push_str(&format!("{name}={value}\n"));
    }
    text
}

/// Everything a node alone needs, with as few threads and partitions of its own as it takes.
const SMALL_NODE: &str = "\
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
auto.create.topics.enable=false
num.partitions=12
default.replication.factor=1
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
num.network.threads=2
num.io.threads=2
num.replica.fetchers=1
background.threads=2
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=2097152
";

/// Tests wait for timeouts; a broker's defaults forbid short ones. After a `kill -9`, a start waits until the session of the dead
/// broker ends (9 s by default), so that is short too.
const FAST_DETECTION: &str = "\
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.session.timeout.ms=6000
group.consumer.min.heartbeat.interval.ms=200
group.consumer.heartbeat.interval.ms=1000
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=2000
";
