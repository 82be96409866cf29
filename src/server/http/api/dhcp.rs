//! What DHCP does and did: the packet log of each client, pools and their use, addresses out of use, the
//! options that are known, who held an address when.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::Event as Frame;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use axum::{Extension, Router};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use super::{Api, Page, PageQuery, Params, csv, events, leases, wants, when};
use crate::domain::dhcp::v6::book::Usage6;
use crate::domain::dhcp::{classes, options};
use crate::domain::hex;
use crate::domain::lease::{ClientKey, Lease};
use crate::domain::net::Mac;
use crate::domain::time::Wall;
use crate::server::http::problem::Problem;
use crate::service::access::Credential;
use crate::service::events::{Asked, Assignment};
use crate::service::leasing::{PoolUse, Step, Verdict};

/// Steps or assignments of one answer.
const MOST: usize = 1_000;

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/dhcp/log", get(log))
        .route("/dhcp/options", get(known_options))
        .route("/dhcp/classes", get(classes))
        .route("/dhcp/history", get(history))
        .route("/subnets", get(subnets))
        .route("/quarantine", get(quarantine))
        .route("/quarantine/{ip}", delete(lift))
}

/// Whose packets: a MAC in any notation, an address, or a DUID or client identifier in hexadecimal digits; absent for everybody's.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whose {
    client: Option<String>,
    limit: Option<usize>,
}

/// What selects the steps of one client.
#[derive(Debug, Clone, PartialEq)]
enum Client {
    Any,
    Mac(Mac),
    /// A DUID, or a client identifier.
    Id(Vec<u8>),
    /// The address, and whose it is now.
    Address(IpAddr, Option<Mac>),
}

impl Client {
    fn read(text: Option<&str>, api: &Api) -> Result<Client, Problem> {
        let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(Client::Any) };
        if let Ok(ip) = text.parse::<IpAddr>() {
            let holder = api.leasing.leases().into_iter().find(|lease| lease.ip == ip);
            return Ok(Client::Address(ip, holder.and_then(|lease| lease.mac)));
        }
        if let Ok(mac) = text.parse() {
            return Ok(Client::Mac(mac));
        }
        // as steps show it: `id:HEX`, or `na:IAID:HEX` and so on
        let shown = ["id:", "na:", "pd:", "reg:"].iter().any(|kind| text.starts_with(kind));
        let text = text.rsplit(':').next().filter(|_| shown).unwrap_or(text);
        let digits: Vec<u8> = text.bytes().filter(|c| !matches!(c, b':' | b'-')).collect();
        let bad =
            || Problem::bad(format!("`{text}` is no MAC, no IP address, and no identifier in hexadecimal digits"));
        hex::read(&digits).filter(|octets| octets.len() > 2).map(Client::Id).ok_or_else(bad)
    }

    fn fits(&self, step: &Step) -> bool {
        match self {
            Client::Any => true,
            Client::Mac(mac) => step.mac == Some(*mac),
            Client::Id(id) => step.client.as_ref().is_some_and(|client| match client.as_ref() {
                ClientKey::Id(octets) => octets == id,
                other => other.duid() == Some(id),
            }),
            Client::Address(ip, mac) => step.is_about(*ip) || mac.is_some() && step.mac == *mac,
        }
    }
}

fn step(step: &Step) -> Value {
    let (reply, ip, seconds, reason, why) = match &step.verdict {
        Verdict::Replied { message, ip, seconds, why } => (Some(*message), *ip, *seconds, None, why),
        Verdict::Silent { reason, why } => (None, None, None, Some(*reason), why),
    };
    json!({
        "number": step.number,
        "at": step.at.rfc3339(),
        "mac": step.mac.map(|mac| mac.to_string()),
        "client": step.client.as_ref().map(|client| format!("{client:?}")),
        "interface": step.interface.as_ref(),
        "relay": step.relay.map(|ip| ip.to_string()),
        "message": step.message,
        "xid": format!("{:08x}", step.xid),
        "asked": step.asked.map(|ip| ip.to_string()),
        "others": step.others.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "reply": reply,
        "ip": ip.map(|ip| ip.to_string()),
        "seconds": seconds,
        "silence": reason,
        "why": why,
        "text": step.text(),
    })
}

/// The newest steps, the newest last; live with `Accept: text/event-stream`.
async fn log(
    State(api): State<Arc<Api>>,
    Extension(credential): Extension<Credential>,
    headers: HeaderMap,
    Params(whose): Params<Whose>,
) -> Result<Response, Problem> {
    let client = Client::read(whose.client.as_deref(), &api)?;
    if wants(&headers, "text/event-stream") {
        return Ok(follow(api, credential, client));
    }
    let limit = whose.limit.unwrap_or(100);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::bad(format!("`limit` is 1 to {MOST}")));
    }
    let found = api.leasing.steps(|one| client.fits(one), limit);
    let items: Vec<Value> = found.iter().map(|one| step(one)).collect();
    Ok(axum::Json(Page { total: items.len(), items, cursor: None }).into_response())
}

