//! One line a decision (DH-612), at most ten a second and cause; the rest becomes a count. What a client
//! wrote is escaped.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::domain::change::Change;
use crate::domain::dhcp::v4::{Decision, Outcome, Request, Silence};
use crate::domain::dhcp::v6::wire::Kind as Kind6;
use crate::domain::dhcp::v6::{Decision6, Request6};
use crate::domain::dhcp::value::escape;
use crate::domain::dhcp::wire::{Kind, Reply};
use crate::domain::hex;
use crate::domain::time::Mono;

/// Lines a second and cause (reliability reference, section 4).
const LINES: u32 = 10;
/// Causes of DHCPv4: kinds of reply, and silences.
const CAUSES4: usize = Kind::ALL.len() + Silence::ALL.len();
/// With those of DHCPv6, whose silences that are told are one cause.
const CAUSES: usize = CAUSES4 + Kind6::ALL.len() + 1;

/// Remembers what was written lately.
#[derive(Debug)]
pub(super) struct Journal {
    windows: [(Mono, u32); CAUSES],
}

impl Default for Journal {
    fn default() -> Journal {
        Journal { windows: [(Mono(0), 0); CAUSES] }
    }
}

impl Journal {
    /// Writes the line of one decision.
    pub(super) fn decided(&mut self, request: &Request<'_>, decision: &Decision, now: Mono) {
        match &decision.outcome {
            Outcome::Send(reply, _) if reply.kind == Kind::Offer => {
                tracing::debug!(mac = ?request.mac, ip = %reply.yiaddr, via = request.arrival.interface, "DHCPOFFER");
            }
            Outcome::Send(reply, _) => {
                if let Some(left_out) = self.may(reply.kind as usize, now) {
                    let ip = concerned(request, reply);
                    let name = granted_name(decision);
                    let via = request.arrival.interface;
                    let (kind, mac) = (reply.kind.name(), who(request));
                    let xid = request.packet.xid();
                    tracing::info!(
                        event = kind, %ip, mac, iface = via, xid, left_out,
                        "{kind} on {ip} to {mac} ({name}) via {via}"
                    );
                }
            }
            Outcome::Look(ip) => {
                tracing::debug!(mac = ?request.mac, %ip, via = request.arrival.interface, "looking whether it is in use");
            }
            // every client of the other server's
            Outcome::Silent(Silence::NotBooting) => {}
            Outcome::Silent(why) => {
                if let Some(left_out) = self.may(Kind::ALL.len() + *why as usize, now) {
                    let (kind, mac, via) = (request.kind.name(), who(request), request.arrival.interface);
                    let (xid, reason) = (request.packet.xid(), why.label());
                    tracing::info!(
                        event = kind,
                        reason,
                        mac,
                        iface = via,
                        xid,
                        left_out,
                        "{kind} from {mac} via {via}: {reason}"
                    );
                }
            }
        }
    }

    /// Writes the line of one decision of DHCPv6.
    pub(super) fn decided6(&mut self, request: &Request6<'_>, decision: &Decision6<'_>, now: Mono) {
        let (why, via) = (decision.silence(), request.arrival.interface);
        let cause = match (decision.reply_kind(), why) {
            // offers are many, and nothing is given yet
            (Some(Kind6::Advertise), _) => return,
            (Some(kind), _) => CAUSES4 + kind as usize,
            (None, Some(Silence::Declines | Silence::NotOwner)) => CAUSES4 + Kind6::ALL.len(),
            (None, _) => return,
        };
        let Some(left_out) = self.may(cause, now) else { return };
        let who = request.mac.map_or_else(|| request.duid.map(hex::write).unwrap_or_default(), |mac| mac.to_string());
        let what: Vec<String> = decision.changes.iter().filter_map(concerned6).collect();
        let (kind, what) = (request.kind.name(), what.join(", "));
        match (decision.reply_kind(), why) {
            (Some(reply), _) => tracing::info!(left_out, "{} to {kind}: {what} to {who} via {via}", reply.name()),
            (None, why) => tracing::info!(left_out, reason = why.map(Silence::label), "{kind} from {who} via {via}"),
        }
    }

    /// How many lines were left out since the last one, if there may be one now.
    fn may(&mut self, cause: usize, now: Mono) -> Option<u32> {
        let (since, count) = self.windows.get_mut(cause)?;
        let mut left_out = 0;
        if now.since(*since) >= Duration::from_secs(1) {
            left_out = count.saturating_sub(LINES);
            (*since, *count) = (now, 0);
        }
        *count += 1;
        (*count <= LINES).then_some(left_out)
    }
}

/// The address that a reply is about: granted, asked about, or the one that an INFORM came from.
fn concerned(request: &Request<'_>, reply: &Reply) -> Ipv4Addr {
    let addresses = [reply.yiaddr, reply.ciaddr, request.packet.ciaddr(), request.arrival.source];
    addresses.into_iter().find(|ip| !ip.is_unspecified()).unwrap_or(Ipv4Addr::UNSPECIFIED)
}

fn who(request: &Request<'_>) -> String {
    match (request.mac, &request.client_id) {
        (Some(mac), _) => mac.to_string(),
        (None, Some(id)) => escape(id),
        (None, None) => "?".to_owned(),
    }
}

/// What a change gives or takes, with the name that it got.
fn concerned6(change: &Change) -> Option<String> {
    match change {
        Change::LeaseGranted(lease) => {
            let what = lease.prefix().map_or_else(|| lease.ip.to_string(), |prefix| prefix.to_string());
            Some(format!("{what} ({})", lease.fqdn.as_deref().unwrap_or("-")))
        }
        Change::LeaseEnded { ip, .. } => Some(format!("end of {ip}")),
        _ => None,
    }
}

fn granted_name(decision: &Decision) -> &str {
    let name = decision.changes.iter().find_map(|change| match change {
        Change::LeaseGranted(lease) => lease.fqdn.as_deref(),
        _ => None,
    });
    name.unwrap_or("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_ten_lines_a_second_then_a_count() {
        let mut journal = Journal::default();
        let now = Mono(5_000);
        let lines = (0..25).filter(|_| journal.may(3, now).is_some()).count();
        assert_eq!(lines, 10);
        assert_eq!(journal.may(4, now), Some(0));
        assert_eq!(journal.may(3, Mono(6_000)), Some(15));
    }
}
