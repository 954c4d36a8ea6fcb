//! What is found out about a server by asking it.

use redis::aio::MultiplexedConnection;
use redis::{RedisError, Value};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Whether a server answers without TLS, if only that it does not let us in.
pub(super) async fn answers_in_clear(address: &str) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"PING\r\n").await?;
    Ok(matches!(stream.read_u8().await?, b'+' | b'-'))
}

/// Runs, to no effect, what workers run on a key that nobody uses, and gives what the server says against it. What the batch script runs
/// last matters most: a user without the right to that would leave scripts half done, and chunks that expire.
pub(super) async fn try_on(
    key: &str,
    replace_fence: &str,
    connection: &mut MultiplexedConnection,
) -> Result<Vec<RedisError>, RedisError> {
    let mut tries = redis::pipe();
    for command in ["GET", "MGET", "EXISTS", "PERSIST", "UNLINK"] {
        tries.cmd(command).arg(key);
    }
    // Only if it exists.
    tries.cmd("SET").arg(key).arg("").arg("XX");
    // Only if it has this value.
    tries.cmd("EVALSHA").arg(replace_fence).arg(1).arg(key).arg("none").arg("");
    let answers = connection.send_packed_commands(&tries, 0, tries.len()).await?;
    let errors = answers.into_iter().filter_map(|answer| match answer {
        Value::ServerError(error) => Some(error.into()),
        _ => None,
    });
    Ok(errors.collect())
}
