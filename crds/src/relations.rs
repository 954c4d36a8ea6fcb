//! Rules between fields: their messages, which the CRD's CEL rules use too, and the same rules in Rust.
//!
//! The API server evaluates the CEL form; `plaudit local` and the worker have no API server and use the Rust form. A test holds the
//! two against each other.

use std::collections::BTreeSet;

use crate::achievements::{Achievements, Policy};
use crate::check::{Violation, Violations};
use crate::properties::Properties;
use crate::resource::{AchievementPipelineSpec, GroupProtocol};
use crate::security::{Mechanism, Sasl, SourceSecurity, StoreSecurity};
use crate::worker::WorkerConfig;

pub(crate) const IMMUTABLE: &str =
    "cannot be changed: what is already stored depends on it; create a new pipeline instead";
pub(crate) const GROUP_IMMUTABLE: &str = "consumerGroup cannot be set, changed or removed later: it holds the position in the topic; create a new pipeline instead";
pub(crate) const DOTS: &str = "Kafka has no topic named . or ..; give the topic another name";
pub(crate) const MAX_BELOW_MIN: &str =
    "maxReplicas is below minReplicas; raise maxReplicas or lower minReplicas";
pub(crate) const DEAD_LETTERS_LOOP: &str =
    "deadLetters.topic is the source topic, so bad records would come back for ever; give another topic";
pub(crate) const DEAD_LETTERS_TOO_LONG: &str = "the source topic's name is too long to add .dead-letters to it (249 letters at most); set deadLetters.topic";
pub(crate) const SESSION: &str = "session.timeout.ms (default 10000) is less than three times heartbeat.interval.ms (default 500); raise the first or lower the second";
pub(crate) const BROKER_SESSION: &str = "with groupProtocol consumer the broker sets session and heartbeat; remove session.timeout.ms and heartbeat.interval.ms from properties";
pub(crate) const POLL: &str =
    "max.poll.interval.ms is below session.timeout.ms (default 10000); raise the first or lower the second";
pub(crate) const TIERS_OF_BITS: &str =
    "tiers need an order, and the values of bitOr have none; remove tiers or take another policy";
pub(crate) const TIERS_ORDER: &str = "tiers must ascend, and descend with min; sort them, each once";
pub(crate) const TIERS_WITHOUT_TOPIC: &str =
    "a type has tiers, but unlocks.topic says nowhere to announce them; set it or remove the tiers";
pub(crate) const UNLOCKS_ELSEWHERE: &str =
    "unlocks.topic is the source topic or that of dead letters; give unlocks a topic of their own";
pub(crate) const SASL_IN_CLEAR: &str = "sasl.mechanism PLAIN and OAUTHBEARER send a secret as it is, and without tls everybody on the way can read it; add tls, or take SCRAM-SHA-512";
pub(crate) const OAUTH_MISSING: &str = "oauth is missing: mechanism OAUTHBEARER has its tokens from there; add oauth.tokenEndpoint, clientId and clientSecret";
pub(crate) const OAUTH_UNUSED: &str =
    "oauth is for mechanism OAUTHBEARER only; remove it or change mechanism";
pub(crate) const LOGIN_MISSING: &str =
    "username and password are both needed by mechanisms PLAIN and SCRAM; add what is missing";
pub(crate) const LOGIN_UNUSED: &str =
    "username and password are not used by mechanism OAUTHBEARER; remove them or change mechanism";
pub(crate) const USERNAME_ALONE: &str =
    "username without password: the server asks for both; add password or remove username";
const DEAD_LETTERS_ARE_SOURCE: &str =
    "is the source topic, so bad records would come back for ever; give another topic";
const DUPLICATE_TYPE: &str = "is listed twice; keep one of the two";
const BUDGET: &str =
    "is below batch.maxBytes, so no batch would fit; raise memoryBudgetBytes or lower batch.maxBytes";

