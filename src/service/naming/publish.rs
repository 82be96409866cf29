//! From settled claims to records in zones: forward and reverse in one snapshot (DN-114, I8).

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::builtin;
use super::claims::{Claims, settle};
use super::settings::Settings;
use crate::domain::dns::name::Name;
use crate::domain::dns::path::Path;
use crate::domain::dns::rrset::{RrSet, rtype};
use crate::domain::dns::zone::{Kind, State, Zone, next_serial};
use crate::domain::few::Few;
use crate::domain::hash::Table;

/// What the dynamic layers of all zones hold, and why.
#[derive(Debug, Default)]
pub struct Published {
    /// Addresses that a name serves and that have their PTR.
    forward: Table<Arc<str>, (Few<IpAddr>, u32)>,
    /// Names whose address this is, with the TTL.
    reverse: Table<IpAddr, Few<(Arc<str>, u32)>>,
    /// Zones made for a single name that is in no zone of ours.
    lone: HashSet<Name>,
}

impl Published {
    /// Brings a snapshot up to the claims of these names; `unix` is the second it happened.
    pub fn update(
        &mut self,
        settings: &Settings,
        claims: &Claims,
        state: &mut State,
        touched: &BTreeSet<Arc<str>>,
        unix: u32,
    ) {
        let mut zones: BTreeSet<Arc<Name>> = BTreeSet::new();
        let mut ips: BTreeSet<IpAddr> = BTreeSet::new();
        for text in touched {
            let Ok(name) = Name::parse(text) else { continue };
            let served = settle(claims.of(text));
            let yields = written_by_hand(state, &name) || served.hard.iter().any(|s| is_host_data(s.rtype));
            let mut sets = served.hard;
            let mut reversed = Vec::new();
            if !yields {
                sets.extend(builtin::address_sets(&served.addresses, served.ttl, true));
                sets.extend(
                    served.alias.as_ref().filter(|_| sets.is_empty()).and_then(|(target, ttl)| alias(target, *ttl)),
                );
                reversed = served.reversed;
            }
            ips.extend(self.note(text, reversed, served.ttl));
            sets.extend(name.reversed().and_then(|ip| self.pointer(ip, &sets)));
            zones.extend(self.place(settings, state, &name, sets));
        }
        for ip in ips {
            let name = Name::reverse(ip);
            let mut sets = settle(claims.of(&name.to_string())).hard;
            sets.extend(self.pointer(ip, &sets));
            zones.extend(self.place(settings, state, &name, sets));
        }
        for apex in zones {
            if let Some(zone) = state.zone_mut(&apex) {
                zone.soa = zone.soa.with_serial(next_serial(zone.soa.serial, unix));
            }
        }
    }

    /// Remembers what a name serves now; gives the addresses whose PTR must change.
    fn note(&mut self, name: &Arc<str>, addresses: Vec<IpAddr>, ttl: u32) -> BTreeSet<IpAddr> {
        let (old, old_ttl) = self.forward.get(name).map_or((&[][..], ttl), |(old, ttl)| (old.as_slice(), *ttl));
        if old == addresses && old_ttl == ttl {
            return BTreeSet::new();
        }
        let old = self.forward.remove(name).unwrap_or_default().0;
        for ip in old.as_slice() {
            if let Some(names) = self.reverse.get_mut(ip) {
                names.retain(|(n, _)| n != name);
                if names.is_empty() {
                    self.reverse.remove(ip);
                }
            }
        }
        for ip in &addresses {
            self.reverse.entry(*ip).or_default().push((name.clone(), ttl));
        }
        let changed = old.as_slice().iter().chain(&addresses).copied().collect();
        if !addresses.is_empty() {
            self.forward.insert(name.clone(), (addresses.into_iter().collect(), ttl));
        }
        changed
    }

