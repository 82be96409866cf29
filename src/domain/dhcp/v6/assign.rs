//! Which addresses and prefixes an identity association gets (DH-704, DH-706): reservations, then what it
//! has, was offered or had, then its wish, then where the keyed hash of DUID and IAID points.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};
use sha2::{Digest, Sha256};

use super::Case;
use super::wire::{Ia, MAX_ITEMS, code};
use crate::domain::dhcp::policy::{Delegation, Subnet6, Times6};
use crate::domain::lease::{ClientKey, IaKind};

/// One address (length 128) or prefix.
pub(super) type Piece = (Ipv6Addr, u8);

impl Ia<'_> {
    /// Whose it is: the key of what it holds; `None` for temporary addresses, which are not leased.
    pub fn client(&self, duid: &[u8]) -> Option<ClientKey> {
        let kind = match self.code {
            code::IA_NA => IaKind::Address,
            code::IA_PD => IaKind::Prefix,
            _ => return None,
        };
        Some(ClientKey::Ia { duid: duid.to_vec(), iaid: self.iaid, kind })
    }
}

impl<'a> Case<'a> {
    /// The key of what an IA holds; `None` for temporary addresses, which are not leased.
    pub(super) fn client(&self, ia: &Ia<'_>) -> Option<ClientKey> {
        ia.client(self.request.duid?)
    }

    /// What waits for this IA: reserved addresses, or prefixes, of this link.
    pub(super) fn reserved_for(&self, ia: &Ia<'_>) -> Vec<Piece> {
        let mut out: Vec<Piece> = Vec::new();
        // the reservations were found for the first IA; another may have others, if they name an IAID
        let first = self.request.ias.first().map_or(0, |first| first.iaid);
        let own: Vec<_> = if first == ia.iaid {
            self.standing.reserved.clone()
        } else {
            let name = self.policy.networks[self.network].name.as_str();
            self.facts.shared.reservations().all_of(name, self.traits(ia.iaid)).cloned().collect()
        };
        for reservation in own {
            let single = reservation.ip.and_then(|ip| if let IpAddr::V6(ip) = ip { Some(ip) } else { None });
            if ia.code == code::IA_PD {
                out.extend(reservation.prefix6.iter().map(|prefix| (prefix.network(), prefix.prefix_len())));
            } else {
                let all = single.into_iter().chain(reservation.ip6.iter().copied());
                out.extend(all.filter(|ip| self.on_link(*ip)).map(|ip| (ip, 128)));
            }
        }
        out.dedup();
        out.truncate(MAX_ITEMS);
        out
    }

    /// True if the address belongs to a prefix of this link.
    pub(super) fn on_link(&self, ip: Ipv6Addr) -> bool {
        self.policy.within6(self.network, ip).is_some()
    }

    /// The pieces that this IA shall have: all that is reserved for it, else one of the pools. What it holds
    /// stays its own while the policy gives it.
    pub(super) fn choose(&self, ia: &Ia<'_>, client: &ClientKey) -> Vec<Piece> {
        let reserved = self.reserved_for(ia);
        let mut out: Vec<Piece> =
            reserved.iter().copied().filter(|piece| self.grantable(*piece, client, &reserved)).collect();
        if !out.is_empty() {
            return out;
        }
        let (book, network) = (self.facts.book, self.network);
        let held = book.leases_of(network, client).filter_map(|lease| piece_of(lease.ip, lease.delegated));
        out.extend(held.filter(|piece| self.grantable(*piece, client, &reserved)));
        if !out.is_empty() {
            return out;
        }
        let length = |ip: &Ipv6Addr| if ia.code == code::IA_PD { self.length_at(*ip) } else { Some(128) };
        let offered = book.offers_of(network, client).iter().filter_map(|ip| Some((*ip, length(ip)?)));
        let hints = ia.items().filter(|item| !item.ip.is_unspecified()).map(|item| (item.ip, item.length));
        let known = offered.chain(book.past_of(network, client)).chain(hints);
        let found = known.into_iter().find(|piece| self.grantable(*piece, client, &reserved));
        out.extend(found.or_else(|| self.newcomer(ia, client)));
        out
    }

    /// The length of what was offered there.
    fn length_at(&self, ip: Ipv6Addr) -> Option<u8> {
        self.facts.book.length_at(self.network, ip)
    }

    /// True if policy lets this client have the piece and nobody else has it.
    pub(super) fn grantable(&self, piece: Piece, client: &ClientKey, reserved: &[Piece]) -> bool {
        let fits = reserved.contains(&piece) || self.given(piece, client).is_some();
        fits && self.available(piece, client)
    }

    fn available(&self, (ip, length): Piece, client: &ClientKey) -> bool {
        let ClientKey::Ia { iaid, .. } = client else { return false };
        if self.taken.borrow().iter().any(|taken| overlap(*taken, (ip, length))) {
            return false;
        }
        let (shared, name) = (self.facts.shared, self.policy.networks[self.network].name.as_str());
        !shared.reservations().denies6(name, ip, self.traits(*iaid))
            && self.facts.book.available(self.network, ip, length, client, self.request.mac)
    }

