//! Replies: the header, the options by precedence (DH-310), and who they go to (DH-211).

use std::net::Ipv4Addr;

use super::bootp::is_dhcp_only;
use super::levels::{BootFields, Level, Source};
use super::proxy::{self, BootClient};
use super::{Case, Decision, Delivery, Target};
use crate::domain::dhcp::policy::{Place, Placeholders};
use crate::domain::dhcp::value;
use crate::domain::dhcp::wire::{BROADCAST, Kind, Reply, code, relay};
use crate::domain::dns::naming::reply81;

/// Options of one reply; a later level overrides an earlier one.
struct Chosen {
    code: u8,
    value: Vec<u8>,
    force: bool,
}

/// The server's port, and a relay's.
const SERVER_PORT: u16 = 67;

impl Case<'_> {
    pub(super) fn offer(&self, ip: Ipv4Addr) -> (Reply, Delivery) {
        let place = self.place_of(ip);
        let mut reply = self.granting(Kind::Offer, ip, place, self.seconds(ip, place));
        self.add_fqdn(&mut reply, None);
        self.addressed(reply)
    }

    /// RFC 8925 §3.3.2: an offer without an address; nothing is leased.
    pub(super) fn ipv6_only(&self, wait: u32) -> (Reply, Delivery) {
        let mut reply = self.with_options(Kind::Offer, Ipv4Addr::UNSPECIFIED, self.place);
        reply.options.retain(|(code, _)| *code != code::IPV6_ONLY);
        reply.options.push((code::IPV6_ONLY, wait.to_be_bytes().to_vec()));
        reply.options.push((code::LEASE_TIME, wait.to_be_bytes().to_vec()));
        self.addressed(reply)
    }

    pub(super) fn ack(
        &self,
        ip: Ipv4Addr,
        place: Place,
        seconds: u32,
        fqdn: Option<&str>,
        rapid: bool,
    ) -> (Reply, Delivery) {
        let kind = if self.request.kind == Kind::Bootp { Kind::Bootp } else { Kind::Ack };
        let mut reply = self.granting(kind, ip, place, seconds);
        reply.ciaddr = self.request.packet.ciaddr();
        self.add_fqdn(&mut reply, Some(fqdn));
        if rapid {
            reply.options.push((code::RAPID_COMMIT, Vec::new()));
        }
        if kind == Kind::Bootp {
            reply.options.retain(|(code, _)| !is_dhcp_only(*code));
        }
        self.addressed(reply)
    }

    /// RFC 2131 §4.3.5: no lease times, yiaddr 0, to ciaddr.
    pub(super) fn inform_ack(&self, ip: Ipv4Addr) -> (Reply, Delivery) {
        let mut reply = self.with_options(Kind::Ack, ip, self.place_of(ip));
        reply.ciaddr = self.request.packet.ciaddr();
        reply.yiaddr = Ipv4Addr::UNSPECIFIED;
        self.add_fqdn(&mut reply, None);
        (reply, Delivery { to: Target::Unicast(ip), from: self.source() })
    }

    /// DH-210: no options but these, no addresses; the broadcast bit makes a relay reach the client.
    pub(super) fn nak(&self, why: &str) -> Decision {
        let mut reply = self.header(Kind::Nak);
        reply.options.push((code::MESSAGE, why.as_bytes().to_vec()));
        self.add_client_id(&mut reply);
        let here = self.policy.by_interface(self.request.arrival.interface);
        let to = if self.request.relayed() {
            reply.flags |= BROADCAST;
            self.relay_target()
        } else if self.request.arrival.unicast() && here != Some(self.place.network) {
            // a client behind a router: our broadcast would not reach it
            Target::Unicast(self.request.packet.ciaddr())
        } else {
            Target::Broadcast
        };
        Decision::send((reply, Delivery { to, from: self.source() }))
    }

    /// The subnet of an address, or where the request came from.
    pub(super) fn place_of(&self, ip: Ipv4Addr) -> Place {
        let network = self.place.network;
        self.policy.within(network, ip).map_or(self.place, |subnet| Place { network, subnet })
    }

    pub(super) fn header(&self, kind: Kind) -> Reply {
        let packet = &self.request.packet;
        Reply {
            kind,
            htype: packet.htype(),
            hlen: packet.hlen(),
            xid: packet.xid(),
            flags: packet.flags(),
            ciaddr: Ipv4Addr::UNSPECIFIED,
            yiaddr: Ipv4Addr::UNSPECIFIED,
            siaddr: Ipv4Addr::UNSPECIFIED,
            giaddr: packet.giaddr(),
            chaddr: packet.chaddr_field(),
            sname: Vec::new(),
            file: Vec::new(),
            options: vec![(code::SERVER_ID, self.server_id.octets().to_vec())],
            relay_info: self.request.relay_info.as_ref().map(|info| info.to_vec()),
            requested: self.request.requested.to_vec(),
            max_size: packet.u16(code::MAX_SIZE),
        }
    }

    /// With an address and its times. RFC 2131 §4.4.5: T1 0.5, T2 0.875 of the lease.
    fn granting(&self, kind: Kind, ip: Ipv4Addr, place: Place, seconds: u32) -> Reply {
        let mut reply = self.with_options(kind, ip, place);
        let mut time = |code: u8, seconds: u32| reply.options.push((code, seconds.to_be_bytes().to_vec()));
        time(code::LEASE_TIME, seconds);
        if seconds != u32::MAX && seconds >= 8 {
            time(code::T1, seconds / 2);
            time(code::T2, seconds - seconds.div_ceil(8));
        }
        reply
    }

    fn with_options(&self, kind: Kind, ip: Ipv4Addr, place: Place) -> Reply {
        let mut reply = self.header(kind);
        reply.yiaddr = ip;
        let fill = self.placeholders(ip);
        let levels = self.levels(ip, place);
        let boot = self.boot_fields(&levels, &fill);
        reply.siaddr = boot.siaddr.unwrap_or(Ipv4Addr::UNSPECIFIED);
        let mut options = self.collecting();
        self.choose_options(&mut options, place, &levels, &fill, &boot);
        boot.name_files(&mut reply);
        // RFC 2563 §2.3: only those who get no address are told whether to make one
        reply.options.extend(options.sent().filter(|(code, _)| *code != code::AUTO_CONFIGURE));
        self.add_client_id(&mut reply);
        reply
    }

    /// DH-403: takes what the client has asked for, and what is forced.
    pub(super) fn collecting(&self) -> Options<'_> {
        Options { requested: &self.request.requested, chosen: Vec::with_capacity(16) }
    }

    /// DH-310, from the weakest level to the strongest.
    pub(super) fn choose_options<'s>(
        &'s self,
        chosen: &mut impl Keep<'s>,
        place: Place,
        levels: &[Level<'s>],
        fill: &Placeholders<'_>,
        boot: &BootFields,
    ) {
        self.built_in(chosen, place, boot);
        for level in levels {
            for setting in level.settings {
                if !chosen.wants(setting.code, setting.force) {
                    continue;
                }
                if let Some(value) = setting.value.wire(setting.code, fill) {
                    chosen.put(setting.code, value, setting.force, level.source, setting.at.as_deref());
                }
            }
        }
        // what an administrator gave to one client reaches it, asked for or not
        for (reservation, (code, value)) in self.reserved.iter().flat_map(|r| r.options.iter().map(move |o| (*r, o))) {
            chosen.put(*code, value.clone(), true, Source::Reservation(reservation), None);
        }
        self.add_default_route(chosen, place);
    }

    /// What follows from the subnet and the request itself.
    fn built_in<'s>(&'s self, out: &mut impl Keep<'s>, place: Place, boot: &BootFields) {
        let network = &self.policy.networks[place.network];
        let subnet = self.policy.subnet(place);
        let mut put = |code: u8, value: Vec<u8>, force: bool| out.put(code, value, force, Source::BuiltIn, None);
        put(code::MASK, subnet.prefix.netmask().octets().to_vec(), true);
        if let Some(router) = subnet.router {
            put(code::ROUTER, router.octets().to_vec(), false);
        }
        if subnet.prefix.prefix_len() < 31 {
            put(code::BROADCAST_ADDRESS, subnet.prefix.broadcast().octets().to_vec(), false);
        }
        if !network.domain.is_empty() {
            put(code::DOMAIN, network.domain.clone().into_bytes(), false);
        }
        // a name that we gave, not one that the client brought
        if let Some(name) = self.reserved.as_ref().and_then(|r| r.name.as_deref()) {
            let label = name.split('.').next().unwrap_or_default();
            put(code::HOSTNAME, label.as_bytes().to_vec(), false);
        }
        if let Some(name) = &boot.server_name {
            put(code::TFTP_SERVER, name.clone().into_bytes(), false);
        }
        if let Some(file) = boot.file.as_ref().filter(|file| !file.is_empty()) {
            put(code::BOOT_FILE, file.clone().into_bytes(), false);
            // firmware ignores an answer without its own class in it (DH-412, DH-413)
            let class = self.request.vendor_class.as_deref().unwrap_or_default();
            let client = BootClient::of(class);
            if let Some(client) = client {
                put(code::VENDOR_CLASS, client.name().to_vec(), true);
            }
            // PXE 2.1 §2.2.3: an answer of a PXE server that says nothing more sends EDK2 to port 4011 for the file
            if client == Some(BootClient::Pxe) {
                put(code::VENDOR, proxy::use_this_file(), true);
            }
        }
        // RFC 4578 §2.3: echoed to those that sent it
        if let Some(uuid) = self.request.packet.option(code::PXE_UUID) {
            put(code::PXE_UUID, uuid.to_vec(), true);
        }
    }

    /// RFC 3442: who takes 121 ignores 3, so the default route must be among the routes. 249 goes to those
    /// who ask for it.
    fn add_default_route<'s>(&'s self, chosen: &mut impl Keep<'s>, place: Place) {
        let router = chosen.value(code::ROUTER).and_then(|value| value.first_chunk::<4>().copied());
        let router = router.map(Ipv4Addr::from).or(self.policy.subnet(place).router);
        for code in [code::ROUTES, code::MS_ROUTES] {
            let routes = chosen.value(code).filter(|routes| !value::has_default_route(routes)).map(<[u8]>::to_vec);
            if let (Some(mut routes), Some(router)) = (routes, router) {
                routes.extend(value::encode_route(ipnet::Ipv4Net::default(), router));
                chosen.amend(code, routes);
            }
        }
        let asked = self.request.requested.contains(&code::MS_ROUTES) && chosen.value(code::MS_ROUTES).is_none();
        if let Some(routes) = chosen.value(code::ROUTES).filter(|_| asked).map(<[u8]>::to_vec) {
            chosen.put(code::MS_ROUTES, routes, false, Source::BuiltIn, None);
        }
    }

    /// RFC 6842: echoed in every reply, if received.
    pub(super) fn add_client_id(&self, reply: &mut Reply) {
        if let Some(id) = self.request.client_id.as_ref().filter(|_| self.policy.rules.echo_client_id) {
            reply.options.push((code::CLIENT_ID, id.to_vec()));
        }
    }

    /// RFC 4702 §4: only if received. `chosen` is `None` while no name has been chosen yet.
    fn add_fqdn(&self, reply: &mut Reply, chosen: Option<Option<&str>>) {
        let Some(received) = self.request.packet.option(code::FQDN) else { return };
        let network = self.place.network;
        let held = self.facts.book.lease_of(network, self.client()).and_then(|lease| lease.fqdn.clone());
        let name = chosen.map_or(held, |name| name.map(str::to_owned));
        if chosen.is_some() || name.is_some() {
            reply.options.extend(reply81(&received, name.as_deref()).map(|value| (code::FQDN, value)));
        }
    }

    /// DH-211: to the relay; to a client with an address; by broadcast if it asked so; else by frame.
    pub(super) fn addressed(&self, reply: Reply) -> (Reply, Delivery) {
        let packet = &self.request.packet;
        let to = if self.request.relayed() {
            self.relay_target()
        } else if !packet.ciaddr().is_unspecified() {
            Target::Unicast(packet.ciaddr())
        } else if packet.flags() & BROADCAST != 0 || reply.yiaddr.is_unspecified() {
            Target::Broadcast
        } else {
            self.request.mac.map_or(Target::Broadcast, |mac| Target::Hardware(mac, reply.yiaddr))
        };
        (reply, Delivery { to, from: self.source() })
    }

    /// The source address of replies: our identifier, unless it is a relay's (RFC 5107) or none of ours.
    fn source(&self) -> Ipv4Addr {
        if self.facts.book.is_own(self.server_id) { self.server_id } else { self.request.arrival.local }
    }

    fn relay_target(&self) -> Target {
        // RFC 8357 §5.2: the sub-option says that the relay's source port is where it listens
        let own_port = self.request.relay_value(relay::sub::SOURCE_PORT).is_some();
        let port = if own_port { self.request.arrival.source_port } else { SERVER_PORT };
        Target::Relay(self.request.packet.giaddr(), port)
    }
}

