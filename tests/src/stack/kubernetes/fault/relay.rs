//! The relay carries one request to the API server and its answer back, with the fault that a rule has for it.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, BodyStream, Full, StreamBody};
use hyper::body::Incoming;
use kube::Client;
use kube::client::Body;
use serde_json::json;

use super::rule::{Fault, Refusal};
use super::{Outcome, Seen, Shared};

type Failure = Box<dyn Error + Send + Sync>;
pub(super) type Answer = Response<UnsyncBoxBody<Bytes, Failure>>;

/// An error ends the client's connection without an answer.
pub(super) async fn serve(
    request: Request<Incoming>,
    server: Client,
    shared: Arc<Shared>,
) -> Result<Answer, Failure> {
    let method = request.method().clone();
    let path = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
    let fault = shared.fault(&method, &path);
    let now = Instant::now();
    let mut note = Note { seen: Seen { method, path, outcome: Outcome::Cut, came: now, ended: now }, shared };
    let answer = carry(request, &server, fault).await;
    if let Ok(answer) = &answer {
        note.seen.outcome = Outcome::Answered(answer.status().as_u16());
    }
    answer
}

/// What is noted of a request at its end; also of one whose client does not wait for it, which the server may still carry out.
struct Note {
    seen: Seen,
    shared: Arc<Shared>,
}

impl Drop for Note {
    fn drop(&mut self) {
        self.shared.note(Seen { ended: Instant::now(), ..self.seen.clone() });
    }
}

async fn carry(request: Request<Incoming>, server: &Client, fault: Option<Fault>) -> Result<Answer, Failure> {
    match fault {
        None => pass(request, server).await,
        Some(Fault::Refuse(refusal)) => refuse(refusal),
        Some(Fault::Cut) => Err("cut before the server".into()),
        Some(Fault::LoseAnswer) => {
            // to its last byte, or the server may not have carried it out
            pass(request, server).await?.into_body().collect().await?;
            Err("cut after the server".into())
        }
        Some(Fault::Delay(delay)) => delayed(request, server, delay).await,
        Some(Fault::EndWatch { events }) => shorten(pass(request, server).await?, events, None),
        Some(Fault::ExpireWatch { events }) => {
            let told = json!({"type": "ERROR", "object": Refusal::Expired.object()});
            shorten(pass(request, server).await?, events, Some(format!("{told}\n").into()))
        }
    }
}

async fn pass(request: Request<Incoming>, server: &Client) -> Result<Answer, Failure> {
    let (mut head, body) = request.into_parts();
    // the server has a name and connections of its own
    for name in [http::header::HOST, http::header::CONNECTION, http::header::CONTENT_LENGTH] {
        head.headers.remove(name);
    }
    let body = Body::from(body.collect().await?.to_bytes());
    let answer = server.send(Request::from_parts(head, body)).await?;
    Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()))
}

async fn delayed(request: Request<Incoming>, server: &Client, delay: Duration) -> Result<Answer, Failure> {
    tokio::time::sleep(delay).await;
    pass(request, server).await
}

fn refuse(refusal: Refusal) -> Result<Answer, Failure> {
    let mut answer =
        Response::builder().status(refusal.status()).header(http::header::CONTENT_TYPE, "application/json");
    if let Some(seconds) = refusal.retry_after_seconds() {
        answer = answer.header(http::header::RETRY_AFTER, seconds);
    }
    Ok(answer.body(whole(refusal.object().to_string().into()))?)
}

/// Ends a stream of lines after so many, with a last one of ours, and does not wait for another.
fn shorten(answer: Answer, lines: u64, last: Option<Bytes>) -> Result<Answer, Failure> {
    Ok(answer.map(|body| {
        let kept =
            futures::stream::unfold((BodyStream::new(body), lines), |(mut body, mut left)| async move {
                if left == 0 {
                    return None;
                }
                let frame = body.next().await?.map(|frame| match frame.into_data() {
                    Ok(data) => Frame::data(first_lines(data, &mut left)),
                    Err(frame) => frame,
                });
                Some((frame, (body, left)))
            });
        let last = futures::stream::iter(last.map(|line| Ok(Frame::data(line))));
        StreamBody::new(kept.chain(last)).boxed_unsync()
    }))
}

/// As much of `data` as ends with the last of the lines that are left; the others are none of the client's business.
fn first_lines(data: Bytes, left: &mut u64) -> Bytes {
    for (at, byte) in data.iter().enumerate() {
        if *byte == b'\n' {
            *left -= 1;
            if *left == 0 {
                return data.slice(..=at);
            }
        }
    }
    data
}

fn whole(data: Bytes) -> UnsyncBoxBody<Bytes, Failure> {
    Full::new(data).map_err(|never: Infallible| match never {}).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_over_the_borders_of_frames() {
        let mut left = 3;

        let frames = [&b"one\ntw"[..], b"o\n", b"three\nfour\n"]
            .map(|frame| first_lines(Bytes::from_static(frame), &mut left));

        assert_eq!((frames.concat(), left), (b"one\ntwo\nthree\n".to_vec(), 0));
    }
}
