//! When somebody sets the wall clock (DH-507): a lease lasts as long as it was given for, in memory by the clock
//! that does not step, and on disk by writing its end down again as the wall clock has it now.

use super::*;

/// An end on disk that is off by less is left to the next renewal.
pub const TOLERANCE: Duration = Duration::from_secs(10);

/// Where a walk through the leases stopped.
pub type Mark = (Mono, u32, Ipv4Addr);

impl Book {
    /// What was read from the disk is all there: leases from here on are given by the clock of this run.
    pub fn go_live(&mut self) {
        self.live = true;
    }

    /// Somebody has set the wall clock by which the ends of leases on disk were read: none of them ends earlier
    /// than the clock says now, unless that is later than any lease could end: then it was written by a clock
    /// that was wrong.
    pub fn read_again(&mut self, now: Now) {
        for network in 0..self.nets.len() {
            let read = self.nets[network].cells.iter().filter(|(_, cell)| cell.read);
            let later = read.filter_map(|(ip, cell)| {
                let end = now.until(cell.lease.as_ref()?.expires());
                let longest = now.mono.plus(self.longest(network, *ip));
                (end > cell.deadline && end <= longest).then_some((*ip, cell.deadline, end))
            });
            for (ip, old, end) in later.collect::<Vec<_>>() {
                self.expiries.remove(&(old, network as u32, ip));
                self.expiries.insert((end, network as u32, ip));
                if let Some(cell) = self.nets[network].cells.get_mut(&ip) {
                    cell.deadline = end;
                }
            }
        }
    }

    /// The longest time that a lease of that address can be given for.
    fn longest(&self, network: usize, ip: Ipv4Addr) -> Duration {
        let subnet = self.policy.within(network, ip);
        let times = subnet.map_or(self.policy.times, |subnet| self.policy.times(Place { network, subnet }));
        Duration::from_secs(times.max.into())
    }

    /// Looks at leases behind `after`, at most `count`: those whose end on disk says something else than memory
    /// does, with the right end; and where to go on, if there are more.
    pub fn drifted(&self, now: Now, after: Option<Mark>, count: usize) -> (Vec<Change>, Option<Mark>) {
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let mut looked = self.expiries.range((from, std::ops::Bound::Unbounded));
        let (mut out, mut last) = (Vec::new(), None);
        for (deadline, network, ip) in looked.by_ref().take(count) {
            last = Some((*deadline, *network, *ip));
            let Some(cell) = self.cell(*network as usize, *ip).filter(|cell| !cell.is_pending()) else { continue };
            let Some(kept) = &cell.lease else { continue };
            if let Some(expires) = now.drifted(kept.expires(), *deadline, TOLERANCE) {
                out.push(Change::LeaseGranted(Box::new(Lease { expires, ..kept.lease() })));
            }
        }
        (out, last.filter(|_| looked.next().is_some()))
    }
}
