//! RFC 9457 problem documents. What the client sees and what the log says are two things: SQL, paths and
//! stack texts go to the log only (AP-502).

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use serde_json::{Value, json};

use crate::service::reload::Fault;

/// An answer that says what is wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    pub status: StatusCode,
    /// A closed word, such as `conflict`; `type` is built from it.
    pub code: &'static str,
    /// What is wrong here, and what to do.
    pub detail: String,
    /// (pointer into the request, message).
    pub errors: Vec<(String, String)>,
    /// What is wrong in files, with its places; in the document among `errors`, too.
    pub faults: Vec<Fault>,
}

impl Problem {
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Problem {
        Problem { status, code, detail: detail.into(), errors: Vec::new(), faults: Vec::new() }
    }

    pub fn bad(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "bad-request", detail)
    }

    /// A field of the body that cannot be.
    pub fn field(pointer: &str, message: impl Into<String>) -> Problem {
        let message = message.into();
        let mut problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message.clone());
        problem.errors.push((pointer.to_owned(), message));
        problem
    }

    pub fn unauthenticated(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail)
    }

    pub fn forbidden(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    pub fn not_found(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    pub fn conflict(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::CONFLICT, "conflict", detail)
    }

    /// Nothing was done; the same request may succeed later.
    pub fn unavailable(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
    }

    pub fn internal() -> Problem {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "something went wrong here; the log knows more")
    }

    fn document(&self) -> Value {
        let mut document = json!({
            "type": format!("urn:lanlord:problem:{}", self.code),
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let errors = self.errors.iter().map(|(pointer, message)| json!({"pointer": pointer, "message": message}));
        let errors: Vec<Value> = errors.chain(self.faults.iter().map(fault)).collect();
        if !errors.is_empty() {
            document["errors"] = errors.into();
        }
        document
    }
}

fn fault(fault: &Fault) -> Value {
    json!({
        "file": fault.file.display().to_string(),
        "line": fault.at.map(|at| at.0),
        "column": fault.at.map(|at| at.1),
        "message": fault.message,
        "hint": fault.hint,
    })
}

impl From<Problem> for Response<Body> {
    fn from(problem: Problem) -> Response<Body> {
        let mut response = (problem.status, Json(problem.document())).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if problem.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"lanlord\""));
        }
        if problem.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        self.into()
    }
}
