//! REST: one module per noun, each a flat list of routes. Owns the forms that all share: lists in pages,
//! unknown parameters refused, JSON bodies, what each noun's routes need of a credential.

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequest, FromRequestParts, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use tokio_util::sync::CancellationToken;

use super::problem::Problem;
use super::session::Sessions;
use crate::clock::Clock;
use crate::domain::hex;
use crate::domain::time::{Mono, Wall};
use crate::metrics::Sources;
use crate::service::access::{Access, Credential, Right};
use crate::service::devices::Devices;
use crate::service::events::Events;
use crate::service::health::Health;
use crate::service::hosts::Hosts;
use crate::service::leasing::Leasing;
use crate::service::naming::Naming;
use crate::service::provisioning::Provisioning;
use crate::service::reload::Reloads;

/// `/api/v1/devices`, `configs`, `provisioning`.
mod devices;
/// Packet log, pools, options and history of addresses.
mod dhcp;
/// `/api/v1/dns`.
mod dns;
/// `GET /api/v1/events`: list, and live over SSE.
mod events;
/// What a client would get, and why.
mod explain;
/// `/api/v1/hosts`.
mod hosts;
/// `POST /api/v1/import`.
mod import;
/// `/api/v1/leases`.
mod leases;
/// The status page.
mod page;
/// `POST /api/v1/reload`.
mod reload;
/// `/api/v1/reservations`.
mod reservations;
/// `/healthz`, `/readyz`, `/livez`, `/metrics`, `/api/v1/status`.
mod status;
/// `/api/v1/tokens`.
mod tokens;

/// What the handlers work with.
pub struct Api {
    pub access: Arc<Access>,
    pub events: Arc<Events>,
    pub health: Arc<Health>,
    pub leasing: Arc<Leasing>,
    pub naming: Naming,
    pub devices: Arc<Devices>,
    pub phones: Arc<Provisioning>,
    pub hosts: Hosts,
    pub reloads: Reloads,
    /// What the metrics are asked of.
    pub sources: Sources,
    /// The site's domain, for the page.
    pub domain: String,
    pub sessions: Arc<Sessions>,
    /// A new name for an object.
    pub new_id: Box<dyn Fn() -> String + Send + Sync>,
    pub clock: Arc<dyn Clock>,
    /// When the daemon started.
    pub began: Mono,
    /// Long answers end when this is cancelled.
    pub stopping: CancellationToken,
}

/// All routes. The door (`guard`) stands around them.
pub fn router(api: Arc<Api>) -> Router {
    let v1 = Router::new()
        .merge(noun("event", events::routes()))
        .merge(noun("lease", leases::routes()))
        .merge(noun("lease", dhcp::routes()))
        .merge(noun("lease", explain::routes()))
        .merge(noun("reservation", reservations::routes()))
        .merge(noun("reservation", import::routes()))
        .merge(noun("device", devices::routes()))
        .merge(noun("config", devices::configs()))
        .merge(noun("provisioning", devices::provisioning()))
        .merge(noun("dns", dns::routes()))
        .merge(noun("host", hosts::routes()))
        .merge(noun("reload", reload::routes()))
        .merge(noun("status", status::routes()))
        .merge(noun("token", tokens::routes()));
    Router::new()
        .nest("/api/v1", v1)
        .merge(status::outside())
        .merge(page::routes())
        .fallback(|| async { Problem::not_found("there is nothing at this address; the API is under /api/v1") })
        .method_not_allowed_fallback(wrong_method)
        .with_state(api)
}

async fn wrong_method(method: Method) -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", format!("{method} is not possible here"))
}

/// Routes that need rights on a noun: reading for GET, writing for the rest; for tokens and
/// reloads administration.
fn noun(name: &'static str, routes: Router<Arc<Api>>) -> Router<Arc<Api>> {
    routes.route_layer(from_fn_with_state(name, allowed))
}

async fn allowed(State(noun): State<&'static str>, request: Request, next: Next) -> Response {
    let right = match request.method() {
        _ if noun == "token" || noun == "reload" => Right::Admin,
        method if method.is_safe() => Right::Read,
        _ => Right::Write,
    };
    match request.extensions().get::<Credential>() {
        Some(credential) if credential.may(noun, right) => next.run(request).await,
        Some(credential) => {
            let word = format!("{right:?}").to_lowercase();
            Problem::forbidden(format!("`{}` lacks the scope {noun}:{word}", credential.name)).into_response()
        }
        None => Problem::unauthenticated("a credential is needed").into_response(),
    }
}

/// Query parameters; unknown ones are refused (AP-503).
pub(super) struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Params<T>, Problem> {
        let query = Query::<T>::try_from_uri(&parts.uri);
        query.map(|Query(found)| Params(found)).map_err(|rejection| Problem::bad(rejection.body_text()))
    }
}

/// For routes without parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// A JSON body; unknown and duplicate keys are refused (AP-509).
pub(super) struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Json<T>, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
        if kind.split(';').next().map(str::trim) != Some("application/json") {
            let detail = "send `Content-Type: application/json`";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", detail));
        }
        let bytes = bytes::Bytes::from_request(request, state).await.map_err(|e| Problem::bad(e.body_text()))?;
        serde_json::from_slice(&bytes)
            .map(Json)
            .map_err(|e| Problem::bad(format!("the body is not what is expected: {e}")))
    }
}

