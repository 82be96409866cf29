//! `POST /claws/v1/messages`: checks in the order of CL-901, then the bus.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use axum::response::Response;

use super::{Shell, empty, refusal, xml};
use crate::domain::claws::Fault;
use crate::domain::claws::message::{Uplink, parse};
use crate::domain::claws::xml::{MESSAGE, decode, decode_assuming_prefixes};
use crate::service::bus::{Accepted, Heard};

/// The longest that `Prefer: wait=N` may ask for.
const WAIT: u64 = 60;
/// How long a body may take to arrive.
const BODY: Duration = Duration::from_secs(30);

pub(super) async fn post(State(shell): State<Shell>, request: Request<Body>) -> Response {
    take(&shell, request).await.unwrap_or_else(|fault| refusal(&fault))
}

async fn take(shell: &Shell, request: Request<Body>) -> Result<Response, Fault> {
    let (parts, body) = request.into_parts();
    let who = shell.principal(&parts.extensions)?;
    is_xml(&parts.headers)?;
    let bytes = read(body).await?;
    let root = if who.assume_prefixes { decode_assuming_prefixes(&bytes)? } else { decode(&bytes)? };
    match parse(&root)? {
        Uplink::Submission(submission) => {
            let accepted = shell.bus.submit(&who, submission, wait(&parts.headers)).await?;
            Ok(answer(&accepted, !wait(&parts.headers).is_zero()))
        }
        other => {
            let session = parts.headers.get("claws-session").and_then(|value| value.to_str().ok());
            match shell.bus.hear(&who, session, other).await? {
                Heard::Done => Ok(empty(StatusCode::ACCEPTED)),
                Heard::Description(description) => Ok(xml(StatusCode::OK, &description.element())),
            }
        }
    }
}

fn is_xml(headers: &HeaderMap) -> Result<(), Fault> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let mut parts = value.split(';').map(str::trim);
    let kind = parts.next().unwrap_or("");
    let known = ["application/xml", "text/xml"].iter().any(|known| kind.eq_ignore_ascii_case(known));
    let charset = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.eq_ignore_ascii_case("charset").then(|| value.trim_matches('"'))
    });
    if known && charset.is_none_or(|charset| charset.eq_ignore_ascii_case("utf-8")) {
        return Ok(());
    }
    Err(Fault::new("media-type", "send Content-Type: application/xml, in UTF-8"))
}

async fn read(body: Body) -> Result<bytes::Bytes, Fault> {
    let too_large = || Fault::new("too-large", format!("a message has at most {MESSAGE} bytes"));
    match tokio::time::timeout(BODY, to_bytes(body, MESSAGE)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(too_large()),
        Err(_) => Err(Fault::new("xml-malformed", "the message did not arrive in time")),
    }
}

/// RFC 7240 §4.3: `Prefer: wait=N`, in seconds.
fn wait(headers: &HeaderMap) -> Duration {
    let preferences = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let seconds = preferences.flat_map(|value| value.split(',')).find_map(|preference| {
        let (name, value) = preference.trim().split_once('=')?;
        name.trim().eq_ignore_ascii_case("wait").then(|| value.trim().parse::<u64>().ok()).flatten()
    });
    Duration::from_secs(seconds.unwrap_or(0).min(WAIT))
}

fn answer(accepted: &Accepted, waited: bool) -> Response {
    let status = match (accepted.description.state, accepted.decided && (waited || accepted.repeated)) {
        (_, false) => StatusCode::ACCEPTED,
        ("cancelled", true) if !accepted.repeated => StatusCode::CONFLICT,
        // repeated: the state of what was submitted before
        ("cancelled", true) if waited => StatusCode::CONFLICT,
        _ => StatusCode::OK,
    };
    let mut response = xml(status, &accepted.description.element());
    if let Ok(location) = HeaderValue::from_str(&format!("/claws/v1/tx/{}", accepted.description.txid)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