/// Where options are collected: replies keep the last word, explanations every word.
pub(super) trait Keep<'s> {
    /// `at` is `file:line` of the setting, if it has one.
    fn put(&mut self, code: u8, value: Vec<u8>, force: bool, source: Source<'s>, at: Option<&'s str>);

    /// False if nothing can come of a value of that option: it need not be made.
    fn wants(&self, _code: u8, _force: bool) -> bool {
        true
    }

    /// What stands now.
    fn value(&self, code: u8) -> Option<&[u8]>;

    /// Completes what stands.
    fn amend(&mut self, code: u8, value: Vec<u8>);
}

/// The options of one reply, and what its client asked for.
pub(super) struct Options<'a> {
    requested: &'a [u8],
    chosen: Vec<Chosen>,
}

/// The client asked for it, or takes whatever comes.
fn asked(requested: &[u8], code: u8) -> bool {
    requested.is_empty() || requested.contains(&code)
}

impl Options<'_> {
    /// What is sent.
    pub(super) fn sent(self) -> impl Iterator<Item = (u8, Vec<u8>)> {
        let Options { requested, chosen } = self;
        chosen.into_iter().filter(move |c| c.force || asked(requested, c.code)).map(|c| (c.code, c.value))
    }
}

impl Keep<'_> for Options<'_> {
    fn put(&mut self, code: u8, value: Vec<u8>, force: bool, _: Source<'_>, _: Option<&str>) {
        match self.chosen.iter_mut().find(|c| c.code == code) {
            Some(c) => (c.value, c.force) = (value, c.force || force),
            None => self.chosen.push(Chosen { code, value, force }),
        }
    }

    /// Routes make other routes; a weaker level may have forced what a stronger one sets.
    fn wants(&self, code: u8, force: bool) -> bool {
        let routes = matches!(code, code::ROUTER | code::ROUTES | code::MS_ROUTES);
        force || routes || asked(self.requested, code) || self.value(code).is_some()
    }

    fn value(&self, code: u8) -> Option<&[u8]> {
        self.chosen.iter().find(|c| c.code == code).map(|c| c.value.as_slice())
    }

    fn amend(&mut self, code: u8, value: Vec<u8>) {
        if let Some(c) = self.chosen.iter_mut().find(|c| c.code == code) {
            c.value = value;
        }
    }
}
