//! Claims as they are looked at: borrowed, since there may be a million leases and every batch looks.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Body, Claim, Seen, Source, Who};
use crate::domain::dns::rrset::RrSet;
use crate::domain::lease::ClientKey;
use crate::domain::net::Mac;

/// What a claim comes from, in the order in which equals win.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceRef<'a> {
    Server,
    Record(&'a str),
    Host(&'a str),
    Reservation(&'a str),
    Lease(IpAddr, &'a str),
}

/// Whose claim it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhoRef<'a> {
    Server,
    Record,
    Host(&'a str),
    Reservation(&'a str),
    Client(&'a ClientKey, Option<Mac>),
}

impl WhoRef<'_> {
    /// True if both are the same object, or one host's leases.
    pub fn same(self, other: WhoRef<'_>) -> bool {
        match (self, other) {
            (WhoRef::Client(a, a_mac), WhoRef::Client(b, b_mac)) => a.same_host(a_mac, b, b_mac),
            _ => self == other,
        }
    }
}

/// What is wanted at a name.
#[derive(Debug, Clone, Copy)]
pub enum BodyRef<'a> {
    Addresses { addresses: &'a [IpAddr], ttl: u32, reverse: bool },
    Alias { target: &'a Arc<str>, ttl: u32 },
    Set(&'a RrSet),
}

impl Who {
    pub fn as_ref(&self) -> WhoRef<'_> {
        match self {
            Who::Server => WhoRef::Server,
            Who::Record => WhoRef::Record,
            Who::Host(id) => WhoRef::Host(id),
            Who::Reservation(id) => WhoRef::Reservation(id),
        }
    }
}

impl Claim {
    pub(super) fn seen(&self) -> Seen<'_> {
        let source = match &self.source {
            Source::Server => SourceRef::Server,
            Source::Record(id) => SourceRef::Record(id),
            Source::Host(id) => SourceRef::Host(id),
            Source::Reservation(id) => SourceRef::Reservation(id),
        };
        let body = match &self.body {
            Body::Addresses { addresses, ttl, reverse } => {
                BodyRef::Addresses { addresses, ttl: *ttl, reverse: *reverse }
            }
            Body::Alias { target, ttl } => BodyRef::Alias { target, ttl: *ttl },
            Body::Set(set) => BodyRef::Set(set),
        };
        Seen { source, who: self.who.as_ref(), rank: self.rank, since: self.since, body }
    }
}
