//! Leases, reservations and bindings: which client holds which address, and what we know about it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};

use super::hex;
use super::net::Mac;
use super::time::Wall;

/// Who a lease belongs to (DH-221): in DHCPv4 the client identifier if one was sent, else the hardware
/// address; in DHCPv6 an identity association. The kinds never mix.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientKey {
    /// Option 61, all of its bytes including the type octet.
    Id(Vec<u8>),
    /// Hardware type and chaddr (RFC 2131).
    Hw(u8, Vec<u8>),
    /// An identity association of a DUID (RFC 9915 §12): what its addresses or prefixes belong to.
    Ia { duid: Vec<u8>, iaid: u32, kind: IaKind },
}

/// What an identity association holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IaKind {
    /// IA_NA: addresses.
    Address,
    /// IA_PD: delegated prefixes.
    Prefix,
    /// Addresses that the client made itself and registered (RFC 9686). They have no IAID; it is 0.
    Registered,
}

impl IaKind {
    /// As people and the database write it.
    pub fn name(self) -> &'static str {
        match self {
            IaKind::Address => "na",
            IaKind::Prefix => "pd",
            IaKind::Registered => "reg",
        }
    }
}

/// Type octet of a client identifier that holds an IAID and a DUID (RFC 4361 §6.1).
const RFC_4361: u8 = 255;

impl ClientKey {
    /// The hardware address that the client is told by, if it is told by one.
    pub fn mac(&self) -> Option<Mac> {
        match self {
            ClientKey::Hw(_, octets) => octets.as_slice().try_into().ok().map(Mac),
            _ => None,
        }
    }

    /// The DUID of the client, in both families (DH-223): leases of one DUID are of one host.
    pub fn duid(&self) -> Option<&[u8]> {
        match self {
            ClientKey::Ia { duid, .. } => Some(duid),
            ClientKey::Id(id) => match id.as_slice() {
                [RFC_4361, _, _, _, _, duid @ ..] if !duid.is_empty() => Some(duid),
                _ => None,
            },
            ClientKey::Hw(..) => None,
        }
    }

    /// True if both are one host: the same client, the same DUID in either family (DH-223), or the same
    /// hardware address once in DHCPv4 and once in DHCPv6 (DH-705).
    pub fn same_host(&self, mac: Option<Mac>, other: &ClientKey, other_mac: Option<Mac>) -> bool {
        let v6 = |key: &ClientKey| matches!(key, ClientKey::Ia { .. });
        let by_duid = || self.duid().is_some_and(|duid| other.duid() == Some(duid));
        let by_mac = || mac.is_some() && mac == other_mac && v6(self) != v6(other);
        self == other || by_duid() || by_mac()
    }
}

impl ClientKey {
    /// The IAID beside the DUID, in both families.
    pub fn iaid(&self) -> Option<u32> {
        match self {
            ClientKey::Ia { iaid, .. } => Some(*iaid),
            ClientKey::Id(id) => match id.as_slice() {
                [RFC_4361, a, b, c, d, _, ..] => Some(u32::from_be_bytes([*a, *b, *c, *d])),
                _ => None,
            },
            ClientKey::Hw(..) => None,
        }
    }
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = match self {
            ClientKey::Id(bytes) => write!(f, "id:").map(|()| bytes)?,
            ClientKey::Hw(_, bytes) => write!(f, "hw:").map(|()| bytes)?,
            ClientKey::Ia { duid, iaid, kind } => write!(f, "{}:{iaid:08x}:", kind.name()).map(|()| duid)?,
        };
        bytes.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

/// A client as far as names go: who asks, and the hardware address behind it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Party {
    pub client: ClientKey,
    pub mac: Option<Mac>,
}

impl Party {
    /// See [`ClientKey::same_host`].
    pub fn same_host(&self, client: &ClientKey, mac: Option<Mac>) -> bool {
        self.client.same_host(self.mac, client, mac)
    }
}

/// Why a lease entry was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    New,
    Renew,
    Rebind,
    Reboot,
}

/// Why a lease ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    Released,
    Expired,
    /// The address was found in use by another station; it stays quarantined until the given time.
    Declined {
        until: Wall,
    },
    /// An administrator or a moved reservation took it away.
    Revoked,
}

/// One granted address or delegated prefix, as it stands after its last grant or extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The address; the first one of a delegated prefix.
    pub ip: IpAddr,
    /// Length of the delegated prefix that begins at `ip`; `None` for an address.
    pub delegated: Option<u8>,
    /// Name of the network (link) that the address lives on: addresses may overlap between networks.
    pub network: String,
    pub subnet: IpNet,
    pub client: ClientKey,
    /// The client's hardware address, if it has one of six octets.
    pub mac: Option<Mac>,
    /// Raw option 61.
    pub client_id: Option<Vec<u8>>,
    /// Raw option 12 without trailing NULs.
    pub hostname: Option<Vec<u8>>,
    /// The name chosen for this lease: lower-case, no final dot. A, AAAA and PTR are derived from it.
    pub fqdn: Option<String>,
    /// Raw option 60.
    pub vendor_class: Option<Vec<u8>>,
    /// Raw option 77.
    pub user_class: Option<Vec<u8>>,
    /// Option 55, in the client's order.
    pub requested: Vec<u8>,
    /// Raw option 82 as received, kept for renewals that come without it.
    pub relay_info: Option<Vec<u8>>,
    /// Option 82 sub-option 1.
    pub circuit_id: Option<Vec<u8>>,
    /// Option 82 sub-option 2.
    pub remote_id: Option<Vec<u8>>,
    /// Address of the relay (giaddr, or the DHCPv6 relay nearest to us), if the client is behind one. For a
    /// delegated prefix the way to it: that relay, else the client's link-local address.
    pub relay: Option<IpAddr>,
    /// Interface that the request arrived on.
    pub interface: String,
    pub began: Wall,
    /// End of the lease; [`Wall::NEVER`] for an infinite one.
    pub expires: Wall,
    /// DHCPv6: until when new connections may use it; not after `expires`.
    pub preferred: Option<Wall>,
    pub cause: Cause,
}

