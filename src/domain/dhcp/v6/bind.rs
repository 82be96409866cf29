//! SOLICIT, REQUEST, RENEW and REBIND (RFC 9915 §18.3): every identity association is answered in one reply,
//! each with its own fate.

use super::assign::{Piece, piece_of};
use super::book::Effect6;
use super::wire::encode::Leased;
use super::wire::{Ia, IaReply, Item, Kind, Status, code};
use super::{Case, Decision6, Silence};
use crate::domain::change::Change;
use crate::domain::lease::{Cause, ClientKey, End, Lease};
use crate::domain::time::Wall;
use std::net::IpAddr;
use std::sync::Arc;

/// Answers to all identity associations, and what they do.
#[derive(Default)]
struct Answers<'a> {
    ias: Vec<IaReply<'a>>,
    changes: Vec<Change>,
    effects: Vec<Effect6>,
    /// How many of them hold something that can be used.
    useful: usize,
}

impl<'a> Case<'a> {
    /// §18.3.1.
    pub(super) fn solicit(&self) -> Decision6<'a> {
        let rapid = self.policy.rules6.rapid_commit && self.request.message.options.find(code::RAPID_COMMIT).is_some();
        if rapid {
            let answers = self.answers(|case, ia, client, out| case.grant_new(ia, client, out));
            if answers.useful > 0 {
                return self.replying(Kind::Reply, answers, true);
            }
            self.taken.borrow_mut().clear();
        }
        let answers = self.answers(|case, ia, client, out| case.advertise(ia, client, out));
        self.replying(Kind::Advertise, answers, false)
    }

    /// §18.3.2.
    pub(super) fn request(&self) -> Decision6<'a> {
        if self.request.for_another(self.policy) {
            // another server's offer was taken: ours is free again
            let mut decision = Decision6::silent(Silence::OtherServer);
            let clients = self.request.ias.iter().filter_map(|ia| self.client(ia));
            decision.effects = clients.map(|client| Effect6::Forget { network: self.network, client }).collect();
            return decision;
        }
        let answers = self.answers(|case, ia, client, out| {
            let off_link = ia.code == code::IA_NA && ia.items().any(|item| !case.on_link(item.ip));
            if off_link {
                out.ias.push(without(ia, Status::NotOnLink, "not on this link"));
            } else {
                case.grant_new(ia, client, out);
            }
        });
        self.replying(Kind::Reply, answers, false)
    }

    /// §18.3.4: what is known is extended; an unknown association is made if it can be.
    pub(super) fn renew(&self) -> Decision6<'a> {
        let answers = self.answers(|case, ia, client, out| {
            if !case.extend(ia, client, Cause::Renew, out) {
                out.ias.push(without(ia, Status::NoBinding, "not known here"));
            }
        });
        self.replying(Kind::Reply, answers, false)
    }

    /// §18.3.5: as RENEW, but the client asks everybody: what may be another server's is left to it.
    pub(super) fn rebind(&self) -> Decision6<'a> {
        let answers = self.answers(|case, ia, client, out| {
            let book = case.facts.book;
            let known = book.leases_of(case.network, client).next().is_some()
                || book.past_of(case.network, client).is_some()
                || !case.reserved_for(ia).is_empty();
            if (known || case.policy.networks[case.network].authoritative)
                && case.extend(ia, client, Cause::Rebind, out)
            {
                return;
            }
            // "if the server determines that any of the addresses is not appropriate for the link"
            let off_link = ia.code == code::IA_NA && ia.items().any(|item| !case.on_link(item.ip));
            if off_link {
                let gone = ia.items().filter(|item| !case.on_link(item.ip)).map(|item| over((item.ip, item.length)));
                out.ias.push(IaReply { leased: gone.collect(), ..empty(ia) });
            }
        });
        if answers.ias.iter().all(|ia| ia.code == code::IA_TA) {
            return Decision6::silent(Silence::Unknown);
        }
        self.replying(Kind::Reply, answers, false)
    }

    /// Each association once, whatever the client repeats.
    fn answers(&self, one: impl Fn(&Self, &Ia<'a>, &ClientKey, &mut Answers<'a>)) -> Answers<'a> {
        let mut out = Answers { ias: Vec::with_capacity(self.request.ias.len()), ..Answers::default() };
        for (at, ia) in self.request.ias.iter().enumerate() {
            let repeated = self.request.ias[..at].iter().any(|e| (e.code, e.iaid) == (ia.code, ia.iaid));
            match self.client(ia).filter(|_| !repeated) {
                Some(client) => one(self, ia, &client, &mut out),
                None if repeated => {}
                // temporary addresses are the client's own business (RFC 8981)
                None => out.ias.push(without(ia, Status::NoAddrsAvail, "no temporary addresses")),
            }
        }
        out
    }

    fn replying(&self, kind: Kind, answers: Answers<'a>, rapid: bool) -> Decision6<'a> {
        let mut reply = self.reply(kind);
        if rapid {
            reply.items.push(Item::Raw(code::RAPID_COMMIT, (&[][..]).into()));
        }
        let name = answers.changes.iter().find_map(|change| match change {
            Change::LeaseGranted(lease) => Some(lease.fqdn.clone()),
            _ => None,
        });
        reply.items.extend(answers.ias.into_iter().map(Item::Ia));
        self.add_options(&mut reply, name);
        Decision6 { changes: answers.changes, effects: answers.effects, ..self.send(reply) }
    }

    fn advertise(&self, ia: &Ia<'a>, client: &ClientKey, out: &mut Answers<'a>) {
        let pieces = self.choose(ia, client);
        if pieces.is_empty() {
            return out.ias.push(nothing_left(ia));
        }
        self.taken.borrow_mut().extend(&pieces);
        let leased = pieces.iter().map(|piece| self.leased(*piece, client)).collect();
        out.ias.push(timed(IaReply { leased, ..empty(ia) }));
        out.useful += 1;
        let until = self.now.mono.plus(self.policy.rules.offer_hold);
        out.effects.push(Effect6::Offer { network: self.network, client: client.clone(), items: pieces, until });
    }

    fn grant_new(&self, ia: &Ia<'a>, client: &ClientKey, out: &mut Answers<'a>) {
        let pieces = self.choose(ia, client);
        if pieces.is_empty() {
            return out.ias.push(nothing_left(ia));
        }
        self.grant(ia, client, &pieces, Cause::New, out);
    }

    /// False if there is nothing to extend and nothing to give.
    fn extend(&self, ia: &Ia<'a>, client: &ClientKey, cause: Cause, out: &mut Answers<'a>) -> bool {
        let pieces = self.choose(ia, client);
        let held = self.facts.book.leases_of(self.network, client).next().is_some();
        if pieces.is_empty() && !held {
            return false;
        }
        self.grant(ia, client, &pieces, cause, out);
        true
    }

    /// Commits the pieces to the client; what it has or asks for beside them is over (lifetimes 0).
    fn grant(&self, ia: &Ia<'a>, client: &ClientKey, pieces: &[Piece], cause: Cause, out: &mut Answers<'a>) {
        self.taken.borrow_mut().extend(pieces);
        let held: Vec<&Arc<Lease>> = self.facts.book.leases_of(self.network, client).collect();
        let mut leased = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let old = held.iter().copied().find(|lease| piece_of(lease.ip, lease.delegated) == Some(*piece));
            let lease = self.lease(*piece, client, cause, old.map(Arc::as_ref));
            let mut entry = self.leased(*piece, client);
            if let Some(old) = old.filter(|old| self.is_fresh(old, &lease)) {
                // DH-215: what is durable says all of this already
                entry.valid = self.seconds_to(old.expires);
                entry.preferred = self.seconds_to(old.preferred.unwrap_or(old.expires)).min(entry.valid);
            } else {
                out.changes.push(Change::LeaseGranted(Box::new(lease)));
            }
            leased.push(entry);
        }
        let mut gone: Vec<Piece> = Vec::new();
        for lease in held {
            let piece = piece_of(lease.ip, lease.delegated).filter(|piece| !pieces.contains(piece));
            if let Some(piece) = piece {
                gone.push(piece);
                // the reply that takes it away may be lost: until its time is over, or the client names it no more,
                // the client may use it, and nobody else can have it
                if ia.items().any(|item| item.ip == piece.0) {
                    continue;
                }
                let network = self.policy.networks[self.network].name.clone();
                out.changes.insert(0, Change::LeaseEnded { network, ip: lease.ip, end: End::Revoked });
            }
        }
        if cause != Cause::New {
            gone.extend(ia.items().map(|item| (item.ip, item.length)).filter(|piece| !pieces.contains(piece)));
            gone.dedup();
        }
        leased.extend(gone.into_iter().map(over));
        out.useful += usize::from(!pieces.is_empty());
        out.ias.push(timed(IaReply { leased, ..empty(ia) }));
    }

    fn seconds_to(&self, at: Wall) -> u32 {
        u32::try_from(at.since(self.now.wall).as_secs()).unwrap_or(u32::MAX)
    }

    /// The piece with the lifetimes of its subnet.
    fn leased(&self, piece: Piece, client: &ClientKey) -> Leased<'a> {
        let (_, times) = self.home(piece, client);
        let wanted = piece.1 < 128 && self.request.wants(code::PD_EXCLUDE);
        let exclude = if wanted { self.exclusion(piece).map(Into::into) } else { None };
        Leased { ip: piece.0, length: piece.1, preferred: times.preferred, valid: times.valid, exclude }
    }

    /// True if what is durable says all of this already and is hardly older.
    fn is_fresh(&self, old: &Lease, new: &Lease) -> bool {
        let unchanged =
            Lease { expires: old.expires, preferred: old.preferred, cause: old.cause, ..new.clone() } == *old;
        let preferred = |lease: &Lease| lease.preferred.unwrap_or(lease.expires).since(self.now.wall);
        let (left, full) = (old.expires.since(self.now.wall), new.expires.since(self.now.wall));
        // both lifetimes: T1 comes from the preferred one, which may be a small part of the other
        let enough = [(left, full), (preferred(old), preferred(new))]
            .into_iter()
            .all(|(left, full)| left.as_secs_f64() >= full.as_secs_f64() * (1.0 - self.policy.rules.cache_fraction));
        // a configuration with shorter or longer lifetimes takes effect at the next renewal
        let same = old.expires.since(Wall(0)).checked_sub(old.preferred.unwrap_or(old.expires).since(Wall(0)))
            == new.expires.since(Wall(0)).checked_sub(new.preferred.unwrap_or(new.expires).since(Wall(0)));
        unchanged && enough && same && left <= full
    }

    /// Who owns an address that a client names, if it is this client.
    pub(super) fn held_by(&self, client: &ClientKey, ip: IpAddr) -> Option<&'a Arc<Lease>> {
        self.facts.book.leases_of(self.network, client).find(|lease| lease.ip == ip)
    }
}