/// Objects of one page. The largest page is that of a CSV file (reliability reference, section 4).
const LARGEST_PAGE: usize = 50_000;

/// `limit` and `cursor` of a list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageQuery {
    /// Part of any field's text.
    pub q: Option<String>,
    pub limit: Option<usize>,
    pub cursor: Option<String>,
}

/// One page of a list. `cursor` leads to the page behind it.
#[derive(Debug, Serialize)]
pub(super) struct Page<T> {
    pub items: Vec<T>,
    /// Objects in all pages.
    pub total: usize,
    pub cursor: Option<String>,
}

impl PageQuery {
    /// The page out of all objects, each with a key that orders and names it.
    pub fn page<T: Serialize>(&self, mut all: Vec<(String, T)>) -> Result<axum::Json<Page<T>>, Problem> {
        if let Some(q) = self.q.as_ref().map(|q| q.to_lowercase()) {
            all.retain(|(_, item)| serde_json::to_string(item).is_ok_and(|text| text.to_lowercase().contains(&q)));
        }
        Paging { limit: self.limit, cursor: self.cursor.as_deref(), descending: false }.page(all).map(axum::Json)
    }
}

/// Which page, and in which order.
#[derive(Debug, Default)]
pub(super) struct Paging<'a> {
    pub limit: Option<usize>,
    pub cursor: Option<&'a str>,
    pub descending: bool,
}

impl Paging<'_> {
    /// The page out of all objects that are wanted, each with a key that orders and names it.
    pub fn page<T>(&self, mut all: Vec<(String, T)>) -> Result<Page<T>, Problem> {
        let limit = self.limit.unwrap_or(100);
        if !(1..=LARGEST_PAGE).contains(&limit) {
            return Err(Problem::bad(format!("`limit` is 1 to {LARGEST_PAGE}")));
        }
        let total = all.len();
        let order = |a: &String, b: &String| if self.descending { b.cmp(a) } else { a.cmp(b) };
        all.sort_by(|(a, _), (b, _)| order(a, b));
        if let Some(cursor) = self.cursor {
            let after = hex::read(cursor.as_bytes())
                .and_then(|octets| String::from_utf8(octets).ok())
                .ok_or_else(|| Problem::bad("`cursor` is none that was given out here"))?;
            all.retain(|(key, _)| order(key, &after).is_gt());
        }
        let cursor = (all.len() > limit).then(|| hex::write(all[limit - 1].0.as_bytes()));
        all.truncate(limit);
        Ok(Page { items: all.into_iter().map(|(_, item)| item).collect(), total, cursor })
    }
}

/// True if a client wants that media type and says so.
pub(super) fn wants(headers: &HeaderMap, media: &str) -> bool {
    headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|accept| accept.contains(media))
}

/// Rows as a CSV file (RFC 4180). What a spreadsheet would take for a formula is made text.
pub(super) fn csv(columns: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Response {
    let cell = |text: &str| {
        let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
        let text = if formula { format!("'{text}") } else { text.to_owned() };
        if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
    };
    let line = |cells: &mut dyn Iterator<Item = &str>| cells.map(cell).collect::<Vec<_>>().join(",") + "\r\n";
    let mut out = line(&mut columns.iter().copied());
    rows.for_each(|row| out += &line(&mut row.iter().map(String::as_str)));
    ([(header::CONTENT_TYPE, "text/csv; charset=utf-8"), (header::CACHE_CONTROL, "no-store")], out).into_response()
}

/// What a client sent, for people: text where it is text, escapes elsewhere.
pub(super) fn readable(octets: &[u8]) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    match std::str::from_utf8(octets) {
        Ok(text) => text.chars().map(escaped).collect(),
        Err(_) => octets.escape_ascii().to_string(),
    }
}

/// RFC 3339; absent for a time that never comes.
pub(super) fn when(time: Wall) -> Option<String> {
    (time != Wall::NEVER).then(|| time.rfc3339())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_cover_everything_once() {
        let all = || (0..25).map(|n| (format!("{n:03}"), n)).collect::<Vec<_>>();
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let query = PageQuery { q: None, limit: Some(10), cursor };
            let axum::Json(page) = query.page(all()).expect("a page");
            assert_eq!(page.total, 25);
            seen.extend(page.items);
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, (0..25).collect::<Vec<_>>());
        let forged = PageQuery { cursor: Some("xyz".to_owned()), ..PageQuery::default() };
        assert!(forged.page(all()).is_err());
        assert!(PageQuery { limit: Some(0), ..PageQuery::default() }.page(all()).is_err());
        let last = Paging { limit: Some(2), cursor: None, descending: true }.page(all()).expect("a page");
        assert_eq!(last.items, [24, 23]);
        let before = Paging { limit: Some(2), cursor: last.cursor.as_deref(), descending: true };
        assert_eq!(before.page(all()).expect("a page").items, [22, 21]);
    }

    #[tokio::test]
    async fn a_csv_file_runs_no_formula_in_a_spreadsheet() {
        let rows = vec![vec!["=1+1".to_owned(), "a,\"b\"".to_owned()], vec!["@x".to_owned(), "plain".to_owned()]];
        let body = csv(&["ip", "name"], rows.into_iter()).into_body();
        let bytes = axum::body::to_bytes(body, 1 << 10).await.expect("a body");
        assert_eq!(bytes, "ip,name\r\n'=1+1,\"a,\"\"b\"\"\"\r\n'@x,plain\r\n");
    }
}