impl Lease {
    /// What was delegated, if it is no address.
    pub fn prefix(&self) -> Option<IpNet> {
        IpNet::new(self.ip, self.delegated?).ok()
    }
}

/// What selects a reservation (DH-307).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ReservationKey {
    Mac(Mac),
    ClientId(Vec<u8>),
    /// Option 82 sub-option 1.
    CircuitId(Vec<u8>),
    /// Option 82 sub-option 2.
    RemoteId(Vec<u8>),
    /// A DUID, alone or with one of its IAIDs; in DHCPv4 as a client identifier of RFC 4361.
    Duid {
        duid: Vec<u8>,
        iaid: Option<u32>,
    },
    /// An expression of the class language.
    Test(String),
}

impl ReservationKey {
    /// The id of a reservation that is named by its first key.
    pub fn id(&self) -> String {
        match self {
            ReservationKey::Mac(mac) => mac.hex(),
            ReservationKey::ClientId(id) => format!("id-{}", hex::write(id)),
            ReservationKey::CircuitId(id) => format!("circuit-{}", hex::write(id)),
            ReservationKey::RemoteId(id) => format!("remote-{}", hex::write(id)),
            ReservationKey::Duid { duid, .. } => format!("duid-{}", hex::write(duid)),
            ReservationKey::Test(text) => format!("test-{}", hex::write(text.as_bytes())),
        }
    }
}

/// Who made an object, and so who may change it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A configuration file; the text is `file:line`.
    Config(String),
    /// A host of that id, through CLAWS.
    Host(String),
    /// A user of the API, UI or command line.
    User(String),
}

/// What the header of a reply says about booting; unset where nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BootInfo {
    /// siaddr.
    pub next_server: Option<Ipv4Addr>,
    /// sname.
    pub server_name: Option<String>,
    /// file.
    pub boot_file: Option<String>,
}

/// An address, name or options that wait for one client. Objects from the configuration live in the
/// policy only; the others are in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    pub id: String,
    /// The network it is for; `None` holds wherever the address fits.
    pub network: Option<String>,
    /// Any of these selects it.
    pub keys: Vec<ReservationKey>,
    pub ip: Option<IpAddr>,
    /// Addresses for DHCPv6, beside an IPv6 address in `ip`.
    pub ip6: Vec<Ipv6Addr>,
    /// Prefixes delegated to the client.
    pub prefix6: Vec<Ipv6Net>,
    /// Fully qualified, lower-case, no final dot; or a single label, completed with the network's domain.
    pub name: Option<String>,
    /// DHCPv4 options that override all others, as (code, wire bytes).
    pub options: Vec<(u8, Vec<u8>)>,
    /// The same for DHCPv6.
    pub options6: Vec<(u16, Vec<u8>)>,
    /// Classes that the client belongs to besides.
    pub classes: Vec<String>,
    pub boot: BootInfo,
    /// Seconds, in place of the subnet's.
    pub lease_time: Option<u32>,
    /// Whether several of its keys may hold the address, one after the other, without waiting for the end of
    /// the other's lease.
    pub shared: bool,
    pub origin: Origin,
}

impl Reservation {
    /// One that selects nobody and gives nothing yet.
    pub fn new(id: impl Into<String>, origin: Origin) -> Reservation {
        Reservation {
            id: id.into(),
            network: None,
            keys: Vec::new(),
            ip: None,
            ip6: Vec::new(),
            prefix6: Vec::new(),
            name: None,
            options: Vec::new(),
            options6: Vec::new(),
            classes: Vec::new(),
            boot: BootInfo::default(),
            lease_time: None,
            shared: false,
            origin,
        }
    }
}

/// What provisioning may know about the holder of an address: read from the lease, or from the kernel's
/// neighbour table where we did not lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    pub ip: IpAddr,
    pub mac: Option<Mac>,
    pub network: String,
    pub subnet: Option<IpNet>,
    pub interface: String,
    pub relay: Option<IpAddr>,
    pub client_id: Option<Vec<u8>>,
    pub hostname: Option<Vec<u8>>,
    pub vendor_class: Option<Vec<u8>>,
    pub user_class: Option<Vec<u8>>,
    pub requested: Vec<u8>,
    pub circuit_id: Option<Vec<u8>>,
    pub remote_id: Option<Vec<u8>>,
    pub expires: Wall,
    /// Grows whenever the address changes hands.
    pub generation: u64,
    pub source: BindingSource,
}

/// How a binding is known (evidence 3 to 6 of the provisioning reference).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BindingSource {
    Lease,
    Static,
    Neighbour,
}
