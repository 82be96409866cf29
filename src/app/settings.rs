//! From the configuration's meaning to the settings of each part.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::claws::{BusCredential, BusModule, Otherwise, Role};
use crate::config::{AutoCreate, Config, Network, Prefixes};
use crate::domain::claws::access::{Namespaces, Patterns};
use crate::domain::claws::merge::OnConflict;
use crate::domain::claws::transaction;
use crate::domain::dhcp::policy::Policy;
use crate::domain::follow;
use crate::domain::phone;
use crate::domain::phone::plugin::Plugin;
use crate::domain::ra::{Flags, Prefix};
use crate::net::Links;
use crate::server::radv;
use crate::service::{bus, naming, provisioning};

/// DHCP: what the networks say, and the recipes of the phones' plugins if there is somebody to serve them.
pub(super) fn policy(config: &Config, plugins: &[Plugin]) -> Policy {
    let mut policy = config.policy.clone();
    if config.provisioning.enabled {
        policy.recipes.extend(phone::recipe::recipes(plugins, config.dns.enabled));
    }
    policy
}

/// Our DUID unless the configuration has one: a DUID-UUID (RFC 6355), made of the installation's key, so that
/// it needs no file of its own and is the same after a restore.
pub(super) fn duid(secret: &[u8; 32]) -> Vec<u8> {
    let mut uuid = [0u8; 16];
    uuid.copy_from_slice(&secret[..16]);
    // RFC 9562 §5.8: version 8, its contents are our own
    uuid[6] = uuid[6] & 0x0f | 0x80;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    [&[0, 4][..], &uuid].concat()
}

/// Names: every network has its domain; the zone files count only while DNS is on.
pub(super) fn naming(config: &Config, links: &Links, seed: u64) -> naming::Settings {
    let mut settings = naming::Settings::new(&config.server.domain, seed);
    settings.zone_dir = config.dns.enabled.then(|| config.dns.zones.clone());
    settings.networks = (config.networks.iter())
        .map(|network| naming::Domain {
            network: network.name.clone(),
            domain: network.domain.clone(),
            subnets: network.subnets.iter().map(|subnet| subnet.prefix).collect(),
        })
        .collect();
    // those of the configuration are not in the ledger
    settings.reservations = config.policy.reservations.clone();
    settings.domains = config.claws.zones.iter().map(|zone| zone.domain.clone()).collect();
    settings.server_addresses = own_addresses(&config.networks, links);
    if let Some(ttl) = config.dns.ttl {
        (settings.ttl, settings.ttl_min, settings.ttl_max) = (ttl, ttl, ttl);
    }
    settings
}

/// Our addresses on the networks' interfaces, without those that mean something on one link only.
pub(super) fn own_addresses(networks: &[Network], links: &Links) -> Vec<IpAddr> {
    let interfaces = networks.iter().filter_map(|network| network.interface.as_deref());
    let addresses = interfaces.filter_map(|name| links.by_name(name)).flat_map(|link| link.addresses.clone());
    let far = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_unicast_link_local(),
    };
    addresses.map(|net| net.addr()).filter(far).collect()
}

/// Phones.
pub(super) fn provisioning(config: &Config) -> provisioning::Settings {
    provisioning::Settings {
        phones: config.provisioning.enabled,
        auto_create: match config.provisioning.auto_create {
            _ if !config.provisioning.enabled => phone::retrieve::AutoCreate::Off,
            AutoCreate::Off => phone::retrieve::AutoCreate::Off,
            AutoCreate::Bound => phone::retrieve::AutoCreate::Bound,
            AutoCreate::Claimed => phone::retrieve::AutoCreate::Claimed,
        },
        create_on_lease: config.provisioning.enabled && config.provisioning.create_on_lease,
        new_devices_per_hour: config.provisioning.new_devices_per_hour,
        http_url: config.provisioning.http_url.clone(),
        http_port: config.provisioning.http_port,
        ..provisioning::Settings::default()
    }
}

