//! Caps on transfers (PR-48): in all, and per peer address. A slot is given back when its transfer ends,
//! however it ends.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The count.
pub struct Transfers {
    most: usize,
    per_peer: usize,
    active: Mutex<(usize, HashMap<IpAddr, usize>)>,
}

/// One running transfer.
pub struct Slot {
    transfers: Arc<Transfers>,
    peer: IpAddr,
}

impl Transfers {
    pub fn new(most: usize, per_peer: usize) -> Arc<Transfers> {
        Arc::new(Transfers { most, per_peer, active: Mutex::default() })
    }

    /// A slot, or none if there are too many transfers.
    pub fn begin(self: &Arc<Self>, peer: IpAddr) -> Option<Slot> {
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, peers) = &mut *active;
        let own = peers.get(&peer).copied().unwrap_or(0);
        if *all >= self.most || own >= self.per_peer {
            return None;
        }
        *all += 1;
        peers.insert(peer, own + 1);
        Some(Slot { transfers: self.clone(), peer })
    }

    pub fn active(&self) -> usize {
        self.active.lock().unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut active = self.transfers.active.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, peers) = &mut *active;
        *all -= 1;
        if let Some(own) = peers.get_mut(&self.peer) {
            *own -= 1;
            if *own == 0 {
                peers.remove(&self.peer);
            }
        }
    }
}
