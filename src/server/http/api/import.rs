//! `POST /api/v1/import`: reservations and leases of another server in one transaction (DH-642). Needs the
//! right to write both.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::post;
use axum::{Extension, Router};
use serde::{Deserialize, Serialize};

use super::reservations::Wanted;
use super::{Api, Json, Nothing, Params};
use crate::domain::dhcp::carry::Carried;
use crate::domain::hex;
use crate::domain::time::Wall;
use crate::server::http::problem::Problem;
use crate::service::access::{Credential, Right};
use crate::service::leasing::Fate;

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new().route("/import", post(import))
}

/// As sent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    #[serde(default)]
    reservations: Vec<Wanted>,
    #[serde(default)]
    leases: Vec<Row>,
}

/// A lease as the other server kept it. Octets are hexadecimal digits, times are Unix seconds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    ip: String,
    /// Length of a delegated prefix.
    delegated: Option<u8>,
    mac: Option<String>,
    client_id: Option<String>,
    duid: Option<String>,
    iaid: Option<u32>,
    hostname: Option<String>,
    circuit_id: Option<String>,
    remote_id: Option<String>,
    began: Option<i64>,
    /// Absent for a lease without end.
    expires: Option<i64>,
    #[serde(default)]
    declined: bool,
}

/// What became of one object.
#[derive(Debug, Serialize)]
struct Became {
    /// `new`, `same` or `refused`.
    result: &'static str,
    why: Option<String>,
}

impl From<Fate> for Became {
    fn from(verdict: Fate) -> Became {
        match verdict {
            Fate::New => Became { result: "new", why: None },
            Fate::Same => Became { result: "same", why: None },
            Fate::Refused(why) => Became { result: "refused", why: Some(why) },
        }
    }
}

/// What became of all, in the order in which they were sent.
#[derive(Debug, Serialize)]
struct Done {
    /// Number of the first entry; absent if nothing was new.
    seq: Option<u64>,
    reservations: Vec<Became>,
    leases: Vec<Became>,
}

impl Row {
    fn carried(self, n: usize) -> Result<Carried, Problem> {
        let wrong =
            |field: &str, text: &str| Problem::field(&format!("/leases/{n}/{field}"), format!("`{text}` is none"));
        let octets = |field: &str, text: Option<String>| {
            let read = |text: String| hex::read(text.as_bytes()).ok_or_else(|| wrong(field, &text));
            text.map(read).transpose()
        };
        let wall = |seconds: i64| Wall(seconds.saturating_mul(1000));
        Ok(Carried {
            ip: self.ip.parse::<IpAddr>().map_err(|_| wrong("ip", &self.ip))?,
            delegated: self.delegated,
            mac: self.mac.map(|text| text.parse().map_err(|_| wrong("mac", &text))).transpose()?,
            client_id: octets("client_id", self.client_id)?,
            duid: octets("duid", self.duid)?,
            iaid: self.iaid,
            hostname: self.hostname,
            circuit_id: octets("circuit_id", self.circuit_id)?,
            remote_id: octets("remote_id", self.remote_id)?,
            began: self.began.map(wall),
            expires: self.expires.map_or(Wall::NEVER, wall),
            declined: self.declined,
        })
    }
}

async fn import(
    State(api): State<Arc<Api>>,
    Extension(who): Extension<Credential>,
    Params(_): Params<Nothing>,
    Json(wish): Json<Wish>,
) -> Result<axum::Json<Done>, Problem> {
    if !who.may("lease", Right::Write) {
        return Err(Problem::forbidden(format!("`{}` lacks the scope lease:write", who.name)));
    }
    let understood = wish.reservations.into_iter().map(|wanted| {
        let network = wanted.network.clone();
        let mut reservation = wanted.understand(None, &who.name)?;
        // one client may have a reservation on each of several networks, or at several addresses
        if let Some(network) = network {
            reservation.id = format!("{}@{network}", reservation.id);
        }
        Ok(reservation)
    });
    let reservations = understood.collect::<Result<Vec<_>, Problem>>()?;
    let leases = wish.leases.into_iter().enumerate().map(|(n, row)| row.carried(n)).collect::<Result<Vec<_>, _>>()?;
    let done = api.leasing.take_over(reservations, leases).await?;
    Ok(axum::Json(Done {
        seq: done.committed.map(|committed| committed.seq),
        reservations: done.reservations.into_iter().map(Became::from).collect(),
        leases: done.leases.into_iter().map(Became::from).collect(),
    }))
}
