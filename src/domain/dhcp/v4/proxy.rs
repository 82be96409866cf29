//! Boot information beside another server that gives the addresses (PXE 2.1 §2.2, DH-414). Owns what such an
//! answer holds: who boots what and where from, by the same rules as elsewhere; never an address, a lease time
//! or anything else of the other server's. Whoever does not boot from the network gets silence.

use std::net::Ipv4Addr;

use super::reply::Keep;
use super::{Asked, Case, Decision, Delivery, Facts, Now, Request, Silence, Target};
use crate::domain::dhcp::policy::{BootRule, Policy};
use crate::domain::dhcp::wire::{Kind, Reply, code};

/// Sub-options of option 43 (PXE 2.1 §2.3, table 2-1).
mod sub {
    pub const DISCOVERY_CONTROL: u8 = 6;
    pub const BOOT_SERVERS: u8 = 8;
    pub const MENU: u8 = 9;
    pub const MENU_PROMPT: u8 = 10;
    pub const BOOT_ITEM: u8 = 71;
    pub const END: u8 = 255;
}

/// DISCOVERY_CONTROL: boot the file of this offer, ask nobody.
const USE_THIS_FILE: u8 = 0x08;
/// DISCOVERY_CONTROL: ask the listed servers only, neither by broadcast nor by multicast.
const LISTED_SERVERS: u8 = 0x07;
/// Boot servers of types from here on are a vendor's own: type `0x8000 + n` is the n-th boot rule.
const OWN_TYPES: usize = 0x8000;
/// The type that means the machine's own disk.
const LOCAL_BOOT: u16 = 0;

/// Firmware that boots from the network, by the begin of its vendor class (option 60).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootClient {
    Pxe,
    Http,
}

impl BootClient {
    /// By option 60; `None` for everybody else.
    pub fn of(vendor_class: &[u8]) -> Option<BootClient> {
        [BootClient::Pxe, BootClient::Http].into_iter().find(|client| vendor_class.starts_with(client.name()))
    }

    /// What its answers have in option 60.
    pub(super) fn name(self) -> &'static [u8] {
        match self {
            BootClient::Pxe => b"PXEClient",
            BootClient::Http => b"HTTPClient",
        }
    }

    fn asking(request: &Request<'_>) -> Option<BootClient> {
        BootClient::of(request.vendor_class.as_deref()?)
    }
}

/// True if the client says that it boots from the network.
pub(super) fn boots(request: &Request<'_>) -> bool {
    BootClient::asking(request).is_some()
}

/// Option 43 of an answer that says all: boot its file, ask nobody.
pub(super) fn use_this_file() -> Vec<u8> {
    encapsulated(vec![(sub::DISCOVERY_CONTROL, vec![USE_THIS_FILE])])
}

/// What to do about a request that came to port 4011: a client with an address, which it got elsewhere, asks
/// what to boot (PXE 2.1 §2.2.3).
pub fn decide_boot(request: &Request<'_>, facts: &Facts<'_>, policy: &Policy, now: Now) -> Decision {
    let place = match request.place(policy) {
        Ok(place) => place,
        Err(why) => return Decision::silent(why),
    };
    if !policy.networks[place.network].proxy || !matches!(request.kind, Kind::Request | Kind::Inform) {
        return Decision::silent(Silence::NotBooting);
    }
    let asked = Asked::new(request, *facts, policy, place);
    let case = Case::new(request, *facts, policy, now, place, &asked);
    if let Some(why) = case.refused() {
        return Decision::silent(why);
    }
    case.boot_server()
}

impl<'a> Case<'a> {
    /// On a network in proxy mode, port 67: an offer to who boots, and nothing else at all.
    pub(super) fn proxy(&self) -> Decision {
        let client = BootClient::asking(self.request).filter(|_| self.request.kind == Kind::Discover);
        let Some(client) = client else { return Decision::silent(Silence::NotBooting) };
        let mut reply = self.boot_header(Kind::Offer, client);
        let vendor = match self.menu().filter(|_| client == BootClient::Pxe) {
            Some(rules) => {
                reply.siaddr = self.server_id;
                self.menu_options(&rules)
            }
            None if self.add_boot(&mut reply, self.boot_rule()) => vec![(sub::DISCOVERY_CONTROL, vec![USE_THIS_FILE])],
            None => return Decision::silent(Silence::NotBooting),
        };
        if client == BootClient::Pxe {
            add_vendor(&mut reply, vendor);
        }
        Decision::send(self.addressed(reply))
    }

    /// Port 4011: the file of the entry that was chosen, or of the first that fits.
    fn boot_server(&self) -> Decision {
        let Some(client) = BootClient::asking(self.request) else { return Decision::silent(Silence::NotBooting) };
        let item = self.chosen_item();
        let rule = match item {
            Some([high, low, _, _]) => {
                let number = usize::from(u16::from_be_bytes([high, low])).checked_sub(OWN_TYPES);
                let rule = number.and_then(|n| self.policy.boot.get(n));
                let Some(rule) = rule.filter(|rule| rule.fits(self.asked, &self.member)) else {
                    return Decision::silent(Silence::NotBooting);
                };
                Some(rule)
            }
            None => self.boot_rule(),
        };
        let mut reply = self.boot_header(Kind::Ack, client);
        reply.ciaddr = self.request.packet.ciaddr();
        if !self.add_boot(&mut reply, rule) {
            return Decision::silent(Silence::NotBooting);
        }
        if let Some(item) = item {
            add_vendor(&mut reply, vec![(sub::BOOT_ITEM, item.to_vec())]);
        }
        let arrival = &self.request.arrival;
        let to = Target::Port(arrival.source, arrival.source_port);
        Decision::send((reply, Delivery { to, from: arrival.local }))
    }

