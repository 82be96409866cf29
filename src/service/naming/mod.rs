//! Names: what hosts, reservations, leases, records of the API and zone files come to. Owns the snapshot
//! that DNS answers from and the decision which name a lease gets. Refuses to write a zone file, and to
//! know a packet.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use arc_swap::ArcSwap;

mod builtin;
mod claims;
mod files;
mod listing;
mod publish;
mod settings;

pub use builtin::reverse_zone;
pub use listing::{QueryReply, RecordInfo, ZoneInfo};
pub use settings::{Domain, Settings};

use crate::domain::change::{Change, Record};
use crate::domain::dns::name::Name;
use crate::domain::dns::naming::{self, Choice, Fate, NameRequest, Names, complete};
use crate::domain::dns::rdata;
use crate::domain::dns::rrset::{MAX_SET, RrSet, rtype};
use crate::domain::dns::zone::{Kind, State};
use crate::domain::dns::zonefile::{self, Parsed, Problem};
use crate::domain::hash::Table;
use crate::domain::lease::{Party, Reservation};
use crate::domain::time::Wall;
use crate::store::ledger::{Entry, View};
use claims::{Claims, Who, WhoRef};
use publish::Published;

/// Choices that were not committed yet; older ones are forgotten (as many as the ledger's queue holds).
const PENDING: usize = 4_096;

/// Events counted since the start.
#[derive(Debug, Default)]
struct Counters {
    conflicts: AtomicU64,
    refused: AtomicU64,
    reloads: AtomicU64,
    reload_failures: AtomicU64,
    bad_records: AtomicU64,
}

struct Book {
    claims: Claims,
    published: Published,
    pending: Pending,
    /// Problems of the last load.
    problems: Vec<Problem>,
    /// Ids of the reservations that the configuration brought.
    configured: Vec<String>,
    /// Our own addresses.
    server: Vec<IpAddr>,
}

impl Book {
    fn configure(&mut self, settings: &Settings, reservations: &[Reservation]) {
        self.configured = reservations.iter().map(|r| r.id.clone()).collect();
        reservations.iter().for_each(|r| self.claims.put_reservation(settings, r));
    }
}

/// Names that were chosen and whose lease is not committed yet.
#[derive(Default)]
struct Pending {
    /// With the number of the choice.
    holders: Table<Arc<str>, (u64, Party)>,
    /// By number; those that have left `holders` are passed over.
    order: VecDeque<(u64, Arc<str>)>,
    next: u64,
}

impl Pending {
    fn of(&self, name: &str) -> Option<&Party> {
        self.holders.get(name).map(|(_, party)| party)
    }

    fn put(&mut self, name: &str, client: Party) {
        if let Some((_, holder)) = self.holders.get_mut(name) {
            *holder = client;
            return;
        }
        let name: Arc<str> = name.into();
        self.next += 1;
        self.order.push_back((self.next, name.clone()));
        self.holders.insert(name, (self.next, client));
        while self.order.len() > PENDING {
            let Some((number, old)) = self.order.pop_front() else { return };
            if self.holders.get(&old).is_some_and(|(current, _)| *current == number) {
                self.holders.remove(&old);
            }
        }
    }

    fn drop(&mut self, name: &str) {
        self.holders.remove(name);
    }
}

struct Shared {
    settings: ArcSwap<Settings>,
    state: ArcSwap<State>,
    book: Mutex<Book>,
    counters: Counters,
}

/// The service. Clones share it.
#[derive(Clone)]
pub struct Naming {
    shared: Arc<Shared>,
}

/// How many zones and warnings a reload brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    pub zones: usize,
    pub warnings: Vec<Problem>,
}

