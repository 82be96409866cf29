//! `/api/v1/tokens`: access tokens. The secret is in the answer to POST and nowhere else.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{delete, get};
use axum::{Extension, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Api, Json, Nothing, Page, PageQuery, Params};
use crate::domain::change::Token;
use crate::server::http::problem::Problem;
use crate::service::access::{AccessError, Credential};

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new().route("/tokens", get(list).post(create)).route("/tokens/{id}", delete(revoke))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewToken {
    name: String,
    scopes: Vec<String>,
}

impl From<AccessError> for Problem {
    fn from(error: AccessError) -> Problem {
        let detail = error.to_string();
        match error {
            AccessError::Scope(_) => Problem::field("/scopes", detail),
            AccessError::Name => Problem::field("/name", detail),
            AccessError::TooMany | AccessError::Taken(_) => Problem::conflict(detail),
            AccessError::Unknown(_) => Problem::not_found(detail),
            AccessError::Ledger(_) => Problem::unavailable(detail),
        }
    }
}

fn item(token: &Token) -> Value {
    json!({ "id": token.id, "name": token.name, "scopes": token.scopes, "created": token.created.rfc3339() })
}

async fn list(
    State(api): State<Arc<Api>>,
    Params(query): Params<PageQuery>,
) -> Result<axum::Json<Page<Value>>, Problem> {
    query.page(api.access.list().iter().map(|token| (token.id.clone(), item(token))).collect())
}

async fn create(
    State(api): State<Arc<Api>>,
    Extension(who): Extension<Credential>,
    Params(_): Params<Nothing>,
    Json(new): Json<NewToken>,
) -> Result<impl IntoResponse, Problem> {
    let (token, secret) = api.access.create(&new.name, &new.scopes, &who.name).await?;
    let mut body = item(&token);
    body["secret"] = json!(secret);
    Ok((StatusCode::CREATED, axum::Json(body)))
}

async fn revoke(
    State(api): State<Arc<Api>>,
    Extension(who): Extension<Credential>,
    Path(id): Path<String>,
    Params(_): Params<Nothing>,
) -> Result<StatusCode, Problem> {
    api.access.revoke(&id, &who.name).await?;
    Ok(StatusCode::NO_CONTENT)
}
