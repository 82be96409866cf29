//! What a client would get: the question as a message, decided on without any effect.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::Leasing;
use crate::domain::dhcp::book::Book;
use crate::domain::dhcp::classes;
use crate::domain::dhcp::policy::Place;
use crate::domain::dhcp::v4::explain::{Explanation, explain};
use crate::domain::dhcp::v4::{Arrival, Facts, Outcome, Request, decide};
use crate::domain::dhcp::wire::{COOKIE, HEADER, Packet, code};
use crate::domain::dns::naming::{NameRequest, Names};
use crate::domain::lease::Lease;
use crate::domain::net::Mac;

/// Who asks, and how. What is not said comes from the client's lease, if it has one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    pub mac: Option<Mac>,
    /// The client that leases this address.
    pub ip: Option<Ipv4Addr>,
    pub network: Option<String>,
    pub client_id: Option<Vec<u8>>,
    pub vendor_class: Option<Vec<u8>>,
    pub user_class: Option<Vec<u8>>,
    pub hostname: Option<Vec<u8>>,
    /// Option 93.
    pub arch: Option<u16>,
    /// Option 82.
    pub relay_info: Option<Vec<u8>>,
    /// Option 55; empty asks for everything.
    pub requested: Vec<u8>,
}

/// The answer to a DISCOVER, as it would be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Simulated {
    /// `DHCPOFFER` and the like, or why there is silence.
    pub answer: String,
    pub ip: Option<Ipv4Addr>,
    /// Code and octets, in the order of the decision.
    pub options: Vec<(u8, Vec<u8>)>,
}

/// No name is taken by asking.
struct NoNames;

impl Names for NoNames {
    fn choose(&self, _: &NameRequest<'_>) -> Option<String> {
        None
    }
}

impl Leasing {
    /// Every value that the client would get, its source and what it overrode; or why it would get nothing.
    pub fn explain(&self, question: Question) -> Result<Explanation, String> {
        self.ask(question, |request, facts, now| {
            explain(request, facts, facts.book.policy(), now).map_err(|why| format!("no answer: {}", why.label()))
        })
    }

    /// What the server would do about its DISCOVER.
    pub fn simulate(&self, question: Question) -> Result<Simulated, String> {
        self.ask(question, |request, facts, now| {
            let decision = decide(request, facts, facts.book.policy(), now);
            Ok(match decision.outcome {
                Outcome::Send(reply, _) => Simulated {
                    answer: reply.kind.name().to_owned(),
                    ip: Some(reply.yiaddr).filter(|ip| !ip.is_unspecified()),
                    options: reply.options,
                },
                Outcome::Look(ip) => Simulated { answer: "probe".to_owned(), ip: Some(ip), options: Vec::new() },
                Outcome::Silent(why) => {
                    Simulated { answer: format!("silence: {}", why.label()), ip: None, options: Vec::new() }
                }
            })
        })
    }

    /// True if an IPv4 lease is of that address or, without one, of that hardware address.
    pub fn is_leased(&self, mac: Option<Mac>, ip: Option<Ipv4Addr>) -> bool {
        let core = self.core();
        match (ip, mac) {
            (Some(ip), _) => core.book.leased().any(|(_, leased)| leased == ip),
            (None, Some(mac)) => core.book.leases().any(|kept| kept.mac() == Some(mac)),
            (None, None) => false,
        }
    }

    /// The classes of each holder of an IPv4 lease, those that are built in too; of the first `most` leases.
    pub fn memberships(&self, most: usize) -> Vec<(Arc<Lease>, Vec<String>)> {
        let held = self.leases().into_iter().filter(|lease| lease.ip.is_ipv4()).take(most);
        held.map(|lease| {
            let question = Question {
                mac: lease.mac,
                network: Some(lease.network.clone()),
                client_id: lease.client_id.clone(),
                vendor_class: lease.vendor_class.clone(),
                user_class: lease.user_class.clone(),
                hostname: lease.hostname.clone(),
                relay_info: lease.relay_info.clone(),
                ..Question::default()
            };
            let found = self.explain_at(&question, lease.ip);
            let known = found.as_ref().is_some_and(|found| found.reservation.is_some());
            let mut within = found.map(|found| found.classes).unwrap_or_default();
            within.extend([classes::ALL, if known { classes::KNOWN } else { classes::UNKNOWN }].map(str::to_owned));
            (lease, within)
        })
        .collect()
    }

    /// As [`explain`](Self::explain), for a client that everything is known of.
    fn explain_at(&self, question: &Question, ip: IpAddr) -> Option<Explanation> {
        let IpAddr::V4(ip) = ip else { return None };
        let now = self.now();
        let core = self.core();
        let policy = core.book.policy();
        let index = policy.by_name(question.network.as_deref()?)?;
        let place = policy.by_address(ip, Some(index))?;
        let asked = |request: &Request<'_>, facts: &Facts<'_>| explain(request, facts, facts.book.policy(), now).ok();
        posed(&core.book, question, place, asked).ok()?
    }

    fn ask<T>(
        &self,
        question: Question,
        answer: impl FnOnce(&Request<'_>, &Facts<'_>, crate::domain::time::Now) -> Result<T, String>,
    ) -> Result<T, String> {
        let now = self.now();
        let core = self.core();
        let (question, place) = settle(&core.book, question)?;
        posed(&core.book, &question, place, |request, facts| answer(request, facts, now))?
    }
}