// Three heartbeats must fit a session, or one lost packet costs a rebalance. In CEL a dot in a name is written __dot__.
pub(crate) const SESSION_RULE: &str = "(has(self.session__dot__timeout__dot__ms) ? self.session__dot__timeout__dot__ms : 10000) >= \
     3 * (has(self.heartbeat__dot__interval__dot__ms) ? self.heartbeat__dot__interval__dot__ms : 500)";
pub(crate) const POLL_RULE: &str = "!has(self.max__dot__poll__dot__interval__dot__ms) || self.max__dot__poll__dot__interval__dot__ms >= \
     (has(self.session__dot__timeout__dot__ms) ? self.session__dot__timeout__dot__ms : 10000)";

const DEFAULT_SESSION_TIMEOUT_MS: i32 = 10_000;
const DEFAULT_HEARTBEAT_INTERVAL_MS: i32 = 500;
// Kafka's limit of 249 less the length of ".dead-letters".
const LONGEST_TOPIC_WITH_DEFAULT_DEAD_LETTERS: usize = 236;

/// The relations a pipeline breaks, paths from the object's root.
pub(crate) fn of_pipeline(spec: &AchievementPipelineSpec) -> Violations {
    let mut broken = Vec::new();
    if is_dots(&spec.source.topic) {
        broken.push(Violation::new("spec.source.topic", DOTS));
    }
    match &spec.dead_letters.topic {
        Some(topic) if *topic == spec.source.topic => broken.push(Violation::new("spec", DEAD_LETTERS_LOOP)),
        None if spec.source.topic.len() > LONGEST_TOPIC_WITH_DEFAULT_DEAD_LETTERS => {
            broken.push(Violation::new("spec", DEAD_LETTERS_TOO_LONG));
        }
        Some(_) | None => {}
    }
    if spec.scaling.max_replicas.is_some_and(|max| max < spec.scaling.min_replicas) {
        broken.push(Violation::new("spec.scaling", MAX_BELOW_MIN));
    }
    let topics = Topics {
        source: &spec.source.topic,
        dead_letters: &spec.dead_letters_topic(),
        unlocks: spec.unlocks.topic.as_deref(),
    };
    of_unlocks("spec", &topics, &spec.achievements, &mut broken);
    of_properties("spec.source.properties", &spec.source.properties, &mut broken);
    of_protocol("spec.source", spec.source.group_protocol, &spec.source.properties, &mut broken);
    of_source_security("spec.source.security", &spec.source.security, &mut broken);
    of_store_security("spec.store.security", &spec.store.security, &mut broken);
    of_types("spec.achievements.types", &spec.achievements, &mut broken);
    Violations::from(broken)
}

/// The relations a worker's configuration breaks.
pub(crate) fn of_worker(config: &WorkerConfig) -> Violations {
    let mut broken = Vec::new();
    if is_dots(&config.source.topic) {
        broken.push(Violation::new("source.topic", DOTS));
    }
    if config.dead_letters.topic == config.source.topic {
        broken.push(Violation::new("deadLetters.topic", DEAD_LETTERS_ARE_SOURCE));
    }
    if i64::try_from(config.memory_budget_bytes).is_ok_and(|budget| budget < config.batch.max_bytes) {
        broken.push(Violation::new("memoryBudgetBytes", BUDGET));
    }
    let topics = Topics {
        source: &config.source.topic,
        dead_letters: &config.dead_letters.topic,
        unlocks: config.unlocks.topic.as_deref(),
    };
    of_unlocks("", &topics, &config.achievements, &mut broken);
    of_properties("source.properties", &config.source.properties, &mut broken);
    of_protocol("source", config.source.group_protocol, &config.source.properties, &mut broken);
    of_source_security("source.security", &config.source.security, &mut broken);
    of_store_security("store.security", &config.store.security, &mut broken);
    of_types("achievements.types", &config.achievements, &mut broken);
    Violations::from(broken)
}