impl Naming {
    /// Loads the zone directory. A zone whose file is broken answers SERVFAIL and the others are served
    /// (DN-204); [`Naming::problems`] tells. `now` makes the first serials.
    pub fn open(settings: Settings, now: Wall) -> Naming {
        let (files, mut problems) = match settings.zone_dir.as_deref().map(files::load) {
            None => (BTreeMap::new(), Vec::new()),
            Some(Ok(files)) => (files, Vec::new()),
            Some(Err(problems)) => (BTreeMap::new(), problems),
        };
        let mut state = builtin::base(&settings, unix(now));
        for (origin, result) in files {
            match result {
                Ok(parsed) => {
                    problems.extend(parsed.warnings.iter().cloned());
                    state.put(parsed.into_zone(settings.seed));
                }
                Err(why) => {
                    problems.extend(why);
                    state.put(builtin::generated(&settings, origin, Kind::Broken, unix(now)));
                }
            }
        }
        problems.iter().for_each(|p| tracing::warn!(problem = %p, "zone file"));
        publish::link_all(&settings, &mut state);
        let mut book = Book {
            claims: Claims::default(),
            published: Published::default(),
            pending: Pending::default(),
            problems,
            configured: Vec::new(),
            server: settings.server_addresses.clone(),
        };
        book.claims.put_server(server_names(&settings, &book.server), &book.server, settings.ttl);
        book.configure(&settings, &settings.reservations);
        let touched = book.claims.touched();
        book.published.update(&settings, &book.claims, &mut state, &touched, unix(now));
        let shared = Shared {
            settings: ArcSwap::from_pointee(settings),
            state: ArcSwap::from_pointee(state),
            book: Mutex::new(book),
            counters: Counters::default(),
        };
        Naming { shared: Arc::new(shared) }
    }

    /// The read side, for the ledger.
    pub fn view(&self) -> Box<dyn View> {
        Box::new(self.clone())
    }

    /// The snapshot to answer from.
    pub fn state(&self) -> arc_swap::Guard<Arc<State>> {
        self.shared.state.load()
    }

    /// Those in force: ask while holding the book, which a reload takes, too.
    fn settings(&self) -> arc_swap::Guard<Arc<Settings>> {
        self.shared.settings.load()
    }

    /// Takes other settings, and reads their zone directory. All or nothing (DN-203): with any error the old
    /// zones and settings stay. Reads files; takes a while for large ones, during which everything goes on.
    /// Our own addresses and the seed stay what they are.
    pub fn reload(&self, settings: Settings, now: Wall) -> Result<Reloaded, Vec<Problem>> {
        let counters = &self.shared.counters;
        counters.reloads.fetch_add(1, Ordering::Relaxed);
        let settings = Settings { seed: self.settings().seed, ..settings };
        Self::load_all(&settings).map(|parsed| self.install(settings, parsed, now)).inspect_err(|problems| {
            counters.reload_failures.fetch_add(1, Ordering::Relaxed);
            self.book().problems.clone_from(problems);
        })
    }

    fn load_all(settings: &Settings) -> Result<Vec<Parsed>, Vec<Problem>> {
        let Some(dir) = settings.zone_dir.as_deref() else { return Ok(Vec::new()) };
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for result in files::load(dir)?.into_values() {
            match result {
                Ok(parsed) => good.push(parsed),
                Err(problems) => bad.extend(problems),
            }
        }
        if bad.is_empty() { Ok(good) } else { Err(bad) }
    }

    /// The names of this server lead to these addresses from now on.
    pub fn set_server_addresses(&self, addresses: &[IpAddr], now: Wall) {
        let mut book = self.book();
        let (book, settings) = (&mut *book, &self.settings());
        if book.server == addresses {
            return;
        }
        tracing::info!(?addresses, "the addresses of this server have changed");
        book.server = addresses.to_vec();
        book.claims.put_server(server_names(settings, addresses), addresses, settings.ttl);
        let touched = book.claims.touched();
        let mut state = State::clone(&self.shared.state.load());
        book.published.update(settings, &book.claims, &mut state, &touched, unix(now));
        self.shared.state.store(Arc::new(state));
    }

    /// Swaps new settings and files in. The claims are derived again, because networks may have other domains;
    /// the dynamic layers are made again from them, because names may have moved from one zone to another.
    fn install(&self, settings: Settings, parsed: Vec<Parsed>, now: Wall) -> Reloaded {
        let settings = &Arc::new(settings);
        let warnings: Vec<Problem> = parsed.iter().flat_map(|p| p.warnings.iter().cloned()).collect();
        let zones: Vec<_> = parsed.into_iter().map(|p| p.into_zone(settings.seed)).collect();
        let count = zones.len();
        let mut state = builtin::base(settings, unix(now));
        zones.into_iter().for_each(|zone| state.put(zone));
        publish::link_all(settings, &mut state);
        let mut book = self.book();
        let book = &mut *book;
        self.shared.settings.store(settings.clone());
        for id in std::mem::take(&mut book.configured) {
            book.claims.remove_reservation(settings, &id);
        }
        book.claims.under(settings);
        book.claims.put_server(server_names(settings, &book.server), &book.server, settings.ttl);
        book.configure(settings, &settings.reservations);
        book.published = Published::default();
        book.claims.touch_all();
        let touched = book.claims.touched();
        book.published.update(settings, &book.claims, &mut state, &touched, unix(now));
        self.keep_serials(&mut state, unix(now));
        book.problems.clone_from(&warnings);
        self.shared.state.store(Arc::new(state));
        Reloaded { zones: count, warnings }
    }

