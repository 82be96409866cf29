//! Leases that the policy in force covers no more (DH-607): those of a subnet that was removed, and those of
//! no pool and no reservation any more. They are kept and listed until they end; whoever holds one is sent
//! away when it is heard of next (DH-206), or gets no answer if nobody serves its link any more.

use std::net::{IpAddr, Ipv4Addr};

use super::{Core, Leasing};
use crate::domain::lease::{ClientKey, IaKind, Lease};

/// What a lease lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outside {
    /// No subnet of its network has the address.
    Subnet,
    /// No pool gives it, and no reservation holds it.
    Pool,
}

impl Core {
    fn outside4(&self, network: &str, ip: Ipv4Addr) -> Option<Outside> {
        let policy = self.book.policy();
        let Some(index) = policy.by_name(network).filter(|n| policy.within(*n, ip).is_some()) else {
            return Some(Outside::Subnet);
        };
        let covered = self.book.pooled(index, ip) || self.book.reservations().holds(network, ip);
        (!covered).then_some(Outside::Pool)
    }

    fn outside6(&self, lease: &Lease) -> Option<Outside> {
        let (policy, reservations) = (self.book.policy(), self.book.reservations());
        let (Some(index), IpAddr::V6(ip)) = (policy.by_name(&lease.network), lease.ip) else {
            return Some(Outside::Subnet);
        };
        let subnets = &policy.networks[index].subnets6;
        if let Some(ipnet::IpNet::V6(prefix)) = lease.prefix() {
            let given = subnets.iter().any(|subnet| subnet.delegate.iter().any(|one| one.gives(prefix)));
            let covered = given || reservations.iter().any(|r| r.prefix6.contains(&prefix));
            return (!covered).then_some(Outside::Pool);
        }
        let Some(subnet) = policy.within6(index, ip) else { return Some(Outside::Subnet) };
        // RFC 9686: an address that the client made itself is of no pool
        let own = matches!(&lease.client, ClientKey::Ia { kind: IaKind::Registered, .. });
        let covered = own || subnets[subnet].pooled(ip) || reservations.holds6(&lease.network, ip);
        (!covered).then_some(Outside::Pool)
    }
}

impl Leasing {
    /// How many leases the policy covers no more.
    pub fn outside(&self) -> usize {
        let core = self.core();
        let four = core.book.leased().filter(|(network, ip)| core.outside4(network, *ip).is_some()).count();
        four + core.book6.leases().filter(|lease| core.outside6(lease).is_some()).count()
    }

    /// What that lease lacks, if the policy covers it no more.
    pub fn outside_of(&self, lease: &Lease) -> Option<Outside> {
        let core = self.core();
        match lease.ip {
            IpAddr::V4(ip) => core.outside4(&lease.network, ip),
            IpAddr::V6(_) => core.outside6(lease),
        }
    }
}
