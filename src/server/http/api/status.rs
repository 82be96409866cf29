//! Health, metrics and status. `/healthz` and `/readyz` need no credential and hold no secret.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::{Api, Nothing, Params, noun};
use crate::metrics;
use crate::server::http::problem::Problem;
use crate::service::health::State as Condition;

/// Below `/api/v1`.
pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new().route("/status", get(status))
}

/// Beside the API.
pub(super) fn outside() -> Router<Arc<Api>> {
    let metrics = noun("metrics", Router::new().route("/metrics", get(metrics_text)));
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .merge(metrics)
}

async fn ready(State(api): State<Arc<Api>>) -> Response {
    let parts = parts(&api);
    let (code, ready) =
        if api.health.is_ready() { (StatusCode::OK, true) } else { (StatusCode::SERVICE_UNAVAILABLE, false) };
    (code, [(header::CACHE_CONTROL, "no-store")], Json(json!({ "ready": ready, "parts": parts }))).into_response()
}

fn parts(api: &Api) -> Value {
    let word = |state: Condition| match state {
        Condition::Starting => json!({ "state": "starting" }),
        Condition::Works => json!({ "state": "works" }),
        Condition::Fails(reason) => json!({ "state": "fails", "reason": reason }),
        Condition::Degraded(reason) => json!({ "state": "degraded", "reason": reason }),
    };
    Value::Object(api.health.parts().into_iter().map(|(part, state)| (part, word(state))).collect())
}

async fn metrics_text() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics::render())
}

async fn status(State(api): State<Arc<Api>>, Params(_): Params<Nothing>) -> Result<Json<Value>, Problem> {
    let told = api.health.parts().into_iter().filter_map(|(part, state)| match state {
        Condition::Fails(text) => Some(json!({ "id": part, "severity": "error", "text": text })),
        Condition::Degraded(text) => Some(json!({ "id": part, "severity": "warning", "text": text })),
        Condition::Starting | Condition::Works => None,
    });
    let findings: Vec<Value> = told.collect();
    Ok(Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "domain": api.domain,
        "now": api.clock.wall().rfc3339(),
        "uptime_s": api.clock.mono().since(api.began).as_secs(),
        "ready": api.health.is_ready(),
        "parts": parts(&api),
        "epoch": api.events.epoch(),
        "seq": api.events.head(),
        "leases": api.leasing.leases().len(),
        "devices": api.devices.count(),
        "hosts": api.hosts.count(),
        "pending": api.phones.pending().len(),
        "findings": findings,
    })))
}
