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

/// A boot folder, with things in it and around it that nobody may have; gone when it is dropped.
pub struct Shelf(tempfile::TempDir);

impl Shelf {
    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    /// A file of that many bytes of text; they differ from place to place.
    pub fn write(&self, name: &str, size: usize) -> String {
        use std::os::unix::fs::PermissionsExt;
        let text: String = (0..=size / 8).map(|n| format!("{n:07}\n")).collect();
        let path = self.path("boot").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text[..size]).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        text[..size].to_owned()
    }
}

impl House {
    /// Serves a boot folder to the networks of the fixture. Beside it lie files that must not leak: a sibling
    /// whose name begins alike, and what symbolic links and a hard link in the folder lead to.
    pub fn boot_folder(&self) -> Shelf {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let shelf = Shelf(tempfile::tempdir().unwrap());
        shelf.write("sub/file", 10);
        std::fs::create_dir(shelf.path("boot-private")).unwrap();
        for secret in ["secret", "boot-private/secret"] {
            std::fs::write(shelf.path(secret), "leaked").unwrap();
            std::fs::set_permissions(shelf.path(secret), std::fs::Permissions::from_mode(0o640)).unwrap();
        }
        symlink(shelf.path("secret"), shelf.path("boot/link")).unwrap();
        symlink("..", shelf.path("boot/up")).unwrap();
        std::fs::hard_link(shelf.path("secret"), shelf.path("boot/hard")).unwrap();
        let networks = vec!["192.168.1.0/24".parse().unwrap()];
        self.phones.set_boot(Some(BootSettings { folder: shelf.path("boot"), networks }));
        shelf
    }
}

/// Paths that try to leave where they start (SE-10), as they stand in an HTTP request.
pub fn hostile_paths() -> Vec<String> {
    let climbs = [
        "../",
        "..\\",
        "%2e%2e/",
        "%2e%2e%2f",
        "..%2f",
        "%252e%252e%252f",
        "%c0%ae%c0%ae/",
        "..%c0%af",
        "..;/",
        "..%5c",
        "%2e%2e%5c",
        "..%00/",
        "....//",
        "./",
        "%2f%2f",
        "..%u2215",
        "\u{ff0e}\u{ff0e}/",
    ];
    let targets = [
        "etc/passwd",
        "master.key",
        "tftpboot-private/secret",
        "var/lib/lanlord/journal.db",
        "boot-private/secret",
        "secret",
        "plugin.toml",
        "templates/device.cfg.j2",
    ];
    let mut paths: Vec<String> =
        ["/boot/link", "/boot/hard", "/boot/up/secret", "/boot/sub"].map(str::to_owned).to_vec();
    for target in targets {
        for start in
            ["/", "//", "/Aastra/", "/y000000000028.cfg/", "/%2e/", "/templates/", "/boot/", "/boot/sub/", "/boot/up/"]
        {
            for climb in climbs {
                paths.extend([1, 2, 3, 8].map(|depth| format!("{start}{}{target}", climb.repeat(depth))));
            }
        }
        for prefix in ["//", "/C:/", "/C:\\", "/file:///", "/./", "/~root/", "/%00", "/%0d%0a", "/\\\\host\\"] {
            paths.push(format!("{prefix}{target}"));
        }
    }
    paths.extend(["/".to_owned(), format!("/{}", "a/".repeat(1000)), format!("/{}", "%41".repeat(680))]);
    paths.extend([
        "/%".to_owned(),
        "/%4".to_owned(),
        "/%zz".to_owned(),
        "/y000000000028.cfg%00".to_owned(),
        "/y000000000028.cfg/".to_owned(),
    ]);
    paths
}