/// The boot folder, for everybody on the networks.
pub(super) fn boot(config: &Config) -> Option<provisioning::BootSettings> {
    let networks = config.networks.iter().flat_map(|network| &network.subnets).map(|subnet| subnet.prefix).collect();
    Some(provisioning::BootSettings { folder: config.netboot.dir.clone()?, networks })
}

/// Keys whose change only a restart takes over, as they stand in the file.
pub(super) fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let (p, q) = (&old.provisioning, &new.provisioning);
    let uids = |config: &Config| -> Vec<_> {
        config.claws.credentials.iter().filter_map(|c| Some((c.uid?, c.name.clone()))).collect()
    };
    let same = [
        ("server.domain", old.server.domain == new.server.domain),
        ("server.listen", old.server.listen == new.server.listen),
        ("server.socket", old.server.socket == new.server.socket),
        ("server.admin_group", old.server.admin_group == new.server.admin_group),
        ("log.lease_history", old.log.lease_history == new.log.lease_history),
        ("dhcp4.enabled", old.dhcp4.enabled == new.dhcp4.enabled),
        ("dhcp6.enabled", old.dhcp6.enabled == new.dhcp6.enabled),
        ("dhcp6.port", (old.dhcp6.port, old.dhcp6.client_port) == (new.dhcp6.port, new.dhcp6.client_port)),
        ("dhcp4.port", (old.dhcp4.port, old.dhcp4.client_port) == (new.dhcp4.port, new.dhcp4.client_port)),
        ("dhcp4.check_source_mac", old.dhcp4.check_source_mac == new.dhcp4.check_source_mac),
        ("provisioning.enabled", p.enabled == q.enabled),
        // the servers are started with the first of the two that needs them
        ("netboot.dir", old.serves_files() == new.serves_files()),
        ("provisioning.listen", (&p.listen, p.http_port, p.tftp_port) == (&q.listen, q.http_port, q.tftp_port)),
        ("provisioning.trusted_proxies", p.trusted_proxies == q.trusted_proxies),
        ("provisioning.base", p.base == q.base),
        ("provisioning.template", p.template == q.template),
        ("[[claws.credential]] uid", uids(old) == uids(new)),
    ];
    same.into_iter().filter_map(|(key, same)| (!same).then_some(key)).collect()
}

/// The bus.
pub(super) fn bus(config: &Config) -> bus::Settings {
    let claws = &config.claws;
    bus::Settings {
        credentials: claws.credentials.iter().map(credential).collect(),
        modules: claws.modules.iter().map(module).collect(),
        deadline: claws.deadline,
        apply_timeout: claws.apply_timeout,
        heartbeat: claws.heartbeat,
        on_conflict: if claws.by_priority { OnConflict::Priority } else { OnConflict::Fail },
    }
}

fn credential(c: &BusCredential) -> bus::Credential {
    bus::Credential {
        name: c.name.clone(),
        sources: Patterns(c.sources.clone()),
        delegate: Patterns(c.delegate.clone()),
        submit: Patterns(c.submit.clone()),
        subscribe: Namespaces(c.subscribe.iter().map(|pattern| namespace_of(pattern)).collect()),
        append: Namespaces(c.append.clone()),
        remove: Namespaces(c.remove.clone()),
        watch: c.watch,
        assume_prefixes: c.assume_prefixes,
    }
}

/// A module sees whole namespaces: of `host:*` the part before the colon.
fn namespace_of(pattern: &str) -> String {
    pattern.strip_suffix(":*").unwrap_or(pattern).to_owned()
}

