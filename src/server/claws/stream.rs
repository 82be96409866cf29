//! `GET /claws/v1/stream`: server-sent events, one message per `data:` line, a comment when nothing
//! happens. The reader's pace is the writer's: nothing piles up here.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use serde::Deserialize;

use super::{Shell, refusal};
use crate::domain::claws::Fault;
use crate::service::bus::{Attach, Item, Stream};

/// Between two comments on a silent stream (CL-902).
const PING: Duration = Duration::from_secs(15);

#[derive(Debug, Deserialize)]
pub(super) struct Wish {
    role: Option<String>,
    takeover: Option<bool>,
}

pub(super) async fn get(State(shell): State<Shell>, wish: Query<Wish>, request: Parts) -> Response {
    match open(&shell, &wish, &request).await {
        Ok(stream) => events(stream),
        Err(fault) => refusal(&fault),
    }
}

async fn open(shell: &Shell, wish: &Wish, request: &Parts) -> Result<Stream, Fault> {
    let principal = shell.principal(&request.extensions)?;
    let (module, frontend) = match wish.role.as_deref() {
        Some("module") => (true, false),
        Some("frontend") => (false, true),
        Some("both") => (true, true),
        _ => return Err(Fault::new("grammar", "role is module, frontend or both")),
    };
    let after = last_event_id(&request.headers)?;
    shell.bus.attach(Attach { principal, module, frontend, takeover: wish.takeover == Some(true), after }).await
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Fault> {
    let Some(value) = headers.get("last-event-id").filter(|value| !value.is_empty()) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    number.map(Some).ok_or_else(|| Fault::new("grammar", "Last-Event-ID is the seq of an event"))
}

fn events(stream: Stream) -> Response {
    let frames = futures_util::stream::unfold((stream, true), |(mut stream, first)| async move {
        if first {
            let item = stream.next().await?;
            return Some((Ok::<_, Infallible>(frame(&item, "retry: 2000\n")), (stream, false)));
        }
        let bytes = match tokio::time::timeout(PING, stream.next()).await {
            Ok(item) => frame(&item?, ""),
            Err(_) => Bytes::from_static(b": \n\n"),
        };
        Some((Ok(bytes), (stream, false)))
    });
    let mut response = Response::new(Body::from_stream(frames));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn frame(item: &Item, before: &str) -> Bytes {
    let id = item.id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    Bytes::from(format!("{before}{id}data: {}\n\n", item.line))
}
