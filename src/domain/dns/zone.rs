//! Zones and the snapshot of all of them. A zone has a fixed layer (its file) and a dynamic one (records
//! from API, hosts, reservations, leases); both count when a name's existence is asked (DN-113). A snapshot
//! never changes: a new one shares what did not (DN-112).

use std::collections::HashMap;
use std::sync::Arc;

use super::map::{Entry, Map};
use super::name::{self, Name};
use super::path::{self, Path};
use super::rrset::{self, RrSet, SetRef, rtype};

/// Names below one apex with their record sets, and the empty non-terminals between them and the apex.
#[derive(Debug, Clone)]
pub struct Layer {
    seed: u64,
    apex: Arc<Name>,
    map: Map,
    /// Nodes that a lookup must not pass by: cuts below the apex, and DNAMEs.
    barriers: usize,
}

impl Layer {
    pub fn new(seed: u64, apex: Arc<Name>) -> Layer {
        Layer { seed, apex, map: Map::default(), barriers: 0 }
    }

    /// Replaces all sets of a name; without sets it goes, and so do the empty non-terminals above it that
    /// nothing needs any more. A name outside the zone is passed over.
    pub fn put(&mut self, owner: &Name, sets: &[RrSet]) {
        if !owner.is_within(&self.apex) {
            return;
        }
        let wire = owner.as_wire();
        let hash = path::hash(self.seed, wire);
        let bytes = rrset::encode(sets);
        let old = self.map.get(hash, wire);
        let children = old.map_or(0, |e| e.children);
        let was_barrier = old.is_some_and(|e| self.is_barrier(wire, e.sets()));
        let existed = old.is_some();
        self.barriers += usize::from(self.is_barrier(wire, &bytes));
        self.barriers -= usize::from(was_barrier);
        if bytes.is_empty() && children == 0 {
            if existed {
                self.map.remove(hash, wire);
                self.link(wire, false);
            }
        } else {
            self.store(hash, Entry::new(wire, &bytes, children));
            if !existed {
                self.link(wire, true);
            }
        }
    }

    fn store(&mut self, hash: u64, entry: Entry) {
        let seed = self.seed;
        self.map.insert(hash, entry, &|name| path::hash(seed, name));
    }

    /// Counts a node in or out at the one above it, which may begin or cease to exist by that.
    fn link(&mut self, wire: &[u8], added: bool) {
        if wire.len() <= self.apex.as_wire().len() {
            return;
        }
        let Some(above) = name::parent(wire) else { return };
        let hash = path::hash(self.seed, above);
        match self.map.get(hash, above).cloned() {
            Some(mut entry) => {
                entry.children = if added { entry.children + 1 } else { entry.children.saturating_sub(1) };
                if entry.children == 0 && entry.sets().is_empty() {
                    self.map.remove(hash, above);
                    self.link(above, false);
                } else {
                    self.store(hash, entry);
                }
            }
            None if added => {
                self.store(hash, Entry::new(above, &[], 1));
                self.link(above, true);
            }
            None => {}
        }
    }

    fn is_barrier(&self, wire: &[u8], sets: &[u8]) -> bool {
        let below_apex = wire.len() > self.apex.as_wire().len();
        rrset::sets(sets).any(|s| s.rtype == rtype::DNAME || (s.rtype == rtype::NS && below_apex))
    }

    /// The node of a name, by its hash.
    pub fn get(&self, hash: u64, wire: &[u8]) -> Option<&Entry> {
        self.map.get(hash, wire)
    }

    /// The node of a name.
    pub fn find(&self, owner: &Name) -> Option<&Entry> {
        self.map.get(path::hash(self.seed, owner.as_wire()), owner.as_wire())
    }

    /// All nodes, empty non-terminals too, in no order.
    pub fn nodes(&self) -> impl Iterator<Item = &Entry> {
        self.map.iter()
    }

    /// Nodes, empty non-terminals counted.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }
}

/// How a zone answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// From its records.
    Data,
    /// Nothing in it exists, its apex included (RFC 6761: `invalid`, `onion`, ...).
    Denied,
    /// Every name in it exists and has no record (`resolver.arpa`, RFC 9462).
    Nothing,
    /// Its file is broken: SERVFAIL (DN-204).
    Broken,
}

/// The SOA of a zone, encoded as a set, and the TTL of its negatives.
#[derive(Debug, Clone)]
pub struct Soa {
    set: Arc<[u8]>,
    /// min(TTL of the SOA, MINIMUM), RFC 2308 §3.
    pub negative_ttl: u32,
    pub serial: u32,
}

