//! One request to one response: methods, validators, one range, the forwarded address. Owns the uniform
//! denial: missing, denied and unknown files have the same status, headers and bytes (PR-52).

use std::net::IpAddr;
use std::ops::Range;
use std::time::{Duration, UNIX_EPOCH};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ACCEPT_RANGES, ALLOW, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE, RETRY_AFTER, USER_AGENT,
};
use hyper::http::HeaderValue;
use hyper::{Method, Request, Response, StatusCode};
use ipnet::IpNet;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::time::Instant;

use super::Shop;
use super::body::{Life, Payload};
use crate::net::alarm;
use crate::service::provisioning::{BootFile, FileReply, FileRequest, Protocol, Served};

/// Longest request path; more is 414.
const PATH_BYTES: usize = 2048;

/// A denial leaves this long after its request came, whatever was looked at in between: its time must not
/// tell what its bytes do not (SE-11). Many times what the looking takes.
const DENIAL: Duration = Duration::from_millis(5);
/// And up to this much later, by chance: the looking also leaves caches warm or cold, which shows as a
/// microsecond or two after the timer.
const DENIAL_SPREAD_US: u64 = 1_000;

/// When the denial of a request leaves.
fn denial_due(began: Instant) -> Instant {
    let mut noise = [0; 8];
    // without randomness the wait alone has to do
    let _ = SystemRandom::new().fill(&mut noise);
    began + DENIAL + Duration::from_micros(u64::from_le_bytes(noise) % DENIAL_SPREAD_US)
}

/// The two ends of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub peer: IpAddr,
    pub local: IpAddr,
}

type Reply = Response<Payload>;

/// Answers; never fails.
pub(super) async fn answer(shop: &Shop, ends: Ends, life: &Life, request: Request<Incoming>) -> Reply {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut reply = plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
        reply.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return reply;
    }
    if request.uri().path().len() > PATH_BYTES {
        return plain(StatusCode::URI_TOO_LONG, "path too long\n");
    }
    let forwarded = forwarded(request.headers(), ends.peer, &shop.settings.trusted_proxies);
    let own = shop.links.links().owner_of(ends.local).map(|l| l.name.as_str().into());
    let asked = FileRequest {
        protocol: Protocol::Http,
        peer: forwarded.unwrap_or(ends.peer),
        // Behind a proxy, the interface says where the proxy is.
        interface: own.filter(|_| forwarded.is_none()),
        local: ends.local,
        path: request.uri().path().as_bytes().to_vec(),
        query: request.uri().query().map(|q| q.as_bytes().to_vec()),
        user_agent: request.headers().get(USER_AGENT).map(|v| v.as_bytes().to_vec()),
    };
    let began = Instant::now();
    let head = *request.method() == Method::HEAD;
    match shop.phones.serve(asked).await {
        FileReply::File(file) => serve(request.headers(), &file, head),
        FileReply::Boot(file) => serve_boot(request.headers(), file, head, life),
        FileReply::NotFound => {
            alarm::sleep_until(denial_due(began)).await;
            plain(StatusCode::NOT_FOUND, "not found\n")
        }
        FileReply::Failed => plain(StatusCode::INTERNAL_SERVER_ERROR, "failed\n"),
        FileReply::Busy => {
            let mut reply = plain(StatusCode::SERVICE_UNAVAILABLE, "busy\n");
            reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
            reply
        }
    }
}

fn plain(status: StatusCode, text: &'static str) -> Reply {
    let mut reply = Response::new(Payload::from(text));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    reply
}

/// A file, whichever it is.
struct Offered {
    etag: String,
    media: String,
    modified: Option<i64>,
    size: u64,
}

impl Offered {
    fn phone(file: &Served) -> Offered {
        let (etag, media) = (format!("\"{}\"", file.etag), format!("{}; charset=UTF-8", file.media));
        Offered { etag, media, modified: file.modified, size: file.bytes.len() as u64 }
    }

    fn boot(file: &BootFile) -> Offered {
        // firmware compares the type as a whole
        let (etag, media) = (format!("\"{}\"", file.etag), file.media.to_owned());
        Offered { etag, media, modified: Some(file.modified), size: file.size }
    }
}

