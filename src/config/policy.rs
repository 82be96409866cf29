//! What `[[network]]`, `[dhcp4]`, `[dns]` and `[provisioning]` mean for DHCP: a [`Policy`]. Owns the
//! translation of option names and values, each complaint at its place in the text.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::dhcp6::{self, Dhcp6};
use super::networks::{Bounds, Network, Subnet};
use super::raw::{At, Document, Section};
use super::reservations::{self, Reservation};
use super::services::{Dhcp4, Dns, Netboot, Provisioning};
use crate::domain::dhcp::classes::Classes;
use crate::domain::dhcp::definitions::{Definitions, Meaning, Spot};
use crate::domain::dhcp::options::{self, Type};
use crate::domain::dhcp::policy::{ClassOptions, LeaseTimes, Policy, Pool, Rules, Setting, Value};
use crate::domain::dhcp::policy::{Network as Link, Placeholders, Subnet as Prefix, Subnet6};
use crate::domain::dhcp::value;
use crate::domain::lease::{Origin, Reservation as Reserved};

type Options = [(At<String>, At<String>)];

const ROUTER: u8 = 3;
const DNS_SERVERS: u8 = 6;
const NTP_SERVERS: u8 = 42;
/// RFC 3925 §4.
const VENDOR_OPTIONS: u8 = 125;

/// The sections that the policy is made of.
pub(super) struct Parts<'p> {
    pub networks: &'p [Network],
    pub dhcp4: &'p Dhcp4,
    pub dhcp6: &'p Dhcp6,
    pub dns: &'p Dns,
    pub phones: &'p Provisioning,
    pub netboot: &'p Netboot,
}

/// What names in the text may mean.
pub(super) struct Reader<'r, 'd> {
    pub doc: &'r Document<'d>,
    pub definitions: &'r Definitions,
    pub classes: &'r Classes,
}

/// The policy of the whole file. Recipes of plugins are added by whoever loads them.
pub(super) fn read(top: &Section<'_>, parts: &Parts<'_>) -> Policy {
    let doc = top.doc;
    let definitions = super::classes::definitions(top);
    let classes = {
        let none = Classes::default();
        super::classes::classes(top, &Reader { doc, definitions: &definitions, classes: &none })
    };
    let reader = Reader { doc, definitions: &definitions, classes: &classes };
    let Parts { networks, dhcp4, dhcp6, dns, phones, .. } = parts;
    let mut policy = Policy::new(networks.iter().map(|network| link(&reader, network, parts)).collect());
    policy.options = reader.settings(&dhcp4.options);
    if dns.enabled && !policy.options.iter().any(|s| s.code == DNS_SERVERS) {
        policy.options.extend(Setting::parse(DNS_SERVERS, "${server_ip}", false));
    }
    policy.boot_fields = reader.effects(&dhcp4.boot).boot;
    policy.boot = super::classes::boot(top, &reader);
    policy.menu = parts.netboot.menu.clone();
    policy.times = times(dhcp4);
    policy.rules = rules(dhcp4);
    policy.http_url = phones.url();
    dhcp6::settle(doc, dhcp6, dns.enabled, &mut policy);
    policy.reservations = reserved(top, &reader, &policy, networks);
    policy.classes = classes;
    policy
}

fn rules(dhcp4: &Dhcp4) -> Rules {
    Rules {
        accept_bare_request: dhcp4.accept_bare_request,
        echo_client_id: dhcp4.echo_client_id,
        rapid_commit: dhcp4.rapid_commit,
        bootp: dhcp4.bootp,
        probe: dhcp4.probe,
        leasequery: dhcp4.leasequery.clone(),
        one_lease_per_mac: dhcp4.one_lease_per_mac,
        cache_fraction: dhcp4.cache_fraction,
        offer_hold: dhcp4.offer_hold,
        quarantine: dhcp4.quarantine,
        affinity: dhcp4.affinity,
        steal: dhcp4.steal,
        rates: dhcp4.rates,
        known_share: dhcp4.known_share,
        rogue_probe: dhcp4.rogue_probe,
        known_servers: dhcp4.known_servers.clone(),
    }
}

