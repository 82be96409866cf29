//! Random changes over a small world, so that the same address, client or object comes up again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;

use crate::domain::change::{
    Change, Contribution, Record, Sight, Stranger, Token, TxAccepted, TxFinal, TxKey, TxOutcome,
};
use crate::domain::device::{Added, Device, Evidence, PhoneConfig, Role, Strength, Value};
use crate::domain::host::{CustomOption, Host, Interface};
use crate::domain::lease::{BootInfo, Cause, ClientKey, End, IaKind, Lease, Origin, Reservation, ReservationKey};
use crate::domain::net::Mac;
use crate::domain::time::Wall;

fn text() -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..6).prop_map(|chars| chars.into_iter().collect())
}
fn texts() -> impl Strategy<Value = Vec<String>> {
    vec(text(), 0..3)
}
fn id() -> impl Strategy<Value = String> {
    (0..3u8).prop_map(|n| format!("Id-{n}"))
}
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..6)
}
fn mac() -> impl Strategy<Value = Mac> {
    (0..4u8).prop_map(|n| Mac([2, 0, 0, 0, 0, n]))
}
fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0..3u8).prop_map(|n| IpAddr::V4(Ipv4Addr::new(10, 0, 0, n))),
        (0..2u16).prop_map(|n| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n))),
    ]
}
fn net() -> impl Strategy<Value = ipnet::IpNet> {
    (ip(), 0..=32u8).prop_map(|(ip, len)| ipnet::IpNet::new(ip, len).expect("at most 32"))
}
fn network() -> impl Strategy<Value = String> {
    prop_oneof![Just("voice".to_owned()), Just("data".to_owned())]
}
fn wall() -> impl Strategy<Value = Wall> {
    prop_oneof![(0..100_000i64).prop_map(Wall), Just(Wall::NEVER), any::<i64>().prop_map(Wall)]
}
fn client() -> impl Strategy<Value = ClientKey> {
    prop_oneof![
        (0..3u8).prop_map(|n| ClientKey::Id(vec![1, n])),
        (0..3u8).prop_map(|n| ClientKey::Hw(1, vec![2, 0, 0, 0, 0, n])),
        (0..3u8, 0..2u32, ia_kind()).prop_map(|(n, iaid, kind)| ClientKey::Ia {
            duid: vec![0, 3, 0, 1, n],
            iaid,
            kind
        }),
    ]
}
fn ia_kind() -> impl Strategy<Value = IaKind> {
    prop_oneof![Just(IaKind::Address), Just(IaKind::Prefix), Just(IaKind::Registered)]
}
fn cause() -> impl Strategy<Value = Cause> {
    prop_oneof![Just(Cause::New), Just(Cause::Renew), Just(Cause::Rebind), Just(Cause::Reboot)]
}
fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        Just(End::Released),
        Just(End::Expired),
        Just(End::Revoked),
        wall().prop_map(|until| End::Declined { until })
    ]
}

fn lease() -> impl Strategy<Value = Change> {
    let who = (ip(), network(), net(), client(), of(mac()), of(bytes()), of(bytes()), of(text()));
    let more = (of(bytes()), of(bytes()), bytes(), of(bytes()), of(bytes()), of(bytes()), of(ip()), text());
    let times = (wall(), wall(), of(wall()));
    (who, more, times, cause(), of(0..=128u8)).prop_map(|(who, more, times, cause, delegated)| {
        let (began, expires, preferred) = times;
        let (ip, network, subnet, client, mac, client_id, hostname, fqdn) = who;
        let (vendor_class, user_class, requested, relay_info, circuit_id, remote_id, relay, interface) = more;
        Change::LeaseGranted(Box::new(Lease {
            ip,
            delegated,
            network,
            subnet,
            client,
            mac,
            client_id,
            hostname,
            fqdn,
            vendor_class,
            user_class,
            requested,
            relay_info,
            circuit_id,
            remote_id,
            relay,
            interface,
            began,
            expires,
            preferred,
            cause,
        }))
    })
}