impl Soa {
    /// `rdata` is that of a SOA record: two names and five numbers.
    pub fn new(ttl: u32, mut rdata: Vec<u8>, serial: Option<u32>) -> Option<Soa> {
        let numbers = rdata.len().checked_sub(20)?;
        if let Some(serial) = serial {
            rdata[numbers..numbers + 4].copy_from_slice(&serial.to_be_bytes());
        }
        let number = |i: usize| rdata[numbers + 4 * i..][..4].try_into().map(u32::from_be_bytes).ok();
        let (serial, minimum) = (number(0)?, number(4)?);
        let set = rrset::encode(&[RrSet { rtype: rtype::SOA, ttl, soft: false, rdata: vec![rdata] }]);
        Some(Soa { set: set.into(), negative_ttl: ttl.min(minimum), serial })
    }

    pub fn set(&self) -> SetRef<'_> {
        rrset::sets(&self.set).next().expect("made with one set")
    }

    /// The last field of the SOA.
    pub fn minimum(&self) -> u32 {
        let rdata = self.set().rdata().next().unwrap_or_default();
        rdata.last_chunk::<4>().map_or(0, |b| u32::from_be_bytes(*b))
    }

    /// The same with another serial.
    pub fn with_serial(&self, serial: u32) -> Soa {
        let set = self.set().to_owned();
        let rdata = set.rdata.into_iter().next().expect("made with one record");
        Soa::new(set.ttl, rdata, Some(serial)).expect("it was one before")
    }
}

/// A zone. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Zone {
    pub apex: Arc<Name>,
    pub kind: Kind,
    pub soa: Soa,
    /// From its file, if it has one.
    pub fixed: Option<Arc<Layer>>,
    pub dynamic: Layer,
    depth: usize,
}

/// What both layers hold of one name.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    fixed: Option<&'a Entry>,
    dynamic: Option<&'a Entry>,
}

impl<'a> Node<'a> {
    /// The set of a type as it is served: the file's comes first, and what was made from hosts and leases
    /// gives way to addresses and aliases that the file holds (DN-302).
    pub fn set(self, rtype: u16) -> Option<SetRef<'a>> {
        let Some(fixed) = self.fixed.filter(|e| !e.sets().is_empty()) else {
            return self.dynamic.and_then(|e| rrset::set(e, rtype));
        };
        rrset::set(fixed, rtype)
            .or_else(|| self.dynamic.and_then(|e| rrset::set(e, rtype)).filter(|s| yields(fixed, *s)))
    }

    /// All sets that are served.
    pub fn sets(self) -> impl Iterator<Item = SetRef<'a>> {
        let fixed = self.fixed.filter(|e| !e.sets().is_empty());
        let own = fixed.into_iter().flat_map(|e| rrset::sets(e.sets()));
        let made = self.dynamic.into_iter().flat_map(|e| rrset::sets(e.sets()));
        own.chain(made.filter(move |s| fixed.is_none_or(|f| rrset::set(f, s.rtype).is_none() && yields(f, *s))))
    }
}

/// True if a dynamic set may stand beside what the file holds at the same name.
fn yields(fixed: &Entry, set: SetRef<'_>) -> bool {
    let mut held = rrset::sets(fixed.sets()).map(|s| s.rtype);
    match set.rtype {
        rtype::CNAME => false,
        _ if set.soft => !held.any(|t| matches!(t, rtype::A | rtype::AAAA | rtype::CNAME)),
        _ => !held.any(|t| t == rtype::CNAME),
    }
}

impl Zone {
    pub fn new(seed: u64, apex: Arc<Name>, kind: Kind, soa: Soa, fixed: Option<Arc<Layer>>) -> Zone {
        let depth = apex.label_count();
        Zone { dynamic: Layer::new(seed, apex.clone()), apex, kind, soa, fixed, depth }
    }

    /// Labels of the apex.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The node of a name in this zone, occluded ones too.
    pub fn node(&self, hash: u64, wire: &[u8]) -> Option<Node<'_>> {
        let fixed = self.fixed.as_ref().and_then(|l| l.get(hash, wire));
        let dynamic = self.dynamic.get(hash, wire);
        (fixed.is_some() || dynamic.is_some()).then_some(Node { fixed, dynamic })
    }

    /// True if no cut and no DNAME can stand between the apex and a name.
    pub fn is_open(&self) -> bool {
        self.dynamic.barriers == 0 && self.fixed.as_ref().is_none_or(|l| l.barriers == 0)
    }
}

/// All zones at one moment. Cloning costs one counter per zone.
#[derive(Debug, Clone)]
pub struct State {
    pub seed: u64,
    index: Arc<HashMap<u64, usize>>,
    zones: Vec<Arc<Zone>>,
}

impl State {
    /// No zones. The seed must be hard to guess.
    pub fn new(seed: u64) -> State {
        State { seed, index: Arc::default(), zones: Vec::new() }
    }

