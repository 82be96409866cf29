//! HTTP: the way in for people and programs (`api`, `ui`). Owns connections and their limits, and who may
//! pass. Refuses plain HTTP off the loopback.

/// Listeners, connections, time limits.
pub mod accept;
/// REST under `/api/v1`, health and metrics beside it.
pub mod api;
/// Files for phones, on a listener of their own.
pub mod files;
/// Host, origin, body and credential of every request.
pub mod guard;
/// Answers that say what is wrong (RFC 9457).
pub mod problem;
/// Cookies for credentials that were proved.
pub mod session;
/// The status page.
pub mod ui;
