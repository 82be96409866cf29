//! The door: every request passes here before any handler, fallbacks included. Owns the checks of Host
//! (DNS rebinding), Origin (forged requests from browsers), body size and time, and credential. Refuses
//! everything that no rule lets in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::accept::Remote;
use super::problem::Problem;
use super::session::Sessions;
use crate::metrics;
use crate::service::access::{Access, BUS, Credential, Peer};

/// Octets of a request's body.
pub const BODY: usize = 1 << 20;
/// Bytes of an import: what one commit holds (RL limits table: 32 MiB).
pub const IMPORT: usize = 32 << 20;
/// Time for a body.
const BODY_TIME: Duration = Duration::from_secs(30);

/// Who is let in, and how.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// This process's own user, who is an administrator on the Unix socket as root is.
    pub own_uid: u32,
    /// Members are administrators on the Unix socket.
    pub admin_group: String,
    /// Sources of the bus that are local users.
    pub local: HashMap<u32, String>,
}

/// What the checks need.
pub struct Door {
    pub access: Arc<Access>,
    pub sessions: Arc<Sessions>,
    pub settings: Settings,
}

/// Middleware around the whole router.
pub async fn guard(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    match pass(&door, request).await {
        Ok(request) => next.run(request).await,
        Err(answer) => *answer,
    }
}

async fn pass(door: &Door, request: Request) -> Result<Request, Box<Response>> {
    let refuse = |problem: Problem| Box::new(problem.into_response());
    let remote = request.extensions().get::<Remote>().copied().ok_or_else(|| refuse(Problem::internal()))?;
    check_host(request.headers(), remote).map_err(refuse)?;
    check_origin(request.method(), request.headers()).map_err(refuse)?;
    let mut request = buffered(request).await.map_err(refuse)?;
    match door.admit(&request, remote) {
        Ok(credential) => {
            request.extensions_mut().insert(credential);
            Ok(request)
        }
        Err(_) if is_open(&request) => Ok(request),
        Err(_) if wants_page(&request) => Err(Box::new(Redirect::to("/login").into_response())),
        Err(problem) => {
            metrics::count("lanlord_auth_failures_total", &[]);
            Err(refuse(problem))
        }
    }
}

/// What answers without a credential (AP-601).
fn is_open(request: &Request) -> bool {
    matches!(request.uri().path(), "/healthz" | "/readyz" | "/livez" | "/login" | "/style.css")
}

fn wants_page(request: &Request) -> bool {
    let accept = request.headers().get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("");
    request.method() == Method::GET && !request.uri().path().starts_with("/api/") && accept.contains("text/html")
}

/// A browser that was lured here by another name must not be believed. Processes on the Unix socket are no
/// browsers.
fn check_host(headers: &HeaderMap, remote: Remote) -> Result<(), Problem> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(Problem::bad("exactly one Host header is needed"));
    };
    let host = host.to_str().unwrap_or("");
    if matches!(remote, Remote::Unix { .. }) || is_loopback_name(host) {
        return Ok(());
    }
    let detail = "this server is 127.0.0.1 or localhost, and nothing else";
    Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "unknown-host", detail))
}

fn is_loopback_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// SE-18: what changes something is not done on behalf of another site's page.
fn check_origin(method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    if method.is_safe() {
        return Ok(());
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let foreign_site = text("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none"));
    let host = text("host").unwrap_or("");
    let foreign_origin = text("origin").is_some_and(|origin| origin.split_once("://").is_none_or(|(_, at)| at != host));
    // who comes with a cookie is a browser, and browsers say where they come from
    let silent_browser =
        headers.contains_key(header::COOKIE) && text("sec-fetch-site").is_none() && text("origin").is_none();
    if foreign_site || foreign_origin || silent_browser {
        return Err(Problem::forbidden("requests from another site's pages are refused"));
    }
    Ok(())
}

