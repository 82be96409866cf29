//! DHCPv4 datagrams: what each asks for, whether it is heard, what is decided, and what comes of that. Never
//! waits: what must reach the disk first is handed to the releaser.

use super::{Asked, Client, Core, Deferred, Leasing, MTU, Outgoing, Parcel, Ready, Received, Who};
use crate::domain::dhcp::policy::{Place, Policy};
use crate::domain::dhcp::v4::{self, Arrival, Decision, Delivery, Facts, Now, Outcome, Request, Silence};
use crate::domain::dhcp::wire::{Kind, Packet, Reply, encode};

/// How a datagram comes to be looked at.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Attempt {
    /// The queue that it came out of is more than half full.
    pub pressed: bool,
    /// It has waited, and was heard already.
    pub again: bool,
    /// Addresses that were found in use while it waited.
    pub tries: u8,
}

impl Leasing {
    /// Takes in one datagram. Never waits: replies come out of [`Replies`], after their commit if they
    /// grant anything.
    pub fn receive(&self, arrival: &Arrival<'_>, datagram: &[u8]) -> Received {
        self.receive_from_queue(arrival, datagram, false)
    }

    /// As [`receive`](Leasing::receive); `pressed`: more than half of the room is taken of the queue that it
    /// comes out of.
    pub fn receive_from_queue(&self, arrival: &Arrival<'_>, datagram: &[u8], pressed: bool) -> Received {
        let since = self.clock.micros();
        let received = self.take_in(arrival, datagram, Attempt { pressed, ..Attempt::default() });
        if matches!(received, Received::Answered(_)) {
            self.counters.request.observe(self.clock.micros().saturating_sub(since));
        }
        received
    }

    /// Takes in one datagram of port 4011, where clients that have an address ask what to boot (DH-414).
    pub fn receive_boot(&self, arrival: &Arrival<'_>, datagram: &[u8]) -> Received {
        let request = match self.read(arrival, datagram) {
            Ok(request) => request,
            Err(received) => return received,
        };
        self.counters.received(request.kind);
        let mut core = self.core();
        let (policy, now) = (core.book.policy().clone(), self.now());
        let facts = Facts { book: &core.book, names: self.names.as_ref(), sightings: None };
        let decision = v4::decide_boot(&request, &facts, &policy, now);
        core.journal.decided(&request, &decision, now.mono);
        core.trail.decided(&request, &decision, false, now.wall);
        match decision.outcome {
            Outcome::Send(reply, delivery) => {
                let (kind, reply) = self.encoded(&request, &reply, delivery);
                self.answer(kind, reply)
            }
            Outcome::Silent(why) => self.silent(why),
            Outcome::Look(_) => self.silent(Silence::NotBooting),
        }
    }

    pub(super) fn take_in(&self, arrival: &Arrival<'_>, datagram: &[u8], attempt: Attempt) -> Received {
        let request = match self.read(arrival, datagram) {
            Ok(request) => request,
            Err(received) => return received,
        };
        self.counters.received(request.kind);
        let mut core = self.core();
        let policy = core.book.policy().clone();
        // a query is of no client, and waits for none
        let place = request.place(&policy).ok().filter(|_| request.kind != Kind::LeaseQuery);
        if let Some(place) = place {
            let client = request.client_key(policy.networks[place.network].identify);
            let pending = core.book.is_pending(place.network, &client);
            let client = core.book.network_name(place.network).map(|name| (name, Who::V4(client)));
            if let Some(client) = client.as_ref().filter(|_| pending) {
                let asked = Asked::V4(request.packet.xid(), request.kind);
                return core.join(client, asked, || Deferred::V4(Parcel::of(&request, datagram, 0)));
            }
            if let Some(why) = core.refused(&request, place, attempt, self.now()) {
                return self.silent(why);
            }
            return self.handle(&mut core, &policy, &request, client, (datagram, attempt.tries));
        }
        self.handle(&mut core, &policy, &request, None, (datagram, attempt.tries))
    }

    /// A message whose frame came from another hardware address than it names; what is left of it says who is
    /// said to have sent it.
    pub fn refuse_forged(&self, arrival: &Arrival<'_>, datagram: &[u8]) -> Received {
        match self.read(arrival, datagram) {
            Ok(request) => {
                self.core().drop_it(Silence::SourceMac, &request, self.now());
                self.silent(Silence::SourceMac)
            }
            Err(received) => received,
        }
    }

    /// What the datagram asks for; or what became of it, if that cannot be told.
    fn read<'a>(&self, arrival: &Arrival<'a>, datagram: &'a [u8]) -> Result<Request<'a>, Received> {
        let packet = Packet::walk(datagram).map_err(|why| {
            self.counters.malformed(why);
            Received::Malformed
        })?;
        Request::read(packet, arrival.clone()).map_err(|why| self.silent(why))
    }