/// The header for a file, whole or in part, and which part; or the news that it has not changed.
fn offer(headers: &HeaderMap, file: &Offered) -> (Reply, Option<Range<u64>>) {
    let mut reply = Response::new(Payload::empty());
    let put = |reply: &mut Reply, name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            reply.headers_mut().insert(name, value);
        }
    };
    let etag = file.etag.as_str();
    put(&mut reply, ETAG, etag);
    if let Some(modified) = file.modified.and_then(|seconds| u64::try_from(seconds).ok()) {
        put(&mut reply, LAST_MODIFIED, &httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(modified)));
    }
    let unchanged = match headers.get(IF_NONE_MATCH) {
        Some(tags) => matches(tags, etag),
        // RFC 9110 §13.1.3: looked at only without If-None-Match; what is no date is passed over.
        None => headers.get(IF_MODIFIED_SINCE).is_some_and(|date| unchanged_since(date, file.modified)),
    };
    if unchanged {
        *reply.status_mut() = StatusCode::NOT_MODIFIED;
        return (reply, None);
    }
    put(&mut reply, CONTENT_TYPE, &file.media);
    put(&mut reply, ACCEPT_RANGES, "bytes");
    let size = file.size;
    // RFC 9110 §13.1.5: with another validator than ours the whole file is sent.
    let same = headers.get(IF_RANGE).is_none_or(|v| v.as_bytes() == etag.as_bytes());
    let wanted = headers.get(RANGE).filter(|_| same).and_then(|v| v.to_str().ok());
    let part = match wanted.map(|range| range_of(range, size)) {
        None | Some(Wanted::Whole) => 0..size,
        Some(Wanted::Part(part)) => {
            *reply.status_mut() = StatusCode::PARTIAL_CONTENT;
            put(&mut reply, CONTENT_RANGE, &format!("bytes {}-{}/{size}", part.start, part.end - 1));
            part
        }
        Some(Wanted::Unsatisfiable) => {
            *reply.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            put(&mut reply, CONTENT_RANGE, &format!("bytes */{size}"));
            0..0
        }
    };
    // Always there: some phones cannot read chunks, and firmware asks by HEAD how much room it needs.
    put(&mut reply, CONTENT_LENGTH, &(part.end - part.start).to_string());
    (reply, Some(part))
}

/// A phone's file.
fn serve(headers: &HeaderMap, file: &Served, head: bool) -> Reply {
    let (mut reply, part) = offer(headers, &Offered::phone(file));
    if let Some(part) = part.filter(|_| !head) {
        let bytes = file.bytes.get(part.start as usize..part.end as usize).unwrap_or_default();
        *reply.body_mut() = Payload::Bytes(Full::new(Bytes::copy_from_slice(bytes)));
    }
    reply
}

/// A boot file.
fn serve_boot(headers: &HeaderMap, file: BootFile, head: bool, life: &Life) -> Reply {
    let (mut reply, part) = offer(headers, &Offered::boot(&file));
    if let Some(part) = part.filter(|_| !head) {
        *reply.body_mut() = Payload::part(file, part, life.clone());
    }
    reply
}

fn matches(header: &HeaderValue, etag: &str) -> bool {
    let Ok(text) = header.to_str() else { return false };
    text.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// True if these bytes were served at `date` already.
fn unchanged_since(date: &HeaderValue, modified: Option<i64>) -> bool {
    let Some(since) = date.to_str().ok().and_then(|text| httpdate::parse_http_date(text).ok()) else { return false };
    let seconds = since.duration_since(UNIX_EPOCH).ok().and_then(|s| i64::try_from(s.as_secs()).ok());
    modified.zip(seconds).is_some_and(|(modified, since)| modified <= since)
}

enum Wanted {
    Whole,
    Part(Range<u64>),
    Unsatisfiable,
}

/// RFC 9110 §14.1.2: one range; several, or what is no range, mean the whole file.
fn range_of(header: &str, size: u64) -> Wanted {
    let Some((first, last)) = header.strip_prefix("bytes=").and_then(|spec| spec.split_once('-')) else {
        return Wanted::Whole;
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    match (first.trim(), last.trim()) {
        ("", last) => match number(last) {
            Some(0) => Wanted::Unsatisfiable,
            Some(n) if size > 0 => Wanted::Part(size.saturating_sub(n)..size),
            Some(_) => Wanted::Unsatisfiable,
            None => Wanted::Whole,
        },
        (first, last) => match (number(first), last) {
            (Some(first), _) if first >= size => Wanted::Unsatisfiable,
            (Some(first), "") => Wanted::Part(first..size),
            (Some(first), last) => match number(last) {
                Some(last) if last >= first => Wanted::Part(first..last.saturating_add(1).min(size)),
                _ => Wanted::Whole,
            },
            (None, _) => Wanted::Whole,
        },
    }
}

/// PR-7: who a trusted proxy speaks for: the rightmost address that is no trusted proxy itself. Whatever
/// cannot be read leaves the peer's address in force.
fn forwarded(headers: &HeaderMap, peer: IpAddr, trusted: &[IpNet]) -> Option<IpAddr> {
    let believed = |ip: &IpAddr| trusted.iter().any(|net| net.contains(ip));
    if !believed(&peer) {
        return None;
    }
    let mut chain = Vec::new();
    for value in headers.get_all("x-forwarded-for") {
        for part in value.to_str().ok()?.split(',') {
            chain.push(part.trim().parse::<IpAddr>().ok()?.to_canonical());
        }
    }
    chain.into_iter().rev().find(|ip| !believed(ip))
}
