//! Alarms (DH-811, DH-209): what is dropped because somebody asks too much or for what is not theirs. Owns when
//! that becomes a finding and when it is over; refuses to write anything durable, which a flood would multiply.

use std::time::Duration;

use crate::domain::dhcp::review::Finding;
use crate::domain::dhcp::v4::{Request, Silence};
use crate::domain::dhcp::value::escape;
use crate::domain::time::Mono;

/// An alarm is over when there was no cause for so long.
const OVER: Duration = Duration::from_secs(60);

/// One cause, how often it must happen before somebody is told, and what is told.
struct Cause {
    why: Silence,
    least: u32,
    grave: bool,
    text: &'static str,
    fix: &'static str,
}

const CAUSES: [Cause; 7] = [
    Cause {
        why: Silence::Flood,
        least: 1,
        grave: true,
        text: "more newcomers ask for addresses than can be answered; those beyond stranger_rate are dropped, clients \
               that are known are served",
        fix: "find the port of the switch that they come from, and close it",
    },
    Cause {
        why: Silence::KnownShare,
        least: 1,
        grave: true,
        text: "newcomers have taken all of a pool but the part that is kept for clients that are known",
        fix: "if there are so many clients, enlarge the pool; else look for who makes them up: `lanlord lease list`",
    },
    Cause {
        why: Silence::PortRate,
        least: 10,
        grave: false,
        text: "many newcomers ask for addresses at one port of a relay; those beyond port_rate are dropped",
        fix: "look what is connected to that port; raise dhcp4.port_rate if its circuit id stands for a whole VLAN",
    },
    Cause {
        why: Silence::ClientRate,
        least: 50,
        grave: false,
        text: "clients send DISCOVER again and again; those beyond client_rate are dropped",
        fix: "look why they do not take what they are offered: another server, or a reply that does not reach them",
    },
    Cause {
        why: Silence::Declines,
        least: 1,
        grave: false,
        text: "a client declines one address after the other; it is heeded no more in this hour",
        fix: "look for another DHCP server or for static addresses in the pool, else for a client that attacks",
    },
    Cause {
        why: Silence::NotOwner,
        least: 10,
        grave: false,
        text: "clients give up or decline addresses that are not theirs; nothing is freed",
        fix: "somebody may be forging them: set dhcp4.check_source_mac, and look where they come from",
    },
    Cause {
        why: Silence::SourceMac,
        least: 1,
        grave: false,
        text: "messages name another hardware address than their frames come from; they are dropped",
        fix: "a client behind a wireless bridge does so rightly: then turn dhcp4.check_source_mac off",
    },
];

/// The alarms.
#[derive(Debug, Default)]
pub(super) struct Alarms([Alarm; CAUSES.len()]);

#[derive(Debug, Default)]
struct Alarm {
    /// Since it began.
    count: u32,
    last: Mono,
    /// Where the last one came from.
    from: String,
}

impl Alarms {
    /// Counts one message that was dropped.
    pub fn note(&mut self, why: Silence, request: &Request<'_>, now: Mono) {
        let Some(at) = CAUSES.iter().position(|cause| cause.why == why) else { return };
        let (cause, alarm) = (&CAUSES[at], &mut self.0[at]);
        if now.since(alarm.last) >= OVER {
            alarm.count = 0;
        }
        alarm.count = alarm.count.saturating_add(1);
        alarm.last = now;
        // the first is named: a flood must not cost a text for each
        if alarm.count == 1 {
            alarm.from = origin(request);
        }
        if alarm.count == cause.least {
            tracing::warn!(reason = why.label(), from = alarm.from, "{}; {}", cause.text, cause.fix);
        }
    }

    /// What goes on now.
    pub fn findings(&self, now: Mono) -> Vec<Finding> {
        let live = CAUSES
            .iter()
            .zip(&self.0)
            .filter(|(cause, alarm)| alarm.count >= cause.least && now.since(alarm.last) < OVER);
        live.map(|(cause, alarm)| {
            let text = format!("{} ({} so far, the first {})", cause.text, alarm.count, alarm.from);
            Finding { grave: cause.grave, ..Finding::new(format!("dhcp-{}", cause.why.label()), text, cause.fix) }
        })
        .collect()
    }
}

fn origin(request: &Request<'_>) -> String {
    let who = request.mac.map_or_else(|| "of a client without a MAC".to_owned(), |mac| format!("of {mac}"));
    let interface = escape(request.arrival.interface.as_bytes());
    let relay = if request.relayed() { format!(", relay {}", request.packet.giaddr()) } else { String::new() };
    format!("{who} on {interface}{relay}")
}
