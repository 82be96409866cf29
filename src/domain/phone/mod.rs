//! Phones: what a request says about who sent it, which device that is, and which bytes it may have.
//!
//! The pipeline of the provisioning reference as plain functions: extract → retrieve → update → route →
//! gate → render. Vendors are data ([`plugin`]); nothing here knows one.

/// What would be learned from a given request, and why: the answer of `lanlord classify`.
pub mod classify;
/// Match rules over raw bytes: evidence, ranked.
pub mod extract;
/// What a plugin must not do (PR-28).
pub mod lint;
/// Vendors as data.
pub mod plugin;
/// Request name to file rule.
pub mod route;
