//! Who of those that claim a name has it, and what it serves then.

use std::net::IpAddr;
use std::sync::Arc;

use super::{BodyRef, Seen, WhoRef};
use crate::domain::dns::rrset::RrSet;

/// Addresses of one name.
const MAX_ADDRESSES: usize = 64;

/// What a name serves.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Records made by hand.
    pub hard: Vec<RrSet>,
    /// Addresses from hosts, reservations and leases, with the lowest TTL among them.
    pub addresses: Vec<IpAddr>,
    pub ttl: u32,
    /// Those of them that get a PTR.
    pub reversed: Vec<IpAddr>,
    pub alias: Option<(Arc<str>, u32)>,
}

/// Settles the claims on one name: records made by hand stand; of the others, those of the best one's
/// identity (DN-302, DN-305).
pub fn settle<'a>(claims: impl Iterator<Item = Seen<'a>>) -> Served {
    let mut served = Served::default();
    let mut soft: Vec<Seen<'a>> = Vec::new();
    for claim in claims {
        match claim.body {
            BodyRef::Set(set) => merge(&mut served.hard, set),
            // a name that a lease only keeps for later
            BodyRef::Addresses { addresses, .. } if addresses.is_empty() && matches!(claim.who, WhoRef::Client(..)) => {
            }
            BodyRef::Addresses { .. } | BodyRef::Alias { .. } => soft.push(claim),
        }
    }
    soft.sort_by_key(|claim| (claim.rank, claim.since, claim.source));
    let Some(best) = soft.first() else { return served };
    if let BodyRef::Alias { target, ttl } = best.body {
        served.alias = Some((target.clone(), ttl));
        return served;
    }
    served.ttl = u32::MAX;
    for claim in soft.iter().filter(|c| c.who.same(best.who)) {
        let BodyRef::Addresses { addresses, ttl, reverse } = claim.body else { continue };
        if !addresses.is_empty() {
            served.ttl = served.ttl.min(ttl);
        }
        for address in addresses {
            if !served.addresses.contains(address) && served.addresses.len() < MAX_ADDRESSES {
                served.addresses.push(*address);
            }
            if reverse && !served.reversed.contains(address) {
                served.reversed.push(*address);
            }
        }
    }
    served
}

fn merge(sets: &mut Vec<RrSet>, set: &RrSet) {
    match sets.iter_mut().find(|s| s.rtype == set.rtype) {
        Some(same) => {
            same.ttl = same.ttl.min(set.ttl);
            same.rdata.extend(set.rdata.iter().cloned());
        }
        None => sets.push(set.clone()),
    }
}
