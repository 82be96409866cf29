//! Our own addresses, told to everybody who must know them, at the start and whenever the kernel changes them:
//! leasing never gives them away (DH-218), names of this server lead to them.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::services::Services;
use super::settings;
use crate::clock::Clock;
use crate::net::{LinkWatch, Links};

/// Who is told.
pub(super) struct Own {
    pub services: Services,
    pub clock: Arc<dyn Clock>,
    pub links: LinkWatch,
}

impl Own {
    /// Tells them once, then follows until `cancel`.
    pub async fn follow(self, cancel: CancellationToken) {
        let mut changes = self.links.changes();
        let mut configured = self.services.configured.subscribe();
        loop {
            let config = configured.borrow_and_update().clone();
            let links = self.links.links();
            self.services.leasing.set_own(ipv4(&links));
            self.services.leasing.set_own6(links.iter().flat_map(|link| link.ipv6()).collect());
            let named = settings::own_addresses(&config.networks, &links);
            self.services.naming.set_server_addresses(&named, self.clock.wall());
            tokio::select! {
                () = cancel.cancelled() => return,
                Ok(()) = changes.changed() => {}
                Ok(()) = configured.changed() => {}
            }
        }
    }
}

fn ipv4(links: &Links) -> HashSet<Ipv4Addr> {
    let all = links.iter().flat_map(|link| link.addresses.iter());
    all.filter_map(|net| if let IpAddr::V4(ip) = net.addr() { Some(ip) } else { None }).collect()
}
