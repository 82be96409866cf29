//! Precedence (DH-310): which levels of the configuration speak about one client, from the weakest to the
//! strongest. Replies take the last word; explanations show all of them.

use std::net::{IpAddr, Ipv4Addr};

use super::Case;
use crate::domain::dhcp::classes::Class;
use crate::domain::dhcp::policy::{
    Boot, BootRule, LeaseTimes, Network, Place, Placeholders, Pool, Recipe, Setting, Subnet,
};
use crate::domain::dhcp::wire::Reply;
use crate::domain::lease::{Origin, Reservation};

/// Where values come from. The order of the variants is the order of precedence.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source<'a> {
    BuiltIn,
    Global,
    GlobalClass(&'a Class),
    Network(&'a Network),
    Subnet(&'a Subnet),
    Pool(&'a Pool),
    Boot(&'a BootRule),
    Recipe(&'a Recipe),
    ClassHere(&'a str),
    Reservation(&'a Reservation),
}

impl std::fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = |place: &Option<std::sync::Arc<str>>| place.as_ref().map(|p| format!(" ({p})")).unwrap_or_default();
        match self {
            Source::BuiltIn => write!(f, "built in"),
            Source::Global => write!(f, "all networks"),
            Source::GlobalClass(class) => write!(f, "class {}{}", class.name, place(&class.place)),
            Source::Network(network) => write!(f, "network {}", network.name),
            Source::Subnet(subnet) => write!(f, "subnet {}", subnet.prefix),
            Source::Pool(pool) => write!(f, "pool {}-{}", pool.range.start(), pool.range.end()),
            Source::Boot(rule) => write!(f, "boot rule{}", place(&rule.place)),
            Source::Recipe(recipe) => write!(f, "recipe of plugin {}", recipe.name),
            Source::ClassHere(class) => write!(f, "class {class} in the subnet"),
            Source::Reservation(reservation) => match &reservation.origin {
                Origin::Config(at) => write!(f, "reservation ({at})"),
                Origin::Host(id) => write!(f, "host {id}"),
                Origin::User(_) => write!(f, "reservation {}", reservation.id),
            },
        }
    }
}

/// One level: its options and its boot fields.
pub(super) struct Level<'a> {
    pub source: Source<'a>,
    pub settings: &'a [Setting],
    pub boot: Option<&'a Boot>,
}

/// The boot fields that win, filled in.
#[derive(Debug, Clone, Default)]
pub(super) struct BootFields {
    pub siaddr: Option<Ipv4Addr>,
    pub server_name: Option<String>,
    pub file: Option<String>,
}

impl BootFields {
    /// Writes `file` and `sname` of the header; what does not fit would name another file or server.
    pub(super) fn name_files(self, reply: &mut Reply) {
        reply.file = self.file.map(String::into_bytes).filter(|file| file.len() <= 128).unwrap_or_default();
        reply.sname = self.server_name.map(String::into_bytes).filter(|name| name.len() <= 64).unwrap_or_default();
    }
}

impl<'a> Case<'a> {
    /// All levels that hold for this client at that address, the weakest first. The reservation's own values
    /// are ready bytes and come after these.
    pub(super) fn levels(&self, ip: Ipv4Addr, place: Place) -> Vec<Level<'a>> {
        self.levels_with(ip, place, self.boot_rule())
    }

    /// The first boot rule that fits.
    pub(super) fn boot_rule(&self) -> Option<&'a BootRule> {
        self.policy.boot.iter().find(|rule| rule.fits(self.asked, &self.member))
    }

    /// What placeholders stand for with this client at that address.
    pub(super) fn placeholders(&self, ip: Ipv4Addr) -> Placeholders<'a> {
        Placeholders { mac: self.request.mac, ip, server_ip: self.server_id, http_url: &self.policy.http_url }
    }

    /// The same with the boot rule that the client has chosen.
    pub(super) fn levels_with<'r>(&self, ip: Ipv4Addr, place: Place, rule: Option<&'r BootRule>) -> Vec<Level<'r>>
    where
        'a: 'r,
    {
        let policy = self.policy;
        let network = &policy.networks[place.network];
        let subnet = policy.subnet(place);
        let mut out = Vec::with_capacity(8);
        let mut level = |source, settings: &'r [Setting], boot| out.push(Level { source, settings, boot });
        level(Source::Global, &policy.options, Some(&policy.boot_fields));
        if !policy.classes.is_empty() {
            // of two classes that say something about one value, the first of the configuration wins
            let classes: Vec<&Class> = self.member.classes().collect();
            for class in classes.into_iter().rev() {
                level(Source::GlobalClass(class), &class.effects.settings, Some(&class.effects.boot));
            }
        }
        level(Source::Network(network), &network.options, None);
        level(Source::Subnet(subnet), &subnet.options, Some(&subnet.boot));
        if let Some(pool) = subnet.pool_of(ip) {
            level(Source::Pool(pool), &pool.options, None);
        }
        if let Some(rule) = rule {
            level(Source::Boot(rule), &rule.settings, Some(&rule.boot));
        }
        if let Some(recipe) = self.recipe(place) {
            level(Source::Recipe(recipe), &recipe.settings, Some(&recipe.boot));
        }
        for here in subnet.class_options.iter().rev().filter(|here| self.member.has(&here.class)) {
            level(Source::ClassHere(&here.class), &here.effects.settings, Some(&here.effects.boot));
        }
        out
    }

    /// DH-404: the first recipe that matches, where the network wants recipes.
    fn recipe(&self, place: Place) -> Option<&'a Recipe> {
        let policy = self.policy;
        let wanted = policy.networks[place.network].recipes;
        policy.recipes.iter().filter(|_| wanted).find(|recipe| recipe.when.holds(self.asked))
    }

    /// The boot fields, each from the strongest level that sets it.
    pub(super) fn boot_fields(&self, levels: &[Level<'_>], fill: &Placeholders<'_>) -> BootFields {
        let boots = || levels.iter().rev().filter_map(|level| level.boot);
        let reserved = self.reserved.map(|reservation| &reservation.boot);
        let siaddr = reserved.and_then(|boot| boot.next_server);
        let siaddr =
            siaddr.or_else(|| boots().find_map(|boot| boot.next_server.as_ref()).and_then(|s| s.address(fill)));
        let text = |own: Option<&String>, of: fn(&Boot) -> Option<&String>| {
            own.or_else(|| boots().find_map(of)).map(|text| fill.fill(text))
        };
        BootFields {
            siaddr,
            server_name: text(reserved.and_then(|b| b.server_name.as_ref()), |boot| boot.server_name.as_ref()),
            file: text(reserved.and_then(|b| b.boot_file.as_ref()), |boot| boot.file.as_ref()),
        }
    }

    /// Lease times by the same precedence, and the default of them with its source.
    pub(super) fn times(&self, ip: Ipv4Addr, place: Place) -> (LeaseTimes, Source<'a>) {
        let policy = self.policy;
        let subnet = policy.subnet(place);
        let (mut times, mut source) = (policy.times, Source::Global);
        let mut fixed = |seconds: Option<u32>, from: Source<'a>, times: &mut LeaseTimes| {
            if let Some(seconds) = seconds {
                let (min, max) = (times.min.min(seconds), times.max.max(seconds));
                *times = LeaseTimes { default: seconds, min, max, infinite: times.infinite };
                source = from;
            }
        };
        let class = if policy.classes.is_empty() {
            None
        } else {
            self.member.classes().find(|class| class.effects.lease_time.is_some())
        };
        if let Some(class) = class {
            fixed(class.effects.lease_time, Source::GlobalClass(class), &mut times);
        }
        if let Some(own) = subnet.times {
            fixed(Some(own.default), Source::Subnet(subnet), &mut times);
            times = own;
        }
        if let Some((pool, own)) = subnet.pool_of(ip).and_then(|pool| Some((pool, pool.times?))) {
            fixed(Some(own.default), Source::Pool(pool), &mut times);
            times = own;
        }
        let mut here = subnet.class_options.iter().filter(|here| here.effects.lease_time.is_some());
        if let Some(here) = here.find(|here| self.member.has(&here.class)) {
            fixed(here.effects.lease_time, Source::ClassHere(&here.class), &mut times);
        }
        if let Some(reservation) = self.reserved {
            fixed(reservation.lease_time, Source::Reservation(reservation), &mut times);
        }
        (times, source)
    }

    /// True if the client may be on that part of the link at all.
    pub(super) fn admitted(&self, subnet: usize) -> bool {
        let subnets = &self.policy.networks[self.place.network].subnets;
        subnets.get(subnet).is_some_and(|subnet| self.member.has_any(&subnet.guard))
    }

    /// True if the address lies in a pool, and pool and subnet are for this client (DH-305).
    pub(super) fn pooled(&self, ip: Ipv4Addr) -> bool {
        let network = self.place.network;
        if !self.facts.book.pooled(network, ip) {
            return false;
        }
        let Some(subnet) = self.policy.within(network, ip) else { return false };
        let pool = self.policy.subnet(Place { network, subnet }).pool_of(ip);
        self.admitted(subnet) && pool.is_some_and(|pool| self.member.has_any(&pool.guard))
    }

    /// The next free address of the pools that are for this client: of its subnet, else of the others on the
    /// link (DH-304).
    pub(super) fn next_free(&self) -> Option<Ipv4Addr> {
        let (book, Place { network, subnet: first }) = (self.facts.book, self.place);
        let subnets = &self.policy.networks[network].subnets;
        // DH-311: nearly always the client's own subnet is enough, however many others there are
        let own = subnets.get(first).filter(|subnet| subnet.is_open()).and_then(|_| book.next_of(self.place));
        if own.is_some() {
            return own;
        }
        if subnets.iter().all(Subnet::is_open) {
            return book.next_free(self.place);
        }
        let others = (0..subnets.len()).filter(|subnet| *subnet != first);
        std::iter::once(first).chain(others).filter(|subnet| self.admitted(*subnet)).find_map(|subnet| {
            let pools = subnets[subnet].pools.iter().filter(|pool| self.member.has_any(&pool.guard));
            pools.into_iter().find_map(|pool| book.next_free_of(Place { network, subnet }, pool))
        })
    }

    /// The address that waits for this client.
    pub(super) fn reserved_ip(&self) -> Option<Ipv4Addr> {
        match self.reserved?.ip? {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        }
    }
}
