//! Programs in other languages, written from docs/formats.md alone, send reports and read players like ours.

mod proxy;

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use plaudit_crds::worker::WorkerConfig;
use plaudit_tests::programs;
use plaudit_tests::scene::{Outgoing, Scene};
use plaudit_tests::stack::shared;
use redis::Commands as _;
use serde_json::{Value, json};

use self::proxy::Proxy;

const LIMIT: Duration = Duration::from_secs(60);
/// How often the examples begin again at the player's key.
const TRIES: usize = 16;

static GO: LazyLock<Result<PathBuf>> = LazyLock::new(|| programs::go("examples/go"));

#[derive(Clone, Copy, Debug, PartialEq)]
enum Client {
    Plaudit,
    Python,
    Go,
}

const OTHERS: [Client; 2] = [Client::Python, Client::Go];
const ALL: [Client; 3] = [Client::Plaudit, Client::Python, Client::Go];

/// A player as it is typed.
#[derive(Clone, Copy, Debug)]
struct Player {
    uin: u64,
    zone: u32,
    role: &'static str,
}

/// Roles with what a key has to escape, UINs of all lengths that murmur2 tells apart.
const PLAYERS: [Player; 4] = [
    Player { uin: 7, zone: 0, role: "" },
    Player { uin: 10_001, zone: 3, role: "987654" },
    Player { uin: 1_234_567, zone: 1, role: "rôle ~1/{2}:#%" },
    Player { uin: u64::MAX, zone: u32::MAX, role: "a_b-c.d" },
];

/// The examples show what a game shows; how far tiers were announced is not of it.
fn without_tiers(config: &mut WorkerConfig) {
    config.achievements.types.iter_mut().for_each(|listed| listed.tiers.clear());
    config.unlocks.topic = None;
}

#[test]
fn reports_of_every_language_are_merged_and_read_back_equal() -> Result<()> {
    let stack = shared();
    let scene = Scene::new((&stack.kafka, &stack.valkey), "languages", 12, without_tiers)?;
    let worker = scene.start_worker()?;
    let begin = now_ms()?;
    for player in &PLAYERS {
        for (at, client) in (0..).zip(ALL) {
            let items =
                [format!("1001={at}:{client:?} says \"é\""), format!("1002=-{at}"), format!("1003=-1{at}")];
            client.send(&scene, player, begin + at, &items)?;
        }
    }
    scene.wait_until_committed(LIMIT)?;
    let misrouted = worker.metric("plaudit_misrouted_total")?;
    ensure!(misrouted == 0.0, "{misrouted} records have another key than their UIN");
    for player in &PLAYERS {
        let ours = Client::Plaudit.get(&scene, player)?;
        let partitions = ours["watermarks"].as_array().map(Vec::len);
        ensure!(partitions == Some(1), "reports of one player lie in several partitions: {ours}");
        // Of a maximum the first report counts, of a sum and of what is newest the last.
        let expected = json!({
            "uin": player.uin, "platform": 0, "zone": player.zone, "server": 0, "role": player.role,
            "version": ours["version"],
            "achievements": [
                {"type": 1001, "value": 2, "data": "Go says \"é\"", "timestamp": begin + 2, "firstTime": begin},
                {"type": 1003, "value": -33, "data": "", "timestamp": begin + 2, "firstTime": begin},
                {"type": 1002, "value": 0, "data": "", "timestamp": begin, "firstTime": begin},
            ],
        });
        ensure!(common(ours.clone()) == expected, "{ours:#}\nis not\n{expected:#}");
        for client in OTHERS {
            let theirs = client.get(&scene, player)?;
            ensure!(theirs == expected, "{client:?} reads\n{theirs:#}\nnot\n{expected:#}");
        }
    }
    let value = Some(br#"{"uin":7,"delete":true}"#.as_slice());
    scene.log()?.send(&[Outgoing { key: Some(b"7"), value, ..Outgoing::default() }])?;
    scene.wait_until_committed(LIMIT)?;
    for client in OTHERS {
        let theirs = client.get(&scene, &PLAYERS[0])?;
        ensure!(theirs["achievements"] == json!([]), "{client:?} reads of a deleted player\n{theirs:#}");
    }
    scene.assert_exact()?;
    worker.stop()
}

#[test]
fn every_language_reads_a_split_player_and_begins_again_when_a_chunk_is_missing() -> Result<()> {
    let stack = shared();
    let scene = Scene::new((&stack.kafka, &stack.valkey), "languages-split", 1, |config| {
        without_tiers(config);
        config.store.max_value_bytes = 1_024;
    })?;
    let worker = scene.start_worker()?;
    let (player, begin) = (&PLAYERS[2], now_ms()?);
    for (at, client) in (0..).zip(ALL) {
        let items: Vec<String> = (0..60).map(|kind| format!("{}={at}:{kind:040}", 20 * at + kind)).collect();
        client.send(&scene, player, begin + at, &items)?;
        scene.wait_until_committed(LIMIT)?;
    }
    let ours = Client::Plaudit.get(&scene, player)?;
    ensure!(ours["chunks"].as_u64() > Some(3), "not split enough: {ours:#}");
    let mut store = store(&scene)?;
    let lost: String =
        store.scan_match(format!("{}*#*", scene.config.store.key_prefix))?.next().context("no chunk")??;
    let value: Vec<u8> = store.get(&lost)?;
    for client in OTHERS {
        let theirs = client.get(&scene, player)?;
        ensure!(theirs == common(ours.clone()), "{client:?} reads\n{theirs:#}\nnot\n{ours:#}");

        let () = store.del(&lost)?;
        let without = Proxy::start(&scene, |_, _| Ok(()))?;
        let output = client.get_from(&scene, &without.address, player)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            !output.status.success() && said.contains("still missing after 16 tries"),
            "{client:?}: {said}"
        );
        ensure!(without.loads() == TRIES, "{client:?} tried {} times", without.loads());

        let (key, value) = (lost.clone(), value.clone());
        let late = Proxy::start(&scene, move |load, store| match load {
            1 => Ok(()),
            _ => store.set(&key, &value),
        })?;
        let theirs = read(client, &client.get_from(&scene, &late.address, player)?)?;
        ensure!(theirs == common(ours.clone()), "{client:?} reads\n{theirs:#}\nnot\n{ours:#}");
        ensure!(late.loads() == 2, "{client:?} loaded chunks {} times", late.loads());
    }
    scene.assert_exact()?;
    worker.stop()
}

