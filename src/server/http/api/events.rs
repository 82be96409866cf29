//! `GET /api/v1/events`: what happened. With `Accept: text/event-stream` live: `id:` is the entry's number,
//! `Last-Event-ID` resumes, a comment every 15 s, 410 when that place is not kept any more (AP-507).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event as Frame, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use futures_util::stream;
use serde::{Deserialize, Serialize};

use super::{Api, Page, Params, wants};
use crate::server::http::problem::Problem;
use crate::service::access::Credential;
use crate::service::events::{Event, EventsError, Follower, PAGE};

/// How often a stream looks whether its credential was revoked.
pub(super) const LIVE: Duration = Duration::from_secs(1);
const PING: Duration = Duration::from_secs(15);

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new().route("/events", get(events))
}

/// Without `after`: the newest.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    after: Option<u64>,
    limit: Option<usize>,
}

#[derive(Debug, Serialize)]
struct Item {
    seq: u64,
    at: String,
    r#type: &'static str,
    object: String,
    /// Who did it, if somebody did.
    source: Option<String>,
    txid: Option<String>,
    summary: String,
}

impl From<Event> for Item {
    fn from(event: Event) -> Item {
        let Event { seq, at, kind, object, source, txid, text } = event;
        Item { seq, at: at.rfc3339(), r#type: kind, object, source, txid, summary: text }
    }
}

impl From<EventsError> for Problem {
    fn from(error: EventsError) -> Problem {
        match error {
            EventsError::Gone { .. } | EventsError::Ahead { .. } => {
                Problem::new(StatusCode::GONE, "gone", error.to_string())
            }
            EventsError::History => Problem::internal(),
            EventsError::Stopping => Problem::unavailable(error.to_string()),
        }
    }
}

async fn events(
    State(api): State<Arc<Api>>,
    Extension(credential): Extension<Credential>,
    headers: HeaderMap,
    Params(query): Params<Query>,
) -> Result<Response, Problem> {
    if wants(&headers, "text/event-stream") {
        let after = last_event_id(&headers)?.or(query.after);
        return Ok(follow(api.clone(), credential, api.events.follow(after).await?, |_| true));
    }
    let limit = query.limit.unwrap_or(100);
    if !(1..=PAGE).contains(&limit) {
        return Err(Problem::bad(format!("`limit` is 1 to {PAGE}")));
    }
    let found = match query.after {
        Some(after) => api.events.after(after, limit).await?,
        None => api.events.newest(limit).await?,
    };
    let cursor =
        (query.after.is_some() && found.len() == limit).then(|| found.last().map(|e| e.seq.to_string())).flatten();
    let total = found.len();
    Ok(axum::Json(Page { items: found.into_iter().map(Item::from).collect(), total, cursor }).into_response())
}

/// Where a client that comes back left off.
pub(super) fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let last = headers.get("last-event-id").map(|value| {
        let number = value.to_str().ok().and_then(|text| text.trim().parse::<u64>().ok());
        number.ok_or_else(|| Problem::bad("`Last-Event-ID` must be a number"))
    });
    last.transpose()
}

/// A stream of the events that fit; it ends when the daemon stops or the credential is revoked.
pub(super) fn follow(
    api: Arc<Api>,
    credential: Credential,
    follower: Follower,
    fits: fn(&crate::service::events::Event) -> bool,
) -> Response {
    let frames = stream::unfold((api, credential, follower), move |(api, credential, mut follower)| async move {
        loop {
            match tokio::time::timeout(LIVE, follower.next()).await {
                Ok(Some(event)) if !fits(&event) => {}
                Ok(Some(event)) => {
                    let frame = Frame::default().id(event.seq.to_string());
                    let frame = frame.json_data(Item::from(event)).ok()?;
                    return Some((Ok::<_, Infallible>(frame), (api, credential, follower)));
                }
                Ok(None) => return None,
                Err(_) if !api.access.is_live(&credential) || api.stopping.is_cancelled() => return None,
                Err(_) => {}
            }
        }
    });
    sse(frames)
}

/// Frames as a stream that says that it lives.
pub(super) fn sse(frames: impl stream::Stream<Item = Result<Frame, Infallible>> + Send + 'static) -> Response {
    let mut response = Sse::new(frames).keep_alive(KeepAlive::new().interval(PING).text("ping")).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}
