//! `/api/v1/dns`: what our own zones say to a question, and why. Names of others are not asked for here.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Api, Page, PageQuery, Params};
use crate::domain::dns::lookup::{Owner, lookup, rcode};
use crate::domain::dns::name::{self, Name};
use crate::domain::dns::rdata;
use crate::server::http::problem::Problem;

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new().route("/dns/query", get(query)).route("/dns/zones", get(zones))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    /// A name, or an address for its PTR.
    name: String,
    r#type: Option<String>,
}

async fn query(State(api): State<Arc<Api>>, Params(question): Params<Question>) -> Result<axum::Json<Value>, Problem> {
    let address = question.name.parse::<IpAddr>().ok();
    let wanted = question.r#type.unwrap_or_else(|| if address.is_some() { "PTR" } else { "A" }.to_owned());
    let rtype = rdata::type_number(&wanted.to_uppercase());
    let rtype = rtype.ok_or_else(|| Problem::bad(format!("`{wanted}` is no record type")))?;
    let owner = match address {
        Some(ip) => Name::reverse(ip),
        None => Name::parse(&question.name).map_err(|e| Problem::bad(format!("`{}`: {e}", question.name)))?,
    };
    let state = api.naming.state();
    let answer = lookup(&state, owner.as_wire(), rtype);
    let mut answers = Vec::new();
    for rr in &answer.answer {
        let mut text = String::new();
        let wire = match &rr.owner {
            Owner::Query => owner.as_wire(),
            Owner::Name(wire) => wire.as_ref(),
        };
        name::write_text(wire, &mut text).map_err(|_| Problem::internal())?;
        for data in rr.rdata() {
            let data = rdata::show(rr.rtype(), data);
            answers.push(json!({ "name": text, "ttl": rr.ttl(), "type": rdata::type_name(rr.rtype()), "data": data }));
        }
    }
    let why = api.naming.records(&owner.to_string()).into_iter();
    let why: Vec<Value> = why.map(|r| json!({ "type": r.rtype, "data": r.data, "reason": r.reason })).collect();
    Ok(axum::Json(json!({
        "name": owner.to_string(), "type": rdata::type_name(rtype), "rcode": word(answer.rcode),
        "aa": answer.authoritative, "answers": answers, "explain": why,
    })))
}

fn word(code: u16) -> String {
    match code {
        rcode::NOERROR => "NOERROR".to_owned(),
        rcode::SERVFAIL => "SERVFAIL".to_owned(),
        rcode::NXDOMAIN => "NXDOMAIN".to_owned(),
        rcode::REFUSED => "REFUSED".to_owned(),
        rcode::YXDOMAIN => "YXDOMAIN".to_owned(),
        other => other.to_string(),
    }
}

async fn zones(
    State(api): State<Arc<Api>>,
    Params(query): Params<PageQuery>,
) -> Result<axum::Json<Page<Value>>, Problem> {
    let all = api.naming.zones().into_iter().map(|zone| {
        let item = json!({ "name": zone.name, "kind": zone.kind, "serial": zone.serial, "names": zone.names });
        (zone.name, item)
    });
    query.page(all.collect())
}