fn times(dhcp4: &Dhcp4) -> LeaseTimes {
    LeaseTimes {
        default: seconds(dhcp4.lease_time),
        min: seconds(dhcp4.min_lease_time.min(dhcp4.lease_time)),
        max: seconds(dhcp4.max_lease_time.max(dhcp4.lease_time)),
        infinite: dhcp4.infinite_leases,
    }
}

/// What a part of the configuration says of times, if it says anything.
fn times_of(dhcp4: &Dhcp4, default: Option<Duration>, bounds: Bounds) -> Option<LeaseTimes> {
    let (least, most) = bounds;
    if (default, least, most) == (None, None, None) {
        return None;
    }
    let default = default.unwrap_or(dhcp4.lease_time);
    Some(LeaseTimes {
        default: seconds(default),
        min: seconds(least.unwrap_or(dhcp4.min_lease_time).min(default)),
        max: seconds(most.unwrap_or(dhcp4.max_lease_time).max(default)),
        infinite: dhcp4.infinite_leases,
    })
}

fn or(own: Bounds, outer: Bounds) -> Bounds {
    (own.0.or(outer.0), own.1.or(outer.1))
}

/// A time in seconds; what does not fit is as long as can be.
pub(super) fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX - 1)
}

fn link(reader: &Reader<'_, '_>, network: &Network, parts: &Parts<'_>) -> Link {
    let Parts { dhcp4, dhcp6, .. } = parts;
    let doc = reader.doc;
    Link {
        name: network.name.clone(),
        interface: network.interface.clone(),
        relays: network.relays.clone(),
        domain: network.domain.clone(),
        vlan: network.vlan,
        subnets: network.subnets.iter().filter_map(|s| prefix(reader, s, dhcp4)).collect(),
        subnets6: network.subnets.iter().filter_map(|s| prefix6(reader, s, dhcp6)).collect(),
        relays6: network.relays6.clone(),
        interface_ids: network.interface_ids.clone(),
        options6: dhcp6::of_network(doc, network),
        options: reader.settings(&network.options),
        authoritative: network.authoritative.unwrap_or(dhcp4.authoritative),
        identify: network.identify,
        trusted: network.trust_relay_info,
        recipes: network.vendor_recipes,
        ipv6_only: network.ipv6_only,
        proxy: network.proxy,
        guard: reader.guard(&network.guard),
    }
}

fn prefix6(reader: &Reader<'_, '_>, subnet: &Subnet, dhcp6: &Dhcp6) -> Option<Subnet6> {
    let prefix = dhcp6::prefix(reader.doc, subnet, dhcp6)?;
    Some(Subnet6 { guard: reader.guard(&subnet.guard), ..prefix })
}

fn prefix(reader: &Reader<'_, '_>, subnet: &Subnet, dhcp4: &Dhcp4) -> Option<Prefix> {
    let IpNet::V4(net) = subnet.prefix else { return None };
    let mut own = reader.settings(&subnet.options);
    let servers = |own: &mut Vec<Setting>, code: u8, list: &[std::net::Ipv4Addr]| {
        let octets: Vec<u8> = list.iter().flat_map(|ip| ip.octets()).collect();
        if !octets.is_empty() {
            own.push(Setting { code, value: Value::Wire(octets), force: reader.definitions.is_forced(code), at: None });
        }
    };
    servers(&mut own, DNS_SERVERS, subnet.dns.as_deref().unwrap_or_default());
    servers(&mut own, NTP_SERVERS, &subnet.ntp);
    if !own.iter().any(|setting| setting.code == ROUTER) {
        servers(&mut own, ROUTER, subnet.router.as_slice());
    }
    let pool = |pool: &super::networks::Pool| Pool {
        exclude: [subnet.exclude.as_slice(), &pool.exclude].concat(),
        options: reader.settings(&pool.options),
        times: times_of(dhcp4, pool.lease_time.or(subnet.lease_time), or(pool.lease_bounds, subnet.lease_bounds)),
        guard: reader.guard(&pool.guard),
        ..Pool::new(*pool.range.start(), *pool.range.end())
    };
    let of_class = |here: &super::networks::ClassOptions| ClassOptions {
        class: reader.guard(std::slice::from_ref(&here.class)).remove(0),
        effects: reader.effects(&here.effects),
    };
    Some(Prefix {
        pools: subnet.pools.iter().map(pool).collect(),
        router: subnet.router,
        options: own,
        times: times_of(dhcp4, subnet.lease_time, subnet.lease_bounds),
        relays: subnet.relays.clone(),
        server_id: subnet.server_id,
        boot: reader.effects(&subnet.boot).boot,
        guard: reader.guard(&subnet.guard),
        class_options: subnet.class_options.iter().map(of_class).collect(),
        ..Prefix::new(net)
    })
}

