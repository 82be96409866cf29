//! A lease as it is remembered: what many have in common is there once, the rest is one allocation of about
//! a hundred octets. A million of them must fit (DH-904); read back, it is the [`Lease`] that it was.

use std::hash::BuildHasher as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;

use super::hash::Seed;
use super::lease::{Cause, ClientKey, IaKind, Lease};
use super::net::Mac;
use super::time::Wall;

/// What phones of one kind on one link have in common.
#[derive(Debug, PartialEq, Eq)]
struct Common {
    network: Box<str>,
    subnet: IpNet,
    interface: Box<str>,
    relay: Option<IpAddr>,
    delegated: Option<u8>,
    vendor_class: Option<Box<[u8]>>,
    user_class: Option<Box<[u8]>>,
    requested: Box<[u8]>,
}

impl Common {
    fn new(lease: &Lease) -> Common {
        Common {
            network: lease.network.as_str().into(),
            subnet: lease.subnet,
            interface: lease.interface.as_str().into(),
            relay: lease.relay,
            delegated: lease.delegated,
            vendor_class: lease.vendor_class.as_deref().map(Box::from),
            user_class: lease.user_class.as_deref().map(Box::from),
            requested: lease.requested.as_slice().into(),
        }
    }

    fn is_of(&self, lease: &Lease) -> bool {
        let place = *self.network == *lease.network && self.subnet == lease.subnet;
        let way = *self.interface == *lease.interface && self.relay == lease.relay && self.delegated == lease.delegated;
        let classes = self.vendor_class.as_deref() == lease.vendor_class.as_deref()
            && self.user_class.as_deref() == lease.user_class.as_deref();
        place && way && classes && *self.requested == *lease.requested
    }
}

/// Sets of [`Commons`]; each has room for as many kinds as [`WAYS`].
const SETS: usize = 256;
const WAYS: usize = 4;

/// Kinds that were seen lately. A kind that has been pushed out by stranger ones is only there twice.
#[derive(Debug, Clone)]
pub struct Commons {
    hasher: Seed,
    sets: Vec<[Option<Arc<Common>>; WAYS]>,
}

impl Default for Commons {
    fn default() -> Commons {
        Commons { hasher: Seed::default(), sets: vec![Default::default(); SETS] }
    }
}

impl Commons {
    /// The lease in its short form.
    pub fn keep(&mut self, lease: &Lease) -> Kept {
        Kept { common: self.common(lease), bytes: write(lease).into() }
    }

    fn common(&mut self, lease: &Lease) -> Arc<Common> {
        let classes = (&lease.vendor_class, &lease.user_class, &lease.requested);
        let hash = self.hasher.hash_one((&lease.network, &lease.interface, lease.relay, lease.delegated, classes));
        let set = &mut self.sets[hash as usize % SETS];
        if let Some(known) = set.iter().flatten().find(|known| known.is_of(lease)) {
            return known.clone();
        }
        set.rotate_right(1);
        set[0].insert(Arc::new(Common::new(lease))).clone()
    }
}

const MAC: u16 = 1;
const CLIENT_ID: u16 = 2;
/// The client identifier is the client key: not written twice.
const SAME_ID: u16 = 4;
const HOSTNAME: u16 = 8;
const FQDN: u16 = 16;
const RELAY_INFO: u16 = 32;
const CIRCUIT_ID: u16 = 64;
const REMOTE_ID: u16 = 128;
const PREFERRED: u16 = 256;
const V6: u16 = 512;
/// Octets in front of the client: begin, end, flags, cause.
const HEAD: usize = 19;
/// A length that does not fit one octet follows in four.
const LONG: u8 = 255;

/// The lease.
#[derive(Debug, Clone)]
pub struct Kept {
    common: Arc<Common>,
    bytes: Arc<[u8]>,
}

impl Kept {
    pub fn network(&self) -> &str {
        &self.common.network
    }

    pub fn interface(&self) -> &str {
        &self.common.interface
    }

    pub fn relay(&self) -> Option<IpAddr> {
        self.common.relay
    }

    pub fn expires(&self) -> Wall {
        Wall(Reader(&self.bytes[8..]).number())
    }

    /// True if the lease is this client's.
    pub fn is_of(&self, client: &ClientKey) -> bool {
        self.after_head().client() == parts(client)
    }

    pub fn client(&self) -> ClientKey {
        match self.after_head().client() {
            (1, number, bytes) => ClientKey::Hw(number as u8, bytes.to_vec()),
            (2, iaid, duid) => ClientKey::Ia { duid: duid.to_vec(), iaid, kind: IaKind::Address },
            (3, iaid, duid) => ClientKey::Ia { duid: duid.to_vec(), iaid, kind: IaKind::Prefix },
            (4, iaid, duid) => ClientKey::Ia { duid: duid.to_vec(), iaid, kind: IaKind::Registered },
            (_, _, bytes) => ClientKey::Id(bytes.to_vec()),
        }
    }

    pub fn mac(&self) -> Option<Mac> {
        let mut rest = self.after_head();
        rest.client();
        rest.mac(self.flags())
    }

    /// Raw option 82; read back only where the lease has one.
    pub fn relay_info(&self) -> Option<Vec<u8>> {
        (self.flags() & RELAY_INFO != 0).then(|| self.lease().relay_info).flatten()
    }

    fn flags(&self) -> u16 {
        u16::from_le_bytes([self.bytes[16], self.bytes[17]])
    }

