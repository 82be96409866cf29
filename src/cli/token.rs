//! `lanlord token`: access for programs.

use clap::Subcommand;
use serde_json::json;

use super::client::{Connection, Request, encoded};
use super::exit::Failure;
use super::output::{self, Column};

const COLUMNS: &[Column] = &[("ID", "id"), ("NAME", "name"), ("SCOPES", "scopes"), ("CREATED", "created")];

/// Verbs.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// List tokens; their secrets are not kept
    List,
    /// Make a token; its secret is printed once
    Create {
        /// Name of the credential: what CLAWS calls a source
        name: String,
        /// A right, such as admin; may be repeated
        #[arg(long = "scope", value_name = "SCOPE", default_value = "admin")]
        scopes: Vec<String>,
    },
    /// Revoke a token at once
    Revoke { id: String },
}

impl Token {
    pub fn run(self, to: &Connection) -> Result<(), Failure> {
        match self {
            Token::List => output::list(&to.call(&Request::get("/api/v1/tokens"))?.json()?, COLUMNS, to.json),
            Token::Create { name, scopes } => {
                let body = json!({ "name": name, "scopes": scopes });
                output::object(&to.call(&Request::with("POST", "/api/v1/tokens", &body))?.json()?, to.json)
            }
            Token::Revoke { id } => to.call(&Request::delete(format!("/api/v1/tokens/{}", encoded(&id)))).map(drop),
        }
    }
}
