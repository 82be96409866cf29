//! Provisioning over a ledger in memory, for the tests of this service and of the servers in front of it.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use crate::config::plugins::load;
use crate::domain::device::Value;
use crate::domain::lease::{Cause, ClientKey, End, Lease};
use crate::domain::net::Mac;
use crate::domain::phone::settings::Values;
use crate::domain::time::Mono;
use crate::service::secrets::{Secrets, system_random};
use crate::store::Ledger;
use crate::store::memory::Memory;

/// The interface that everything arrives on.
pub const LINK: &str = "voice0";

#[derive(Default)]
/// A clock that is moved by hand.
pub struct Hand(pub AtomicI64);

impl Clock for Hand {
    fn wall(&self) -> Wall {
        Wall(self.0.load(Ordering::Relaxed))
    }
    fn mono(&self) -> Mono {
        Mono(self.0.load(Ordering::Relaxed).unsigned_abs())
    }
}

/// A daemon's provisioning, without its servers.
pub struct House {
    pub ledger: Ledger,
    pub disk: Memory,
    pub bindings: Arc<Bindings>,
    pub devices: Arc<Devices>,
    pub phones: Arc<Provisioning>,
    pub clock: Arc<Hand>,
    /// Stands in the template's line 1; made at run time.
    pub password: String,
}

pub fn plugins() -> Arc<[Plugin]> {
    let (plugins, problems) = load(&[Path::new(env!("CARGO_MANIFEST_DIR")).join("config/plugins")]);
    assert!(problems.is_empty(), "{problems:?}");
    plugins.into()
}

pub fn map<const N: usize>(pairs: [(&str, Value); N]) -> Values {
    pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
}

pub fn house(settings: Settings) -> House {
    house_on(settings, Memory::default())
}

pub fn house_on(settings: Settings, disk: Memory) -> House {
    let clock = Arc::new(Hand::default());
    let random = system_random();
    let mut secret = [0u8; 8];
    random(&mut secret);
    let password = crate::domain::hex::write(&secret);
    let bindings = Bindings::new(clock.clone());
    let line = map([("username", Value::Text("u".into())), ("password", Value::Text(password.clone()))]);
    let template = map([("sip_lines", Value::Map(map([("1", Value::Map(line))])))]);
    let devices = Devices::new(Values::new(), template, Arc::new(Secrets::from_key(&[7; 32])));
    let views = vec![bindings.view(), devices.view()];
    let (ledger, _end) = Ledger::start(disk.clone(), disk.recovered(), views, clock.clone());
    devices.attach(ledger.clone());
    let phones = Provisioning::new(settings, plugins(), bindings.clone(), devices.clone(), clock.clone(), random);
    House { ledger, disk, bindings, devices, phones, clock, password }
}

pub fn ip(n: u8) -> IpAddr {
    Ipv4Addr::new(192, 168, 1, n).into()
}

pub fn leased(mac: Mac, ip: IpAddr, class: Option<&str>, relay: Option<IpAddr>) -> Lease {
    Lease {
        ip,
        delegated: None,
        network: "voice".into(),
        subnet: "192.168.1.0/24".parse().unwrap(),
        client: ClientKey::Hw(1, mac.0.to_vec()),
        mac: Some(mac),
        client_id: None,
        hostname: None,
        fqdn: None,
        vendor_class: class.map(|c| c.as_bytes().to_vec()),
        user_class: None,
        requested: Vec::new(),
        relay_info: None,
        circuit_id: None,
        remote_id: None,
        relay,
        interface: LINK.into(),
        began: Wall(0),
        expires: Wall::NEVER,
        preferred: None,
        cause: Cause::New,
    }
}

impl House {
    pub async fn lease(&self, mac: Mac, ip: IpAddr, class: Option<&str>) {
        let lease = leased(mac, ip, class, None);
        self.ledger.commit(vec![Change::LeaseGranted(Box::new(lease))]).await.unwrap();
    }

    pub async fn release(&self, ip: IpAddr) {
        let change = Change::LeaseEnded { network: "voice".into(), ip, end: End::Released };
        self.ledger.commit(vec![change]).await.unwrap();
    }

    pub async fn ask(&self, protocol: Protocol, ip: IpAddr, path: &str, agent: Option<&str>) -> FileReply {
        let request = FileRequest {
            protocol,
            peer: ip,
            interface: Some(LINK.into()),
            local: Ipv4Addr::new(192, 168, 1, 1).into(),
            path: path.as_bytes().to_vec(),
            query: None,
            user_agent: agent.map(|a| a.as_bytes().to_vec()),
        };
        self.phones.serve(request).await
    }

    pub async fn tftp(&self, ip: IpAddr, path: &str) -> FileReply {
        self.ask(Protocol::Tftp, ip, path, None).await
    }
}