    /// DN-401: a zone that already had a later serial goes on from there.
    fn keep_serials(&self, state: &mut State, unix: u32) {
        use crate::domain::dns::zone::{next_serial, serial_gt};
        let old = self.shared.state.load();
        for zone in old.zones() {
            let Some(new) = state.zone_mut(&zone.apex) else { continue };
            if serial_gt(zone.soa.serial, new.soa.serial) && (zone.fixed.is_none() || !new.dynamic.is_empty()) {
                new.soa = new.soa.with_serial(next_serial(zone.soa.serial, unix));
            }
        }
    }

    /// What is wrong in the zone directory, as of the last load.
    pub fn problems(&self) -> Vec<Problem> {
        self.book().problems.clone()
    }

    /// Names and values of the counters, for metrics.
    #[allow(clippy::type_complexity)] // the shape that metrics are rendered from everywhere
    pub fn counters(&self) -> Vec<(&'static str, Vec<(&'static str, &'static str)>, u64)> {
        let c = &self.shared.counters;
        let read = |a: &AtomicU64| a.load(Ordering::Relaxed);
        vec![
            ("lanlord_name_conflicts_total", Vec::new(), read(&c.conflicts)),
            ("lanlord_names_refused_total", Vec::new(), read(&c.refused)),
            ("lanlord_dns_reloads_total", Vec::new(), read(&c.reloads)),
            ("lanlord_dns_reload_failures_total", Vec::new(), read(&c.reload_failures)),
            ("lanlord_dns_bad_records_total", Vec::new(), read(&c.bad_records)),
        ]
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // a panic in one batch must not silence names for ever: what it left behind is still consistent
        self.shared.book.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn take_record(&self, book: &mut Book, record: &Record) {
        match read_record(record) {
            Ok((name, set)) => book.claims.put_record(&Record { name: name.to_string(), ..record.clone() }, set),
            Err(why) => {
                self.shared.counters.bad_records.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(id = record.id, %why, "a record is not served");
                book.claims.remove_record(&record.id);
            }
        }
    }

    fn take(&self, book: &mut Book, entry: &Entry) {
        let settings = &self.settings();
        match &entry.change {
            // a delegated prefix is nobody's address
            Change::LeaseGranted(lease) if lease.delegated.is_some() => {}
            Change::LeaseGranted(lease) => {
                let from = if entry.at > lease.began { entry.at } else { lease.began };
                let ttl = settings.lease_ttl(lease.expires.since(from).as_secs());
                if let Some(fqdn) = &lease.fqdn {
                    book.pending.drop(fqdn);
                }
                book.claims.grant(settings, lease, ttl);
            }
            Change::LeaseEnded { network, ip, .. } => book.claims.end(*ip, network),
            Change::ReservationPut(reservation) => book.claims.put_reservation(settings, reservation),
            Change::ReservationRemoved { id } => book.claims.remove_reservation(settings, id),
            Change::HostPut(host) => book.claims.put_host(settings, host),
            Change::HostRemoved { id } => book.claims.remove_host(settings, id),
            Change::RecordPut(record) => self.take_record(book, record),
            Change::RecordRemoved { id } => book.claims.remove_record(id),
            _ => {}
        }
    }
}

impl View for Naming {
    fn apply(&mut self, batch: &[Entry]) {
        let mut book = self.book();
        let book = &mut *book;
        batch.iter().for_each(|entry| self.take(book, entry));
        let touched = book.claims.touched();
        let Some(last) = batch.last().filter(|_| !touched.is_empty()) else { return };
        let mut state = State::clone(&self.shared.state.load());
        book.published.update(&self.settings(), &book.claims, &mut state, &touched, unix(last.at));
        self.shared.state.store(Arc::new(state));
    }
}

impl Names for Naming {
    fn choose(&self, request: &NameRequest<'_>) -> Option<String> {
        let mut book = self.book();
        let settings = &self.settings();
        let state = self.state();
        let network = settings.networks.iter().find(|n| n.domain == request.domain);
        let network = network.map_or("", |n| n.network.as_str());
        let linked = book.claims.linked(settings, request.mac, request.client, None, network);
        let identity = linked.as_ref().map(|(_, who, _)| who.clone());
        let reserved = request.reserved.map(str::to_owned).or(linked.map(|(name, ..)| name.to_string()));
        let request = NameRequest { reserved: reserved.as_deref(), ..request.clone() };
        let taken = |fqdn: &str| is_taken(settings, &state, &book, &request, identity.as_ref(), fqdn);
        let choice = naming::decide(&request, settings.honour_client_updates, taken)?;
        self.count(&choice);
        if book.claims.is_free(&choice.fqdn) {
            book.pending.put(&choice.fqdn, Party { client: request.client.clone(), mac: request.mac });
        }
        Some(choice.fqdn)
    }
}

impl Naming {
    fn count(&self, choice: &Choice) {
        let Some(asked) = &choice.instead_of else { return };
        let counter = match choice.fate {
            Fate::Suffixed => &self.shared.counters.conflicts,
            Fate::Kept => return,
            Fate::AsAsked => &self.shared.counters.refused,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        tracing::info!(asked = asked.as_str(), given = choice.fqdn, "a client gets another name than it asked for");
    }
}

/// True if somebody other than the client of this request holds the name.
fn is_taken(
    settings: &Settings,
    state: &State,
    book: &Book,
    request: &NameRequest<'_>,
    identity: Option<&Who>,
    fqdn: &str,
) -> bool {
    let Ok(name) = Name::parse(fqdn) else { return true };
    if book.pending.of(fqdn).is_some_and(|holder| !holder.same_host(request.client, request.mac)) {
        return true;
    }
    // a zone apex is nobody's, but for a zone that one of our names has to itself
    if state.zone(&name).is_some() && book.claims.is_free(fqdn) {
        return true;
    }
    let ours = |who: WhoRef<'_>| {
        identity.is_some_and(|own| own.as_ref() == who) || who.same(WhoRef::Client(request.client, request.mac))
    };
    settings.server_name == fqdn
        || !publish::file_types(state, &name).is_empty()
        || book.claims.of(fqdn).any(|c| !ours(c.who))
}

/// The names of this server, and whether their PTR is wanted.
fn server_names(settings: &Settings, addresses: &[IpAddr]) -> Vec<(String, bool)> {
    if addresses.is_empty() {
        return Vec::new();
    }
    let mut names = vec![(settings.server_name.clone(), true)];
    for domain in settings.all_domains() {
        let full = settings.service_names.iter().filter_map(|label| complete(label, domain));
        names.extend(full.filter(|n| *n != settings.server_name).map(|n| (n, false)));
    }
    names
}

/// A record of the ledger as a set of one.
fn read_record(record: &Record) -> Result<(Name, RrSet), String> {
    let name = Name::parse(&record.name).map_err(|e| format!("`{}`: {e}", record.name))?;
    let rtype = rdata::type_number(&record.rtype).ok_or_else(|| format!("unknown type `{}`", record.rtype))?;
    if matches!(rtype, 0 | rtype::SOA | rtype::OPT | rtype::TKEY..=rtype::ANY) {
        return Err(format!("{} records cannot be added", record.rtype));
    }
    if record.ttl > i32::MAX as u32 {
        return Err(format!("a TTL of {} is more than 2147483647", record.ttl));
    }
    let words = zonefile::words(&record.data)?;
    let data = rdata::parse(rtype, &words, &Name::root()).map_err(|e| e.message)?;
    let set = RrSet { rtype, ttl: record.ttl, soft: false, rdata: vec![data] };
    if set.wire_len() > MAX_SET {
        return Err("the record exceeds any answer".to_owned());
    }
    Ok((name, set))
}

/// Seconds since 1970 as serials count them.
fn unix(at: Wall) -> u32 {
    (at.0 / 1_000) as u32 // RFC 1982 arithmetic wraps too
}

#[cfg(test)]
mod tests;
