//! Who is known (DH-811): who held an address here, and who is a device. What is left of a pool is kept for
//! them.

use super::*;
use crate::domain::device::Device;

/// The hardware addresses of devices; as many as there are devices.
#[derive(Debug, Clone, Default)]
pub(super) struct DeviceMacs {
    of: HashMap<String, Vec<Mac>>,
    /// How many devices claim each of them.
    macs: HashMap<Mac, u32>,
}

impl DeviceMacs {
    pub fn put(&mut self, device: &Device) {
        self.remove(&device.id);
        let macs: Vec<Mac> = device.mac.into_iter().chain(device.mac_aliases.iter().copied()).collect();
        macs.iter().for_each(|mac| *self.macs.entry(*mac).or_default() += 1);
        if !macs.is_empty() {
            self.of.insert(device.id.clone(), macs);
        }
    }

    pub fn remove(&mut self, id: &str) {
        for mac in self.of.remove(id).unwrap_or_default() {
            if let Some(count) = self.macs.get_mut(&mac) {
                *count -= 1;
                if *count == 0 {
                    self.macs.remove(&mac);
                }
            }
        }
    }
}

impl Book {
    /// True if the client holds or held an address on that network, or is a device. Reservations are looked up
    /// by whoever asks.
    pub fn knows(&self, network: usize, client: &ClientKey, mac: Option<Mac>) -> bool {
        mac.is_some_and(|mac| self.devices.macs.contains_key(&mac))
            || self.address_of(network, client).is_some()
            || self.past_of(network, client).is_some()
    }

    /// True if anybody could have the address, and no more is left of its pool than is kept for clients that
    /// are known. Constant time.
    pub fn is_scarce(&self, network: usize, ip: Ipv4Addr) -> bool {
        // what is leased, offered or held is somebody's already
        let somebodys = |cell: &Cell| cell.lease.is_some() || cell.offer().is_some() || cell.hold().is_some();
        let Some(subnet) = self.policy.within(network, ip).filter(|_| !self.cell(network, ip).is_some_and(somebodys))
        else {
            return false;
        };
        let free = self.nets.get(network).and_then(|net| net.free.get(subnet));
        free.is_some_and(|free| free.is_scarce(ip, self.policy.rules.known_share))
    }
}
