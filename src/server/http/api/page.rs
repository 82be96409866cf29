//! The status page and its sign-in form: figures and tables from the same services as the API.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::response::{IntoResponse, Redirect};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::Deserialize;

use super::{Api, devices, leases, noun, status};
use crate::domain::time::Wall;
use crate::metrics;
use crate::server::http::problem::Problem;
use crate::server::http::session::COOKIE;
use crate::server::http::ui::{self, Figure, Finding, Page, ROWS, Table};
use crate::service::access::Credential;
use crate::service::leasing::PoolUse;

/// Beside the API.
pub(super) fn routes() -> Router<Arc<Api>> {
    let page = noun("status", Router::new().route("/", get(overview)));
    Router::new()
        .merge(page)
        .route("/login", get(form).post(login))
        .route("/logout", post(logout))
        .route(ui::STYLE_PATH, get(style))
}

fn html(status: StatusCode, body: String) -> Response<Body> {
    let mut response = (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], body).into_response();
    for (name, value) in ui::HEADERS {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

async fn style() -> Response<Body> {
    let headers = [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];
    (headers, ui::STYLE).into_response()
}

async fn form() -> Response<Body> {
    html(StatusCode::OK, ui::login(None))
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

async fn login(State(api): State<Arc<Api>>, body: String) -> Response<Body> {
    let uri = format!("/?{body}").parse().ok();
    let sent = uri.and_then(|uri| Query::<Token>::try_from_uri(&uri).ok());
    let Some(credential) = sent.and_then(|Query(sent)| api.access.by_secret(sent.token.trim())) else {
        metrics::count("lanlord_auth_failures_total", &[]);
        return html(
            StatusCode::UNPROCESSABLE_ENTITY,
            ui::login(Some("This token is not known here, or was revoked.")),
        );
    };
    let id = api.sessions.begin(credential);
    // no Secure: until TLS is there this is plain HTTP on the loopback only
    let cookie = format!("{COOKIE}={id}; Path=/; HttpOnly; SameSite=Strict");
    let mut response = Redirect::to("/").into_response();
    if let Ok(value) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}

async fn logout(State(api): State<Arc<Api>>, headers: HeaderMap) -> Response<Body> {
    api.sessions.end(&headers);
    let gone = format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    let mut response = Redirect::to("/login").into_response();
    if let Ok(value) = HeaderValue::from_str(&gone) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}

async fn overview(State(api): State<Arc<Api>>, Extension(_): Extension<Credential>) -> Result<Response<Body>, Problem> {
    let tables = vec![
        lease_table(&api),
        pool_table(&api),
        device_table(&api),
        host_table(&api),
        name_table(&api),
        event_table(&api).await?,
    ];
    let figures = tables.iter().map(|t| Figure { label: t.title, value: t.total, link: t.id }).collect();
    let page = Page {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        domain: api.domain.clone(),
        now: short(api.clock.wall()),
        uptime_s: api.clock.mono().since(api.began).as_secs(),
        seq: api.events.head(),
        figures,
        findings: findings(&api),
        tables,
    };
    Ok(html(StatusCode::OK, ui::status(&page)))
}

/// To the second, for people.
fn short(time: Wall) -> String {
    time.rfc3339().get(..19).map(|text| text.replace('T', " ") + " UTC").unwrap_or_default()
}

/// Long names, such as random ids, are cut: the API has them whole.
fn cut(text: &str) -> String {
    match text.char_indices().nth(48) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn findings(api: &Api) -> Vec<Finding> {
    let shown = |finding: status::Finding| {
        let about = if finding.fix.is_some() { String::new() } else { format!("{}: ", finding.id) };
        let fix = finding.fix.map_or_else(String::new, |fix| format!(" - {fix}"));
        Finding { severity: finding.severity, text: format!("{about}{}{fix}", finding.text) }
    };
    status::findings(api).into_iter().map(shown).collect()
}

fn pool_table(api: &Api) -> Table {
    let all = api.leasing.pools();
    let row = |pool: &PoolUse| {
        let counts = [pool.size, pool.free, pool.leased, pool.reserved, pool.offered, pool.quarantined];
        let mut row = vec![pool.network.clone(), pool.subnet.to_string(), format!("{} %", pool.percent())];
        row.extend(counts.iter().map(ToString::to_string));
        row
    };
    Table {
        id: "pools",
        title: "Pools",
        total: all.len(),
        columns: &["Network", "Subnet", "Used", "Size", "Free", "Leased", "Reserved", "Offered", "Quarantined"],
        rows: all.iter().take(ROWS).map(row).collect(),
        empty: "No subnet is configured. Add [[network]] and [[network.subnet]] blocks.",
    }
}

fn lease_table(api: &Api) -> Table {
    let mut all = api.leasing.leases();
    // the latest first: who looks here wonders what just happened
    all.sort_by_key(|lease| (std::cmp::Reverse(lease.began), lease.ip));
    let row = |item: leases::Item| {
        let name = item.fqdn.or(item.hostname).unwrap_or_default();
        let expires = item.expires.map_or("never".to_owned(), |t| t.get(..16).unwrap_or(&t).replace('T', " "));
        vec![item.ip, item.mac.unwrap_or_default(), name, item.network, item.vendor_class.unwrap_or_default(), expires]
    };
    Table {
        id: "leases",
        title: "Leases",
        total: all.len(),
        columns: &["Address", "MAC", "Name", "Network", "Vendor class", "Expires (UTC)"],
        rows: all.iter().take(ROWS).map(|lease| row(leases::Item::of(api, lease))).collect(),
        empty: "Nobody has a lease. Turn DHCP on with [dhcp4] enabled = true, and give a network a pool.",
    }
}

fn device_table(api: &Api) -> Table {
    let all = api.devices.all();
    let row = |item: devices::Item| {
        let cells = [item.mac, item.vendor, item.model, item.version, item.plugin, item.ip];
        cells.into_iter().map(Option::unwrap_or_default).collect()
    };
    Table {
        id: "devices",
        title: "Devices",
        total: all.len(),
        columns: &["MAC", "Vendor", "Model", "Version", "Plugin", "Last address"],
        rows: all.iter().take(ROWS).map(|device| row(devices::Item::from(device.as_ref()))).collect(),
        empty: "No phone is known. Turn provisioning on, and plug one in.",
    }
}

fn host_table(api: &Api) -> Table {
    let shown = api.hosts.page(None, ROWS);
    let row = |host: &Arc<crate::domain::host::Host>| {
        let addresses = host.interfaces.iter().flat_map(|i| i.addresses.iter().map(ToString::to_string));
        let macs = host.interfaces.iter().filter_map(|i| i.mac.map(|mac| mac.to_string()));
        vec![
            host.hostname.clone(),
            host.fqdn.clone().unwrap_or_default(),
            macs.collect::<Vec<_>>().join(" "),
            addresses.collect::<Vec<_>>().join(" "),
        ]
    };
    Table {
        id: "hosts",
        title: "Hosts",
        total: api.hosts.count(),
        columns: &["Host", "Name", "MAC", "Addresses"],
        rows: shown.iter().map(row).collect(),
        empty: "No host. Add one with `lanlord host add`, or by an event on the CLAWS bus.",
    }
}

fn name_table(api: &Api) -> Table {
    let all = api.naming.zones();
    let shown: Vec<_> = all.into_iter().filter(|zone| zone.kind != "builtin").collect();
    let row = |zone: &crate::service::naming::ZoneInfo| {
        vec![zone.name.clone(), zone.kind.to_owned(), zone.names.to_string(), zone.serial.to_string()]
    };
    Table {
        id: "names",
        title: "Zones",
        total: shown.len(),
        columns: &["Zone", "From", "Names", "Serial"],
        rows: shown.iter().take(ROWS).map(row).collect(),
        empty: "No zone. Put a file <origin>.zone into the folder of zones.",
    }
}

async fn event_table(api: &Api) -> Result<Table, Problem> {
    let newest = api.events.newest(25).await?;
    let row = |event: crate::service::events::Event| {
        vec![event.seq.to_string(), short(event.at), event.kind.to_owned(), cut(&event.object), cut(&event.text)]
    };
    Ok(Table {
        id: "events",
        title: "Events",
        total: newest.len(),
        columns: &["Nr", "When", "What", "Object", "More"],
        rows: newest.into_iter().rev().map(row).collect(),
        empty: "Nothing has happened yet.",
    })
}