    fn after_head(&self) -> Reader<'_> {
        Reader(&self.bytes[HEAD..])
    }

    /// All of it.
    pub fn lease(&self) -> Lease {
        let (common, flags, client) = (&self.common, self.flags(), self.client());
        let mut rest = self.after_head();
        rest.client();
        let mac = rest.mac(flags);
        let mut bytes = |flag| (flags & flag != 0).then(|| rest.bytes().to_vec());
        let fqdn = bytes(FQDN).map(|name| String::from_utf8_lossy(&name).into_owned());
        let own_id = bytes(CLIENT_ID);
        let (hostname, relay_info) = (bytes(HOSTNAME), bytes(RELAY_INFO));
        let (circuit_id, remote_id) = (bytes(CIRCUIT_ID), bytes(REMOTE_ID));
        let preferred = (flags & PREFERRED != 0).then(|| Wall(rest.number()));
        let client_id = match &client {
            ClientKey::Id(id) if flags & SAME_ID != 0 => Some(id.clone()),
            _ => own_id,
        };
        Lease {
            ip: if flags & V6 != 0 {
                Ipv6Addr::from(rest.array::<16>()).into()
            } else {
                Ipv4Addr::from(rest.array::<4>()).into()
            },
            delegated: common.delegated,
            network: common.network.to_string(),
            subnet: common.subnet,
            client,
            mac,
            client_id,
            hostname,
            fqdn,
            vendor_class: common.vendor_class.as_deref().map(<[u8]>::to_vec),
            user_class: common.user_class.as_deref().map(<[u8]>::to_vec),
            requested: common.requested.to_vec(),
            relay_info,
            circuit_id,
            remote_id,
            relay: common.relay,
            interface: common.interface.to_string(),
            began: Wall(Reader(&self.bytes).number()),
            expires: self.expires(),
            preferred,
            cause: match self.bytes[HEAD - 1] {
                0 => Cause::New,
                1 => Cause::Renew,
                2 => Cause::Rebind,
                _ => Cause::Reboot,
            },
        }
    }
}

/// Kind, number and octets of a client.
fn parts(client: &ClientKey) -> (u8, u32, &[u8]) {
    match client {
        ClientKey::Id(bytes) => (0, 0, bytes),
        ClientKey::Hw(kind, bytes) => (1, u32::from(*kind), bytes),
        ClientKey::Ia { duid, iaid, kind: IaKind::Address } => (2, *iaid, duid),
        ClientKey::Ia { duid, iaid, kind: IaKind::Prefix } => (3, *iaid, duid),
        ClientKey::Ia { duid, iaid, kind: IaKind::Registered } => (4, *iaid, duid),
    }
}

fn write(lease: &Lease) -> Vec<u8> {
    let (kind, number, client) = parts(&lease.client);
    let same = matches!((&lease.client, &lease.client_id), (ClientKey::Id(key), Some(id)) if key == id);
    let mut flags = if same { SAME_ID } else { 0 };
    let mut out = Vec::with_capacity(160);
    out.extend(lease.began.0.to_le_bytes());
    out.extend(lease.expires.0.to_le_bytes());
    out.extend([0, 0, lease.cause as u8, kind]);
    out.extend(number.to_le_bytes());
    put(&mut out, client);
    if let Some(mac) = lease.mac {
        flags |= MAC;
        out.extend(mac.0);
    }
    let fields = [
        (FQDN, lease.fqdn.as_deref().map(str::as_bytes)),
        (CLIENT_ID, lease.client_id.as_deref().filter(|_| !same)),
        (HOSTNAME, lease.hostname.as_deref()),
        (RELAY_INFO, lease.relay_info.as_deref()),
        (CIRCUIT_ID, lease.circuit_id.as_deref()),
        (REMOTE_ID, lease.remote_id.as_deref()),
    ];
    for (flag, bytes) in fields {
        if let Some(bytes) = bytes {
            flags |= flag;
            put(&mut out, bytes);
        }
    }
    if let Some(preferred) = lease.preferred {
        flags |= PREFERRED;
        out.extend(preferred.0.to_le_bytes());
    }
    match lease.ip {
        IpAddr::V4(ip) => out.extend(ip.octets()),
        IpAddr::V6(ip) => {
            flags |= V6;
            out.extend(ip.octets());
        }
    }
    out[16..18].copy_from_slice(&flags.to_le_bytes());
    out
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    match u8::try_from(bytes.len()) {
        Ok(len) if len != LONG => out.push(len),
        _ => {
            out.push(LONG);
            out.extend((bytes.len() as u32).to_le_bytes()); // far below 4 GiB: it came in a datagram
        }
    }
    out.extend(bytes);
}

/// Reads what [`write`] wrote.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        self.take(N).try_into().unwrap_or([0; N])
    }

    fn number(&mut self) -> i64 {
        i64::from_le_bytes(self.array())
    }

    fn bytes(&mut self) -> &'a [u8] {
        let [short] = self.array();
        let len = if short == LONG { u32::from_le_bytes(self.array()) } else { u32::from(short) };
        self.take(len as usize)
    }

    fn client(&mut self) -> (u8, u32, &'a [u8]) {
        let [kind] = self.array();
        (kind, u32::from_le_bytes(self.array()), self.bytes())
    }

    fn mac(&mut self, flags: u16) -> Option<Mac> {
        (flags & MAC != 0).then(|| Mac(self.array()))
    }
}