fn of_properties(path: &str, properties: &Properties, broken: &mut Vec<Violation>) {
    let session = properties.session_timeout_ms.unwrap_or(DEFAULT_SESSION_TIMEOUT_MS);
    let heartbeat = properties.heartbeat_interval_ms.unwrap_or(DEFAULT_HEARTBEAT_INTERVAL_MS);
    if session < heartbeat.saturating_mul(3) {
        broken.push(Violation::new(path, SESSION));
    }
    if properties.max_poll_interval_ms.is_some_and(|interval| interval < session) {
        broken.push(Violation::new(path, POLL));
    }
}

fn of_protocol(path: &str, protocol: GroupProtocol, properties: &Properties, broken: &mut Vec<Violation>) {
    let has_session = properties.session_timeout_ms.is_some() || properties.heartbeat_interval_ms.is_some();
    if protocol == GroupProtocol::Consumer && has_session {
        broken.push(Violation::new(path, BROKER_SESSION));
    }
}

fn of_source_security(path: &str, security: &SourceSecurity, broken: &mut Vec<Violation>) {
    let Some(sasl) = &security.sasl else { return };
    let is_clear = match sasl.mechanism {
        Mechanism::Plain | Mechanism::OAuthBearer => security.tls.is_none(),
        Mechanism::ScramSha256 | Mechanism::ScramSha512 => false,
    };
    if is_clear {
        broken.push(Violation::new(path, SASL_IN_CLEAR));
    }
    of_sasl(&format!("{path}.sasl"), sasl, broken);
}

fn of_sasl(path: &str, sasl: &Sasl, broken: &mut Vec<Violation>) {
    let (has_user, has_password) = (sasl.username.is_some(), sasl.password.is_some());
    let broken_rules = match sasl.mechanism {
        Mechanism::OAuthBearer => [
            (sasl.oauth.is_none()).then_some(OAUTH_MISSING),
            (has_user || has_password).then_some(LOGIN_UNUSED),
        ],
        Mechanism::Plain | Mechanism::ScramSha256 | Mechanism::ScramSha512 => [
            sasl.oauth.is_some().then_some(OAUTH_UNUSED),
            (!has_user || !has_password).then_some(LOGIN_MISSING),
        ],
    };
    broken.extend(broken_rules.into_iter().flatten().map(|rule| Violation::new(path, rule)));
}

fn of_store_security(path: &str, security: &StoreSecurity, broken: &mut Vec<Violation>) {
    if security.username.is_some() && security.password.is_none() {
        broken.push(Violation::new(path, USERNAME_ALONE));
    }
}

/// Topics that must not be mixed up.
struct Topics<'a> {
    source: &'a str,
    dead_letters: &'a str,
    unlocks: Option<&'a str>,
}

fn of_unlocks(path: &str, topics: &Topics<'_>, achievements: &Achievements, broken: &mut Vec<Violation>) {
    match topics.unlocks {
        None if achievements.types.iter().any(|listed| !listed.tiers.is_empty()) => {
            broken.push(Violation::new(path, TIERS_WITHOUT_TOPIC));
        }
        Some(topic) if topic == topics.source || topic == topics.dead_letters => {
            broken.push(Violation::new(path, UNLOCKS_ELSEWHERE));
        }
        Some(_) | None => {}
    }
}

fn of_types(path: &str, achievements: &Achievements, broken: &mut Vec<Violation>) {
    let mut seen = BTreeSet::new();
    for (index, listed) in achievements.types.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if !seen.insert(listed.r#type) {
            broken
                .push(Violation::new(format!("{path}.type"), format!("{} {DUPLICATE_TYPE}", listed.r#type)));
        }
        if !listed.tiers.is_empty() && listed.policy == Policy::BitOr {
            broken.push(Violation::new(&path, TIERS_OF_BITS));
        }
        let in_order = |pair: &[i64]| match listed.policy {
            Policy::Min => pair[0] > pair[1],
            _ => pair[0] < pair[1],
        };
        if !listed.tiers.windows(2).all(in_order) {
            broken.push(Violation::new(&path, TIERS_ORDER));
        }
    }
}

fn is_dots(topic: &str) -> bool {
    matches!(topic, "." | "..")
}