fn module(m: &BusModule) -> bus::Module {
    let policy = transaction::Policy {
        role: match m.role {
            Role::Required => transaction::Role::Required,
            Role::Optional => transaction::Role::Optional,
            Role::Observer => transaction::Role::Observer,
        },
        timeout: m.timeout,
        cancel_on_timeout: m.on_timeout.map(|otherwise| otherwise == Otherwise::Cancel),
        on_down: m.on_down.map(|otherwise| match otherwise {
            Otherwise::Continue => transaction::OnDown::Skip,
            Otherwise::Wait => transaction::OnDown::Wait,
            Otherwise::Cancel => transaction::OnDown::Cancel,
        }),
        veto: m.veto,
        priority: m.priority,
    };
    bus::Module { name: m.name.clone(), policy, apply: m.apply }
}

/// The interfaces that DHCPv4 serves.
pub(super) fn interfaces4(config: &Config) -> Vec<String> {
    config.networks.iter().filter_map(|network| network.interface.clone()).collect()
}

/// The interfaces on which another server gives the addresses.
pub(super) fn boot_interfaces(config: &Config) -> Vec<String> {
    let beside = config.networks.iter().filter(|network| network.proxy);
    beside.filter_map(|network| network.interface.clone()).collect()
}

/// What is said on which interface by router advertisements.
pub(super) fn radv(config: &Config) -> Vec<radv::Served> {
    config.networks.iter().filter_map(|network| announced(config, network)).collect()
}

fn announced(config: &Config, network: &Network) -> Option<radv::Served> {
    let ra = network.ra.as_ref().filter(|ra| ra.enabled)?;
    let mut said = ra.said.clone();
    // RFC 4861 §4.2: M and O say what the DHCPv6 server of this machine does here
    let gives = |pools: bool| config.dhcp6.enabled && config.dhcp6.stateful && pools;
    let six = || network.subnets.iter().filter_map(|subnet| subnet.six.as_ref());
    said.flags = Flags {
        managed: gives(six().any(|six| !six.pools.is_empty() || !six.delegate.is_empty())),
        other: config.dhcp6.enabled,
    };
    let nets = network.subnets.iter().filter_map(|s| match (s.prefix, &s.six) {
        (IpNet::V6(net), Some(six)) => Some((net, gives(!six.pools.is_empty()), s.followed)),
        _ => None,
    });
    said.prefixes = nets
        .map(|(net, given, followed)| Prefix {
            net,
            on_link: ra.on_link,
            // RFC 4862 §5.5.3 d: hosts make addresses of 64 bits only
            autonomous: ra.autonomous.unwrap_or(net.prefix_len() == 64 && !given),
            valid: if followed { ra.valid.min(follow::VALID) } else { ra.valid },
            preferred: if followed { ra.preferred.min(follow::PREFERRED) } else { ra.preferred },
        })
        .collect();
    let own_dns = ra.own_dns && config.dns.enabled;
    let known = ra.known_routers.clone();
    Some(radv::Served { interface: network.interface.clone()?, said, own_dns, known })
}

/// The prefixes of the interfaces that subnets follow (DH-708), as they are now.
pub(super) fn prefixes(config: &Config, links: &Links) -> Prefixes {
    let mut out = Prefixes::new();
    for follows in config.networks.iter().flat_map(|network| &network.follows) {
        let Some(link) = links.by_name(&follows.interface) else { continue };
        // what is deprecated has a successor, or is about to go
        let lasting = link.addresses.iter().filter(|net| !link.deprecated.contains(net));
        let six = lasting.filter_map(|net| if let IpNet::V6(net) = net { Some(*net) } else { None });
        let present = config.prefixes.get(&follows.interface).copied();
        let chosen = follow::choose(six, present, follows.longest);
        out.extend(chosen.map(|prefix| (follows.interface.clone(), prefix)));
    }
    out
}

/// The interfaces that DHCPv6 serves: of the networks that have an IPv6 prefix.
pub(super) fn interfaces6(config: &Config) -> Vec<String> {
    let six = config.networks.iter().filter(|network| network.subnets.iter().any(|s| s.six.is_some()));
    six.filter_map(|network| network.interface.clone()).collect()
}
