//! `POST /api/v1/reload`: the configuration file is read again, checked whole and taken over, or nothing is.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::{Api, Nothing, Params};
use crate::server::http::problem::Problem;
use crate::service::reload::{Fault, How, Refused, Reloaded};

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new().route("/reload", post(reload))
}

async fn reload(State(api): State<Arc<Api>>, Params(_): Params<Nothing>) -> Result<Json<Value>, Problem> {
    let reloads = api.reloads.clone();
    // a task of its own: whoever hangs up does not break it off
    let done = tokio::spawn(async move { reloads.reload().await }).await;
    match done.unwrap_or(Err(Refused::Broken)) {
        Ok(reloaded) => Ok(Json(answer(&reloaded))),
        Err(Refused::Invalid(faults)) => Err(invalid(faults)),
        Err(Refused::Busy) => Err(Problem::unavailable("other reloads are under way, or the daemon stops; try again")),
        Err(Refused::Broken) => Err(Problem::internal()),
    }
}

fn answer(reloaded: &Reloaded) -> Value {
    let word = |how| match how {
        How::Added => "added",
        How::Changed => "changed",
        How::Removed => "removed",
    };
    let changed = reloaded.changed.iter().map(|one| json!({ "key": one.key, "change": word(one.how) }));
    json!({
        "changed": changed.collect::<Vec<_>>(),
        "more": reloaded.more,
        "restart": reloaded.restart,
        "findings": reloaded.findings,
        "leases_outside": reloaded.outside,
    })
}

fn invalid(faults: Vec<Fault>) -> Problem {
    let count = faults.len();
    let words = if count == 1 { "1 problem".to_owned() } else { format!("{count} problems") };
    let detail = format!("the new configuration has {words}; the old one stays in force");
    let code = axum::http::StatusCode::UNPROCESSABLE_ENTITY;
    Problem { faults, ..Problem::new(code, "configuration", detail) }
}
