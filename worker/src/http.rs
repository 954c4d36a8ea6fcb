//! The worker's HTTP endpoints: health, metrics, lanes, and players to look at. Read-only.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use tokio::sync::Mutex;

use crate::exposition;
use crate::lane::{LaneShared, LaneState, UNKNOWN};
use crate::player::PlayerId;
use crate::process;
use crate::reader::{Player, PlayerReader, ReadError};
use crate::report::MAX_ROLE_BYTES;
use crate::security::SecurityError;
use crate::source_warning::SourceWarning;
use crate::worker::Worker;

/// A lane or poll thread that made no step for so long, retries included, is wedged.
const WEDGED: Duration = Duration::from_secs(60);
/// A player is read within this, waiting for other readers included.
const PLAYER_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone)]
struct Served {
    worker: Worker,
    players: Arc<Mutex<PlayerReader>>,
}

/// The routes of a worker.
pub fn router(worker: Worker) -> Router {
    let players = Arc::new(Mutex::new(PlayerReader::new(&worker.connector, worker.layout.clone())));
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/lanes", get(lanes))
        .route("/players/{uin}/{platform}/{zone}/{server}", get(player_without_role))
        .route("/players/{uin}/{platform}/{zone}/{server}/", get(player_without_role))
        .route("/players/{uin}/{platform}/{zone}/{server}/{role}", get(player))
        .with_state(Served { worker, players })
}

/// Endpoints of a worker that waits for its Secrets: alive, not ready.
pub fn waiting_router() -> Router {
    Router::new().route("/livez", get(alive)).route("/readyz", get(without_secrets))
}

async fn alive() -> &'static str {
    "ok\n"
}

async fn without_secrets() -> (StatusCode, &'static str) {
    (StatusCode::SERVICE_UNAVAILABLE, "the Secrets cannot be used yet\n")
}

/// Alive unless a lane or the poll thread is wedged; waiting for the store or for partitions is alive.
async fn livez(State(served): State<Served>) -> Response {
    match wedged(served.worker.since_poll(), served.worker.slowest_step()) {
        Some(text) => (StatusCode::SERVICE_UNAVAILABLE, text + "\n").into_response(),
        None => "ok\n".into_response(),
    }
}

/// What is wedged, given when the poll thread and the slowest lane made their last step. The poll thread waits for
/// lanes in a rebalance, up to the drain deadline.
fn wedged((polled, drain): (Duration, Duration), slowest: Option<(i32, Duration)>) -> Option<String> {
    if polled > WEDGED + drain {
        return Some(format!("the poll thread has made no step for {} s", polled.as_secs()));
    }
    let (partition, since) = slowest.filter(|(_, since)| *since > WEDGED)?;
    Some(format!("the lane of partition {partition} has made no step for {} s", since.as_secs()))
}

/// Ready once Kafka has answered, denies nothing, and no lane is starting, waiting or stopped. A worker that nobody lets in must not take the place of
/// one that runs.
async fn readyz(State(served): State<Served>) -> Response {
    let mut text = String::new();
    if !served.worker.access.is_reached() {
        let why = served.worker.access.trouble().map(|why| format!(": {}: {why}", why.reason));
        let _ = writeln!(text, "Kafka has not answered yet{}", why.unwrap_or_default());
    }
    if let Some(denial) = served.worker.access.denial() {
        let _ = writeln!(text, "Kafka denies us its records: {}: {denial}", denial.reason);
    }
    for lane in served.worker.lanes() {
        if let (LaneState::Starting | LaneState::Waiting | LaneState::Stopped, state) =
            (lane.state(), lane.state())
        {
            let why = lane.why().map(|(reason, message)| format!(": {}: {message}", reason.as_str()));
            let _ = writeln!(
                text,
                "partition {} is {}{}",
                lane.partition,
                state.as_str(),
                why.unwrap_or_default()
            );
        }
    }
    if text.is_empty() {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
    }
}

async fn metrics(State(served): State<Served>) -> Response {
    served.worker.refresh_metrics();
    exposition::response(&served.worker.metrics.registry)
}

/// The document at `/lanes`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LanesDocument {
    pipeline: String,
    worker: String,
    /// What keeps it out of Kafka, and of the store.
    kafka: Option<TroubleDocument>,
    store: Option<TroubleDocument>,
    /// What the topic is set to that may cost reports one day, or what producers do that makes workers conflict.
    source_warning: Option<TroubleDocument>,
    /// What the store is set to that may cost players one day.
    store_warning: Option<TroubleDocument>,
    lanes: Vec<LaneDocument>,
    conflicts: u64,
    records: u64,
    cpu_seconds: f64,
    resident_bytes: u64,
}

