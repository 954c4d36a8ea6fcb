//! A repair is what mends a breakage.

use anyhow::Result;
use serde_json::Value;

use crate::secured::{Broken, Secrets};
use crate::stack::Acl;
use crate::stack::security::STORE_USER_PASSWORD;

/// What mends a breakage: another spec, other Secrets, or rights (often only one of them is new).
#[derive(Debug, Clone)]
pub struct Repair {
    pub spec: Value,
    pub secrets: Secrets,
    pub(super) rights: Rights,
}

/// Rights that a row's user lacks.
#[derive(Debug, Clone)]
pub(super) enum Rights {
    None,
    OfKafka(Vec<Acl>),
    OfStore { user: String, rules: Vec<String> },
}

impl Repair {
    pub(super) fn of((spec, secrets): (Value, Secrets), rights: Rights) -> Self {
        Self { spec, secrets, rights }
    }

    /// Gives the rights that were missing.
    pub fn give_rights(&self, servers: &Broken) -> Result<()> {
        match &self.rights {
            Rights::None => Ok(()),
            Rights::OfKafka(acls) => servers.secure.kafka.allow(acls),
            Rights::OfStore { user, rules } => {
                let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
                servers.secure.store.set_user(user, STORE_USER_PASSWORD, &rules)
            }
        }
    }
}
