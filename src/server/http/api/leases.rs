//! `/api/v1/leases`: who holds which address. Also the addresses that are kept out of use.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::{Deserialize, Serialize};

use super::{Api, Paging, Params, csv, events, readable, reservations, wants, when};
use crate::domain::hex;
use crate::domain::lease::{Lease, Origin, Reservation, ReservationKey};
use crate::server::http::problem::Problem;
use crate::service::access::Credential;
use crate::service::events::{Asked, Assignment};
use crate::service::leasing::Outside;

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/leases", get(list))
        .route("/leases/{ip}", get(show).delete(release))
        .route("/leases/{ip}/reserve", post(reserve))
}

/// A lease as the API shows it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Item {
    pub ip: String,
    /// What is delegated, if it is no address.
    prefix: Option<String>,
    pub mac: Option<String>,
    pub network: String,
    subnet: String,
    client: String,
    pub hostname: Option<String>,
    /// The name that resolves to it.
    pub fqdn: Option<String>,
    /// Why a name that was chosen for it does not resolve to it.
    name_note: Option<String>,
    pub vendor_class: Option<String>,
    user_class: Option<String>,
    circuit_id: Option<String>,
    relay: Option<String>,
    interface: String,
    /// Length of the prefix that begins at `ip`, if one was delegated.
    delegated: Option<u8>,
    state: &'static str,
    /// What the configuration has no more: `subnet` or `pool`. Such a lease is kept until it ends.
    outside: Option<&'static str>,
    began: Option<String>,
    /// DHCPv6: until when new connections may use it.
    preferred: Option<String>,
    /// Absent for a lease without end.
    pub expires: Option<String>,
}

impl From<&Lease> for Item {
    fn from(lease: &Lease) -> Item {
        Item {
            ip: lease.ip.to_string(),
            prefix: lease.prefix().map(|prefix| prefix.to_string()),
            preferred: lease.preferred.and_then(when),
            mac: lease.mac.map(|mac| mac.to_string()),
            network: lease.network.clone(),
            subnet: lease.subnet.to_string(),
            client: format!("{:?}", lease.client),
            hostname: lease.hostname.as_deref().map(readable),
            fqdn: lease.fqdn.clone(),
            name_note: None,
            vendor_class: lease.vendor_class.as_deref().map(readable),
            user_class: lease.user_class.as_deref().map(readable),
            circuit_id: lease.circuit_id.as_deref().map(hex::write),
            relay: lease.relay.map(|ip| ip.to_string()),
            interface: lease.interface.clone(),
            delegated: lease.delegated,
            state: "active",
            outside: None,
            began: when(lease.began),
            expires: when(lease.expires),
        }
    }
}

impl Item {
    /// As it stands now: the name only if it resolves to this lease. Somebody with a better right (a host, a
    /// reservation, a zone file) may have taken it since (AP-104).
    pub fn of(api: &Api, lease: &Lease) -> Item {
        let mut item = Item::from(lease);
        item.outside = api.leasing.outside_of(lease).map(|lacks| match lacks {
            Outside::Subnet => "subnet",
            Outside::Pool => "pool",
        });
        let Some(name) = item.fqdn.take() else { return item };
        let records = api.naming.records(&name);
        if records.iter().any(|record| record.data == item.ip) {
            item.fqdn = Some(name);
        } else {
            let owner = records.first().map_or("not served here", |record| record.reason.as_str());
            item.name_note = Some(format!("{name}: {owner}"));
        }
        item
    }
}

/// What a list of leases is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// Part of an address, of a MAC in any notation, of a name, a client identifier or a vendor class.
    q: Option<String>,
    /// active (default), offered, quarantined, released, expired, declined, revoked, or all.
    state: Option<String>,
    network: Option<String>,
    /// ip (default), mac, name, network, began or expires.
    sort: Option<String>,
    /// asc (default) or desc.
    order: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// States that a list may be asked for.
const STATES: [&str; 8] = ["active", "offered", "quarantined", "released", "expired", "declined", "revoked", "all"];
/// Keys that a list may be sorted by.
const SORTS: [&str; 6] = ["ip", "mac", "name", "network", "began", "expires"];
/// Assignments that are over and still listed: the newest.
const ENDED: usize = 1_000;
/// Columns of the CSV file.
const COLUMNS: [&str; 12] = [
    "ip",
    "mac",
    "fqdn",
    "hostname",
    "network",
    "subnet",
    "state",
    "client",
    "vendor_class",
    "interface",
    "began",
    "expires",
];

