//! LEASEQUERY (RFC 4388): a relay that the configuration names asks who holds an address, or what a client
//! holds. Owns the three answers; changes nothing. An address of ours that nobody holds is UNASSIGNED, which
//! is another thing than UNKNOWN.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::{Decision, Delivery, Facts, Now, Request, Silence, Target};
use crate::domain::dhcp::policy::Policy;
use crate::domain::dhcp::wire::{Kind, Reply, code};
use crate::domain::lease::{ClientKey, Lease};
use crate::domain::time::Wall;

/// Addresses in option 92: more would not fit a small answer (the option holds 63).
const MAX_ASSOCIATED: usize = 60;
/// Relays listen where servers do.
const SERVER_PORT: u16 = 67;

/// The answer to a LEASEQUERY; silence for those who may not ask.
pub(super) fn answer(request: &Request<'_>, facts: &Facts<'_>, policy: &Policy, now: Now) -> Decision {
    // RFC 4388 §7: servers "SHOULD" answer configured requesters only
    if !request.relayed() || !policy.rules.leasequery.contains(&request.packet.giaddr()) {
        return Decision::silent(Silence::NotAllowed);
    }
    let query = Query { request, facts, policy, now };
    let ciaddr = request.packet.ciaddr();
    // RFC 4388 §6.2: one key, the address before the client identifier before the hardware address
    if !ciaddr.is_unspecified() {
        query.by_address(ciaddr)
    } else if let Some(id) = &request.client_id {
        query.by_client(&[ClientKey::Id(id.to_vec())])
    } else if !request.packet.chaddr().is_empty() {
        query.by_hardware()
    } else {
        Decision::silent(Silence::NoClient)
    }
}

struct Query<'a> {
    request: &'a Request<'a>,
    facts: &'a Facts<'a>,
    policy: &'a Policy,
    now: Now,
}

impl Query<'_> {
    fn by_address(&self, ip: Ipv4Addr) -> Decision {
        let Some(place) = self.policy.by_address(ip, None) else { return self.none(Kind::LeaseUnknown) };
        match self.facts.book.lease(place.network, ip) {
            Some(lease) => self.active(place.network, lease.clone(), &self.held_by(&lease.client)),
            None => self.none(Kind::LeaseUnassigned),
        }
    }

    fn by_client(&self, keys: &[ClientKey]) -> Decision {
        self.newest(keys.iter().flat_map(|key| self.held_by(key)).collect())
    }

    /// The leases of that hardware address, whatever identifier they hang on.
    fn by_hardware(&self) -> Decision {
        let chaddr = self.request.packet.chaddr();
        match self.request.mac {
            Some(mac) => self.newest(self.facts.book.leases_of_mac(mac)),
            None => self.by_client(&[ClientKey::Hw(self.request.packet.htype(), chaddr.to_vec())]),
        }
    }

    fn held_by(&self, client: &ClientKey) -> Vec<(usize, Arc<Lease>)> {
        let networks = 0..self.policy.networks.len();
        networks.filter_map(|n| Some((n, self.facts.book.lease_of(n, client)?))).collect()
    }

    /// RFC 4388 §6.4.2: of several addresses, the one that the client was heard of last.
    fn newest(&self, held: Vec<(usize, Arc<Lease>)>) -> Decision {
        match held.iter().max_by_key(|(network, lease)| self.heard(*network, lease.ip)) {
            Some((network, lease)) => self.active(*network, lease.clone(), &held),
            None => self.none(Kind::LeaseUnknown),
        }
    }

    fn heard(&self, network: usize, ip: IpAddr) -> Wall {
        let IpAddr::V4(ip) = ip else { return Wall(0) };
        self.facts.book.heard(network, ip).unwrap_or(Wall(0))
    }

    fn active(&self, network: usize, lease: Arc<Lease>, all: &[(usize, Arc<Lease>)]) -> Decision {
        let mut reply = self.reply(Kind::LeaseActive);
        let IpAddr::V4(ip) = lease.ip else { return self.none(Kind::LeaseUnknown) };
        reply.ciaddr = ip;
        let hardware = match (&lease.mac, &lease.client) {
            (Some(mac), _) => (1, mac.0.to_vec()),
            (None, ClientKey::Hw(kind, bytes)) => (*kind, bytes.clone()),
            (None, _) => (0, Vec::new()),
        };
        let length = hardware.1.len().min(16);
        (reply.htype, reply.hlen, reply.chaddr) = (hardware.0, length as u8, [0; 16]);
        reply.chaddr[..length].copy_from_slice(&hardware.1[..length]);
        reply.relay_info = lease.relay_info.clone();
        let left = self.facts.book.left(network, ip, self.now);
        let mut seconds = |code: u8, seconds: u32| reply.options.push((code, seconds.to_be_bytes().to_vec()));
        seconds(code::LEASE_TIME, left);
        let since = self.now.wall.since(self.heard(network, lease.ip)).as_secs();
        seconds(code::LAST_TRANSACTION, u32::try_from(since).unwrap_or(u32::MAX));
        self.add_asked(&mut reply, &lease, all);
        self.send(reply)
    }

    /// What is added only for those who list it in option 55, and what the client once said.
    fn add_asked(&self, reply: &mut Reply, lease: &Lease, all: &[(usize, Arc<Lease>)]) {
        let asked = |code: u8| self.request.requested.contains(&code);
        if let Some(id) = &lease.client_id {
            reply.options.push((code::CLIENT_ID, id.clone()));
        }
        let told =
            [(code::HOSTNAME, &lease.hostname), (code::VENDOR_CLASS, &lease.vendor_class), (77, &lease.user_class)];
        for (code, value) in told.into_iter().filter(|(code, _)| asked(*code)) {
            reply.options.extend(value.clone().map(|value| (code, value)));
        }
        if asked(code::ASSOCIATED_IP) {
            let v4 = all.iter().filter_map(|(_, lease)| if let IpAddr::V4(ip) = lease.ip { Some(ip) } else { None });
            let value: Vec<u8> = v4.take(MAX_ASSOCIATED).flat_map(|ip| ip.octets()).collect();
            reply.options.push((code::ASSOCIATED_IP, value));
        }
    }

    fn none(&self, kind: Kind) -> Decision {
        self.send(self.reply(kind))
    }

    /// RFC 4388 §6.4: the question's own fields back, all addresses but ciaddr and giaddr zero.
    fn reply(&self, kind: Kind) -> Reply {
        let packet = &self.request.packet;
        Reply {
            kind,
            htype: packet.htype(),
            hlen: packet.hlen(),
            xid: packet.xid(),
            flags: packet.flags(),
            ciaddr: packet.ciaddr(),
            yiaddr: Ipv4Addr::UNSPECIFIED,
            siaddr: Ipv4Addr::UNSPECIFIED,
            giaddr: packet.giaddr(),
            chaddr: packet.chaddr_field(),
            sname: Vec::new(),
            file: Vec::new(),
            options: vec![(code::SERVER_ID, self.request.arrival.local.octets().to_vec())],
            relay_info: None,
            requested: self.request.requested.to_vec(),
            max_size: packet.u16(code::MAX_SIZE),
        }
    }

    fn send(&self, reply: Reply) -> Decision {
        let to = Target::Relay(reply.giaddr, SERVER_PORT);
        Decision::send((reply, Delivery { to, from: self.request.arrival.local }))
    }
}
