//! REQUEST in its four states (RFC 2131 §4.3.2), and the grant that they end in.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::{Case, Decision, Silence};
use crate::domain::change::Change;
use crate::domain::dhcp::book::Effect;
use crate::domain::dhcp::classes;
use crate::domain::dhcp::policy::{Network, Place, Steal};
use crate::domain::dhcp::wire::{Kind, code, relay};
use crate::domain::dns::naming::NameRequest;
use crate::domain::lease::{Cause, End, Lease};
use crate::domain::time::Wall;

/// An infinite time on the wire.
const INFINITE: u32 = u32::MAX;

impl Case<'_> {
    /// DH-201: which state the client is in follows from options 54 and 50 and ciaddr.
    pub(super) fn request(&self) -> Decision {
        let packet = &self.request.packet;
        let wanted = packet.ip(code::REQUESTED_IP);
        let ciaddr = Some(packet.ciaddr()).filter(|ip| !ip.is_unspecified());
        if let Some(server) = packet.ip(code::SERVER_ID) {
            return self.selecting(server, wanted.or(ciaddr));
        }
        match (ciaddr, wanted) {
            (Some(ip), _) if self.sent_unicast() => self.renewing(ip),
            (Some(ip), _) => self.rebinding(ip),
            (None, Some(ip)) => self.init_reboot(ip),
            (None, None) => self.bare(),
        }
    }

    /// RFC 5010 §4: behind a relay only its flags tell RENEWING from REBINDING.
    fn sent_unicast(&self) -> bool {
        if !self.request.relayed() {
            return self.request.arrival.unicast();
        }
        self.request.relay_info.as_deref().and_then(relay::sent_unicast) == Some(true)
    }

    fn selecting(&self, server: Ipv4Addr, wanted: Option<Ipv4Addr>) -> Decision {
        let (book, network, client) = (self.facts.book, self.place.network, self.client());
        if !self.names_us(server) {
            // RFC 2131 §3.1 point 4: servers not selected take it as notification that their offer was declined
            return Decision::silent(Silence::OtherServer)
                .with_effect(Effect::Forget { network, client: client.clone() });
        }
        let Some(ip) = wanted else { return self.nak("no address asked for") };
        let offered = book.offer_of(network, client);
        let bound = self.bound();
        // an offer that a restart forgot is honoured if it can be; another one than ours is not
        let ours = offered == Some(ip) || bound == Some(ip) || offered.is_none() && bound.is_none();
        if ours && self.grantable(ip) { self.grant(ip, Cause::New, false) } else { self.nak("not offered") }
    }

    fn init_reboot(&self, ip: Ipv4Addr) -> Decision {
        // RFC 2131 §4.3.2: "if the network is wrong ... the server SHOULD send a DHCPNAK"
        if self.policy.within(self.place.network, ip).is_none() {
            return self.nak("wrong network");
        }
        match self.bound() {
            Some(bound) if bound == ip && self.permitted(ip) => self.grant(ip, Cause::Reboot, false),
            Some(bound) if bound == ip && self.may_run_out(ip) => self.run_out(ip),
            Some(_) => self.nak("not your address"),
            None if self.remembered(ip) && self.grantable(ip) => self.grant(ip, Cause::Reboot, false),
            None if self.reserved_ip().is_some_and(|reserved| reserved != ip) => self.nak("another address is yours"),
            None if self.authoritative() => self.nak("not known here"),
            // "If the DHCP server has no record of this client, then it MUST remain silent"
            None => Decision::silent(Silence::Unknown),
        }
    }

    /// True if the address was this client's last, or waits for it.
    fn remembered(&self, ip: Ipv4Addr) -> bool {
        self.facts.book.past_of(self.place.network, self.client()) == Some(ip) || self.reserved_ip() == Some(ip)
    }

    fn renewing(&self, ip: Ipv4Addr) -> Decision {
        self.extend(ip, Cause::Renew)
    }

    fn rebinding(&self, ip: Ipv4Addr) -> Decision {
        if self.bound().is_some() || self.authoritative() {
            return self.extend(ip, Cause::Rebind);
        }
        Decision::silent(Silence::Unknown)
    }

    /// DH-206: our lease is extended; one that we do not know is granted if it can be.
    fn extend(&self, ip: Ipv4Addr, cause: Cause) -> Decision {
        match self.bound() {
            Some(bound) if bound == ip && self.permitted(ip) => self.grant(ip, cause, false),
            Some(bound) if bound == ip && self.may_run_out(ip) => self.run_out(ip),
            None if self.permitted(ip) => self.grant(ip, cause, false),
            _ => self.nak("lease is not valid"),
        }
    }

    /// A REQUEST that names no address at all.
    fn bare(&self) -> Decision {
        match self.bound() {
            Some(ip) if self.policy.rules.accept_bare_request && self.permitted(ip) => {
                self.grant(ip, Cause::Renew, false)
            }
            _ => self.nak("no address asked for"),
        }
    }

    fn authoritative(&self) -> bool {
        self.policy.networks[self.place.network].authoritative
    }

    /// The address that this client holds here.
    pub(super) fn bound(&self) -> Option<Ipv4Addr> {
        self.facts.book.address_of(self.place.network, self.client())
    }

    /// True if the client may keep the address: the policy still gives it, and no other waits for it
    /// (DH-308: a moved reservation takes effect at the next renewal).
    fn permitted(&self, ip: Ipv4Addr) -> bool {
        let elsewhere = self.reserved_ip().is_some_and(|reserved| reserved != ip && self.grantable(reserved));
        self.grantable(ip) && !elsewhere
    }

    /// DH-308: with `steal = "expiry"` a stranger keeps an address that now waits for somebody else.
    fn may_run_out(&self, ip: Ipv4Addr) -> bool {
        let network = &self.policy.networks[self.place.network].name;
        let denied = self.facts.book.reservations().denies(network, ip, self.traits());
        self.policy.rules.steal == Steal::Expiry && denied && self.facts.book.left(self.place.network, ip, self.now) > 0
    }

    /// Acknowledges what is left of the lease; nothing is written.
    fn run_out(&self, ip: Ipv4Addr) -> Decision {
        let left = self.facts.book.left(self.place.network, ip, self.now);
        let lease = self.facts.book.lease_of(self.place.network, self.client());
        let fqdn = lease.as_deref().and_then(|lease| lease.fqdn.as_deref());
        Decision::send(self.ack(ip, self.place_of(ip), left, fqdn, false))
    }

    /// Commits the address to the client, then acknowledges. Within the lease cache nothing is written.
    pub(super) fn grant(&self, ip: Ipv4Addr, cause: Cause, rapid: bool) -> Decision {
        let network = self.place.network;
        let Some(subnet) = self.policy.within(network, ip) else { return Decision::silent(Silence::NoSubnet) };
        let place = Place { network, subnet };
        let current = self.facts.book.lease_of(network, self.client());
        let same = current.as_deref().filter(|lease| lease.ip == IpAddr::V4(ip));
        let seconds = self.seconds(ip, place);
        let lease = self.lease(ip, place, seconds, cause, same);
        let left = self.facts.book.left(network, ip, self.now);
        if let Some(kept) = same.filter(|old| self.is_fresh(old, &lease, seconds, left)) {
            return Decision::send(self.ack(ip, place, left, kept.fqdn.as_deref(), rapid));
        }
        let ended = |ip: IpAddr| Change::LeaseEnded {
            network: self.policy.networks[network].name.clone(),
            ip,
            end: End::Revoked,
        };
        let mut changes = Vec::with_capacity(1);
        changes.extend(current.as_deref().filter(|lease| lease.ip != IpAddr::V4(ip)).map(|lease| ended(lease.ip)));
        let holder = self.facts.book.kept(network, ip);
        changes.extend(holder.filter(|holder| !holder.is_of(&lease.client)).map(|_| ended(IpAddr::V4(ip))));
        let reply = self.ack(ip, place, seconds, lease.fqdn.as_deref(), rapid);
        changes.push(Change::LeaseGranted(Box::new(lease)));
        Decision::send(reply).with_change(changes)
    }

    /// DH-214: option 51 is a hint within the bounds of the subnet.
    pub(super) fn seconds(&self, ip: Ipv4Addr, place: Place) -> u32 {
        if self.request.kind == Kind::Bootp {
            return INFINITE;
        }
        let (times, _) = self.times(ip, place);
        match self.request.packet.u32(code::LEASE_TIME).unwrap_or(times.default) {
            INFINITE if times.infinite => INFINITE,
            seconds => seconds.clamp(times.min.min(times.max), times.max),
        }
    }

    /// DH-215: true if what is durable says all of this already and is hardly older.
    fn is_fresh(&self, old: &Lease, new: &Lease, seconds: u32, left: u32) -> bool {
        let unchanged = Lease { expires: old.expires, cause: old.cause, ..new.clone() } == *old;
        let durable = old.expires.since(self.now.wall).as_secs();
        let enough = f64::from(left) >= f64::from(seconds) * (1.0 - self.policy.rules.cache_fraction);
        // after a step of the wall clock what is durable says something else: it is written again
        let plausible = enough && left <= seconds && durable <= u64::from(seconds);
        unchanged && (old.expires == new.expires || new.expires != Wall::NEVER && plausible)
    }

    /// The lease as it will stand. What a renewal does not say again stays as it was (DH-206).
    fn lease(&self, ip: Ipv4Addr, place: Place, seconds: u32, cause: Cause, old: Option<&Lease>) -> Lease {
        let (request, packet) = (self.request, &self.request.packet);
        let network = &self.policy.networks[place.network];
        let owned = |value: Option<std::borrow::Cow<'_, [u8]>>| value.map(|v| v.to_vec()).filter(|v| !v.is_empty());
        let believed = request.believed_relay_info(self.policy, place.network).map(<[u8]>::to_vec);
        let relay_info = believed.or_else(|| old.and_then(|old| old.relay_info.clone()));
        let sub = |code| relay_info.as_deref().and_then(|info| relay::value(info, code)).map(<[u8]>::to_vec);
        let relay = request.relayed().then(|| IpAddr::V4(packet.giaddr()));
        let expires = match seconds {
            INFINITE => Wall::NEVER,
            _ => self.now.wall.plus(Duration::from_secs(seconds.into())),
        };
        let hostname = owned(packet.text(code::HOSTNAME)).or_else(|| old.and_then(|old| old.hostname.clone()));
        let vendor_class = owned(request.vendor_class.clone()).or_else(|| old.and_then(|old| old.vendor_class.clone()));
        let fqdn = self.name(ip, network, hostname.as_deref(), vendor_class.as_deref(), old);
        Lease {
            ip: IpAddr::V4(ip),
            delegated: None,
            network: network.name.clone(),
            subnet: self.policy.subnet(place).prefix.into(),
            client: self.client().clone(),
            mac: request.mac,
            client_id: request.client_id.as_deref().map(<[u8]>::to_vec),
            hostname,
            fqdn,
            vendor_class,
            user_class: owned(packet.option(code::USER_CLASS)).or_else(|| old.and_then(|old| old.user_class.clone())),
            requested: request.requested.to_vec(),
            circuit_id: sub(relay::sub::CIRCUIT_ID),
            remote_id: sub(relay::sub::REMOTE_ID),
            relay_info,
            relay: relay.or_else(|| old.and_then(|old| old.relay)),
            interface: request.arrival.interface.to_owned(),
            began: old.map_or(self.now.wall, |old| old.began),
            expires,
            preferred: None,
            cause,
        }
    }

    /// The name of the lease; it counts as taken by this client from here on.
    fn name(
        &self,
        ip: Ipv4Addr,
        network: &Network,
        hostname: Option<&[u8]>,
        vendor_class: Option<&[u8]>,
        old: Option<&Lease>,
    ) -> Option<String> {
        if self.member.has(classes::SKIP_DNS) {
            return None;
        }
        self.facts.names.choose(&NameRequest {
            client: self.client(),
            mac: self.request.mac,
            ip: IpAddr::V4(ip),
            domain: &network.domain,
            reserved: self.reserved.as_ref().and_then(|reservation| reservation.name.as_deref()),
            option81: self.request.packet.option(code::FQDN).as_deref(),
            option12: hostname,
            vendor_class,
            previous: old.and_then(|old| old.fqdn.as_deref()),
        })
    }
}