/// One of a closed set of words.
fn word<'a>(name: &str, given: Option<&'a str>, known: &[&'static str]) -> Result<&'a str, Problem> {
    let given = given.unwrap_or(known[0]);
    let ok = known.contains(&given);
    ok.then_some(given).ok_or_else(|| Problem::bad(format!("`{name}` is one of {}", known.join(", "))))
}

impl Item {
    /// An address in another state than leased.
    fn elsewise(ip: String, network: String, state: &'static str) -> Item {
        Item { ip, network, state, ..Item::default() }
    }

    /// An assignment that is over.
    fn ended(past: &Assignment) -> Item {
        let known = STATES.into_iter().find(|state| past.reason.as_deref() == Some(state));
        Item {
            mac: past.mac.clone(),
            client: past.client.clone(),
            hostname: past.hostname.clone(),
            name_note: past.fqdn.as_ref().map(|name| format!("was {name}")),
            began: when(past.began),
            expires: past.ended.and_then(when),
            ..Item::elsewise(past.ip.clone(), past.network.clone(), known.unwrap_or("expired"))
        }
    }

    /// True if any of what people look for contains the text.
    fn matches(&self, needle: &str, digits: Option<&str>) -> bool {
        let has = |field: &Option<String>| field.as_ref().is_some_and(|text| text.to_lowercase().contains(needle));
        let mac = digits.zip(self.mac.as_ref()).is_some_and(|(digits, mac)| mac.replace(':', "").contains(digits));
        mac || self.ip.contains(needle)
            || has(&self.mac)
            || has(&self.fqdn)
            || has(&self.hostname)
            || has(&self.name_note)
            || has(&self.vendor_class)
            || self.client.contains(needle)
            || digits.is_some_and(|digits| self.client.contains(digits))
    }

    fn sort_key(&self, by: &str) -> String {
        let field = |value: &Option<String>| value.clone().unwrap_or_else(|| "~".to_owned());
        let address = format!("{} {} {}", address_key(&self.ip), self.network, self.state);
        match by {
            "mac" => format!("{} {address} {}", field(&self.mac), field(&self.began)),
            "name" => {
                format!("{} {address} {}", field(&self.fqdn.clone().or(self.hostname.clone())), field(&self.began))
            }
            "network" => format!("{} {address} {}", self.network, field(&self.began)),
            "began" => format!("{} {address}", field(&self.began)),
            "expires" => format!("{} {address} {}", field(&self.expires), field(&self.began)),
            _ => format!("{address} {}", field(&self.began)),
        }
    }

    fn row(&self) -> Vec<String> {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        vec![
            self.ip.clone(),
            text(&self.mac),
            text(&self.fqdn),
            text(&self.hostname),
            self.network.clone(),
            self.subnet.clone(),
            self.state.to_owned(),
            self.client.clone(),
            text(&self.vendor_class),
            self.interface.clone(),
            text(&self.began),
            text(&self.expires),
        ]
    }
}

/// A text that orders addresses as numbers: IPv4 before IPv6.
pub(super) fn address_key(ip: &str) -> String {
    match ip.parse() {
        Ok(IpAddr::V4(ip)) => format!("4{}", hex::write(&ip.octets())),
        Ok(IpAddr::V6(ip)) => format!("6{}", hex::write(&ip.octets())),
        Err(_) => ip.to_owned(),
    }
}

/// The hexadecimal digits of a MAC, or a part of one, in any notation; two digits at least.
fn digits(text: &str) -> Option<String> {
    let bare: String = text.chars().filter(|c| !":-._".contains(*c)).collect::<String>().to_lowercase();
    (bare.len() >= 2 && bare.bytes().all(|b| b.is_ascii_hexdigit())).then_some(bare)
}

async fn collect(api: &Api, state: &str) -> Result<Vec<Item>, Problem> {
    let wants = |wanted: &str| state == wanted || state == "all";
    let mut all = Vec::new();
    if wants("active") {
        all.extend(api.leasing.leases().iter().map(|lease| Item::of(api, lease)));
    }
    if wants("offered") {
        let offered = api.leasing.offered().into_iter();
        all.extend(offered.map(|(network, ip, client)| Item {
            client: format!("{client:?}"),
            mac: client.mac().map(|mac| mac.to_string()),
            ..Item::elsewise(ip.to_string(), network, "offered")
        }));
    }
    if wants("quarantined") {
        let kept = api.leasing.quarantined().into_iter();
        all.extend(kept.map(|(network, ip, until)| Item {
            expires: when(until),
            ..Item::elsewise(ip.to_string(), network, "quarantined")
        }));
    }
    if ["released", "expired", "declined", "revoked", "all"].contains(&state) {
        let past = api.events.assignments(&Asked::default(), ENDED).await?;
        let over = past.iter().filter(|one| one.ended.is_some()).map(Item::ended);
        all.extend(over.filter(|item| wants(item.state)));
    }
    Ok(all)
}

/// A list; live with `Accept: text/event-stream`, whole as a file with `Accept: text/csv`.
async fn list(
    State(api): State<Arc<Api>>,
    Extension(credential): Extension<Credential>,
    headers: HeaderMap,
    Params(query): Params<ListQuery>,
) -> Result<Response, Problem> {
    if wants(&headers, "text/event-stream") {
        let follower = api.events.follow(events::last_event_id(&headers)?).await?;
        return Ok(events::follow(api.clone(), credential, follower, |event| event.object.starts_with("lease/")));
    }
    let state = word("state", query.state.as_deref(), &STATES)?;
    let sort = word("sort", query.sort.as_deref(), &SORTS)?;
    let descending = word("order", query.order.as_deref(), &["asc", "desc"])? == "desc";
    let mut all = collect(&api, state).await?;
    let needle = query.q.as_ref().map(|q| q.trim().to_lowercase()).filter(|q| !q.is_empty());
    let digits = needle.as_deref().and_then(digits);
    all.retain(|item| {
        query.network.as_ref().is_none_or(|network| *network == item.network)
            && needle.as_ref().is_none_or(|needle| item.matches(needle, digits.as_deref()))
    });
    let keyed: Vec<(String, Item)> = all.into_iter().map(|item| (item.sort_key(sort), item)).collect();
    if wants(&headers, "text/csv") {
        let whole = Paging { limit: Some(super::LARGEST_PAGE), cursor: None, descending };
        return Ok(csv(&COLUMNS, whole.page(keyed)?.items.iter().map(Item::row)));
    }
    let page = Paging { limit: query.limit, cursor: query.cursor.as_deref(), descending };
    Ok(axum::Json(page.page(keyed)?).into_response())
}

/// Address plans may overlap: then the network must be named.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    network: Option<String>,
}