impl Reader<'_, '_> {
    /// Options by name or number; sub-options of one option, or of one enterprise, end up together.
    pub(super) fn settings(&self, pairs: &Options) -> Vec<Setting> {
        let mut out: Vec<Setting> = Vec::new();
        for (name, text) in pairs {
            let Some(meaning) = self.meaning(name) else { continue };
            match setting(meaning, &text.value) {
                Ok(mut new) => {
                    new.at = Some(self.doc.place(&text.span).into());
                    match out.iter_mut().find(|old| old.code == new.code) {
                        Some(old) if meaning.spot != Spot::Option(new.code) => join(old, new),
                        _ => out.push(new),
                    }
                }
                Err(problem) => self.doc.complain(&text.span, problem, None),
            }
        }
        out
    }

    fn meaning(&self, name: &At<String>) -> Option<Meaning> {
        let spelled = name.value.replace('_', "-");
        let meaning = self.definitions.meaning(&spelled);
        if meaning.is_none() {
            let known = options::REGISTRY.iter().map(|entry| entry.name).chain(self.definitions.names());
            let near = super::problem::nearest(&spelled, known);
            let hint = near
                .map_or("write its name, or its number from 1 to 254".to_owned(), |n| format!("did you mean `{n}`?"));
            self.doc.complain(&name.span, format!("there is no DHCP option `{}`", name.value), Some(hint));
        }
        meaning
    }
}

/// One value at its spot.
fn setting(meaning: Meaning, text: &str) -> Result<Setting, String> {
    let Meaning { spot, form, always } = meaning;
    let sub = |code: u8| -> Result<(u8, String), String> {
        if text.contains("${") && form.kind == Type::Text {
            return Ok((code, text.to_owned()));
        }
        if text.contains("${") && form.kind != Type::Bytes {
            return Err("${..} can stand in sub-options of text only".to_owned());
        }
        if text.contains("${") {
            let filled = Placeholders::example().fill(text);
            value::parse_form(code, form, &filled).map_err(|e| e.to_string())?;
            return Ok((code, text.to_owned()));
        }
        let wire = value::parse_form(code, form, text).map_err(|e| e.to_string())?;
        if wire.len() > 255 {
            Err("a sub-option has at most 255 octets".to_owned())
        } else {
            Ok((code, value::escape(&wire)))
        }
    };
    let made = |code: u8, value: Value| Setting { code, value, force: always, at: None };
    match spot {
        Spot::Option(code) if options::by_code(code).is_some() => Setting::parse(code, text, always),
        Spot::Option(code) => Setting::parse_form(code, form, text, always),
        Spot::Within(host, code) => return Ok(made(host, Value::Sub(vec![sub(code)?]))),
        Spot::Vendor(enterprise, code) => {
            return Ok(made(VENDOR_OPTIONS, Value::Vendor(vec![(enterprise, vec![sub(code)?])])));
        }
    }
    .map_err(|problem| problem.to_string())
}

