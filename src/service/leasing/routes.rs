//! Routes to delegated prefixes (DH-707): leasing says which ones there must be, a shell puts them into the
//! kernel's table. Owns the port between the two.

use std::net::Ipv6Addr;

use async_trait::async_trait;
use ipnet::Ipv6Net;

/// The way to one delegated prefix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrefixRoute {
    pub prefix: Ipv6Net,
    /// The client's link-local address, or the relay that its requests come by.
    pub via: Ipv6Addr,
    /// The interface that its requests arrive on.
    pub interface: String,
}

/// Why a route is missing; the reply leaves all the same, and an event tells.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no route to {prefix}: {why}")]
pub struct RouteError {
    pub prefix: Ipv6Net,
    /// With what to do about it, e.g. that CAP_NET_ADMIN is needed.
    pub why: String,
}

/// The kernel's table, as far as delegated prefixes go. Calls are bounded in time by the implementation:
/// the reply to the client waits for `install`.
#[async_trait]
pub trait Routes: Send + Sync {
    /// Called between the commit of a delegation and its reply, also for renewals: must be idempotent.
    async fn install(&self, route: &PrefixRoute) -> Result<(), RouteError>;

    /// Called when the delegation has ended.
    async fn remove(&self, prefix: Ipv6Net) -> Result<(), RouteError>;
}