fn find(api: &Api, ip: &str, which: &Which) -> Result<Arc<Lease>, Problem> {
    let address: IpAddr = ip.parse().map_err(|_| Problem::bad(format!("`{ip}` is no IP address")))?;
    let fits = |lease: &Arc<Lease>| lease.ip == address && which.network.as_ref().is_none_or(|n| *n == lease.network);
    let mut found = api.leasing.leases().into_iter().filter(fits);
    match (found.next(), found.next()) {
        (Some(lease), None) => Ok(lease),
        (Some(_), Some(_)) => Err(Problem::bad("several networks lease this address: add ?network=NAME")),
        (None, _) => Err(Problem::not_found(format!("{address} is not leased"))),
    }
}

async fn show(
    State(api): State<Arc<Api>>,
    Path(ip): Path<String>,
    Params(which): Params<Which>,
) -> Result<axum::Json<Item>, Problem> {
    find(&api, &ip, &which).map(|lease| axum::Json(Item::of(&api, &lease)))
}

async fn release(
    State(api): State<Arc<Api>>,
    Path(ip): Path<String>,
    Params(which): Params<Which>,
) -> Result<StatusCode, Problem> {
    let lease = find(&api, &ip, &which)?;
    api.leasing.revoke(&lease.network, lease.ip).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes the lease's client a reservation of its address and name: what it has now it keeps.
async fn reserve(
    State(api): State<Arc<Api>>,
    Extension(who): Extension<Credential>,
    Path(ip): Path<String>,
    Params(which): Params<Which>,
) -> Result<impl IntoResponse, Problem> {
    let lease = find(&api, &ip, &which)?;
    let (key, name) = match (lease.mac, &lease.client_id) {
        (Some(mac), _) if mac.is_identity() => (ReservationKey::Mac(mac), mac.hex()),
        (_, Some(id)) => (ReservationKey::ClientId(id.clone()), format!("id-{}", hex::write(id))),
        _ => return Err(Problem::conflict("this client has neither a MAC address nor a client identifier")),
    };
    let origin = Origin::User(who.name.clone());
    let reservation = Reservation {
        network: Some(lease.network.clone()),
        keys: vec![key],
        ip: Some(lease.ip),
        name: Item::of(&api, &lease).fqdn,
        ..Reservation::new(format!("{name}@{}", lease.network), origin)
    };
    api.leasing.put_reservation(reservation.clone()).await?;
    Ok((StatusCode::CREATED, axum::Json(reservations::written(&api, &reservation))))
}
