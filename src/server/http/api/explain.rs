//! `/api/v1/leases/explain` and `/api/v1/leases/simulate`: what a client would get and why, without effect.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Api, Params};
use crate::domain::dhcp::{options, value};
use crate::domain::hex;
use crate::server::http::problem::Problem;
use crate::service::leasing::explain::Question;

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new().route("/leases/explain", get(explain)).route("/leases/simulate", get(simulate))
}

/// As asked.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// A hardware address, or the address of a lease or reservation.
    client: String,
    network: Option<String>,
    vendor_class: Option<String>,
    user_class: Option<String>,
    hostname: Option<String>,
    arch: Option<u16>,
    /// Hexadecimal digits.
    client_id: Option<String>,
    /// Hexadecimal digits.
    relay_info: Option<String>,
    /// Codes with commas between; none asks for everything.
    request: Option<String>,
}

impl Asked {
    fn question(self) -> Result<Question, Problem> {
        let octets = |text: Option<String>, name: &str| {
            let read = |text: String| hex::read(text.as_bytes()).ok_or(text);
            let read = text.map(read).transpose();
            read.map_err(|text| Problem::bad(format!("{name}: `{text}` is not hexadecimal")))
        };
        let ip = self.client.parse().ok();
        let mac = if ip.is_some() { None } else { self.client.parse().ok() };
        if ip.is_none() && mac.is_none() {
            return Err(Problem::bad(format!("`{}` is no MAC and no IPv4 address", self.client)));
        }
        let codes = self.request.unwrap_or_default();
        let codes: Result<Vec<u8>, _> = codes.split(',').filter(|c| !c.is_empty()).map(|c| c.trim().parse()).collect();
        Ok(Question {
            mac,
            ip,
            network: self.network,
            client_id: octets(self.client_id, "client_id")?,
            vendor_class: self.vendor_class.map(String::into_bytes),
            user_class: self.user_class.map(String::into_bytes),
            hostname: self.hostname.map(String::into_bytes),
            arch: self.arch,
            relay_info: octets(self.relay_info, "relay_info")?,
            requested: codes.map_err(|_| Problem::bad("request: write codes such as 1,3,6"))?,
        })
    }
}

async fn explain(State(api): State<Arc<Api>>, Params(asked): Params<Asked>) -> Result<axum::Json<Value>, Problem> {
    let question = asked.question()?;
    let (mac, ip) = (question.mac, question.ip);
    let found = api.leasing.explain(question).map_err(Problem::bad)?;
    let state = match (&found.reservation, api.leasing.is_leased(mac, ip)) {
        (_, true) => "leased",
        (Some(_), false) => "reserved",
        (None, false) => "newcomer",
    };
    let word = |(value, source): (String, String)| json!({ "value": value, "source": source });
    let values = found.values.into_iter().map(|explained| {
        json!({
            "name": explained.name,
            "code": explained.code,
            "value": explained.value,
            "source": explained.source,
            "sent": explained.sent,
            "overrode": explained.overrode.into_iter().map(word).collect::<Vec<_>>(),
        })
    });
    Ok(axum::Json(json!({
        "state": state,
        "network": found.network,
        "subnet": found.subnet,
        "ip": found.ip,
        "reservation": found.reservation,
        "classes": found.classes,
        "items": values.collect::<Vec<_>>(),
    })))
}

async fn simulate(State(api): State<Arc<Api>>, Params(asked): Params<Asked>) -> Result<axum::Json<Value>, Problem> {
    let found = api.leasing.simulate(asked.question()?).map_err(Problem::bad)?;
    let options = found.options.iter().map(|(code, octets)| {
        json!({
            "code": code,
            "name": options::by_code(*code).map(|entry| entry.name),
            "value": value::show_value(*code, octets),
        })
    });
    Ok(axum::Json(json!({ "answer": found.answer, "ip": found.ip, "items": options.collect::<Vec<_>>() })))
}