/// Ends when the daemon stops or the credential is revoked; a reader that is too slow misses steps.
fn follow(api: Arc<Api>, credential: Credential, client: Client) -> Response {
    let steps = api.leasing.follow_steps();
    let state = (api, credential, client, steps);
    let frames = stream::unfold(state, move |(api, credential, client, mut steps)| async move {
        loop {
            match tokio::time::timeout(events::LIVE, steps.recv()).await {
                Ok(Ok(one)) if client.fits(&one) => {
                    let frame = Frame::default().json_data(step(&one)).ok()?;
                    return Some((Ok(frame), (api, credential, client, steps)));
                }
                Ok(Ok(_) | Err(RecvError::Lagged(_))) => {}
                Ok(Err(RecvError::Closed)) => return None,
                Err(_) if !api.access.is_live(&credential) || api.stopping.is_cancelled() => return None,
                Err(_) => {}
            }
        }
    });
    events::sse(frames)
}

/// The options that configuration and reservations may name.
async fn known_options(Params(query): Params<PageQuery>) -> Result<axum::Json<Page<Value>>, Problem> {
    let item = |option: &options::Entry| {
        let value = json!({
            "code": option.code,
            "name": option.name,
            "type": format!("{:?}", option.form.kind).to_lowercase(),
            "list": option.form.list,
            "settable": !option.owned,
            "about": option.doc,
        });
        (format!("{:03}", option.code), value)
    };
    query.page(options::REGISTRY.iter().map(item).collect())
}

/// Which address, whose, and when.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Past {
    ip: Option<String>,
    mac: Option<String>,
    /// RFC 3339.
    at: Option<String>,
    limit: Option<usize>,
}

/// Who held an address, what addresses a device held, newest first; as a file with `Accept: text/csv`.
async fn history(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    Params(past): Params<Past>,
) -> Result<Response, Problem> {
    let limit = past.limit.unwrap_or(100);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::bad(format!("`limit` is 1 to {MOST}")));
    }
    let ip = past.ip.map(|text| text.parse().map_err(|_| Problem::bad(format!("`{text}` is no IP address"))));
    let mac = past.mac.map(|text| text.parse().map_err(|_| Problem::bad(format!("`{text}` is no MAC address"))));
    let wrong = |text: &str| Problem::bad(format!("`{text}` is no time such as 2026-01-31T08:00:00Z"));
    let at = past.at.map(|text| Wall::parse(&text).ok_or_else(|| wrong(&text)));
    let asked = Asked { ip: ip.transpose()?, mac: mac.transpose()?, at: at.transpose()? };
    let found = api.events.assignments(&asked, limit).await?;
    if wants(&headers, "text/csv") {
        let columns = ["ip", "network", "mac", "client", "fqdn", "hostname", "began", "ended", "expires", "reason"];
        return Ok(csv(&columns, found.iter().map(row)));
    }
    let items: Vec<Value> = found.iter().map(assignment).collect();
    Ok(axum::Json(Page { total: items.len(), items, cursor: None }).into_response())
}

fn row(one: &Assignment) -> Vec<String> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let time = |value: Option<Wall>| value.and_then(when).unwrap_or_default();
    vec![
        one.ip.clone(),
        one.network.clone(),
        text(&one.mac),
        one.client.clone(),
        text(&one.fqdn),
        text(&one.hostname),
        time(Some(one.began)),
        time(one.ended),
        time(Some(one.expires)),
        text(&one.reason),
    ]
}

fn assignment(one: &Assignment) -> Value {
    json!({
        "ip": one.ip,
        "network": one.network,
        "mac": one.mac,
        "client": one.client,
        "fqdn": one.fqdn,
        "hostname": one.hostname,
        "began": when(one.began),
        "expires": when(one.expires),
        "ended": one.ended.and_then(when),
        "reason": one.reason,
    })
}

