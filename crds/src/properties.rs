//! The allow-list of Kafka client settings a pipeline may give.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::{forms, relations};

/// Settings of the Kafka client under librdkafka's own names. Nothing here loads, reads or connects elsewhere.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new(relations::SESSION_RULE).message(relations::SESSION))]
#[x_kube(validation = Rule::new(relations::POLL_RULE).message(relations::POLL))]
pub struct Properties {
    /// How long the broker waits for fetch.min.bytes.
    #[schemars(with = "i32", range(min = 0, max = 10_000))]
    #[serde(rename = "fetch.wait.max.ms", default, skip_serializing_if = "Option::is_none")]
    pub fetch_wait_max_ms: Option<i32>,
    /// What the broker collects before it answers.
    #[schemars(with = "i32", range(min = 1, max = 10_485_760))]
    #[serde(rename = "fetch.min.bytes", default, skip_serializing_if = "Option::is_none")]
    pub fetch_min_bytes: Option<i32>,
    /// What one partition gives in one answer.
    #[schemars(with = "i32", range(min = 1024, max = 104_857_600))]
    #[serde(rename = "fetch.message.max.bytes", default, skip_serializing_if = "Option::is_none")]
    pub fetch_message_max_bytes: Option<i32>,
    /// What one answer holds. The client refuses less than a megabyte.
    #[schemars(with = "i32", range(min = 1_000_000, max = 104_857_600))]
    #[serde(rename = "fetch.max.bytes", default, skip_serializing_if = "Option::is_none")]
    pub fetch_max_bytes: Option<i32>,
    /// Records a partition keeps ready in the client.
    #[schemars(with = "i32", range(min = 1, max = 1_000_000))]
    #[serde(rename = "queued.min.messages", default, skip_serializing_if = "Option::is_none")]
    pub queued_min_messages: Option<i32>,
    /// Kibibytes a partition keeps ready in the client.
    #[schemars(with = "i32", range(min = 1, max = 1_048_576))]
    #[serde(rename = "queued.max.messages.kbytes", default, skip_serializing_if = "Option::is_none")]
    pub queued_max_messages_kbytes: Option<i32>,
    /// TCP keep-alive.
    #[schemars(with = "bool")]
    #[serde(rename = "socket.keepalive.enable", default, skip_serializing_if = "Option::is_none")]
    pub socket_keepalive_enable: Option<bool>,
    /// How long a request may take.
    #[schemars(with = "i32", range(min = 1000, max = 300_000))]
    #[serde(rename = "socket.timeout.ms", default, skip_serializing_if = "Option::is_none")]
    pub socket_timeout_ms: Option<i32>,
    /// The rack of the workers: brokers let them read from the nearest replica.
    #[schemars(with = "String", length(min = 1, max = 128), regex(pattern = forms::RACK))]
    #[serde(rename = "client.rack", default, skip_serializing_if = "Option::is_none")]
    pub client_rack: Option<String>,
    /// After this silence the group gives a worker's partitions to others. Default of a worker: 10000.
    #[schemars(with = "i32", range(min = 6000, max = 300_000))]
    #[serde(rename = "session.timeout.ms", default, skip_serializing_if = "Option::is_none")]
    pub session_timeout_ms: Option<i32>,
    /// How often a worker shows that it is alive. Default of a worker: 500.
    #[schemars(with = "i32", range(min = 100, max = 100_000))]
    #[serde(rename = "heartbeat.interval.ms", default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_interval_ms: Option<i32>,
    /// After this long without a poll a worker leaves the group.
    #[schemars(with = "i32", range(min = 10_000, max = 3_600_000))]
    #[serde(rename = "max.poll.interval.ms", default, skip_serializing_if = "Option::is_none")]
    pub max_poll_interval_ms: Option<i32>,
}

impl Properties {
    /// The settings that are given, as (librdkafka's name, value) pairs in the order of the allow-list.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, String)> + use<> {
        let number = |value: Option<i32>| value.map(|value| value.to_string());
        [
            ("fetch.wait.max.ms", number(self.fetch_wait_max_ms)),
            ("fetch.min.bytes", number(self.fetch_min_bytes)),
            ("fetch.message.max.bytes", number(self.fetch_message_max_bytes)),
            ("fetch.max.bytes", number(self.fetch_max_bytes)),
            ("queued.min.messages", number(self.queued_min_messages)),
            ("queued.max.messages.kbytes", number(self.queued_max_messages_kbytes)),
            ("socket.keepalive.enable", self.socket_keepalive_enable.map(|value| value.to_string())),
            ("socket.timeout.ms", number(self.socket_timeout_ms)),
            ("client.rack", self.client_rack.clone()),
            ("session.timeout.ms", number(self.session_timeout_ms)),
            ("heartbeat.interval.ms", number(self.heartbeat_interval_ms)),
            ("max.poll.interval.ms", number(self.max_poll_interval_ms)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }
}
