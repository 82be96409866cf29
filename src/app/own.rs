//! Our own addresses, told to everybody who must know them, at the start and whenever the kernel changes them:
//! leasing never gives them away (DH-218), names of this server lead to them.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::services::Services;
use super::settings;
use crate::clock::Clock;
use crate::config::Config;
use crate::net::{LinkWatch, Links};

/// Who is told.
pub(super) struct Own {
    pub config: Config,
    pub services: Services,
    pub clock: Arc<dyn Clock>,
    pub links: LinkWatch,
}

impl Own {
    /// Tells them once, then follows until `cancel`.
    pub async fn follow(self, cancel: CancellationToken) {
        let mut changes = self.links.changes();
        loop {
            let links = self.links.links();
            self.services.leasing.set_own(ipv4(&links));
            self.services.leasing.set_own6(links.iter().flat_map(|link| link.ipv6()).collect());
            let named = settings::own_addresses(&self.config, &links);
            self.services.naming.set_server_addresses(&named, self.clock.wall());
            if !matches!(cancel.run_until_cancelled(changes.changed()).await, Some(Ok(()))) {
                return;
            }
        }
    }
}

fn ipv4(links: &Links) -> HashSet<Ipv4Addr> {
    let all = links.iter().flat_map(|link| link.addresses.iter());
    all.filter_map(|net| if let IpAddr::V4(ip) = net.addr() { Some(ip) } else { None }).collect()
}