fn subnet(pool: &PoolUse, api: &Api) -> (String, Value) {
    let policy = api.leasing.policy();
    let place = policy.by_name(&pool.network).and_then(|network| {
        let subnets = &policy.networks[network].subnets;
        subnets.iter().find(|subnet| subnet.prefix == pool.subnet)
    });
    let ranges = place.into_iter().flat_map(|subnet| &subnet.pools);
    let ranges: Vec<String> = ranges.map(|pool| format!("{}-{}", pool.range.start(), pool.range.end())).collect();
    let value = json!({
        "network": pool.network,
        "prefix": pool.subnet.to_string(),
        "pools": ranges,
        "router": place.and_then(|subnet| subnet.router).map(|ip| ip.to_string()),
        "size": pool.size,
        "free": pool.free,
        "leased": pool.leased,
        "reserved": pool.reserved,
        "offered": pool.offered,
        "quarantined": pool.quarantined,
        "percent": pool.percent(),
    });
    (format!("{} {}", pool.network, crate::domain::hex::write(&pool.subnet.network().octets())), value)
}

/// Numbers beyond what JSON's readers hold exactly are told as text.
fn large(number: u128) -> Value {
    u64::try_from(number).ok().filter(|n| *n < 1 << 53).map_or_else(|| json!(number.to_string()), |n| json!(n))
}

fn subnet6(usage: &Usage6) -> (String, Value) {
    let value = json!({
        "network": usage.network,
        "prefix": usage.subnet.to_string(),
        "size": large(usage.size),
        "free": large(usage.size.saturating_sub(usage.leased as u128)),
        "leased": usage.leased,
        "blocks": large(usage.blocks),
        "delegated": usage.delegated,
    });
    // behind those of IPv4
    (format!("{} z{}", usage.network, crate::domain::hex::write(&usage.subnet.network().octets())), value)
}

async fn subnets(
    State(api): State<Arc<Api>>,
    Params(query): Params<PageQuery>,
) -> Result<axum::Json<Page<Value>>, Problem> {
    let four = api.leasing.pools();
    let four = four.iter().map(|pool| subnet(pool, &api));
    query.page(four.chain(api.leasing.usage6().iter().map(subnet6)).collect())
}

/// Leases whose holders are asked for their classes, and members of one class that are named.
const MEMBERS: usize = 10_000;
const NAMED: usize = 100;

/// Classes in the order of the configuration, those that are built in last; with the holders of IPv4 leases
/// that are in each now.
async fn classes(
    State(api): State<Arc<Api>>,
    Params(query): Params<PageQuery>,
) -> Result<axum::Json<Page<Value>>, Problem> {
    let policy = api.leasing.policy();
    let members = api.leasing.memberships(MEMBERS);
    let own = policy.classes.list().iter().map(|class| (class.name.as_str(), class.definition.as_str(), &class.place));
    let built_in = [
        (classes::ALL, "everybody", &None),
        (classes::KNOWN, "those with a reservation", &None),
        (classes::UNKNOWN, "those without a reservation", &None),
    ];
    let item = |(n, (name, definition, place)): (usize, (&str, &str, &Option<Arc<str>>))| {
        let within = |(_, of): &&(Arc<Lease>, Vec<String>)| of.iter().any(|one| one == name);
        let found: Vec<String> = members.iter().filter(within).map(|(lease, _)| lease.ip.to_string()).collect();
        let value = json!({
            "name": name,
            "definition": definition,
            "place": place.as_deref(),
            "members": found.len(),
            "ips": found.iter().take(NAMED).collect::<Vec<_>>(),
        });
        (format!("{n:05}"), value)
    };
    query.page(own.chain(built_in).enumerate().map(item).collect())
}

async fn quarantine(
    State(api): State<Arc<Api>>,
    Params(query): Params<PageQuery>,
) -> Result<axum::Json<Page<Value>>, Problem> {
    let item = |(network, ip, until): (String, IpAddr, Wall)| {
        let value = json!({ "ip": ip.to_string(), "network": network, "until": when(until) });
        (format!("{} {network}", leases::address_key(&ip.to_string())), value)
    };
    query.page(api.leasing.quarantined().into_iter().map(item).collect())
}

/// Address plans may overlap: then the network must be named.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    network: Option<String>,
}

async fn lift(
    State(api): State<Arc<Api>>,
    Path(ip): Path<String>,
    Params(which): Params<Which>,
) -> Result<StatusCode, Problem> {
    let ip: IpAddr = ip.parse().map_err(|_| Problem::bad(format!("`{ip}` is no IP address")))?;
    let fits = |(network, kept, _): &(String, IpAddr, Wall)| {
        *kept == ip && which.network.as_ref().is_none_or(|wanted| wanted == network)
    };
    let mut networks: Vec<String> =
        api.leasing.quarantined().into_iter().filter(fits).map(|(network, ..)| network).collect();
    networks.dedup();
    match networks.as_slice() {
        [network] => api.leasing.lift(network, ip).await?,
        [] => return Err(Problem::not_found(format!("{ip} is not in quarantine"))),
        _ => return Err(Problem::bad("it is in quarantine on several networks: add ?network=NAME")),
    };
    Ok(StatusCode::NO_CONTENT)
}
