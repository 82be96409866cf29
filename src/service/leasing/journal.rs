//! One line a decision (DH-612), at most ten a second and cause; the rest becomes a count. What a client
//! wrote is escaped.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::domain::change::Change;
use crate::domain::dhcp::v4::{Decision, Outcome, Request, Silence};
use crate::domain::dhcp::value::escape;
use crate::domain::dhcp::wire::{Kind, Reply};
use crate::domain::time::Mono;

/// Lines a second and cause (reliability reference, section 4).
const LINES: u32 = 10;
/// Causes: kinds of reply, and silences.
const CAUSES: usize = Kind::ALL.len() + Silence::ALL.len();

/// Remembers what was written lately.
#[derive(Debug, Default)]
pub(super) struct Journal {
    windows: [(Mono, u32); CAUSES],
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
                    tracing::info!(left_out, "{kind} on {ip} to {mac} ({name}) via {via}");
                }
            }
            Outcome::Look(ip) => {
                tracing::debug!(mac = ?request.mac, %ip, via = request.arrival.interface, "looking whether it is in use");
            }
            Outcome::Silent(why) => {
                if matches!(why, Silence::Done | Silence::PoolFull | Silence::Declines | Silence::NotOwner)
                    && let Some(left_out) = self.may(Kind::ALL.len() + *why as usize, now)
                {
                    let (kind, mac, via) = (request.kind.name(), who(request), request.arrival.interface);
                    tracing::info!(left_out, reason = why.label(), "{kind} from {mac} via {via}");
                }
            }
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