fn reservation() -> impl Strategy<Value = Change> {
    let key = prop_oneof![
        mac().prop_map(ReservationKey::Mac),
        bytes().prop_map(ReservationKey::ClientId),
        bytes().prop_map(ReservationKey::CircuitId),
        bytes().prop_map(ReservationKey::RemoteId),
        (bytes(), of(any::<u32>())).prop_map(|(duid, iaid)| ReservationKey::Duid { duid, iaid }),
        text().prop_map(ReservationKey::Test)
    ];
    let origin =
        prop_oneof![text().prop_map(Origin::Config), text().prop_map(Origin::Host), text().prop_map(Origin::User)];
    let boot = (of(any::<u32>()), of(text()), of(text())).prop_map(|(next, server_name, boot_file)| BootInfo {
        next_server: next.map(Into::into),
        server_name,
        boot_file,
    });
    let prefix6 = (any::<u128>(), 0_u8..=128)
        .prop_map(|(bits, length)| ipnet::Ipv6Net::new(bits.into(), length).expect("a length that there is").trunc());
    let six = (vec(any::<u128>().prop_map(Into::into), 0..3), vec(prefix6, 0..3), vec((any::<u16>(), bytes()), 0..3));
    let more = (vec(text(), 0..3), boot, of(any::<u32>()), any::<bool>(), six);
    let base = (id(), of(network()), vec(key, 0..3), of(ip()), of(text()), vec((any::<u8>(), bytes()), 0..3), origin);
    (base, more).prop_map(|(base, (classes, boot, lease_time, shared, (ip6, prefix6, options6)))| {
        let (id, network, keys, ip, name, options, origin) = base;
        let base = Reservation { options6, network, keys, ip, name, options, ..Reservation::new(id, origin) };
        Change::ReservationPut(Box::new(Reservation { classes, boot, lease_time, shared, ip6, prefix6, ..base }))
    })
}

fn host() -> impl Strategy<Value = Change> {
    let interface = (text(), of(mac()), any::<bool>(), of(text()), vec(net(), 0..3), vec(ip(), 0..3)).prop_map(
        |(name, mac, roaming, vlan, networks, addresses)| Interface { name, mac, roaming, vlan, networks, addresses },
    );
    let option = (any::<u16>(), of(text()), 4..7u8, bytes())
        .prop_map(|(number, interface, family, value)| CustomOption { number, interface, family, value });
    let properties = vec((text(), text()), 0..3);
    (id(), text(), of(text()), texts(), vec(interface, 0..3), vec(option, 0..3), properties).prop_map(
        |(id, hostname, fqdn, aliases, interfaces, options, properties)| {
            Change::HostPut(Box::new(Host { id, hostname, fqdn, aliases, interfaces, options, properties }))
        },
    )
}

fn device() -> impl Strategy<Value = Change> {
    let strength = prop_oneof![Just(Strength::Claim), Just(Strength::Bound)];
    let evidence = (text(), text(), text(), strength, wall(), wall()).prop_map(
        |(field, value, source, strength, first_seen, last_seen)| Evidence {
            field,
            value,
            source,
            strength,
            first_seen,
            last_seen,
        },
    );
    let added = prop_oneof![Just(Added::Auto), Just(Added::Manual), Just(Added::Lease), Just(Added::Import)];
    let known = (id(), of(mac()), vec(mac(), 0..3), of(text()), of(text()), of(text()), of(text()), of(text()));
    let state = (of(text()), any::<bool>(), of(text()), any::<bool>(), added, any::<bool>(), text(), of(ip()));
    (known, state, vec(evidence, 0..3), btree_map(text(), text(), 0..3)).prop_map(
        |(known, state, evidence, options)| {
            let (id, mac, mac_aliases, sn, uuid, vendor, model, version) = known;
            let (plugin, plugin_pinned, config, configured, added, approved, description, ip) = state;
            Change::DevicePut(Box::new(Device {
                id,
                mac,
                mac_aliases,
                sn,
                uuid,
                vendor,
                model,
                version,
                plugin,
                plugin_pinned,
                config,
                configured,
                added,
                approved,
                description,
                ip,
                evidence,
                options,
            }))
        },
    )
}

fn config() -> impl Strategy<Value = Change> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        text().prop_map(Value::Text),
        bytes().prop_map(Value::Sealed),
    ];
    let value = leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![vec(inner.clone(), 0..3).prop_map(Value::List), btree_map(text(), inner, 0..3).prop_map(Value::Map)]
    });
    let role = prop_oneof![Just(Role::None), Just(Role::Default), Just(Role::Template)];
    (id(), text(), texts(), role, any::<bool>(), btree_map(text(), value, 0..3)).prop_map(
        |(id, label, parents, role, transient, raw)| {
            Change::ConfigPut(Box::new(PhoneConfig { id, label, parents, role, transient, raw }))
        },
    )
}

fn key() -> impl Strategy<Value = TxKey> {
    (0..2u8, 0..3u8).prop_map(|(s, t)| TxKey { source: format!("frontend-{s}"), txid: format!("Tx-{t}") })
}
fn outcomes() -> impl Strategy<Value = Vec<TxOutcome>> {
    let one = (text(), text(), text(), any::<bool>()).prop_map(|(module, result, detail, late)| TxOutcome {
        module,
        result,
        detail,
        late,
    });
    vec(one, 0..3)
}

fn accepted() -> impl Strategy<Value = Change> {
    (key(), text(), text(), text(), text(), of(text()), wall(), texts()).prop_map(
        |(key, digest, body, source_name, identity, correlation_id, deadline, members)| {
            Change::TxAccepted(Box::new(TxAccepted {
                key,
                digest,
                body,
                source_name,
                identity,
                correlation_id,
                deadline,
                members,
            }))
        },
    )
}

