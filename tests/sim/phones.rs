//! Requests for phone files: of clients with a lease, of stations without one, and of phones that somebody
//! only made up.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use lanlord::clock::Clock;
use lanlord::config::plugins;
use lanlord::domain::change::Change;
use lanlord::domain::device::{Added, Device};
use lanlord::domain::phone::settings::Values;
use lanlord::service::bindings::Bindings;
use lanlord::service::devices::Devices;
use lanlord::service::provisioning::{FileRequest, Protocol, Provisioning, Settings};
use lanlord::service::secrets::Secrets;

use crate::client::Client;
use crate::random::Random;
use crate::world::{INTERFACE, SERVER};

/// Provisioning with the shipped plugins, and its devices.
pub fn service(bindings: Arc<Bindings>, clock: Arc<dyn Clock>, seed: u64) -> (Arc<Provisioning>, Arc<Devices>) {
    static PLUGINS: OnceLock<Arc<[lanlord::domain::phone::plugin::Plugin]>> = OnceLock::new();
    let plugins = PLUGINS.get_or_init(|| {
        let (plugins, problems) = plugins::load(&[Path::new(env!("CARGO_MANIFEST_DIR")).join("config/plugins")]);
        assert!(problems.is_empty(), "{problems:?}");
        plugins.into()
    });
    let devices = Devices::new(Values::new(), Values::new(), Arc::new(Secrets::from_key(&[7; 32])));
    let random = Mutex::new(Random::new(seed));
    let fill = move |bytes: &mut [u8]| {
        let mut random = random.lock().expect("no holder panics");
        bytes.iter_mut().for_each(|byte| *byte = random.below(256) as u8);
    };
    let phones =
        Provisioning::new(Settings::default(), plugins.clone(), bindings, devices.clone(), clock, Arc::new(fill));
    (phones, devices)
}

/// One request, true or made up.
pub fn request(clients: &[Client], random: &mut Random) -> FileRequest {
    let peer = Ipv4Addr::new(10, 77, 0, random.between(98, 110) as u8);
    let holder = clients.iter().find(|c| c.holds.is_some_and(|(ip, _)| ip == peer));
    let mac = match holder {
        Some(client) if random.chance(70) => client.mac,
        _ => [0x80, 0x5e, 0xc0, 0, 0, random.below(250) as u8],
    };
    let hex: String = mac.iter().map(|b| format!("{b:02x}")).collect();
    let colons: Vec<String> = mac.iter().map(|b| format!("{b:02x}")).collect();
    let (protocol, path, agent) = match random.below(3) {
        0 => (Protocol::Tftp, format!("{hex}.cfg"), None),
        1 => {
            (Protocol::Http, format!("/{hex}.cfg"), Some(format!("Yealink SIP-T46G 28.83.0.120 {}", colons.join(":"))))
        }
        _ => (Protocol::Tftp, format!("spa{hex}.xml"), None),
    };
    FileRequest {
        protocol,
        peer: IpAddr::V4(peer),
        interface: Some(INTERFACE.into()),
        local: IpAddr::V4(SERVER),
        path: path.into_bytes(),
        query: None,
        user_agent: agent.map(String::into_bytes),
    }
}

/// What a provisioning without bindings would do with it.
pub fn by_address(request: &FileRequest) -> Change {
    Change::DevicePut(Box::new(Device {
        id: request.peer.to_string(),
        mac: None,
        mac_aliases: Vec::new(),
        sn: None,
        uuid: None,
        vendor: None,
        model: None,
        version: None,
        plugin: None,
        plugin_pinned: false,
        config: None,
        configured: false,
        added: Added::Auto,
        approved: false,
        description: String::new(),
        ip: Some(request.peer),
        evidence: Vec::new(),
        options: Default::default(),
    }))
}
