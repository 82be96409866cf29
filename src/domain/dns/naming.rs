//! Which name a client gets. Owns the order of candidates (DN-301), the refusals (DN-307) and the rule for
//! collisions (DN-305); refuses to know who holds which name: that is asked of the caller.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::domain::lease::ClientKey;
use crate::domain::net::Mac;

mod fqdn;
mod sanitise;

pub use fqdn::{ClientFqdn, option81_of_39, reply39, reply81};
pub use sanitise::{host_label, is_refused, sanitise};

/// What is known when a lease is about to be granted or extended.
#[derive(Debug, Clone)]
pub struct NameRequest<'a> {
    pub client: &'a ClientKey,
    pub mac: Option<Mac>,
    pub ip: IpAddr,
    /// Domain of the network that the address is on: lower-case, no final dot.
    pub domain: &'a str,
    /// Name of the reservation or host that this client is, if it has one (ranks 3 and 4): fully
    /// qualified, or a single label.
    pub reserved: Option<&'a str>,
    /// Raw option 81, flags and rcodes included.
    pub option81: Option<&'a [u8]>,
    /// Raw option 12.
    pub option12: Option<&'a [u8]>,
    /// Raw option 60.
    pub vendor_class: Option<&'a [u8]>,
    /// The name that this client's lease has now.
    pub previous: Option<&'a str>,
}

/// Decides names; asked by leasing before a lease is committed.
pub trait Names: Send + Sync {
    /// The name for this lease, lower-case and without final dot; `None` for a lease without records.
    /// The choice counts as taken by this client from now on.
    fn choose(&self, request: &NameRequest<'_>) -> Option<String>;
}

/// Ranks of the table in the dns reference, section 5. Smaller is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rank {
    ZoneFile = 1,
    Record,
    Host,
    Reservation,
    Option81,
    Option12,
    Template,
}

/// What happened to a wish, for the event and for `explain` (DN-314).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// As the source gave it.
    AsAsked,
    /// Somebody else holds it, so it got a suffix.
    Suffixed,
    /// The client kept the name that its lease already had.
    Kept,
}

/// A decided name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub fqdn: String,
    pub rank: Rank,
    pub fate: Fate,
    /// A better candidate that was refused or taken, as it was asked for.
    pub instead_of: Option<String>,
}

/// Decides a name. `honour` says whether option 81's N bit is honoured (`client_updates = "honour"`);
/// `taken` tells of a full name whether somebody other than this client holds it.
pub fn decide(request: &NameRequest<'_>, honour: bool, taken: impl Fn(&str) -> bool) -> Option<Choice> {
    let fqdn81 = request.option81.and_then(ClientFqdn::parse);
    // RFC 4702 §4: "If the 'N' bit is 1, the server MUST NOT perform any updates"
    if honour && fqdn81.as_ref().is_some_and(|f| f.no_update) {
        return None;
    }
    if let Some(reserved) = request.reserved {
        let fqdn = complete(reserved, request.domain)?;
        return Some(Choice { fqdn, rank: Rank::Reservation, fate: Fate::AsAsked, instead_of: None });
    }
    let asked =
        [(Rank::Option81, fqdn81.map(|f| Cow::Owned(f.name))), (Rank::Option12, request.option12.map(Cow::Borrowed))];
    // most clients bring a name: the template is made when it is needed
    let made = std::iter::once_with(|| (Rank::Template, Some(Cow::Owned(template(request).into_bytes()))));
    let mut instead_of = None;
    for (rank, wish) in asked.into_iter().chain(made) {
        let Some(wish) = wish.filter(|w| !w.is_empty()) else { continue };
        match host_label(&wish, request.domain) {
            Some(label) => {
                let found = without_collision(&label, rank, request, &taken);
                if let Some(mut choice) = found {
                    if choice.fate != Fate::AsAsked {
                        instead_of.get_or_insert(label);
                    }
                    choice.instead_of = instead_of;
                    return Some(choice);
                }
            }
            None => {
                instead_of.get_or_insert_with(|| String::from_utf8_lossy(&wish).into_owned());
            }
        }
    }
    None
}

/// The name as it is, or with a suffix that stays the same at each renewal (DN-305).
fn without_collision(
    label: &str,
    rank: Rank,
    request: &NameRequest<'_>,
    taken: &impl Fn(&str) -> bool,
) -> Option<Choice> {
    let found = |fqdn: String, fate| Some(Choice { fqdn, rank, fate, instead_of: None });
    let plain = join(label, request.domain);
    if let Some(previous) = request.previous.filter(|p| is_suffixed(p, label, request.domain) && !taken(p)) {
        return found(previous.to_owned(), Fate::Kept);
    }
    if !taken(&plain) {
        return found(plain, Fate::AsAsked);
    }
    let by_mac = request.mac.map(|m| m.hex()[8..].to_owned());
    let numbers = (2..100).map(|n: u32| n.to_string());
    by_mac.into_iter().chain(numbers).find_map(|suffix| {
        let fqdn = join(&with_suffix(label, &suffix), request.domain);
        if taken(&fqdn) { None } else { found(fqdn, Fate::Suffixed) }
    })
}

fn with_suffix(label: &str, suffix: &str) -> String {
    let keep = label.len().min(63 - 1 - suffix.len());
    format!("{}-{suffix}", label[..keep].trim_end_matches('-'))
}

/// True if `fqdn` is `label-<something short>.domain`: what an earlier collision gave this client.
fn is_suffixed(fqdn: &str, label: &str, domain: &str) -> bool {
    let host = fqdn.strip_suffix(domain).map(|h| h.trim_end_matches('.'));
    let suffix = host.and_then(|h| h.strip_prefix(label)).and_then(|h| h.strip_prefix('-'));
    suffix.is_some_and(|s| {
        let number = s.len() <= 2 && s.bytes().all(|b| b.is_ascii_digit());
        number || (s.len() == 4 && s.bytes().all(|b| b.is_ascii_hexdigit()))
    })
}

/// Vendors whose name in option 60 makes a better template than `host`.
const PHONES: [&str; 12] = [
    "yealink",
    "snom",
    "aastra",
    "mitel",
    "polycom",
    "linksys",
    "cisco",
    "grandstream",
    "gigaset",
    "fanvil",
    "panasonic",
    "unify",
];

/// Rank 7: `yealink-805ec0aabbcc` for a phone, else `host-192-168-1-20`.
fn template(request: &NameRequest<'_>) -> String {
    let class = request.vendor_class.map(|c| String::from_utf8_lossy(c).to_ascii_lowercase());
    let vendor = class.and_then(|c| PHONES.into_iter().find(|p| c.contains(p)));
    match (vendor, request.mac) {
        (Some(vendor), Some(mac)) => format!("{vendor}-{}", mac.hex()),
        _ => format!("host-{}", request.ip.to_string().replace([':', '.'], "-").trim_matches('-')),
    }
}

/// A name that an administrator gave: completed by the domain if it is a single label.
pub fn complete(name: &str, domain: &str) -> Option<String> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let full = if name.contains('.') { name } else { join(&name, domain) };
    super::name::Name::parse(&full).ok().map(|_| full)
}

fn join(label: &str, domain: &str) -> String {
    if domain.is_empty() { label.to_owned() } else { format!("{label}.{domain}") }
}

#[cfg(test)]
mod tests;
