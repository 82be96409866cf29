//! When somebody sets the wall clock: as in DHCPv4 ([`book::steps`](crate::domain::dhcp::book)).

use super::*;
use crate::domain::change::Change;
use crate::domain::dhcp::book::TOLERANCE;
use crate::domain::time::Now;

/// Where a walk through the leases stopped.
pub type Mark6 = (Mono, usize, Ipv6Addr);

impl Book6 {
    /// What was read from the disk is all there: leases from here on are given by the clock of this run.
    pub fn go_live(&mut self) {
        self.live = true;
    }

    /// None of the leases that were read from the disk ends earlier than the clock says now, unless that is
    /// later than any lease could end.
    pub fn read_again(&mut self, now: Now) {
        let longest = now.mono.plus(self.policy.longest6());
        for (network, net) in self.nets.iter_mut().enumerate() {
            for (ip, cell) in net.cells.iter_mut().filter(|(_, cell)| cell.read) {
                let Some(lease) = &cell.lease else { continue };
                let end = now.until(lease.expires);
                if end > cell.deadline && end <= longest {
                    self.expiries.remove(&(cell.deadline, network, *ip));
                    self.expiries.insert((end, network, *ip));
                    cell.deadline = end;
                }
            }
        }
    }

    /// Looks at leases behind `after`, at most `count`: those whose end on disk says something else than memory
    /// does, with the right end; and where to go on, if there are more.
    pub fn drifted(&self, now: Now, after: Option<Mark6>, count: usize) -> (Vec<Change>, Option<Mark6>) {
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let mut looked = self.expiries.range((from, std::ops::Bound::Unbounded));
        let (mut out, mut last) = (Vec::new(), None);
        for (deadline, network, ip) in looked.by_ref().take(count) {
            last = Some((*deadline, *network, *ip));
            let Some(cell) = self.nets[*network].cells.get(ip).filter(|cell| !cell.pending) else { continue };
            let Some(lease) = &cell.lease else { continue };
            if let Some(expires) = now.drifted(lease.expires, *deadline, TOLERANCE) {
                let by = expires.0.saturating_sub(lease.expires.0);
                let preferred = lease.preferred.map(|preferred| Wall(preferred.0.saturating_add(by)));
                out.push(Change::LeaseGranted(Box::new(Lease { expires, preferred, ..lease.as_ref().clone() })));
            }
        }
        (out, last.filter(|_| looked.next().is_some()))
    }
}
