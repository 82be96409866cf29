//! IO shells: decode, call a service, encode. Strangers to one another (invariant I13).

/// The mirror of the kernel's neighbour table.
pub mod neighbours;