/// One more sub-option of an option that is there already; a whole value gives way to its parts.
fn join(old: &mut Setting, new: Setting) {
    old.force |= new.force;
    match (&mut old.value, new.value) {
        (Value::Sub(subs), Value::Sub(more)) => subs.extend(more),
        (Value::Vendor(blocks), Value::Vendor(more)) => {
            for (enterprise, subs) in more {
                match blocks.iter_mut().find(|(known, _)| *known == enterprise) {
                    Some((_, known)) => known.extend(subs),
                    None => blocks.push((enterprise, subs)),
                }
            }
        }
        (value, more) => *value = more,
    }
}

/// The reservations that can be served; the others are findings (DH-309).
fn reserved(top: &Section<'_>, reader: &Reader<'_, '_>, policy: &Policy, networks: &[Network]) -> Vec<Reserved> {
    let of_networks = networks.iter().flat_map(|network| network.reservations.iter().cloned());
    let global = top.tables("reservation", "reservation");
    let global = global.iter().filter_map(|section| reservations::read(section, None));
    let locate = |network: Option<&str>, ip: IpAddr| locate(policy, network, ip);
    let fine = reservations::judge(reader.doc, &locate, of_networks.chain(global).collect());
    fine.iter().filter_map(|reservation| one_reserved(reader, reservation)).collect()
}

/// The subnet of an address, on the named network or on any.
fn locate(policy: &Policy, network: Option<&str>, ip: IpAddr) -> Option<IpNet> {
    let index = match network {
        Some(name) => Some(policy.by_name(name)?),
        None => None,
    };
    match ip {
        IpAddr::V4(ip) => {
            let place = policy.by_address(ip, index).filter(|place| index.is_none_or(|n| n == place.network))?;
            Some(policy.subnet(place).prefix.into())
        }
        IpAddr::V6(ip) => {
            let networks = policy.networks.iter().enumerate().filter(|(n, _)| index.is_none_or(|index| index == *n));
            let prefix =
                networks.flat_map(|(_, network)| &network.subnets6).map(|s| s.prefix).find(|p| p.contains(&ip));
            prefix.map(IpNet::V6)
        }
    }
}

/// A wrong option takes its reservation with it, and nothing else.
fn one_reserved(reader: &Reader<'_, '_>, reservation: &Reservation) -> Option<Reserved> {
    let mut wire = Vec::new();
    for (name, text) in &reservation.options {
        let meaning = reader.meaning(name)?;
        let placeholders = text.value.contains("${");
        let value = setting(meaning, &text.value).and_then(|setting| match setting.value {
            _ if placeholders => Err("${..} cannot stand in the options of a reservation".to_owned()),
            value => value
                .wire(setting.code, &Placeholders::example())
                .ok_or("is too long".to_owned())
                .map(|w| (setting.code, w)),
        });
        match value {
            Ok(option) => wire.push(option),
            Err(problem) => {
                reader.doc.find(&text.span, format!("{problem}; this reservation is left out"), None);
                return None;
            }
        }
    }
    let id = format!("config/{}", id(reservation));
    Some(Reserved {
        network: reservation.network.clone(),
        keys: reservation.keys.clone(),
        ip: reservation.ip,
        ip6: reservation.ip6.clone(),
        prefix6: reservation.prefix6.clone(),
        name: reservation.name.clone(),
        options: wire,
        classes: reader.guard(&reservation.classes),
        boot: reservation.boot.clone(),
        lease_time: reservation.lease_time,
        shared: reservation.shared,
        ..Reserved::new(id, Origin::Config(reservation.place.clone()))
    })
}

/// Stable while the reservation stands for the same client: a moved line is no new reservation.
fn id(reservation: &Reservation) -> String {
    let key = reservation.keys.first().map(|key| format!("{key:?}")).unwrap_or_default();
    let key: String = key.chars().filter(|c| c.is_ascii_alphanumeric() || *c == ':').collect();
    let ip = reservation.ip.map(|ip: IpAddr| ip.to_string()).unwrap_or_default();
    format!("{}/{key}/{ip}", reservation.network.as_deref().unwrap_or("*"))
}
