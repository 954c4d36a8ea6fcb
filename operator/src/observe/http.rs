//! A GET of one of our own workers or operators.
//!
//! By hand, because the question is one line, the answer is small and its sender is known: an HTTP client would be the largest
//! dependency of this program and would still need the timeout and the limit below.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A worker that takes longer does not answer: it is near, and its answers are ready.
const DEADLINE: Duration = Duration::from_secs(2);
/// A topic of ten thousand partitions stays below it.
const LARGEST_ANSWER: u64 = 4 * 1024 * 1024;

/// Status and body of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Asks `http://<address><path>`; `None` when there is no whole answer in time.
pub(crate) async fn get(address: &str, path: &str) -> Option<Answer> {
    let text = tokio::time::timeout(DEADLINE, ask(address, path)).await.ok()?.ok()?;
    parse(&text)
}

async fn ask(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    // HTTP/1.0: the answer ends with the connection and is never cut into chunks.
    let question = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(question.as_bytes()).await?;
    let mut text = String::new();
    stream.take(LARGEST_ANSWER).read_to_string(&mut text).await?;
    Ok(text)
}

fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    // A worker that dies while it answers must not look like one that has nothing to say.
    (length.is_none_or(|length| length == body.len())).then(|| Answer { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_status_and_body() {
        let answer = |status, body: &str| Some(Answer { status, body: body.to_owned() });
        let cases = [
            ("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}", answer(200, "{}")),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\nno lanes", answer(503, "no lanes")),
            ("HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\n{}", None),
            ("HTTP/1.0 200 OK\r\n", None),
            ("hello\r\n\r\n", None),
            ("", None),
        ];

        let answers = cases.each_ref().map(|(text, _)| parse(text));

        assert_eq!(answers, cases.map(|(_, answer)| answer));
    }
}
