//! `plaudit players`: players as they are stored.

use std::io::Write as _;

use anyhow::{Context as _, bail};
use k8s_openapi::jiff::Timestamp;
use plaudit_worker::http::player_document;
use plaudit_worker::player::{Layout, PlayerId};
use plaudit_worker::reader::{Player, PlayerReader};

use super::{Output, pipeline_file};
use crate::table::{Align, columns};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Show a player's achievements, newest first.
    Get(Get),
}

#[derive(Debug, clap::Args)]
pub(super) struct Get {
    /// The player's user number.
    uin: u64,
    #[command(flatten)]
    file: pipeline_file::PipelineFile,
    /// Redis or Valkey. Default: 127.0.0.1:6379.
    #[arg(long, value_name = "HOST:PORT")]
    store_address: Option<String>,
    /// What every key starts with. Default: plaudit:
    #[arg(long)]
    key_prefix: Option<String>,
    /// Number of hash tags. Default: 240.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=16_384))]
    buckets: Option<u32>,
    #[arg(long)]
    platform: Option<u32>,
    #[arg(long)]
    zone: Option<u32>,
    #[arg(long)]
    server: Option<u32>,
    #[arg(long)]
    role: Option<String>,
    #[arg(short = 'o', long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(super) fn run(command: Command) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match command {
        Command::Get(get) => runtime.block_on(get.run()),
    }
}

impl Get {
    async fn run(self) -> anyhow::Result<()> {
        let pipeline = self.file.read()?;
        let store = pipeline.as_ref().map(|pipeline| &pipeline.store);
        let address = self.store_address.clone().or_else(|| store.map(|store| store.address.clone()));
        let address = address.unwrap_or_else(|| "127.0.0.1:6379".to_owned());
        let key_prefix = self.key_prefix.clone().or_else(|| store.map(|store| store.key_prefix.clone()));
        let layout = Layout {
            key_prefix: key_prefix.unwrap_or_else(|| "plaudit:".to_owned()),
            buckets: self.buckets.or_else(|| store.map(|store| store.buckets)).unwrap_or(240),
        };
        let failed =
            || format!("could not read players of {} from {address}; check --store-address", self.uin);
        let connector = self.file.store(pipeline.as_ref(), &address);
        let mut reader = PlayerReader::new(&connector, layout);

        let asked = self.identity();
        let mut players: Vec<Player> = reader.get(&asked).await.with_context(failed)?.into_iter().collect();
        if players.is_empty() && !self.names_one() {
            for id in reader.find(self.uin).await.with_context(failed)? {
                players.extend(reader.get(&id).await.with_context(failed)?);
            }
        }
        if players.is_empty() {
            bail!(
                "no such player: {}; nothing is stored in {address} yet, or its keys begin otherwise (--key-prefix, --buckets)",
                named(&asked)
            );
        }
        let text = match self.output {
            Output::Text => players.iter().map(shown).collect::<Vec<_>>().join("\n"),
            Output::Json => players
                .iter()
                .map(|player| serde_json::to_string_pretty(&player_document(player)).map(|text| text + "\n"))
                .collect::<Result<_, _>>()?,
        };
        std::io::stdout().write_all(text.as_bytes())?;
        Ok(())
    }

    fn identity(&self) -> PlayerId {
        PlayerId {
            uin: self.uin,
            platform: self.platform.unwrap_or(0),
            zone: self.zone.unwrap_or(0),
            server: self.server.unwrap_or(0),
            role: self.role.as_deref().unwrap_or_default().into(),
        }
    }

    /// True when more than the UIN was typed: then exactly this player is meant.
    fn names_one(&self) -> bool {
        self.platform.is_some() || self.zone.is_some() || self.server.is_some() || self.role.is_some()
    }
}

fn shown(player: &Player) -> String {
    let record = match player.chunks {
        0 => "stored whole".to_owned(),
        chunks => format!("split into {chunks} chunks"),
    };
    let deleted =
        player.deleted.map_or_else(String::new, |deleted| format!(", deleted {}", time(deleted.timestamp)));
    let mut rows = vec![
        ["TYPE", "VALUE", "DATA", "CHANGED", "FIRST", "PARTITION", "OFFSET"].map(str::to_owned).to_vec(),
    ];
    rows.extend(player.achievements.iter().map(|stored| {
        vec![
            stored.r#type.to_string(),
            stored.value.to_string(),
            // Somebody else's text: what could move the cursor is written out.
            stored.data.escape_debug().to_string(),
            time(stored.timestamp),
            time(stored.first_time),
            stored.partition.to_string(),
            stored.offset.to_string(),
        ]
    }));
    let (left, right) = (Align::Left, Align::Right);
    let table = columns(&rows, &[right, right, left, left, left, right, right], 3);
    format!("player {}, version {}, {record}{deleted}\n\n{table}", named(&player.id), player.version)
}

fn named(id: &PlayerId) -> String {
    let role = if id.role.is_empty() { "none".to_owned() } else { id.role.escape_debug().to_string() };
    format!("{}, platform {}, zone {}, server {}, role {role}", id.uin, id.platform, id.zone, id.server)
}

/// Milliseconds since 1970 as a time in UTC; the bare number where there is no such time.
fn time(milliseconds: i64) -> String {
    Timestamp::from_millisecond(milliseconds)
        .map_or_else(|_| milliseconds.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use plaudit_worker::proto::{Achievement, Deletion};

    use super::*;

    #[test]
    fn a_player_is_a_table() {
        let achievement = |r#type, value, data: &str, timestamp| Achievement {
            r#type,
            value,
            data: data.to_owned(),
            timestamp,
            partition: 3,
            offset: 1200,
            first_time: 1_000,
            ..Achievement::default()
        };
        let player = Player {
            id: PlayerId { uin: 10_001, zone: 2, role: "r\x1b[1m".into(), ..PlayerId::default() },
            version: 7,
            watermarks: vec![],
            achievements: vec![
                achievement(1001, 37, "gold", 61_500),
                achievement(7, -1_000_000, "", i64::MAX),
            ],
            deleted: Some(Deletion { timestamp: 500, ..Deletion::default() }),
            chunks: 2,
        };

        assert_eq!(
            shown(&player),
            "\
player 10001, platform 0, zone 2, server 0, role r\\u{1b}[1m, version 7, split into 2 chunks, deleted 1970-01-01T00:00:00.5Z

TYPE      VALUE   DATA   CHANGED                  FIRST                  PARTITION   OFFSET
1001         37   gold   1970-01-01T00:01:01.5Z   1970-01-01T00:00:01Z           3     1200
   7   -1000000          9223372036854775807      1970-01-01T00:00:01Z           3     1200
"
        );
    }
}
