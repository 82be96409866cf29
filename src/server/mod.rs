//! IO shells: decode, call a service, encode. Strangers to one another (invariant I13).

/// HTTP: REST, the status page, phone files.
pub mod http;
/// The mirror of the kernel's neighbour table.
pub mod neighbours;
