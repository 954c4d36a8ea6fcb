//! The broker's `server.properties`.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::Kafka;

/// A listener besides the plain one.
#[derive(Debug)]
pub(super) struct Extra {
    /// In upper case.
    pub(super) name: String,
    pub(super) host: Ipv4Addr,
    pub(super) port: u16,
    /// The port that its clients are told to use.
    pub(super) advertised: u16,
    pub(super) protocol: &'static str,
}

impl Kafka {
    /// Writes all of it anew.
    pub(super) fn write_properties(&self) -> Result<()> {
        let ports = (self.port, self.controller_port);
        let data = self.directory.join("data");
        let mut text = text(self.options.host, ports, &self.extra_listeners(), &data);
        if let Some(secured) = &self.secured {
            text.push_str(&secured.properties()?);
        }
        for (name, value) in &self.options.properties {
            text.push_str(&format!("{name}={value}\n"));
        }
        let file = self.directory.join("server.properties");
        fs::write(&file, text).with_context(|| format!("could not write {}", file.display()))
    }

    fn extra_listeners(&self) -> Vec<Extra> {
        let routes = self.routes.iter().enumerate().map(|(at, route)| Extra {
            name: format!("ROUTE{at}"),
            host: Ipv4Addr::LOCALHOST,
            port: route.port,
            advertised: route.proxy.port(),
            protocol: "PLAINTEXT",
        });
        let secured = self.secured.iter().flat_map(|secured| secured.extras(self.options.host));
        routes.chain(secured).collect()
    }
}

/// Clients come to `host` and the first of `ports`; the second is the controller's, on 127.0.0.1.
fn text(host: Ipv4Addr, (port, controller_port): (u16, u16), extras: &[Extra], data: &Path) -> String {
    const HOST: Ipv4Addr = Ipv4Addr::LOCALHOST;
    let mut listeners = format!("PLAINTEXT://{host}:{port},CONTROLLER://{HOST}:{controller_port}");
    let mut advertised = format!("PLAINTEXT://{host}:{port}");
    let mut protocols = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned();
    for extra in extras {
        listeners.push_str(&format!(",{}://{}:{}", extra.name, extra.host, extra.port));
        advertised.push_str(&format!(",{}://{}:{}", extra.name, extra.host, extra.advertised));
        protocols.push_str(&format!(",{}:{}", extra.name, extra.protocol));
    }
    format!(
        "controller.quorum.voters=1@{HOST}:{controller_port}\n\
         listeners={listeners}\n\
         advertised.listeners={advertised}\n\
         listener.security.protocol.map={protocols}\n\
         log.dirs={}\n{SMALL_NODE}{FAST_DETECTION}",
        data.display()
    )
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