    /// PTR of an address: every canonical name that has it (DN-309), unless one is written by hand.
    fn pointer(&self, ip: IpAddr, sets: &[RrSet]) -> Option<RrSet> {
        let mut names = self.reverse.get(&ip)?.as_slice().to_vec();
        if sets.iter().any(|s| matches!(s.rtype, rtype::PTR | rtype::CNAME)) {
            return None;
        }
        names.sort();
        let ttl = names.iter().map(|(_, ttl)| *ttl).min()?;
        let rdata = names.iter().filter_map(|(n, _)| Some(Name::parse(n).ok()?.as_wire().to_vec())).collect();
        Some(RrSet { rtype: rtype::PTR, ttl, soft: true, rdata })
    }

    /// Puts the sets of a name into the zone that it is in; a name that is in none gets a zone of its own,
    /// so that it hides nothing else. Gives the apex of the zone.
    fn place(
        &mut self,
        settings: &Settings,
        state: &mut State,
        name: &Name,
        mut sets: Vec<RrSet>,
    ) -> Option<Arc<Name>> {
        let covering = state.zone_of(name).filter(|z| matches!(z.kind, Kind::Data | Kind::Broken));
        let apex = match covering {
            Some(zone) => zone.apex.clone(),
            None if sets.is_empty() => return None,
            None => {
                state.put(builtin::generated(settings, name.clone(), Kind::Data, 1));
                self.lone.insert(name.clone());
                link(settings, state, name, true);
                Arc::new(name.clone())
            }
        };
        if sets.is_empty() && *apex == *name && self.lone.remove(&*apex) {
            state.remove(&apex);
            link(settings, state, &apex, false);
            return None;
        }
        if *apex == *name {
            sets.retain(|s| s.rtype != rtype::CNAME);
            if !sets.iter().any(|s| s.rtype == rtype::NS) {
                sets.push(builtin::name_server(settings));
            }
        }
        state.zone_mut(&apex)?.dynamic.put(name, &sets);
        Some(apex)
    }
}

fn alias(target: &str, ttl: u32) -> Option<RrSet> {
    let target = Name::parse(target).ok()?;
    Some(RrSet { rtype: rtype::CNAME, ttl, soft: true, rdata: vec![target.as_wire().to_vec()] })
}

fn is_host_data(rtype: u16) -> bool {
    matches!(rtype, rtype::A | rtype::AAAA | rtype::CNAME)
}

/// True if a zone file has addresses or an alias at the name: hosts and leases give way.
pub fn written_by_hand(state: &State, name: &Name) -> bool {
    file_types(state, name).into_iter().any(is_host_data)
}

/// Types that a zone file has at a name.
pub fn file_types(state: &State, name: &Name) -> Vec<u16> {
    let fixed = state.zone_of(name).and_then(|z| z.fixed.as_ref());
    let entry = fixed.and_then(|l| l.find(name));
    entry.into_iter().flat_map(|e| crate::domain::dns::rrset::sets(e.sets())).map(|s| s.rtype).collect()
}

/// A zone below another one of ours is delegated there, so that the names between them exist and a DS
/// question is answered by the parent.
pub fn link(settings: &Settings, state: &mut State, apex: &Name, present: bool) {
    let path = Path::new(state.seed, apex.as_wire());
    let Some(depth) = path.depth().checked_sub(1) else { return };
    let above = state.covering(&path, depth).filter(|z| z.kind == Kind::Data).map(|z| z.apex.clone());
    if let Some(zone) = above.and_then(|above| state.zone_mut(&above)) {
        let sets = if present { vec![builtin::name_server(settings)] } else { Vec::new() };
        zone.dynamic.put(apex, &sets);
    }
}

/// Links all zones of a new snapshot.
pub fn link_all(settings: &Settings, state: &mut State) {
    let all: Vec<Arc<Name>> = state.zones().iter().map(|z: &Arc<Zone>| z.apex.clone()).collect();
    all.iter().for_each(|apex| link(settings, state, apex, true));
}
