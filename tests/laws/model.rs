//! What the journal says, kept as plainly as can be.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use lanlord::domain::change::Change;
use lanlord::domain::dns::naming::{self, NameRequest, Names};
use lanlord::domain::lease::{End, Lease};
use lanlord::domain::time::{Mono, Now, Wall};

pub struct PlainNames;

impl Names for PlainNames {
    fn choose(&self, request: &NameRequest<'_>) -> Option<String> {
        naming::decide(request, true, |_| false).map(|choice| choice.fqdn)
    }
}

/// The leases, and all that led to them.
#[derive(Default)]
pub struct Model {
    pub leases: BTreeMap<IpAddr, Lease>,
    pub journal: Vec<(Wall, Change)>,
    pub elapsed: Duration,
}

/// What a lease is of.
fn net(lease: &Lease) -> IpNet {
    lease.prefix().unwrap_or(lease.ip.into())
}

impl Model {
    pub fn now(&self) -> Now {
        Now { wall: Wall(1_700_000_000_000).plus(self.elapsed), mono: Mono(0).plus(self.elapsed) }
    }

    /// Takes in a change that is committed now; what must not be fails the test.
    pub fn commit(&mut self, change: &Change, given: impl Fn(&Lease) -> bool) {
        let now = self.now().wall;
        match change {
            Change::LeaseGranted(lease) => {
                assert!(given(lease), "the configuration does not give {lease:?}");
                assert!(lease.expires > now && lease.began <= now, "{lease:?} at {now:?}");
                let meets = |other: &&Lease| net(other).contains(&net(lease)) || net(lease).contains(&net(other));
                for other in self.leases.values().filter(meets) {
                    assert_eq!(
                        (other.ip, &other.client),
                        (lease.ip, &lease.client),
                        "two owners: {other:?} and {lease:?}"
                    );
                    assert!(other.expires <= lease.expires, "{lease:?} takes back {:?}", other.expires);
                }
                self.leases.insert(lease.ip, lease.as_ref().clone());
            }
            Change::LeaseEnded { ip, end, .. } => {
                let lease = self.leases.remove(ip).unwrap_or_else(|| panic!("nobody has {ip}, which ends"));
                assert!(*end != End::Expired || lease.expires <= now, "{lease:?} ends by time at {now:?}");
            }
            _ => {}
        }
        self.journal.push((now, change.clone()));
    }

    /// What the book must hold.
    pub fn check(&self, book: impl Iterator<Item = Lease>) {
        let found: BTreeMap<IpAddr, Lease> = book.map(|lease| (lease.ip, lease)).collect();
        assert_eq!(found, self.leases);
    }

    /// A client is told that it may use the address for so long.
    pub fn promised(&self, ip: IpAddr, seconds: u32, own: impl Fn(&Lease) -> bool) {
        let until = self.now().wall.plus(Duration::from_secs(seconds.into()));
        let lease = self.leases.get(&ip).filter(|lease| own(lease));
        let lease =
            lease.unwrap_or_else(|| panic!("{ip} is promised, and not the client's: {:?}", self.leases.get(&ip)));
        assert!(lease.expires >= until, "{ip} is promised until {until:?}, and kept until {:?}", lease.expires);
    }
}