    /// The subnet whose pools or delegations give this piece to anybody.
    fn given(&self, (ip, length): Piece, client: &ClientKey) -> Option<usize> {
        match client {
            ClientKey::Ia { kind: IaKind::Address, .. } => self.open(|subnet| length == 128 && subnet.pooled(ip)),
            ClientKey::Ia { kind: IaKind::Prefix, .. } => {
                let prefix = Ipv6Net::new(ip, length).ok()?;
                self.open(|subnet| subnet.delegate.iter().any(|d| d.gives(prefix)))
            }
            _ => None,
        }
    }

    /// The first subnet that is for this client and fits.
    fn open(&self, fits: impl Fn(&Subnet6) -> bool) -> Option<usize> {
        let mut subnets = self.policy.networks[self.network].subnets6.iter().enumerate();
        subnets.find(|(at, subnet)| !self.standing.closed.contains(at) && fits(subnet)).map(|(at, _)| at)
    }

    /// Of the subnet that the relay named, else of the others on the link.
    fn newcomer(&self, ia: &Ia<'_>, client: &ClientKey) -> Option<Piece> {
        let subnets = &self.policy.networks[self.network].subnets6;
        let preferred = self.request.link().and_then(|link| self.policy.within6(self.network, link)).unwrap_or(0);
        let order = std::iter::once(preferred).chain((0..subnets.len()).filter(|s| *s != preferred));
        let order = order.filter(|s| !self.standing.closed.contains(s));
        let hash = self.hash(ia.iaid);
        order.filter_map(|s| Some((s, subnets.get(s)?))).find_map(|(s, subnet)| {
            if ia.code == code::IA_PD {
                self.block(s, subnet, ia, client, hash)
            } else {
                self.address(s, subnet, client, hash)
            }
        })
    }

    fn address(&self, number: usize, subnet: &Subnet6, client: &ClientKey, hash: u128) -> Option<Piece> {
        let fits = |ip| subnet.pooled(ip) && self.available((ip, 128), client);
        self.facts.book.next_address(self.network, number, hash, fits).map(|ip| (ip, 128))
    }

    /// A block of the delegation whose length is nearest to the hint.
    fn block(&self, number: usize, subnet: &Subnet6, ia: &Ia<'_>, client: &ClientKey, hash: u128) -> Option<Piece> {
        let hint = ia.items().map(|item| item.length).find(|length| *length != 0);
        let mut order: Vec<(usize, &Delegation)> = subnet.delegate.iter().enumerate().collect();
        order.sort_by_key(|(_, d)| {
            (
                hint.map_or(0, |hint| d.length_for(Some(hint)).abs_diff(hint)),
                d.length.abs_diff(hint.unwrap_or(d.length)),
            )
        });
        order.into_iter().find_map(|(at, delegation)| {
            let length = delegation.length_for(hint);
            // DH-706: a prefix that is on a link is nobody's to delegate
            let fits = |ip| {
                let clear = Ipv6Net::new(ip, length).is_ok_and(|prefix| !self.policy.touches_link6(prefix));
                clear && self.available((ip, length), client)
            };
            self.facts.book.next_block(self.network, number, at, hash, fits).map(|ip| (ip, length))
        })
    }

    /// DH-704: stable for the client, and telling nothing of it.
    fn hash(&self, iaid: u32) -> u128 {
        let mut hash = Sha256::new();
        hash.update(self.policy.rules6.secret);
        hash.update(iaid.to_be_bytes());
        hash.update(self.request.duid.unwrap_or_default());
        let digest = hash.finalize();
        digest.first_chunk::<16>().map_or(0, |octets| u128::from_be_bytes(*octets))
    }

    /// The subnet that a piece is accounted to, and its lifetimes.
    pub(super) fn home(&self, (ip, length): Piece, client: &ClientKey) -> (IpNet, Times6) {
        let subnets = &self.policy.networks[self.network].subnets6;
        let at = self.policy.within6(self.network, ip).or_else(|| self.given((ip, length), client));
        let times = at.map_or(self.policy.rules6.times, |at| self.policy.times6(&subnets[at]));
        let net = at.map(|at| match client {
            ClientKey::Ia { kind: IaKind::Prefix, .. } => {
                let around = subnets[at].delegate.iter().find(|d| d.prefix.contains(&ip));
                around.map_or(subnets[at].prefix, |d| d.prefix)
            }
            _ => subnets[at].prefix,
        });
        // a reserved prefix that lies in none of ours is its own home
        let own = Ipv6Net::new(ip, length).unwrap_or_default();
        (IpNet::V6(net.unwrap_or(own)), times)
    }

    /// RFC 6603: what the holder of a prefix leaves alone.
    pub(super) fn exclusion(&self, (ip, length): Piece) -> Option<Vec<u8>> {
        let prefix = Ipv6Net::new(ip, length).ok()?;
        let mut all = self.policy.networks[self.network].subnets6.iter().flat_map(|subnet| &subnet.delegate);
        all.find_map(|d| super::wire::encode::pd_exclude(prefix, d.exclude?))
    }
}

fn overlap((a, long): Piece, (b, length): Piece) -> bool {
    let mask = u128::MAX.checked_shl(128 - u32::from(long.min(length))).unwrap_or(0);
    (u128::from(a) ^ u128::from(b)) & mask == 0
}

/// What a lease is of.
pub(super) fn piece_of(ip: IpAddr, delegated: Option<u8>) -> Option<Piece> {
    match ip {
        IpAddr::V6(ip) => Some((ip, delegated.unwrap_or(128))),
        IpAddr::V4(_) => None,
    }
}