/// The question as a message that came in there.
fn posed<T>(
    book: &Book,
    question: &Question,
    place: Place,
    answer: impl FnOnce(&Request<'_>, &Facts<'_>) -> T,
) -> Result<T, String> {
    let datagram = discover(question, giaddr(book, place));
    let network = &book.policy().networks[place.network];
    let local = book.own_in(book.policy().subnet(place).prefix).unwrap_or(Ipv4Addr::UNSPECIFIED);
    let arrival = Arrival {
        interface: network.interface.as_deref().unwrap_or_default(),
        local,
        source: Ipv4Addr::UNSPECIFIED,
        source_port: 68,
        destination: Ipv4Addr::BROADCAST,
    };
    let packet = Packet::walk(&datagram).map_err(|why| why.label().to_owned())?;
    let request = Request::read(packet, arrival).map_err(|why| format!("no answer: {}", why.label()))?;
    Ok(answer(&request, &Facts { book, names: &NoNames, sightings: None }))
}

/// A relayed network is asked through its relay, or as if there were one in the subnet.
fn giaddr(book: &Book, place: Place) -> Option<Ipv4Addr> {
    let policy = book.policy();
    let network = &policy.networks[place.network];
    if network.interface.is_some() && place.subnet == 0 {
        return None;
    }
    let subnet = policy.subnet(place);
    subnet.relays.first().copied().or(subnet.router).or_else(|| subnet.prefix.hosts().next())
}

/// Completes a question by the lease of the client, and says where it is.
fn settle(book: &Book, mut question: Question) -> Result<(Question, Place), String> {
    let policy = book.policy();
    let here = |name: &str| question.network.as_deref().is_none_or(|wanted| wanted == name);
    let lease = book.leased().filter(|(network, _)| here(network)).find_map(|(network, ip)| {
        let kept = book.kept(policy.by_name(network)?, ip)?;
        let by_mac = || question.mac.is_some() && kept.mac() == question.mac;
        question.ip.map_or_else(by_mac, |wanted| wanted == ip).then(|| kept.lease())
    });
    let lease = lease.as_ref();
    let reserved = book.reservations().iter().find(|r| {
        let by_ip = question.ip.is_some_and(|ip| r.ip == Some(ip.into()));
        let key = question.mac.map(crate::domain::lease::ReservationKey::Mac);
        (by_ip || key.is_some_and(|key| r.keys.contains(&key))) && r.network.as_deref().is_none_or(here)
    });
    let network = question.network.clone();
    let network = network.or_else(|| lease.map(|l| l.network.clone())).or_else(|| reserved?.network.clone());
    let address = question.ip.or_else(|| match lease.map(|l| l.ip).or(reserved?.ip)? {
        std::net::IpAddr::V4(ip) => Some(ip),
        std::net::IpAddr::V6(_) => None,
    });
    let index = match &network {
        Some(name) => Some(policy.by_name(name).ok_or_else(|| format!("there is no network named {name}"))?),
        None if policy.networks.len() == 1 => Some(0),
        None => None,
    };
    let inside = address.and_then(|ip| policy.by_address(ip, index));
    let place = inside.or(index.map(|network| Place { network, subnet: 0 }));
    let place = place.ok_or("the client is not known: say in which network it asks")?;
    if policy.networks[place.network].subnets.get(place.subnet).is_none() {
        return Err("the network has no IPv4 subnet".to_owned());
    }
    if let Some(lease) = lease {
        question.mac = question.mac.or(lease.mac);
        question.client_id = question.client_id.or_else(|| lease.client_id.clone());
        question.vendor_class = question.vendor_class.or_else(|| lease.vendor_class.clone());
        question.user_class = question.user_class.or_else(|| lease.user_class.clone());
        question.hostname = question.hostname.or_else(|| lease.hostname.clone());
        question.relay_info = question.relay_info.or_else(|| lease.relay_info.clone());
        if question.requested.is_empty() {
            question.requested = lease.requested.clone();
        }
    } else if question.mac.is_none() {
        question.mac = reserved.and_then(|r| {
            r.keys.iter().find_map(|key| {
                if let crate::domain::lease::ReservationKey::Mac(mac) = key { Some(*mac) } else { None }
            })
        });
    }
    Ok((question, place))
}

/// A DISCOVER that says all of this. Values longer than an option are cut off.
fn discover(question: &Question, giaddr: Option<Ipv4Addr>) -> Vec<u8> {
    let mut out = vec![0_u8; HEADER];
    out[0] = 1;
    out[1] = 1;
    if let Some(mac) = question.mac {
        out[2] = 6;
        out[28..34].copy_from_slice(&mac.0);
    }
    if let Some(giaddr) = giaddr {
        out[24..28].copy_from_slice(&giaddr.octets());
    }
    out[HEADER - COOKIE.len()..].copy_from_slice(&COOKIE);
    let mut put = |code: u8, value: &[u8]| {
        let value = &value[..value.len().min(255)];
        if let Ok(length) = u8::try_from(value.len())
            && length > 0
        {
            out.extend([code, length]);
            out.extend(value);
        }
    };
    put(code::TYPE, &[1]);
    let arch = question.arch.map(|arch| arch.to_be_bytes().to_vec());
    let options = [
        (code::CLIENT_ID, &question.client_id),
        (code::VENDOR_CLASS, &question.vendor_class),
        (code::USER_CLASS, &question.user_class),
        (code::HOSTNAME, &question.hostname),
        (code::PXE_ARCH, &arch),
        (code::RELAY_INFO, &question.relay_info),
    ];
    for (code, value) in options {
        put(code, value.as_deref().unwrap_or_default());
    }
    put(code::REQUEST_LIST, &question.requested);
    out.push(code::END);
    out
}
