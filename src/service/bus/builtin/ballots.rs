//! The votes of those who own addresses and names, beside the hosts' own.

use std::net::IpAddr;

use super::Ballot;
use crate::domain::change::Record;
use crate::domain::host::Host;
use crate::domain::time::Wall;
use crate::service::leasing::Leasing;
use crate::service::naming::Naming;
use crate::store::Refusal;

fn conflict(message: String) -> Refusal {
    Refusal { code: "conflict".to_owned(), message }
}

impl Ballot for Leasing {
    fn vote(&self, host: &Host, _at: Wall) -> Result<(), Refusal> {
        for interface in &host.interfaces {
            let mac = interface.mac.filter(|mac| mac.is_identity());
            for ip in &interface.addresses {
                if let Some(message) = self.objection(*ip, mac) {
                    return Err(conflict(message));
                }
            }
        }
        Ok(())
    }
}

impl Ballot for Naming {
    fn vote(&self, host: &Host, _at: Wall) -> Result<(), Refusal> {
        let addresses: Vec<IpAddr> = host.interfaces.iter().flat_map(|i| i.addresses.iter().copied()).collect();
        for name in host.fqdn.iter().chain(&host.aliases) {
            for ip in &addresses {
                let record = Record {
                    id: String::new(),
                    name: name.clone(),
                    rtype: if ip.is_ipv4() { "A" } else { "AAAA" }.to_owned(),
                    ttl: 0,
                    data: ip.to_string(),
                    owner: host.id.clone(),
                };
                self.check_record(&record).map_err(conflict)?;
            }
        }
        Ok(())
    }
}