#[derive(Debug, Serialize)]
struct TroubleDocument {
    reason: &'static str,
    message: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LaneDocument {
    partition: i32,
    state: &'static str,
    reason: Option<&'static str>,
    message: Option<String>,
    position: Option<i64>,
    committed: Option<i64>,
    log_end: Option<i64>,
    lag: Option<i64>,
}

async fn lanes(State(served): State<Served>) -> Json<LanesDocument> {
    let worker = &served.worker;
    Json(LanesDocument {
        pipeline: worker.config.pipeline.clone(),
        worker: std::process::id().to_string(),
        kafka: worker.access.trouble().map(TroubleDocument::from),
        store: worker.connector.trouble().map(TroubleDocument::from),
        source_warning: SourceWarning::of(worker)
            .map(|found| TroubleDocument { reason: found.reason(), message: found.to_string() }),
        store_warning: worker
            .connector
            .eviction()
            .map(|found| TroubleDocument { reason: found.reason(), message: found.message() }),
        lanes: worker.lanes().iter().map(|lane| lane_document(lane)).collect(),
        conflicts: worker.metrics.conflicts_total(),
        records: worker.metrics.records.get(),
        cpu_seconds: process::cpu_seconds(),
        resident_bytes: process::resident_bytes(),
    })
}

impl From<SecurityError> for TroubleDocument {
    fn from(SecurityError { reason, message }: SecurityError) -> Self {
        Self { reason, message }
    }
}

fn lane_document(lane: &LaneShared) -> LaneDocument {
    let known = |offset: i64| (offset != UNKNOWN).then_some(offset);
    let (reason, message) = lane.why().map(|(reason, message)| (reason.as_str(), message)).unzip();
    LaneDocument {
        partition: lane.partition,
        state: lane.state().as_str(),
        reason,
        message,
        position: known(lane.position.load(Ordering::Relaxed)),
        committed: known(lane.committed.load(Ordering::Relaxed)),
        log_end: known(lane.log_end.load(Ordering::Relaxed)),
        lag: lane.lag(),
    }
}

async fn player_without_role(
    served: State<Served>,
    Path((uin, platform, zone, server)): Path<(u64, u32, u32, u32)>,
) -> Response {
    show(served, PlayerId { uin, platform, zone, server, role: "".into() }).await
}

async fn player(
    served: State<Served>,
    Path((uin, platform, zone, server, role)): Path<(u64, u32, u32, u32, String)>,
) -> Response {
    show(served, PlayerId { uin, platform, zone, server, role: role.into() }).await
}

async fn show(State(served): State<Served>, id: PlayerId) -> Response {
    if id.role.len() > MAX_ROLE_BYTES {
        return (StatusCode::NOT_FOUND, "no role is so long\n").into_response();
    }
    // One reader serves all requests in turn, to the answer's text: a store that hangs must not pile them up, nor large players.
    let read = tokio::time::timeout(PLAYER_TIMEOUT, async {
        let mut players = served.players.lock().await;
        let player = players.get(&id).await?;
        Ok::<_, ReadError>(player.map(|player| Json(player_document(&player)).into_response()))
    });
    match read.await {
        Ok(Ok(Some(player))) => player,
        Ok(Ok(None)) => (StatusCode::NOT_FOUND, "no such player\n").into_response(),
        Err(_) => (StatusCode::GATEWAY_TIMEOUT, "the store did not answer in time\n").into_response(),
        Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// A player as JSON: the same document here and from `plaudit players get -o json`.
pub fn player_document(player: &Player) -> serde_json::Value {
    let achievements: Vec<_> = player
        .achievements
        .iter()
        .map(|stored| {
            let mut document = serde_json::json!({
                "type": stored.r#type,
                "value": stored.value,
                "data": stored.data,
                "timestamp": stored.timestamp,
                "firstTime": stored.first_time,
                "source": {
                    "incarnation": stored.incarnation,
                    "partition": stored.partition,
                    "offset": stored.offset,
                    "index": stored.index,
                },
            });
            if let Some(tier) = stored.announced {
                document["announcedTier"] = tier.into();
            }
            document
        })
        .collect();
    let watermarks: Vec<_> = player
        .watermarks
        .iter()
        .map(|mark| {
            serde_json::json!({"incarnation": mark.incarnation, "partition": mark.partition, "offset": mark.offset})
        })
        .collect();
    let mut document = serde_json::json!({
        "uin": player.id.uin,
        "platform": player.id.platform,
        "zone": player.id.zone,
        "server": player.id.server,
        "role": &*player.id.role,
        "version": player.version,
        "chunks": player.chunks,
        "watermarks": watermarks,
        "achievements": achievements,
    });
    if let Some(deleted) = player.deleted {
        document["deleted"] = deleted.timestamp.into();
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wedged_poll_thread_is_noticed_without_any_lane() {
        let (second, drain) = (Duration::from_secs(1), Duration::from_secs(5));
        assert_eq!(wedged((WEDGED + drain, drain), None), None);
        assert_eq!(
            wedged((WEDGED + drain + second, drain), None).as_deref(),
            Some("the poll thread has made no step for 66 s")
        );
        assert_eq!(wedged((second, drain), Some((3, WEDGED))), None);
        assert_eq!(
            wedged((second, drain), Some((3, WEDGED + second))).as_deref(),
            Some("the lane of partition 3 has made no step for 61 s")
        );
    }
}