    /// Adds a zone, or replaces the one of the same apex.
    pub fn put(&mut self, zone: Zone) {
        match self.position(&zone.apex) {
            Some(at) => self.zones[at] = Arc::new(zone),
            None => {
                Arc::make_mut(&mut self.index).insert(path::hash(self.seed, zone.apex.as_wire()), self.zones.len());
                self.zones.push(Arc::new(zone));
            }
        }
    }

    /// Takes a zone out; its names are no longer ours.
    pub fn remove(&mut self, apex: &Name) {
        if let Some(at) = self.position(apex) {
            self.zones.remove(at);
            let hash = |z: &Arc<Zone>| path::hash(self.seed, z.apex.as_wire());
            self.index = Arc::new(self.zones.iter().enumerate().map(|(i, z)| (hash(z), i)).collect());
        }
    }

    fn position(&self, apex: &Name) -> Option<usize> {
        let at = *self.index.get(&path::hash(self.seed, apex.as_wire()))?;
        (*self.zones[at].apex == *apex).then_some(at)
    }

    pub fn zones(&self) -> &[Arc<Zone>] {
        &self.zones
    }

    /// The zone of that apex.
    pub fn zone(&self, apex: &Name) -> Option<&Arc<Zone>> {
        self.position(apex).map(|at| &self.zones[at])
    }

    /// The same, to be changed; copies only the outermost part of it if older snapshots share it.
    pub fn zone_mut(&mut self, apex: &Name) -> Option<&mut Zone> {
        let at = self.position(apex)?;
        Some(Arc::make_mut(&mut self.zones[at]))
    }

    /// The deepest zone whose apex is a suffix of the name and has at most `depth` labels.
    pub fn covering(&self, path: &Path<'_>, depth: usize) -> Option<&Zone> {
        (0..=depth.min(path.depth())).rev().find_map(|d| {
            let zone = &self.zones[*self.index.get(&path.hash(d))?];
            (zone.apex.as_wire() == path.suffix(d)).then_some(&**zone)
        })
    }

    /// The deepest zone that a name is in.
    pub fn zone_of(&self, owner: &Name) -> Option<&Zone> {
        let path = Path::new(self.seed, owner.as_wire());
        self.covering(&path, path.depth())
    }

    /// The node of a name in its zone.
    pub fn node(&self, owner: &[u8]) -> Option<Node<'_>> {
        let path = Path::new(self.seed, owner);
        self.covering(&path, path.depth())?.node(path.hash(path.depth()), owner)
    }
}

/// RFC 1982: true if `a` is later than `b`.
pub fn serial_gt(a: u32, b: u32) -> bool {
    a != b && a.wrapping_sub(b) < 1 << 31
}

/// DN-401: the serial after a change at that second.
pub fn next_serial(old: u32, unix: u32) -> u32 {
    if serial_gt(unix, old) { unix } else { old.wrapping_add(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a(last: u8) -> RrSet {
        RrSet { rtype: rtype::A, ttl: 60, soft: false, rdata: vec![vec![10, 0, 0, last]] }
    }

    #[test]
    fn empty_non_terminals_come_and_go_with_what_is_below_them() {
        let apex = Arc::new(Name::parse("lan").unwrap());
        let mut layer = Layer::new(1, apex);
        let deep: Name = "x.y.z.lan".parse().unwrap();
        let beside: Name = "w.y.z.lan".parse().unwrap();
        let ent: Name = "y.z.lan".parse().unwrap();
        layer.put(&deep, &[a(1)]);
        layer.put(&beside, &[a(2)]);
        assert_eq!(layer.find(&ent).map(|e| (e.sets().len(), e.children)), Some((0, 2)));
        assert_eq!(layer.len(), 5, "two names, two empty non-terminals, the apex");
        layer.put(&ent, &[a(3)]);
        layer.put(&deep, &[]);
        layer.put(&beside, &[]);
        assert_eq!(layer.find(&ent).map(|e| e.children), Some(0), "it has data of its own now");
        layer.put(&ent, &[]);
        assert!(layer.is_empty());
    }

    #[test]
    fn names_outside_are_passed_over() {
        let mut layer = Layer::new(1, Arc::new(Name::parse("lan").unwrap()));
        layer.put(&"pc.wan".parse().unwrap(), &[a(1)]);
        assert!(layer.is_empty());
    }

    #[test]
    fn serials_never_go_back() {
        assert_eq!(next_serial(5, 9), 9);
        assert_eq!(next_serial(9, 9), 10);
        assert_eq!(next_serial(10, 9), 11);
        assert_eq!(next_serial(u32::MAX, 9), 9, "RFC 1982: 9 is later than 2^32-1");
        assert!(serial_gt(0, u32::MAX) && !serial_gt(u32::MAX, 0) && !serial_gt(3, 3));
    }
}
