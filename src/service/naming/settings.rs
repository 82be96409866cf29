//! What naming needs to be told.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use crate::domain::lease::Reservation;

/// A network with the domain that its clients get their names in.
#[derive(Debug, Clone)]
pub struct Domain {
    /// Name of the network, as leases carry it.
    pub network: String,
    /// Lower-case, no final dot.
    pub domain: String,
    /// Each gets its reverse zone.
    pub subnets: Vec<IpNet>,
}

/// Settings of [`super::Naming`].
#[derive(Debug, Clone)]
pub struct Settings {
    /// Directory of `*.zone` files; `None` or a missing directory means that there are none. It is only read.
    pub zone_dir: Option<PathBuf>,
    /// Domain of the site (`server.domain`): lower-case, no final dot.
    pub domain: String,
    pub networks: Vec<Domain>,
    /// More domains that are ours though no network has them, such as that of roaming hosts.
    pub domains: Vec<String>,
    /// Fully qualified name of this server: MNAME and NS of generated zones.
    pub server_name: String,
    /// Addresses that `server_name` and `service_names` resolve to at first;
    /// [`super::Naming::set_server_addresses`] follows their changes.
    pub server_addresses: Vec<IpAddr>,
    /// Single labels that lead to this server in every domain (DN-323).
    pub service_names: Vec<String>,
    /// Those of the configuration, which are not in the ledger.
    pub reservations: Vec<Reservation>,
    /// TTL of hosts and reservations with a fixed address, seconds.
    pub ttl: u32,
    /// Bounds of the TTL of a lease's records, which is a third of the lease (DN-311), seconds.
    pub ttl_min: u32,
    pub ttl_max: u32,
    /// `client_updates = "honour"`: a client that sets option 81's N bit gets no records (DN-308).
    pub honour_client_updates: bool,
    /// Must be hard to guess and new at each start: keeps strangers from choosing names that collide.
    pub seed: u64,
}

impl Settings {
    /// Defaults around a site's domain and the seed.
    pub fn new(domain: &str, seed: u64) -> Settings {
        Settings {
            zone_dir: None,
            domain: domain.to_owned(),
            networks: Vec::new(),
            domains: Vec::new(),
            server_name: format!("lanlord.{domain}"),
            server_addresses: Vec::new(),
            service_names: ["provision", "tftpserver", "ciscocm1", "cm"].map(str::to_owned).to_vec(),
            reservations: Vec::new(),
            ttl: 3_600,
            ttl_min: 600,
            ttl_max: 3_600,
            honour_client_updates: false,
            seed,
        }
    }

    /// The domain of a network; the site's if it has none.
    pub(super) fn domain_of(&self, network: &str) -> &str {
        let found = self.networks.iter().find(|n| n.network == network);
        found.map(|n| n.domain.as_str()).filter(|d| !d.is_empty()).unwrap_or(&self.domain)
    }

    /// Every domain that is ours, each once.
    pub(super) fn all_domains(&self) -> Vec<&str> {
        let networks = self.networks.iter().map(|n| n.domain.as_str());
        let mut all: Vec<&str> = std::iter::once(self.domain.as_str()).chain(networks).collect();
        all.extend(self.domains.iter().map(String::as_str));
        all.retain(|d| !d.is_empty());
        all.sort_unstable();
        all.dedup();
        all
    }

    /// DN-311: a third of the lease within the bounds, never longer than the lease.
    /// Rounded, so that a renewal that took a moment longer changes no record.
    pub(super) fn lease_ttl(&self, seconds: u64) -> u32 {
        let seconds = if seconds > 60 { seconds.saturating_add(5) / 10 * 10 } else { seconds };
        let third = u32::try_from(seconds / 3).unwrap_or(u32::MAX);
        let bounded = third.clamp(self.ttl_min.min(self.ttl_max), self.ttl_max);
        bounded.min(u32::try_from(seconds).unwrap_or(u32::MAX)).max(1)
    }
}