#[test]
fn every_language_says_what_is_wrong() -> Result<()> {
    let stack = shared();
    let scene = Scene::new((&stack.kafka, &stack.valkey), "languages-errors", 1, |_| ())?;
    let nobody = Player { uin: 5, zone: 0, role: "" };
    for client in OTHERS {
        let absent = client.get_from(&scene, &scene.valkey.address(), &nobody)?;
        let key = format!("no player is stored under {}{{150}}5:0:0:0:\n", scene.config.store.key_prefix);
        ensure!(String::from_utf8_lossy(&absent.stderr) == key, "{absent:?}\nnot {key}");
        let unreachable = client.get_from(&scene, "127.0.0.1:1", &nobody)?;
        let said = String::from_utf8_lossy(&unreachable.stderr);
        ensure!(said.starts_with("could not read") && said.contains("127.0.0.1:1: "), "{client:?}: {said}");
        let item = client.command(&["send", "--uin", "5", "--item", "x=1"])?.output()?;
        let said = String::from_utf8_lossy(&item.stderr);
        ensure!(said.contains("TYPE=VALUE") && said.contains("x=1"), "{client:?}: {said}");
        let status = [absent.status.code(), unreachable.status.code(), item.status.code()];
        ensure!(status == [Some(1), Some(1), Some(2)], "{client:?}: {status:?}");
    }
    Ok(())
}

impl Client {
    fn command(self, arguments: &[&str]) -> Result<Command> {
        let mut command = match self {
            Self::Plaudit => Command::new(env!("CARGO_BIN_EXE_plaudit-under-test")),
            Self::Python => programs::python("examples/python/achievements.py")?,
            Self::Go => Command::new(GO.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?),
        };
        command.args(arguments);
        Ok(command)
    }

    fn send(self, scene: &Scene<'_>, player: &Player, timestamp: i64, items: &[String]) -> Result<()> {
        let mut command = match self {
            Self::Plaudit => self.command(&["report", "send"])?,
            Self::Python | Self::Go => self.command(&["send"])?,
        };
        command.args(["--uin", &player.uin.to_string()]);
        player.describe(&mut command);
        command.args([
            "--bootstrap-servers",
            &scene.kafka.bootstrap(),
            "--topic",
            &scene.config.source.topic,
        ]);
        command.args(["--timestamp-ms", &timestamp.to_string()]);
        command.args(items.iter().map(|item| format!("--item={item}")));
        let output = command.output()?;
        ensure!(
            output.status.success(),
            "{self:?} did not send: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    fn get(self, scene: &Scene<'_>, player: &Player) -> Result<Value> {
        read(self, &self.get_from(scene, &scene.valkey.address(), player)?)
    }

    fn get_from(self, scene: &Scene<'_>, address: &str, player: &Player) -> Result<Output> {
        let uin = player.uin.to_string();
        let mut command = match self {
            Self::Plaudit => self.command(&["players", "get", &uin, "-o", "json"])?,
            Self::Python | Self::Go => self.command(&["get", "--uin", &uin])?,
        };
        player.describe(&mut command);
        command.args(["--store-address", address, "--key-prefix", &scene.config.store.key_prefix]);
        Ok(command.output()?)
    }
}

impl Player {
    fn describe(&self, command: &mut Command) {
        command.args(["--zone", &self.zone.to_string(), "--role", self.role]);
    }
}

fn read(client: Client, output: &Output) -> Result<Value> {
    ensure!(output.status.success(), "{client:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).with_context(|| format!("{client:?} prints no JSON"))
}

/// What the examples print of our own document.
fn common(mut document: Value) -> Value {
    let keep = |document: &mut Value, names: &[&str]| {
        document.as_object_mut().expect("an object").retain(|name, _| names.contains(&name.as_str()));
    };
    keep(&mut document, &["uin", "platform", "zone", "server", "role", "version", "achievements"]);
    for achievement in document["achievements"].as_array_mut().expect("achievements are a list") {
        keep(achievement, &["type", "value", "data", "timestamp", "firstTime"]);
    }
    document
}

/// Topics keep what is younger than a week.
fn now_ms() -> Result<i64> {
    Ok(i64::try_from(UNIX_EPOCH.elapsed()?.as_millis())?)
}

fn store(scene: &Scene<'_>) -> Result<redis::Connection> {
    Ok(redis::Client::open(format!("redis://{}/", scene.valkey.address()))?.get_connection()?)
}
