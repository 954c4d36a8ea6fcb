//! A GET of one of our own workers or operators.
//!
//! By hand, because the question is one line, the answer is small and its sender is known: an HTTP client would be the largest
//! dependency of this program and would still need the timeout and the limits below. They hold for whoever answers: a pod with a
//! worker's labels is easily made.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// A worker that takes longer does not answer: it is near, and its answers are ready.
const DEADLINE: Duration = Duration::from_secs(2);
/// A topic of ten thousand partitions stays below it.
const LARGEST_ANSWER: u64 = 4 * 1024 * 1024;
/// Some four hundred lanes. All answers may be so long at once.
const COMMON_ANSWER: u64 = 64 * 1024;
/// Longer answers that are read at a time.
static LONG_ANSWERS: Semaphore = Semaphore::const_new(2);

/// Status and body of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer<Body = String> {
    pub(crate) status: u16,
    pub(crate) body: Body,
}

/// Asks `http://<address><path>`; `None` when there is no whole answer in time.
pub(crate) async fn get(address: &str, path: &str) -> Option<Answer> {
    get_with(address, path, |Answer { status, body }| Some(Answer { status, body: body.to_owned() })).await
}

/// The same, of which `take` keeps what it needs.
pub(crate) async fn get_with<T>(
    address: &str,
    path: &str,
    take: impl FnOnce(Answer<&str>) -> Option<T>,
) -> Option<T> {
    tokio::time::timeout(DEADLINE, ask(address, path, take)).await.ok()?
}

async fn ask<T>(address: &str, path: &str, take: impl FnOnce(Answer<&str>) -> Option<T>) -> Option<T> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    // HTTP/1.0: the answer ends with the connection and is never cut into chunks.
    let question = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(question.as_bytes()).await.ok()?;
    let mut text = Vec::new();
    (&mut stream).take(COMMON_ANSWER).read_to_end(&mut text).await.ok()?;
    // Held until the answer is taken apart.
    let _place = match text.len() as u64 {
        COMMON_ANSWER => {
            let place = LONG_ANSWERS.acquire().await.ok()?;
            stream.take(LARGEST_ANSWER - COMMON_ANSWER).read_to_end(&mut text).await.ok()?;
            Some(place)
        }
        _ => None,
    };
    take(parse(&text)?)
}

/// An answer's status and body, if it is whole.
pub(crate) fn parse(answer: &[u8]) -> Option<Answer<&str>> {
    let text = std::str::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    // A worker that dies while it answers must not look like one that has nothing to say.
    (length.is_none_or(|length| length == body.len())).then_some(Answer { status, body })
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn an_answer_is_status_and_body() {
        let answer = |status, body| Some(Answer { status, body });
        let cases = [
            ("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}", answer(200, "{}")),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\nno lanes", answer(503, "no lanes")),
            ("HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\n{}", None),
            ("HTTP/1.0 200 OK\r\n", None),
            ("hello\r\n\r\n", None),
            ("", None),
        ];

        let answers = cases.each_ref().map(|(text, _)| parse(text.as_bytes()));

        assert_eq!(answers, cases.map(|(_, answer)| answer));
    }

    /// Somebody who answers each question with so many bytes of body, and then with nothing, or without end.
    async fn answering(bytes: Option<usize>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let _ = stream.read(&mut [0; 1_024]).await;
                    let head = bytes.map(|bytes| format!("Content-Length: {bytes}\r\n")).unwrap_or_default();
                    let _ = stream.write_all(format!("HTTP/1.0 200 OK\r\n{head}\r\n").as_bytes()).await;
                    let piece = [b'x'; 1_024];
                    let mut left = bytes.unwrap_or(usize::MAX);
                    while left > 0 && stream.write_all(&piece[..left.min(1_024)]).await.is_ok() {
                        left -= left.min(1_024);
                    }
                });
            }
        });
        address
    }

    #[tokio::test]
    async fn a_long_answer_is_taken_whole_and_of_one_without_end_a_part() {
        let (long, endless) = (answering(Some(1 << 20)).await, answering(None).await);
        let length = |answer: Answer<&str>| Some(answer.body.len());

        let lengths = [get_with(&long, "/", length).await, get_with(&endless, "/", length).await];

        // Of the other one as much was read as is, and no more.
        let head = "HTTP/1.0 200 OK\r\n\r\n".len();
        assert_eq!(lengths, [Some(1 << 20), Some(4 * 1024 * 1024 - head)]);
    }

    #[tokio::test]
    async fn whoever_does_not_answer_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::time::pause();

        let answer = get(&address, "/").await;

        assert_eq!(answer, None);
    }
}
