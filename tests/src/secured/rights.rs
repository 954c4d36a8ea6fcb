//! The least rights, as docs/security.md has them.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use crate::stack::fetch::ROOT;
use crate::stack::{Acl, Operation, Resource};

/// Rules of an ACL user of the store, for keys with this prefix: those that the page's `ACL SETUSER` has, without its password.
pub fn store_rules(key_prefix: &str) -> Result<Vec<String>> {
    let path = format!("{ROOT}/docs/security.md");
    let page = fs::read_to_string(&path).with_context(|| format!("could not read {path}"))?;
    let (_, rest) = page.split_once("ACL SETUSER plaudit on >PASSWORD ").context("no ACL SETUSER")?;
    let (command, _) = rest.split_once("\n\n").context("no end of ACL SETUSER")?;
    let rules: Vec<String> = command
        .split_whitespace()
        .filter(|rule| *rule != "\\")
        .map(|rule| if rule == "~plaudit:*" { format!("~{key_prefix}*") } else { rule.to_owned() })
        .collect();
    ensure!(rules.contains(&format!("~{key_prefix}*")), "no key pattern in {rules:?}");
    Ok(rules)
}

/// What a user of Kafka needs, with the names of these topics and this group.
pub fn kafka_rights(user: &str, source: &str, group: &str, written: &[&str]) -> Vec<Acl> {
    let mut rights = vec![
        Acl::new(user, Resource::Topic(source.to_owned()), Operation::Read),
        Acl::new(user, Resource::Group(group.to_owned()), Operation::Read),
    ];
    let write = |topic: &&str| Acl::new(user, Resource::Topic((*topic).to_owned()), Operation::Write);
    rights.extend(written.iter().map(write));
    rights
}
