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

async fn metrics_text(State(api): State<Arc<Api>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics::render(&api.sources))
}

/// Something to look at, with what to do about it.
pub(super) struct Finding {
    pub id: String,
    pub severity: &'static str,
    pub text: String,
    pub fix: Option<String>,
}

/// What the parts say of themselves, and what is odd about the configuration; the worst first.
pub(super) fn findings(api: &Api) -> Vec<Finding> {
    let of = |id: String, severity, text| Finding { id, severity, text, fix: None };
    let told = api.health.parts().into_iter().filter_map(|(part, state)| match state {
        Condition::Works => None,
        Condition::Starting => Some(of(part, "info", "starting".to_owned())),
        Condition::Degraded(why) => Some(of(part, "warning", why)),
        Condition::Fails(why) => Some(of(part, "error", why)),
    });
    let mut all: Vec<Finding> = told.collect();
    all.extend(api.leasing.findings().into_iter().map(|f| Finding {
        id: f.id,
        severity: if f.grave { "error" } else { "warning" },
        text: f.text,
        fix: Some(f.fix),
    }));
    all.extend(api.phones.too_many_new().into_iter().map(|network| Finding {
        id: format!("too-many-devices {network}"),
        severity: "warning",
        text: format!("leases on {network} made too many new devices in this hour; further ones make none"),
        fix: Some("look for forged vendor classes there, or raise provisioning.new_devices_per_hour".to_owned()),
    }));
    all.sort_by_key(|finding| ["error", "warning", "info"].iter().position(|word| *word == finding.severity));
    all
}

async fn status(State(api): State<Arc<Api>>, Params(_): Params<Nothing>) -> Result<Json<Value>, Problem> {
    let findings = findings(&api).into_iter().filter(|finding| finding.severity != "info");
    let findings: Vec<Value> =
        findings.map(|f| json!({ "id": f.id, "severity": f.severity, "text": f.text, "fix": f.fix })).collect();
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
