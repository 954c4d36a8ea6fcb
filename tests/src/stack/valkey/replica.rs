//! Replication: a second server that holds what the first one held a moment ago.

use std::collections::HashMap;

use anyhow::{Context, Result};
use redis::Connection;

use super::{START_LIMIT, Valkey};
use crate::stack::until;

type Section = HashMap<String, String>;

impl Valkey {
    /// Makes it a replica of `primary`; [`Valkey::wait_for_sync`] waits for the data.
    pub fn follow(&self, primary: &Self) -> Result<()> {
        let mut command = redis::cmd("REPLICAOF");
        command.arg(primary.options.host.to_string()).arg(primary.port).exec(&mut self.connect()?)?;
        Ok(())
    }

    /// Waits until this replica holds, and has in its file, what `primary` held when asked.
    pub fn wait_for_sync(&self, primary: &Self) -> Result<()> {
        let mut connection = self.connect()?;
        until("the first synchronisation of a replica", START_LIMIT, || {
            let replication = info(&mut connection, "replication")?;
            Ok(says(&replication, "master_link_status", "up").then_some(()))
        })?;
        // Until its file is written anew, a replica that is killed starts with nothing.
        until("the file of a replica", START_LIMIT, || {
            let found = info(&mut connection, "persistence")?;
            let written =
                says(&found, "aof_rewrite_in_progress", "0") && says(&found, "aof_rewrite_scheduled", "0");
            Ok((written || says(&found, "aof_enabled", "0")).then_some(()))
        })?;
        let offset = |section: &Section, name: &str| -> Option<u64> { section.get(name)?.parse().ok() };
        let wanted = offset(&info(&mut primary.connect()?, "replication")?, "master_repl_offset");
        until("a replica to catch up", START_LIMIT, || {
            let reached = offset(&info(&mut connection, "replication")?, "slave_repl_offset");
            Ok((reached >= wanted).then_some(()))
        })
    }

    /// Ends its replication: from now on it is a primary of its own, with what it had received.
    pub fn promote(&self) -> Result<()> {
        redis::cmd("REPLICAOF").arg("NO").arg("ONE").exec(&mut self.connect()?)?;
        Ok(())
    }

    pub(super) fn connect(&self) -> Result<Connection> {
        let client = redis::Client::open(format!("redis://{}/", self.login()))?;
        let connection = client.get_connection_with_timeout(START_LIMIT)?;
        connection.set_read_timeout(Some(START_LIMIT))?;
        Ok(connection)
    }
}

fn says(section: &Section, name: &str, value: &str) -> bool {
    section.get(name).is_some_and(|found| found == value)
}

/// A section of INFO by name.
fn info(connection: &mut Connection, section: &str) -> Result<Section> {
    let text: String = redis::cmd("INFO").arg(section).query(connection).context("no answer to INFO")?;
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    Ok(fields.map(|(name, value)| (name.to_owned(), value.trim_end().to_owned())).collect())
}
