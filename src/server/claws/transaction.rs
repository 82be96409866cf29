//! `GET /claws/v1/tx/{txid}`: the state of a transaction and, with `?explain`, who contributed what.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde::Deserialize;

use super::{Shell, refusal, xml};
use crate::domain::claws::Fault;
use crate::domain::claws::message::is_txid;

#[derive(Debug, Deserialize)]
pub(super) struct Ask {
    explain: Option<String>,
    source: Option<String>,
}

pub(super) async fn get(
    State(shell): State<Shell>,
    Path(txid): Path<String>,
    Query(ask): Query<Ask>,
    request: Parts,
) -> Response {
    match describe(&shell, &txid, &ask, &request).await {
        Ok(response) => response,
        Err(fault) => refusal(&fault),
    }
}

async fn describe(shell: &Shell, txid: &str, ask: &Ask, request: &Parts) -> Result<Response, Fault> {
    let who = shell.principal(&request.extensions)?;
    if !is_txid(txid) {
        return Err(Fault::new("bad-txid", "that is no transaction id"));
    }
    let description = shell.bus.find(&who, txid, ask.source.as_deref(), ask.explain.is_some()).await?;
    Ok(xml(StatusCode::OK, &description.element()))
}
