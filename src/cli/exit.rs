//! Exit codes (AP-303), and what a command says when it fails: what, where, what to do.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    Failed = 1,
    /// Wrong arguments, invalid or insecure configuration.
    Usage = 2,
    NotFound = 3,
    Conflict = 4,
    Unauthorised = 5,
    Unreachable = 6,
    /// A newer schema, or a damaged database.
    State = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// A command that failed: its exit code, and a line for standard error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure { exit, message: message.into() }
    }
}
