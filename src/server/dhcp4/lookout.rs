//! Looks out for other DHCP servers on one link (DH-813): hears their answers, and asks now and then as a client
//! would. What follows is said by `service::leasing`; no server is ever fought.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Dhcp4;
use crate::domain::dhcp::foreign;
use crate::domain::net::Mac;
use crate::net::{Link, NetError, Overhear, Place, Presence};

/// Between two rounds of questions, and between the two questions of one: one frame may get lost.
const ROUND: Duration = Duration::from_secs(45);
const SECOND: Duration = Duration::from_secs(2);

pub(super) struct Lookout<'a> {
    pub shell: &'a Dhcp4,
    pub interface: &'a str,
}

impl Lookout<'_> {
    /// Looks out whenever the interface is there, until `cancel`.
    pub async fn run(self, cancel: &CancellationToken) {
        let place = Place { links: &self.shell.links, interface: self.interface, cancel };
        let note = |presence| {
            // what keeps clients from being served is told by the intake; this does not
            if let Presence::Failing(why) = presence {
                tracing::debug!(interface = self.interface, why, "other DHCP servers are not looked for");
            }
        };
        place.attend(ready, note, |(_, own)| self.look(own, cancel)).await;
    }

    async fn look(&self, own: Mac, cancel: &CancellationToken) -> Result<(), NetError> {
        let settings = self.shell.settings;
        let mut link = Overhear::open(self.interface, own, settings.server_port)?;
        let (numbers, mut round) = (RandomState::new(), 0u64);
        let (mut next, mut second) = (Instant::now(), false);
        loop {
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                heard = link.heard() => {
                    let heard = heard.map_err(NetError::receiving(self.interface))?;
                    self.shell.leasing.overheard(self.interface, heard.mac, heard.source, heard.bytes);
                }
                () = tokio::time::sleep_until(next) => {
                    if self.shell.leasing.policy().rules.rogue_probe {
                        let question = foreign::question(own, numbers.hash_one(round) as u32);
                        if let Err(why) = link.ask(&question, settings.client_port, settings.server_port).await {
                            // no carrier: the next round finds it better
                            tracing::debug!(interface = self.interface, %why, "no question to other DHCP servers");
                        }
                    }
                    next += if second { ROUND - SECOND } else { SECOND };
                    round += u64::from(second);
                    second = !second;
                }
            }
        }
    }
}

/// Index and hardware address of the interface, once it has an address.
fn ready(link: &Link) -> Result<(u32, Mac), &'static str> {
    link.ipv4().ok_or("an IPv4 address of the interface")?;
    link.mac.map(|mac| (link.index, mac)).ok_or("a hardware address of the interface")
}