fn final_event() -> impl Strategy<Value = Change> {
    let one = (text(), texts(), text()).prop_map(|(op, by, element)| Contribution { op, by, element });
    (key(), text(), text(), outcomes(), vec(one, 0..3), texts()).prop_map(
        |(key, body, digest, outcomes, contributions, appliers)| {
            Change::TxFinal(Box::new(TxFinal { key, body, digest, outcomes, contributions, appliers }))
        },
    )
}

/// Leases and their ends only.
pub fn lease_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => lease(),
        3 => (network(), ip(), end()).prop_map(|(network, ip, end)| Change::LeaseEnded { network, ip, end }),
        1 => (network(), ip(), wall(), of(mac()))
            .prop_map(|(network, ip, until, mac)| Change::Quarantined { network, ip, until, mac }),
    ]
}

/// Any change.
pub fn change() -> impl Strategy<Value = Change> {
    let record = (id(), text(), text(), any::<u32>(), text(), text())
        .prop_map(|(id, name, rtype, ttl, data, owner)| Record { id, name, rtype, ttl, data, owner });
    let token = (id(), text(), text(), texts(), wall()).prop_map(|(id, name, hash, scopes, created)| Token {
        id,
        name,
        hash,
        scopes,
        created,
    });
    let objects = prop_oneof![
        reservation(),
        id().prop_map(|id| Change::ReservationRemoved { id }),
        host(),
        id().prop_map(|id| Change::HostRemoved { id }),
        record.prop_map(|r| Change::RecordPut(Box::new(r))),
        id().prop_map(|id| Change::RecordRemoved { id }),
        device(),
        id().prop_map(|id| Change::DeviceRemoved { id }),
        config(),
        id().prop_map(|id| Change::ConfigRemoved { id }),
        token.prop_map(|t| Change::TokenPut(Box::new(t))),
        id().prop_map(|id| Change::TokenRemoved { id }),
    ];
    let bus = prop_oneof![
        accepted(),
        (key(), texts(), wall()).prop_map(|(key, members, deadline)| Change::TxReopened { key, members, deadline }),
        final_event(),
        (key(), text(), text(), outcomes()).prop_map(|(key, reason, message, outcomes)| Change::TxCancelled {
            key,
            reason,
            message,
            outcomes
        }),
        (key(), any::<bool>(), outcomes()).prop_map(|(key, failed, outcomes)| Change::TxEnded {
            key,
            failed,
            outcomes
        }),
        (0..Sight::ALL.len(), text(), text()).prop_map(|(what, object, detail)| Change::Seen {
            what: Sight::ALL[what],
            object,
            detail
        }),
        (network(), net(), any::<u8>(), any::<u64>(), any::<u64>()).prop_map(
            |(network, subnet, percent, free, size)| Change::PoolLow { network, subnet, percent, free, size }
        ),
        (of(network()), text(), of(ip()), of(mac()), of(bytes()), of(bytes()), of(bytes()), text()).prop_map(
            |(network, interface, relay, mac, client_id, hostname, vendor_class, reason)| {
                let stranger = Stranger { network, interface, relay, mac, client_id, hostname, vendor_class, reason };
                Change::UnknownClient(Box::new(stranger))
            }
        ),
        (text(), text(), text(), text()).prop_map(|(who, action, object, detail)| Change::Audit {
            who,
            action,
            object,
            detail
        }),
    ];
    prop_oneof![lease_change().boxed(), objects.boxed(), bus.boxed()]
}

/// The name of a change's variant; exhaustive, so that a new one is noticed here.
pub fn kind(change: &Change) -> &'static str {
    match change {
        Change::LeaseGranted(_) => "lease_granted",
        Change::LeaseEnded { .. } => "lease_ended",
        Change::Quarantined { .. } => "quarantined",
        Change::ReservationPut(_) => "reservation_put",
        Change::ReservationRemoved { .. } => "reservation_removed",
        Change::HostPut(_) => "host_put",
        Change::HostRemoved { .. } => "host_removed",
        Change::RecordPut(_) => "record_put",
        Change::RecordRemoved { .. } => "record_removed",
        Change::DevicePut(_) => "device_put",
        Change::DeviceRemoved { .. } => "device_removed",
        Change::ConfigPut(_) => "config_put",
        Change::ConfigRemoved { .. } => "config_removed",
        Change::TxAccepted(_) => "tx_accepted",
        Change::TxReopened { .. } => "tx_reopened",
        Change::TxFinal(_) => "tx_final",
        Change::TxCancelled { .. } => "tx_cancelled",
        Change::TxEnded { .. } => "tx_ended",
        Change::Seen { .. } => "seen",
        Change::PoolLow { .. } => "pool_low",
        Change::UnknownClient(_) => "unknown_client",
        Change::Audit { .. } => "audit",
        Change::TokenPut(_) => "token_put",
        Change::TokenRemoved { .. } => "token_removed",
    }
}
