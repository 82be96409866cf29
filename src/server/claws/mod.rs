//! The CLAWS bus over HTTP: XML messages by POST, broadcasts as server-sent events. Owns status codes,
//! headers and framing; refuses to decide anything about transactions, or who the caller is.

mod messages;
mod stream;
mod transaction;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Extensions, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};

use crate::domain::claws::access::Principal;
use crate::domain::claws::message::error;
use crate::domain::claws::{Element, Fault};
use crate::service::bus::Bus;

/// Who a request comes from, read from what the authentication layer put into its extensions; `None`: 401.
pub type Resolve = Arc<dyn Fn(&Extensions) -> Option<Principal> + Send + Sync>;

#[derive(Clone)]
struct Shell {
    bus: Bus,
    resolve: Resolve,
}

impl Shell {
    fn principal(&self, extensions: &Extensions) -> Result<Principal, Fault> {
        (self.resolve)(extensions)
            .ok_or_else(|| Fault::new("unauthenticated", "send Authorization: Bearer TOKEN, or use the local socket"))
    }
}

/// The routes below `/claws/v1`.
pub fn router(bus: Bus, resolve: Resolve) -> Router {
    Router::new()
        .route("/claws/v1/messages", post(messages::post))
        .route("/claws/v1/stream", get(stream::get))
        .route("/claws/v1/tx/{txid}", get(transaction::get))
        .with_state(Shell { bus, resolve })
}

/// A message as the body of an answer.
fn xml(status: StatusCode, message: &Element) -> Response {
    let mut response = Response::new(Body::from(message.write() + "\n"));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn refusal(fault: &Fault) -> Response {
    let status = StatusCode::from_u16(fault.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = xml(status, &error(fault));
    let headers = response.headers_mut();
    match fault.status() {
        429 | 503 => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        401 => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        _ => {}
    }
    response
}

#[cfg(test)]
mod tests;
