//! What `[[network]]`, `[dhcp4]`, `[dns]` and `[provisioning]` mean for DHCP: a [`Policy`]. Owns the
//! translation of option names and values, each complaint at its place in the text.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::dhcp6::{self, Dhcp6};
use super::networks::{Network, Reservation, Subnet};
use super::raw::{At, Document};
use super::services::{Dhcp4, Dns, Provisioning};
use crate::domain::dhcp::options;
use crate::domain::dhcp::policy::{LeaseTimes, Policy, Pool, Rules, Setting, Value};
use crate::domain::dhcp::policy::{Network as Link, Subnet as Prefix};
use crate::domain::dhcp::value;
use crate::domain::lease::{Origin, Reservation as Reserved};

type Options = [(At<String>, At<String>)];

const DNS_SERVERS: u8 = 6;
const NTP_SERVERS: u8 = 42;

/// The policy of the whole file. Recipes of plugins are added by whoever loads them.
pub(super) fn read(
    doc: &Document<'_>,
    networks: &[Network],
    (dhcp4, dhcp6): (&Dhcp4, &Dhcp6),
    dns: &Dns,
    phones: &Provisioning,
) -> Policy {
    let links = networks.iter().map(|network| link(doc, network, (dhcp4, dhcp6), dns)).collect();
    let mut policy = Policy::new(links);
    policy.options = settings(doc, &dhcp4.options);
    policy.times = times(dhcp4, dhcp4.lease_time);
    policy.rules = Rules {
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
    };
    policy.http_url = phones.url();
    dhcp6::settle(doc, dhcp6, &mut policy);
    let all = networks.iter().flat_map(|network| network.reservations.iter().map(move |r| (network, r)));
    policy.reservations = all.map(|(network, r)| reserved(doc, network, r)).collect();
    policy
}

fn times(dhcp4: &Dhcp4, default: Duration) -> LeaseTimes {
    let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX - 1);
    LeaseTimes {
        default: seconds(default),
        min: seconds(dhcp4.min_lease_time.min(default)),
        max: seconds(dhcp4.max_lease_time.max(default)),
        infinite: dhcp4.infinite_leases,
    }
}

fn link(doc: &Document<'_>, network: &Network, (dhcp4, dhcp6): (&Dhcp4, &Dhcp6), dns: &Dns) -> Link {
    let mut own = settings(doc, &network.options);
    if dns.enabled && !own.iter().any(|s| s.code == DNS_SERVERS) {
        own.extend(Setting::parse(DNS_SERVERS, "${server_ip}", false));
    }
    Link {
        name: network.name.clone(),
        interface: network.interface.clone(),
        relays: network.relays.clone(),
        domain: network.domain.clone(),
        vlan: network.vlan,
        subnets: network.subnets.iter().filter_map(|s| prefix(doc, s, dhcp4)).collect(),
        subnets6: network.subnets.iter().filter_map(|s| dhcp6::prefix(doc, s, dhcp6)).collect(),
        relays6: network.relays6.clone(),
        interface_ids: network.interface_ids.clone(),
        options6: dhcp6::of_network(doc, network, dns.enabled),
        options: own,
        authoritative: network.authoritative.unwrap_or(dhcp4.authoritative),
        identify: network.identify,
        trusted: network.trust_relay_info,
        recipes: network.vendor_recipes,
        ipv6_only: network.ipv6_only,
    }
}

fn prefix(doc: &Document<'_>, subnet: &Subnet, dhcp4: &Dhcp4) -> Option<Prefix> {
    let IpNet::V4(net) = subnet.prefix else { return None };
    let mut own = settings(doc, &subnet.options);
    let mut servers = |code: u8, list: &[std::net::Ipv4Addr]| {
        let octets: Vec<u8> = list.iter().flat_map(|ip| ip.octets()).collect();
        if !octets.is_empty() {
            own.push(Setting { code, value: Value::Wire(octets), force: false });
        }
    };
    servers(DNS_SERVERS, subnet.dns.as_deref().unwrap_or_default());
    servers(NTP_SERVERS, &subnet.ntp);
    let pool = |range: &std::ops::RangeInclusive<std::net::Ipv4Addr>| Pool {
        range: range.clone(),
        exclude: subnet.exclude.clone(),
        options: Vec::new(),
    };
    Some(Prefix {
        pools: subnet.pools.iter().map(pool).collect(),
        router: subnet.router,
        options: own,
        times: subnet.lease_time.map(|time| times(dhcp4, time)),
        relays: subnet.relays.clone(),
        server_id: subnet.server_id,
        next_server: subnet.next_server,
        file: subnet.boot_file.clone(),
        ..Prefix::new(net)
    })
}

/// Options by name or number.
fn settings(doc: &Document<'_>, pairs: &Options) -> Vec<Setting> {
    let mut out = Vec::new();
    for (name, text) in pairs {
        let Some(code) = code(doc, name) else { continue };
        match Setting::parse(code, &text.value, false) {
            Ok(setting) => out.push(setting),
            Err(problem) => doc.complain(&text.span, problem.to_string(), None),
        }
    }
    out
}

fn code(doc: &Document<'_>, name: &At<String>) -> Option<u8> {
    let spelled = name.value.replace('_', "-");
    let code = options::code_of(&spelled);
    if code.is_none() {
        let near = super::problem::nearest(&spelled, options::REGISTRY.iter().map(|entry| entry.name));
        let hint =
            near.map_or("write its name, or its number from 1 to 254".to_owned(), |n| format!("did you mean `{n}`?"));
        doc.complain(&name.span, format!("there is no DHCP option `{}`", name.value), Some(hint));
    }
    code
}

fn reserved(doc: &Document<'_>, network: &Network, reservation: &Reservation) -> Reserved {
    let mut wire = Vec::new();
    for (name, text) in &reservation.options {
        let Some(code) = code(doc, name) else { continue };
        match value::parse_value(code, &text.value) {
            Ok(bytes) => wire.push((code, bytes)),
            Err(problem) => doc.complain(&text.span, problem.to_string(), None),
        }
    }
    let id = format!("config/{}", id(network, reservation));
    Reserved {
        network: Some(network.name.clone()),
        keys: reservation.keys.clone(),
        ip: reservation.ip,
        name: reservation.name.clone(),
        options: wire,
        ..Reserved::new(id, Origin::Config(reservation.place.clone()))
    }
}

/// Stable while the reservation stands for the same client: a moved line is no new reservation.
fn id(network: &Network, reservation: &Reservation) -> String {
    let key = reservation.keys.first().map(|key| format!("{key:?}")).unwrap_or_default();
    let key: String = key.chars().filter(|c| c.is_ascii_alphanumeric() || *c == ':').collect();
    let ip = reservation.ip.map(|ip: IpAddr| ip.to_string()).unwrap_or_default();
    format!("{}/{key}/{ip}", network.name)
}
