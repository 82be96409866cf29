//! Entries of leases, quarantined addresses and reservations.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::EntryError;
use super::values::{hex, mac, net, net6, some_hex};
use crate::domain::change::Change;
use crate::domain::lease::{BootInfo, Cause, ClientKey, End, IaKind, Lease, Origin, Reservation, ReservationKey};
use crate::domain::time::Wall;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseGranted<'a> {
    ip: IpAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delegated: Option<u8>,
    network: Cow<'a, str>,
    subnet: String,
    client: Client<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mac: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "some_hex")]
    client_id: Option<Cow<'a, [u8]>>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "some_hex")]
    hostname: Option<Cow<'a, [u8]>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fqdn: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "some_hex")]
    vendor_class: Option<Cow<'a, [u8]>>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "some_hex")]
    user_class: Option<Cow<'a, [u8]>>,
    #[serde(default, skip_serializing_if = "<[u8]>::is_empty", with = "hex")]
    requested: Cow<'a, [u8]>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "some_hex")]
    relay_info: Option<Cow<'a, [u8]>>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "some_hex")]
    circuit_id: Option<Cow<'a, [u8]>>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "some_hex")]
    remote_id: Option<Cow<'a, [u8]>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    relay: Option<IpAddr>,
    interface: Cow<'a, str>,
    began: i64,
    expires: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    preferred: Option<i64>,
    cause: StoredCause,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Client<'a> {
    #[serde(with = "hex")]
    Id(Cow<'a, [u8]>),
    Hw(u8, HexOf<'a>),
    Na(u32, HexOf<'a>),
    Pd(u32, HexOf<'a>),
    Reg(u32, HexOf<'a>),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct HexOf<'a>(#[serde(with = "hex")] Cow<'a, [u8]>);

#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct Hex(#[serde(with = "hex")] Vec<u8>);

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredCause {
    New,
    Renew,
    Rebind,
    Reboot,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseEnded {
    network: String,
    ip: IpAddr,
    end: StoredEnd,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredEnd {
    Released,
    Expired,
    Declined { until: i64 },
    Revoked,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quarantined {
    pub network: String,
    pub ip: IpAddr,
    pub until: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReservationPut {
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    network: Option<String>,
    keys: Vec<StoredKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ip: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    options: Vec<(u8, Hex)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    options6: Vec<(u16, Hex)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ip6: Vec<Ipv6Addr>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    prefix6: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    classes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_server: Option<Ipv4Addr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    boot_file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lease_time: Option<u32>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    shared: bool,
    origin: StoredOrigin,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredKey {
    Mac(String),
    #[serde(with = "hex")]
    ClientId(Vec<u8>),
    #[serde(with = "hex")]
    CircuitId(Vec<u8>),
    #[serde(with = "hex")]
    RemoteId(Vec<u8>),
    Duid(Hex, Option<u32>),
    Test(String),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredOrigin {
    Config(String),
    Host(String),
    User(String),
}

impl<'a> From<&'a Lease> for LeaseGranted<'a> {
    fn from(lease: &'a Lease) -> LeaseGranted<'a> {
        fn some(bytes: &Option<Vec<u8>>) -> Option<Cow<'_, [u8]>> {
            bytes.as_deref().map(Cow::Borrowed)
        }
        LeaseGranted {
            ip: lease.ip,
            delegated: lease.delegated,
            network: Cow::Borrowed(&lease.network),
            subnet: lease.subnet.to_string(),
            client: match &lease.client {
                ClientKey::Id(bytes) => Client::Id(Cow::Borrowed(bytes)),
                ClientKey::Hw(kind, bytes) => Client::Hw(*kind, HexOf(Cow::Borrowed(bytes))),
                ClientKey::Ia { duid, iaid, kind } => {
                    let duid = HexOf(Cow::Borrowed(duid));
                    match kind {
                        IaKind::Address => Client::Na(*iaid, duid),
                        IaKind::Prefix => Client::Pd(*iaid, duid),
                        IaKind::Registered => Client::Reg(*iaid, duid),
                    }
                }
            },
            mac: lease.mac.map(|m| m.to_string()),
            client_id: some(&lease.client_id),
            hostname: some(&lease.hostname),
            fqdn: lease.fqdn.as_deref().map(Cow::Borrowed),
            vendor_class: some(&lease.vendor_class),
            user_class: some(&lease.user_class),
            requested: Cow::Borrowed(&lease.requested),
            relay_info: some(&lease.relay_info),
            circuit_id: some(&lease.circuit_id),
            remote_id: some(&lease.remote_id),
            relay: lease.relay,
            interface: Cow::Borrowed(&lease.interface),
            began: lease.began.0,
            expires: lease.expires.0,
            preferred: lease.preferred.map(|at| at.0),
            cause: match lease.cause {
                Cause::New => StoredCause::New,
                Cause::Renew => StoredCause::Renew,
                Cause::Rebind => StoredCause::Rebind,
                Cause::Reboot => StoredCause::Reboot,
            },
        }
    }
}

impl TryFrom<LeaseGranted<'_>> for Lease {
    type Error = EntryError;
    fn try_from(lease: LeaseGranted<'_>) -> Result<Lease, EntryError> {
        let ia = |kind, iaid, HexOf(duid): HexOf<'_>| ClientKey::Ia { duid: duid.into_owned(), iaid, kind };
        let some = |bytes: Option<Cow<'_, [u8]>>| bytes.map(Cow::into_owned);
        Ok(Lease {
            ip: lease.ip,
            delegated: lease.delegated,
            network: lease.network.into_owned(),
            subnet: net(&lease.subnet)?,
            client: match lease.client {
                Client::Id(bytes) => ClientKey::Id(bytes.into_owned()),
                Client::Hw(kind, HexOf(bytes)) => ClientKey::Hw(kind, bytes.into_owned()),
                Client::Na(iaid, duid) => ia(IaKind::Address, iaid, duid),
                Client::Pd(iaid, duid) => ia(IaKind::Prefix, iaid, duid),
                Client::Reg(iaid, duid) => ia(IaKind::Registered, iaid, duid),
            },
            mac: lease.mac.as_deref().map(mac).transpose()?,
            client_id: some(lease.client_id),
            hostname: some(lease.hostname),
            fqdn: lease.fqdn.map(Cow::into_owned),
            vendor_class: some(lease.vendor_class),
            user_class: some(lease.user_class),
            requested: lease.requested.into_owned(),
            relay_info: some(lease.relay_info),
            circuit_id: some(lease.circuit_id),
            remote_id: some(lease.remote_id),
            relay: lease.relay,
            interface: lease.interface.into_owned(),
            began: Wall(lease.began),
            expires: Wall(lease.expires),
            preferred: lease.preferred.map(Wall),
            cause: match lease.cause {
                StoredCause::New => Cause::New,
                StoredCause::Renew => Cause::Renew,
                StoredCause::Rebind => Cause::Rebind,
                StoredCause::Reboot => Cause::Reboot,
            },
        })
    }
}

impl LeaseEnded {
    pub fn new(network: &str, ip: IpAddr, end: End) -> LeaseEnded {
        let end = match end {
            End::Released => StoredEnd::Released,
            End::Expired => StoredEnd::Expired,
            End::Declined { until } => StoredEnd::Declined { until: until.0 },
            End::Revoked => StoredEnd::Revoked,
        };
        LeaseEnded { network: network.to_owned(), ip, end }
    }
}

impl From<LeaseEnded> for Change {
    fn from(ended: LeaseEnded) -> Change {
        let end = match ended.end {
            StoredEnd::Released => End::Released,
            StoredEnd::Expired => End::Expired,
            StoredEnd::Declined { until } => End::Declined { until: Wall(until) },
            StoredEnd::Revoked => End::Revoked,
        };
        Change::LeaseEnded { network: ended.network, ip: ended.ip, end }
    }
}

impl From<&Reservation> for ReservationPut {
    fn from(r: &Reservation) -> ReservationPut {
        let key = |key: &ReservationKey| match key {
            ReservationKey::Mac(mac) => StoredKey::Mac(mac.to_string()),
            ReservationKey::ClientId(bytes) => StoredKey::ClientId(bytes.clone()),
            ReservationKey::CircuitId(bytes) => StoredKey::CircuitId(bytes.clone()),
            ReservationKey::RemoteId(bytes) => StoredKey::RemoteId(bytes.clone()),
            ReservationKey::Duid { duid, iaid } => StoredKey::Duid(Hex(duid.clone()), *iaid),
            ReservationKey::Test(text) => StoredKey::Test(text.clone()),
        };
        ReservationPut {
            id: r.id.clone(),
            network: r.network.clone(),
            keys: r.keys.iter().map(key).collect(),
            ip: r.ip,
            name: r.name.clone(),
            options: r.options.iter().map(|(code, bytes)| (*code, Hex(bytes.clone()))).collect(),
            options6: r.options6.iter().map(|(code, bytes)| (*code, Hex(bytes.clone()))).collect(),
            ip6: r.ip6.clone(),
            prefix6: r.prefix6.iter().map(ToString::to_string).collect(),
            classes: r.classes.clone(),
            next_server: r.boot.next_server,
            server_name: r.boot.server_name.clone(),
            boot_file: r.boot.boot_file.clone(),
            lease_time: r.lease_time,
            shared: r.shared,
            origin: match &r.origin {
                Origin::Config(at) => StoredOrigin::Config(at.clone()),
                Origin::Host(id) => StoredOrigin::Host(id.clone()),
                Origin::User(name) => StoredOrigin::User(name.clone()),
            },
        }
    }
}

impl TryFrom<ReservationPut> for Reservation {
    type Error = EntryError;
    fn try_from(r: ReservationPut) -> Result<Reservation, EntryError> {
        let key = |key| {
            Ok(match key {
                StoredKey::Mac(text) => ReservationKey::Mac(mac(&text)?),
                StoredKey::ClientId(bytes) => ReservationKey::ClientId(bytes),
                StoredKey::CircuitId(bytes) => ReservationKey::CircuitId(bytes),
                StoredKey::RemoteId(bytes) => ReservationKey::RemoteId(bytes),
                StoredKey::Duid(Hex(duid), iaid) => ReservationKey::Duid { duid, iaid },
                StoredKey::Test(text) => ReservationKey::Test(text),
            })
        };
        Ok(Reservation {
            id: r.id,
            network: r.network,
            keys: r.keys.into_iter().map(key).collect::<Result<_, EntryError>>()?,
            ip: r.ip,
            name: r.name,
            options: r.options.into_iter().map(|(code, Hex(bytes))| (code, bytes)).collect(),
            options6: r.options6.into_iter().map(|(code, Hex(bytes))| (code, bytes)).collect(),
            ip6: r.ip6,
            prefix6: r.prefix6.iter().map(|text| net6(text)).collect::<Result<_, _>>()?,
            classes: r.classes,
            boot: BootInfo { next_server: r.next_server, server_name: r.server_name, boot_file: r.boot_file },
            lease_time: r.lease_time,
            shared: r.shared,
            origin: match r.origin {
                StoredOrigin::Config(at) => Origin::Config(at),
                StoredOrigin::Host(id) => Origin::Host(id),
                StoredOrigin::User(name) => Origin::User(name),
            },
        })
    }
}
