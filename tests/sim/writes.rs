//! Controls: entries that no decision may make, as a program with a fault would.

use lanlord::domain::change::Change;
use lanlord::domain::lease::{ClientKey, End, IaKind, Lease};
use lanlord::domain::time::Wall;

use crate::world::{Event, Server, World};

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Illegal {
    /// Half of a delegated prefix, to somebody else.
    Overlap,
    /// A lease that has to end earlier than its client was promised.
    Backwards,
    /// The end by time of a lease whose time is not over.
    TooEarly,
}

impl World {
    /// As soon as there is a lease that it can be done to.
    pub fn write(&mut self, server: &Server) {
        let Some(illegal) = self.faults.writes else { return };
        let delegated = |lease: &Lease| lease.delegated.is_some_and(|length| length < 64);
        let all = server.leasing.leases();
        let found = all.iter().filter(|lease| delegated(lease)).min_by_key(|lease| lease.ip);
        let Some(lease) = found.map(|lease| lease.as_ref().clone()) else {
            return self.event(1_000, Event::Write);
        };
        let change = match illegal {
            Illegal::Overlap => {
                let client = ClientKey::Ia { duid: vec![0, 4, 99], iaid: 1, kind: IaKind::Prefix };
                let std::net::IpAddr::V6(ip) = lease.ip else { return };
                let half = u128::from(ip) | 1 << 64;
                let ip = std::net::Ipv6Addr::from(half).into();
                Change::LeaseGranted(Box::new(Lease { ip, delegated: Some(64), client, ..lease }))
            }
            Illegal::Backwards => {
                let expires = Wall(lease.expires.0 - 1_000);
                Change::LeaseGranted(Box::new(Lease { expires, ..lease }))
            }
            Illegal::TooEarly => Change::LeaseEnded { network: lease.network, ip: lease.ip, end: End::Expired },
        };
        self.note(format!("written: {change:?}"));
        let ledger = server.ledger.clone();
        tokio::spawn(async move { ledger.commit(vec![change]).await });
        self.event(10_000, Event::Write);
    }
}