    pub(super) fn silent(&self, why: Silence) -> Received {
        self.counters.silent(why);
        Received::Silent(why)
    }

    fn handle(
        &self,
        core: &mut Core,
        policy: &Policy,
        request: &Request<'_>,
        client: Option<Client>,
        (datagram, tries): (&[u8], u8),
    ) -> Received {
        let now = self.now();
        core.book.sweep(now.mono);
        let looks = core.probing.for_request(policy.rules.probe, request.kind == Kind::Discover, now);
        let sightings = looks.then(|| core.probing.sightings());
        let facts = Facts { book: &core.book, names: self.names.as_ref(), sightings };
        let decision = v4::decide(request, &facts, policy, now);
        core.journal.decided(request, &decision, now.mono);
        let holds = matches!(&client, Some((network, Who::V4(key))) if core.book.holds(network, key));
        core.trail.decided(request, &decision, holds, now.wall);
        let Decision { outcome, changes, effects } = decision;
        if let Outcome::Silent(why) = &outcome {
            self.tell_stranger(core, policy, request, *why);
            core.alarms.note(*why, request, now.mono);
            if *why == Silence::OtherServer {
                self.chose_another(request, policy);
            }
        }
        effects.into_iter().for_each(|effect| core.book.affect(effect, now.mono));
        let (reply, silence) = match outcome {
            Outcome::Send(reply, delivery) => (Some(self.encoded(request, &reply, delivery)), None),
            Outcome::Silent(why) => (None, Some(why)),
            Outcome::Look(ip) => {
                let Ok(place) = request.place(policy) else { return self.silent(Silence::NoSubnet) };
                let received = self.set_waiting(core, place.network, ip, Parcel::of(request, datagram, tries));
                self.stock(core, place, request);
                return received;
            }
        };
        if let Some(place) = request.place(policy).ok().filter(|_| looks) {
            self.stock(core, place, request);
        }
        if let Some(why) = silence {
            self.counters.silent(why);
        }
        if !changes.is_empty() {
            let asked = Asked::V4(request.packet.xid(), request.kind);
            let reply = reply.map(|(kind, reply)| Ready::V4(kind, reply));
            return self.commit(core, changes, client.map(|client| (client, asked)), reply);
        }
        match (reply, silence) {
            (Some((kind, reply)), _) => self.answer(kind, reply),
            (None, why) => Received::Silent(why.unwrap_or(Silence::Done)),
        }
    }

    pub(super) fn encoded(&self, request: &Request<'_>, reply: &Reply, delivery: Delivery) -> (Kind, Outgoing) {
        let mut bytes = Vec::with_capacity(400);
        let report = encode(reply, MTU, &mut bytes);
        self.counters.encoded(&report);
        let interface = request.arrival.interface.to_owned();
        (reply.kind, Outgoing { interface, to: delivery.to, from: delivery.from, bytes })
    }

    /// So many datagrams were dropped before anybody looked at them (DH-604).
    pub fn lost(&self, count: usize) {
        self.counters.lost(count);
    }

    /// A reply that grants nothing leaves at once. When the shell does not keep up the client asks again.
    pub(super) fn answer(&self, kind: Kind, reply: Outgoing) -> Received {
        if self.replies.try_send(reply).is_err() {
            self.counters.overloaded();
            return Received::Overloaded;
        }
        self.counters.sent(kind);
        Received::Answered(kind)
    }
}

impl Core {
    /// DH-811: why this message is not heard, told to those who ask later. What waited was heard before.
    fn refused(&mut self, request: &Request<'_>, place: Place, attempt: Attempt, now: Now) -> Option<Silence> {
        if attempt.again {
            return None;
        }
        let policy = self.book.policy().clone();
        let why = self.guard.refuses(request, place, (&self.book, &policy), attempt.pressed, now.mono)?;
        self.drop_it(why, request, now);
        Some(why)
    }

    /// Notes that a message is dropped before anything is decided about it.
    fn drop_it(&mut self, why: Silence, request: &Request<'_>, now: Now) {
        let decision = Decision::silent(why);
        self.journal.decided(request, &decision, now.mono);
        self.trail.decided(request, &decision, false, now.wall);
        self.alarms.note(why, request, now.mono);
    }
}

impl Parcel {
    pub(super) fn of(request: &Request<'_>, datagram: &[u8], tries: u8) -> Parcel {
        let arrival = &request.arrival;
        Parcel {
            interface: arrival.interface.to_owned(),
            local: arrival.local,
            source: arrival.source,
            source_port: arrival.source_port,
            destination: arrival.destination,
            bytes: datagram.to_vec(),
            mac: request.mac,
            relayed: request.relayed(),
            tries,
        }
    }
}