/// Takes the body in, so that no handler ever waits for a slow or endless one.
async fn buffered(request: Request) -> Result<Request, Problem> {
    let (parts, body) = request.into_parts();
    let limit = if parts.uri.path() == "/api/v1/import" { IMPORT } else { BODY };
    let collected = tokio::time::timeout(BODY_TIME, Limited::new(body, limit).collect()).await;
    match collected {
        Ok(Ok(bytes)) => Ok(Request::from_parts(parts, Body::from(bytes.to_bytes()))),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let detail = format!("a body has at most {limit} bytes");
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail))
        }
        Ok(Err(_)) => Err(Problem::bad("the body ended early")),
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "too-slow", "the body took too long")),
    }
}

impl Door {
    /// Whoever it is: by token, by session cookie, by the user at the other end of the Unix socket.
    fn admit(&self, request: &Request, remote: Remote) -> Result<Credential, Problem> {
        if let Some(value) = request.headers().get(header::AUTHORIZATION) {
            let secret = value.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
            let found = secret.and_then(|secret| self.access.by_secret(secret.trim()));
            return found.ok_or_else(|| Problem::unauthenticated("this token is not known here, or was revoked"));
        }
        if let Remote::Unix { uid, gid } = remote {
            return self.local(uid, gid);
        }
        let cookie = self.sessions.of(request.headers()).filter(|credential| self.access.is_live(credential));
        cookie.ok_or_else(|| {
            Problem::unauthenticated("send `Authorization: Bearer TOKEN`; `lanlord token create` makes a token")
        })
    }

    fn local(&self, uid: u32, gid: u32) -> Result<Credential, Problem> {
        if let Some(name) = self.settings.local.get(&uid) {
            return Ok(Credential { name: name.clone(), scopes: vec![BUS.to_owned()], peer: Peer::Socket(uid) });
        }
        let user = nix::unistd::User::from_uid(uid.into()).ok().flatten();
        let name = user.as_ref().map_or_else(|| format!("uid {uid}"), |user| user.name.clone());
        if uid == 0 || uid == self.settings.own_uid || self.is_admin(&name, gid) {
            return Ok(Credential::administrator(&name, uid));
        }
        let detail = format!("user {name} is neither root nor in the group {}", self.settings.admin_group);
        Err(Problem::unauthenticated(detail))
    }

    fn is_admin(&self, name: &str, gid: u32) -> bool {
        let group = nix::unistd::Group::from_name(&self.settings.admin_group).ok().flatten();
        group.is_some_and(|group| group.gid.as_raw() == gid || group.mem.iter().any(|member| member == name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn only_loopback_names_are_ours() {
        for ours in ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "127.0.0.1", "[::1]:8080"] {
            assert!(is_loopback_name(ours), "{ours}");
        }
        for foreign in
            ["", "evil.example", "localhost.evil.example:8080", "10.0.0.1:8080", "[fe80::1]:80", "127.0.0.1.nip.io"]
        {
            assert!(!is_loopback_name(foreign), "{foreign}");
        }
    }

    #[test]
    fn forged_requests_from_browsers_are_refused_and_programs_are_not() {
        let headers = |pairs: &[(&'static str, &'static str)]| -> HeaderMap {
            pairs.iter().map(|(k, v)| (k.parse().expect("a name"), HeaderValue::from_static(v))).collect()
        };
        let post = |pairs| check_origin(&Method::POST, &headers(pairs)).is_ok();
        assert!(post(&[("host", "localhost:8080")]));
        assert!(post(&[("host", "localhost:8080"), ("origin", "http://localhost:8080"), ("cookie", "a=b")]));
        assert!(!post(&[("host", "localhost:8080"), ("origin", "http://evil.example")]));
        assert!(!post(&[("host", "localhost:8080"), ("origin", "null")]));
        assert!(!post(&[("host", "localhost:8080"), ("sec-fetch-site", "cross-site")]));
        assert!(!post(&[("host", "localhost:8080"), ("sec-fetch-site", "same-site")]));
        assert!(!post(&[("host", "localhost:8080"), ("cookie", "a=b")]));
        assert!(check_origin(&Method::GET, &headers(&[("sec-fetch-site", "cross-site")])).is_ok());
    }
}
