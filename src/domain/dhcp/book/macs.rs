//! Leases by hardware address, for those who ask so: `one_lease_per_mac` and LEASEQUERY. Kept only while the
//! policy has a use for it, since it costs memory with every lease.

use super::*;

impl Book {
    /// The leases of that hardware address on all networks, whatever identifier they hang on. Empty if the
    /// policy has no use for the question.
    pub fn leases_of_mac(&self, mac: Mac) -> Vec<(usize, Arc<Lease>)> {
        let held = self.macs.get(&mac).into_iter().flatten();
        held.filter_map(|(network, ip)| Some((*network, self.lease(*network, *ip)?))).collect()
    }

    fn knows_macs(&self) -> bool {
        self.policy.rules.one_lease_per_mac || !self.policy.rules.leasequery.is_empty()
    }

    pub(super) fn note_mac(&mut self, network: usize, mac: Option<Mac>, ip: Ipv4Addr) {
        let Some(mac) = mac else { return };
        if self.knows_macs() {
            let held = self.macs.entry(mac).or_default();
            if !held.contains(&(network, ip)) {
                held.push((network, ip));
            }
        }
    }

    pub(super) fn forget_mac(&mut self, network: usize, mac: Option<Mac>, ip: Ipv4Addr) {
        let Some(mac) = mac else { return };
        if let Some(held) = self.macs.get_mut(&mac) {
            held.retain(|place| *place != (network, ip));
            if held.is_empty() {
                self.macs.remove(&mac);
            }
        }
    }

    /// Builds the index anew, for another policy.
    pub(super) fn index_macs(&mut self) {
        self.macs.clear();
        if !self.knows_macs() {
            return;
        }
        let mac = |cell: &Cell| cell.lease.as_ref().and_then(Kept::mac);
        let all: Vec<(usize, Option<Mac>, Ipv4Addr)> = (self.nets.iter().enumerate())
            .flat_map(|(n, net)| net.cells.iter().map(move |(ip, cell)| (n, mac(cell), *ip)))
            .collect();
        all.into_iter().for_each(|(network, mac, ip)| self.note_mac(network, mac, ip));
    }
}