/// The association without anything in it.
pub(super) fn empty<'a>(ia: &Ia<'_>) -> IaReply<'a> {
    IaReply { code: ia.code, iaid: ia.iaid, t1: 0, t2: 0, leased: Vec::new(), status: None }
}

/// The association with a status only.
pub(super) fn without<'a>(ia: &Ia<'_>, status: Status, text: &'static str) -> IaReply<'a> {
    IaReply { status: Some((status, text)), ..empty(ia) }
}

fn nothing_left<'a>(ia: &Ia<'_>) -> IaReply<'a> {
    match ia.code {
        code::IA_PD => without(ia, Status::NoPrefixAvail, "no prefix is left"),
        _ => without(ia, Status::NoAddrsAvail, "no address is left"),
    }
}

/// A piece that the client must stop using.
fn over<'a>((ip, length): Piece) -> Leased<'a> {
    Leased { ip, length, preferred: 0, valid: 0, exclude: None }
}

/// RFC 9915 §21.4: T1 and T2 at 0.5 and 0.8 of the shortest preferred lifetime (DH-701).
fn timed(ia: IaReply<'_>) -> IaReply<'_> {
    let shortest = ia.leased.iter().map(|leased| leased.preferred).filter(|preferred| *preferred > 0).min();
    let Some(shortest) = shortest else { return ia };
    let t2 = u32::try_from(u64::from(shortest) * 4 / 5).unwrap_or(shortest);
    IaReply { t1: shortest / 2, t2, ..ia }
}