    /// The rules that this client may choose from, if the first one that fits is one to be chosen.
    fn menu(&self) -> Option<Vec<(usize, &'a BootRule)>> {
        self.boot_rule().filter(|rule| rule.menu.is_some())?;
        let all = self.policy.boot.iter().enumerate();
        Some(all.filter(|(_, rule)| rule.menu.is_some() && rule.fits(self.asked, &self.member)).collect())
    }

    /// PXE 2.1 §2.3: entries of the menu, the boot servers behind them (all are we), and how long the first entry
    /// waits to be chosen by itself. Entries beyond what option 43 can hold are left out.
    fn menu_options(&self, rules: &[(usize, &BootRule)]) -> Vec<(u8, Vec<u8>)> {
        let menu = &self.policy.menu;
        let prompt = [&[menu.timeout], menu.prompt.as_bytes()].concat();
        let (mut servers, mut entries) = (Vec::new(), Vec::new());
        // discovery control, four headers, the end
        let mut room = usize::from(u8::MAX).saturating_sub(3 + 2 + 2 + 2 + prompt.len() + 1);
        for (number, rule) in rules {
            let text = rule.menu.as_deref().unwrap_or_default().as_bytes();
            let local = rule.boot.file.is_none();
            let own = u16::try_from(OWN_TYPES + number).ok().filter(|_| !local);
            let kind = own.unwrap_or(LOCAL_BOOT).to_be_bytes();
            let size = 3 + text.len() + if local { 0 } else { 7 };
            let (Ok(length), true) = (u8::try_from(text.len()), size <= room && (local || own.is_some())) else {
                break;
            };
            room -= size;
            entries.extend([&kind[..], &[length], text].concat());
            if !local {
                servers.extend([&kind[..], &[1], &self.server_id.octets()].concat());
            }
        }
        vec![
            (sub::DISCOVERY_CONTROL, vec![LISTED_SERVERS]),
            (sub::BOOT_SERVERS, servers),
            (sub::MENU, entries),
            (sub::MENU_PROMPT, prompt),
        ]
    }

    /// The entry that the client has chosen: type and layer (PXE 2.1 §2.3, option 43.71).
    fn chosen_item(&self) -> Option<[u8; 4]> {
        let vendor = self.request.packet.option(code::VENDOR)?;
        let mut rest: &[u8] = &vendor;
        while let [number, length, after @ ..] = rest {
            let (value, next) = after.split_at_checked(usize::from(*length))?;
            match *number {
                sub::BOOT_ITEM => return value.try_into().ok(),
                sub::END => return None,
                _ => rest = next,
            }
        }
        None
    }

    /// No address, no times; who we are, and the client's own words back to it (DH-412).
    fn boot_header(&self, kind: Kind, client: BootClient) -> Reply {
        let mut reply = self.header(kind);
        reply.options.push((code::VENDOR_CLASS, client.name().to_vec()));
        if let Some(uuid) = self.request.packet.option(code::PXE_UUID) {
            reply.options.push((code::PXE_UUID, uuid.to_vec()));
        }
        reply
    }

    /// File, server and options of the boot rule, or of what is stronger than it; false if there is no file.
    fn add_boot(&self, reply: &mut Reply, rule: Option<&BootRule>) -> bool {
        let ip = self.request.packet.ciaddr();
        let fill = self.placeholders(ip);
        let boot = self.boot_fields(&self.levels_with(Ipv4Addr::UNSPECIFIED, self.place, rule), &fill);
        let Some(file) = boot.file.as_ref().filter(|file| !file.is_empty()) else { return false };
        reply.siaddr = boot.siaddr.unwrap_or(self.server_id);
        let mut chosen = self.collecting();
        if let Some(name) = &boot.server_name {
            chosen.put(code::TFTP_SERVER, name.clone().into_bytes(), false, super::levels::Source::BuiltIn, None);
        }
        chosen.put(code::BOOT_FILE, file.clone().into_bytes(), false, super::levels::Source::BuiltIn, None);
        for setting in rule.into_iter().flat_map(|rule| &rule.settings) {
            if let Some(value) = setting.value.wire(setting.code, &fill) {
                chosen.put(setting.code, value, setting.force, super::levels::Source::BuiltIn, None);
            }
        }
        reply.options.extend(chosen.sent());
        boot.name_files(reply);
        true
    }
}

/// Option 43, unless a boot rule has set its own.
fn add_vendor(reply: &mut Reply, subs: Vec<(u8, Vec<u8>)>) {
    if reply.options.iter().any(|(code, _)| *code == code::VENDOR) {
        return;
    }
    reply.options.push((code::VENDOR, encapsulated(subs)));
}

/// Sub-options as one value (RFC 2132 §8.4); empty ones are left out.
fn encapsulated(subs: Vec<(u8, Vec<u8>)>) -> Vec<u8> {
    let mut value = Vec::new();
    for (number, bytes) in subs.into_iter().filter(|(_, bytes)| !bytes.is_empty()) {
        let Ok(length) = u8::try_from(bytes.len()) else { continue };
        value.extend([number, length]);
        value.extend(bytes);
    }
    value.push(sub::END);
    value
}
