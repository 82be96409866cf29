//! The sections of the daemon itself and of its protocols: `[server]`, `[log]`, `[dhcp4]`, `[dns]`,
//! `[provisioning]`, `[netboot]`. Owns their defaults; refuses what would be insecure (SE-29).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use super::networks::Effects;
use super::phones;
use super::raw::{At, Document, Section};
use crate::domain::dhcp::guard::Rates;
use crate::domain::dhcp::meters::Rate;
use crate::domain::dhcp::policy::{Menu, Steal};
use crate::domain::phone::settings::Values;

/// `[server]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    pub domain: String,
    /// Loopback only.
    pub listen: Vec<SocketAddr>,
    /// `None`: `api.sock` in the state directory.
    pub socket: Option<PathBuf>,
    pub admin_group: String,
}

impl Default for Server {
    fn default() -> Server {
        Server {
            domain: "home.arpa".to_owned(),
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 8080))],
            socket: None,
            admin_group: "lanlord-admin".to_owned(),
        }
    }
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// A filter as `tracing` reads it.
    pub level: String,
    /// How long it is remembered who held an address, after the end.
    pub lease_history: Duration,
}

impl Default for Log {
    fn default() -> Log {
        Log { level: "info".to_owned(), lease_history: Duration::from_secs(365 * 86_400) }
    }
}

/// `[dhcp4]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Dhcp4 {
    pub enabled: bool,
    pub port: u16,
    pub client_port: u16,
    pub authoritative: bool,
    pub lease_time: Duration,
    pub min_lease_time: Duration,
    pub max_lease_time: Duration,
    pub infinite_leases: bool,
    pub offer_hold: Duration,
    pub quarantine: Duration,
    pub affinity: Duration,
    pub cache_fraction: f64,
    pub rapid_commit: bool,
    pub echo_client_id: bool,
    pub accept_bare_request: bool,
    pub bootp: bool,
    pub probe: bool,
    /// Relays that may ask who holds what.
    pub leasequery: Vec<Ipv4Addr>,
    pub one_lease_per_mac: bool,
    pub steal: Steal,
    pub rates: Rates,
    pub known_share: f64,
    pub check_source_mac: bool,
    pub rogue_probe: bool,
    /// Other DHCP servers that belong there.
    pub known_servers: Vec<Ipv4Addr>,
    /// Boot fields of the header; only these are read of them.
    pub boot: Effects,
    /// Name or number, and value.
    pub options: Vec<(At<String>, At<String>)>,
}

impl Default for Dhcp4 {
    fn default() -> Dhcp4 {
        Dhcp4 {
            enabled: false,
            port: 67,
            client_port: 68,
            authoritative: false,
            lease_time: Duration::from_secs(12 * 3600),
            min_lease_time: Duration::from_secs(600),
            max_lease_time: Duration::from_secs(7 * 86_400),
            infinite_leases: false,
            offer_hold: Duration::from_secs(30),
            quarantine: Duration::from_secs(86_400),
            affinity: Duration::from_secs(30 * 86_400),
            cache_fraction: 0.1,
            rapid_commit: false,
            echo_client_id: true,
            accept_bare_request: false,
            bootp: false,
            probe: true,
            leasequery: Vec::new(),
            one_lease_per_mac: false,
            steal: Steal::default(),
            rates: Rates::default(),
            known_share: 0.1,
            check_source_mac: false,
            rogue_probe: true,
            known_servers: Vec::new(),
            boot: Effects::default(),
            options: Vec::new(),
        }
    }
}

/// `[dns]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    pub enabled: bool,
    /// `None`: loopback and the addresses of the networks' interfaces.
    pub listen: Option<Vec<IpAddr>>,
    pub port: u16,
    pub zones: PathBuf,
    pub forward: Vec<SocketAddr>,
    /// `None`: loopback and the networks' prefixes.
    pub recursion: Option<Vec<IpNet>>,
    pub ttl: Option<u32>,
}

impl Default for Dns {
    fn default() -> Dns {
        Dns {
            enabled: false,
            listen: None,
            port: 53,
            zones: PathBuf::from("zones"),
            forward: Vec::new(),
            recursion: None,
            ttl: None,
        }
    }
}

/// Who becomes a device unasked (PR-9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoCreate {
    Off,
    Bound,
    Claimed,
}

/// `[provisioning]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Provisioning {
    pub enabled: bool,
    pub http_port: u16,
    pub tftp_port: u16,
    pub listen: Vec<IpAddr>,
    pub http_url: Option<String>,
    pub auto_create: AutoCreate,
    pub create_on_lease: bool,
    /// Devices that leases may make on one network in an hour.
    pub new_devices_per_hour: u32,
    pub plugins: Vec<PathBuf>,
    pub trusted_proxies: Vec<IpNet>,
    /// Settings of all phones.
    pub base: Values,
    /// Settings that new phones start with besides; empty for one line without account.
    pub template: Values,
}

impl Default for Provisioning {
    fn default() -> Provisioning {
        Provisioning {
            enabled: false,
            http_port: 8667,
            tftp_port: 69,
            listen: vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED)],
            http_url: None,
            auto_create: AutoCreate::Bound,
            create_on_lease: true,
            new_devices_per_hour: 100,
            plugins: vec![PathBuf::from("/usr/share/lanlord/plugins"), PathBuf::from("plugins")],
            trusted_proxies: Vec::new(),
            base: Values::new(),
            template: Values::new(),
        }
    }
}

impl Provisioning {
    /// What phones are told: the configured URL, or one with `${server_ip}` for the address they reach.
    pub fn url(&self) -> String {
        let default = || format!("http://${{server_ip}}:{}", self.http_port);
        self.http_url.clone().unwrap_or_else(default)
    }
}

const ADDRESS: &str = "an IP address such as 10.0.0.1";

/// `[server]`.
pub(super) fn server(section: Option<Section<'_>>) -> Server {
    let (mut server, Some(s)) = (Server::default(), section) else { return Server::default() };
    if let Some(domain) = domain(&s, "domain") {
        server.domain = domain;
    }
    if let Some(listen) = s.list::<SocketAddr>("listen", "an address with port such as 127.0.0.1:8080") {
        // AP-608: plain HTTP off loopback never.
        for at in listen.iter().filter(|at| !at.value.ip().is_loopback()) {
            let message = format!(
                "`listen` is {}: the API speaks plain HTTP, off the loopback everybody could read along",
                at.value
            );
            s.doc.complain(&at.span, message, Some("use 127.0.0.1, or the Unix socket".to_owned()));
        }
        server.listen = listen.into_iter().map(|at| at.value).collect();
    }
    server.socket = s.path("socket");
    if let Some(group) = s.text("admin_group") {
        server.admin_group = group.value;
    }
    server
}

/// `[log]`.
pub(super) fn log(section: Option<Section<'_>>) -> Log {
    let (base, Some(s)) = (Log::default(), section) else { return Log::default() };
    Log {
        level: s.text("level").map_or(base.level, |at| at.value),
        lease_history: s.duration("lease_history").unwrap_or(base.lease_history),
    }
}

/// `[dhcp4]`.
pub(super) fn dhcp4(section: Option<Section<'_>>) -> Dhcp4 {
    let (d, Some(s)) = (Dhcp4::default(), section) else { return Dhcp4::default() };
    let steal = [("next-renewal", Steal::NextRenewal), ("expiry", Steal::Expiry)];
    let dhcp4 = Dhcp4 {
        enabled: s.flag("enabled").unwrap_or(d.enabled),
        port: s.port("port").unwrap_or(d.port),
        client_port: s.port("client_port").unwrap_or(d.client_port),
        authoritative: s.flag("authoritative").unwrap_or(d.authoritative),
        lease_time: lease_time(&s, "lease_time").unwrap_or(d.lease_time),
        min_lease_time: lease_time(&s, "min_lease_time").unwrap_or(d.min_lease_time),
        max_lease_time: lease_time(&s, "max_lease_time").unwrap_or(d.max_lease_time),
        infinite_leases: s.flag("infinite_leases").unwrap_or(d.infinite_leases),
        offer_hold: s.duration("offer_hold").unwrap_or(d.offer_hold),
        quarantine: s.duration("quarantine").unwrap_or(d.quarantine),
        affinity: s.duration("affinity").unwrap_or(d.affinity),
        cache_fraction: s.fraction("cache_fraction").unwrap_or(d.cache_fraction),
        rapid_commit: s.flag("rapid_commit").unwrap_or(d.rapid_commit),
        echo_client_id: s.flag("echo_client_id").unwrap_or(d.echo_client_id),
        accept_bare_request: s.flag("accept_bare_request").unwrap_or(d.accept_bare_request),
        bootp: s.flag("bootp").unwrap_or(d.bootp),
        probe: s.flag("probe").unwrap_or(d.probe),
        leasequery: super::networks::ipv4s(&s, "leasequery"),
        one_lease_per_mac: s.flag("one_lease_per_mac").unwrap_or(d.one_lease_per_mac),
        steal: s.choice("steal", &steal).unwrap_or(d.steal),
        rates: rates(&s),
        known_share: s.fraction("known_share").unwrap_or(d.known_share),
        check_source_mac: s.flag("check_source_mac").unwrap_or(d.check_source_mac),
        rogue_probe: s.flag("rogue_probe").unwrap_or(d.rogue_probe),
        known_servers: super::networks::ipv4s(&s, "known_servers"),
        boot: super::networks::boot_fields(&s),
        options: s.pairs("options"),
    };
    if dhcp4.min_lease_time > dhcp4.max_lease_time {
        let hint = Some("set both, the lower one first".to_owned());
        s.doc.complain(&s.span, "`min_lease_time` is above `max_lease_time`", hint);
    }
    dhcp4
}

/// How often may be asked; 0 is without bound.
fn rates(section: &Section<'_>) -> Rates {
    let number = |key| section.number(key, 0..=1_000_000).and_then(|n| u32::try_from(n).ok());
    let d = Rates::default();
    Rates {
        client: number("client_rate").map_or(d.client, Rate::of),
        port: number("port_rate").map_or(d.port, Rate::of),
        strangers: number("stranger_rate").map_or(d.strangers, |n| Rate { per_second: n, burst: n }),
    }
}

/// Lease times are up to one year; below ten seconds only tests make sense, and they need it.
pub(super) fn lease_time(section: &Section<'_>, key: &str) -> Option<Duration> {
    let range = Duration::from_secs(1)..=Duration::from_secs(366 * 86_400);
    let time = section.duration(key)?;
    if !range.contains(&time) {
        let message = format!("`{key}` is {} s; 1 s to one year are possible", time.as_secs());
        section.doc.complain(&section.span, message, None);
        return None;
    }
    Some(time)
}

/// `[dns]`: on if it stands there.
pub(super) fn dns(doc: &Document<'_>, section: Option<Section<'_>>) -> Dns {
    let base = Dns { zones: doc.beside("zones"), ..Dns::default() };
    let Some(s) = section else { return base };
    Dns {
        enabled: s.flag("enabled").unwrap_or(true),
        listen: s.list::<IpAddr>("listen", ADDRESS).map(values),
        port: s.port("port").unwrap_or(base.port),
        zones: s.path("zones").unwrap_or(base.zones),
        forward: forward(&s),
        recursion: s.list::<IpNet>("recursion", "a prefix such as 10.0.0.0/8").map(values),
        ttl: s.number("ttl", 0..=604_800).and_then(|ttl| u32::try_from(ttl).ok()),
    }
}

/// Upstreams: an address, with or without a port.
fn forward(section: &Section<'_>) -> Vec<SocketAddr> {
    let mut out = Vec::new();
    for text in section.texts("forward").unwrap_or_default() {
        let bare = text.value.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
        match bare.or_else(|_| text.value.parse::<SocketAddr>()) {
            Ok(address) => out.push(address),
            Err(_) => {
                let message = format!("`forward` must hold addresses such as 192.0.2.53, not `{}`", text.value);
                section.doc.complain(&text.span, message, None);
            }
        }
    }
    out
}

/// `[provisioning]`.
pub(super) fn provisioning(doc: &Document<'_>, section: Option<Section<'_>>) -> Provisioning {
    let mut base = Provisioning::default();
    base.plugins = base.plugins.iter().map(|path| doc.beside(&path.to_string_lossy())).collect();
    let Some(s) = section else { return base };
    let policy = [("bound", AutoCreate::Bound), ("claimed", AutoCreate::Claimed), ("off", AutoCreate::Off)];
    Provisioning {
        enabled: s.flag("enabled").unwrap_or(base.enabled),
        http_port: s.port("http_port").unwrap_or(base.http_port),
        tftp_port: s.port("tftp_port").unwrap_or(base.tftp_port),
        listen: s.list::<IpAddr>("listen", ADDRESS).map_or(base.listen, values),
        http_url: http_url(&s),
        auto_create: s.choice("auto_create", &policy).unwrap_or(base.auto_create),
        create_on_lease: s.flag("create_on_lease").unwrap_or(base.create_on_lease),
        new_devices_per_hour: (s.number("new_devices_per_hour", 1..=100_000))
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or(base.new_devices_per_hour),
        plugins: s.paths("plugins").unwrap_or(base.plugins),
        trusted_proxies: s
            .list::<IpNet>("trusted_proxies", "a prefix such as 192.0.2.80/32")
            .map(values)
            .unwrap_or_default(),
        base: phones::values(&s, "base"),
        template: phones::values(&s, "template"),
    }
}

/// `[netboot]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Netboot {
    /// The boot folder; `None`: no boot files are served.
    pub dir: Option<PathBuf>,
    pub menu: Menu,
}

/// SE-29: folders that hold more than boot files: everybody on the served networks could read what is below.
pub(super) fn is_too_wide(folder: &Path) -> bool {
    let wide = ["/", "/etc", "/home", "/root", "/var", "/var/lib", "/usr"];
    wide.iter().any(|wide| folder.components().eq(Path::new(wide).components()))
}

/// A line of a firmware's text screen, of so many characters: `up to 60` or `1 to 60`.
pub(super) fn menu_text(s: &Section<'_>, key: &str, length: &str) -> Option<String> {
    let At { value, span } = s.text(key)?;
    let short = value.is_empty() && length.starts_with('1');
    if short || value.len() > 60 || !value.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
        s.doc.complain(&span, format!("`{key}` must be {length} printable ASCII characters"), None);
    }
    Some(value)
}

/// `[netboot]`.
pub(super) fn netboot(section: Option<Section<'_>>) -> Netboot {
    let Some(s) = section else { return Netboot::default() };
    let dir = s.path("dir");
    if let Some(dir) = dir.as_deref().filter(|dir| is_too_wide(dir)) {
        let message = format!("`dir` is {}: everybody would be given all files of it", dir.display());
        s.doc.complain(
            &s.span,
            message,
            Some("make a folder that holds nothing but boot files, e.g. /srv/boot".to_owned()),
        );
    }
    let d = Menu::default();
    let prompt = menu_text(&s, "menu_prompt", "up to 60");
    let timeout = s.number("menu_timeout", 0..=255).and_then(|n| u8::try_from(n).ok());
    Netboot { dir, menu: Menu { prompt: prompt.unwrap_or(d.prompt), timeout: timeout.unwrap_or(d.timeout) } }
}

fn http_url(section: &Section<'_>) -> Option<String> {
    let url = section.text("http_url")?;
    let ok = url.value.starts_with("http://") || url.value.starts_with("https://");
    if !ok || url.value.contains(|c: char| c.is_whitespace() || c.is_control()) {
        let message = format!("`http_url` must be a URL such as http://10.77.0.2:8667, not `{}`", url.value);
        section.doc.complain(&url.span, message, None);
        return None;
    }
    Some(url.value.trim_end_matches('/').to_owned())
}

/// A domain name: lower-case, no final dot.
pub(super) fn domain(section: &Section<'_>, key: &str) -> Option<String> {
    let text = section.text(key)?;
    let name = text.value.trim_end_matches('.').to_ascii_lowercase();
    let label =
        |l: &str| !l.is_empty() && l.len() <= 63 && l.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if name.len() > 253 || !name.split('.').all(label) {
        let message = format!("`{key}` must be a domain name such as voice.home.arpa, not `{}`", text.value);
        section.doc.complain(&text.span, message, None);
        return None;
    }
    Some(name)
}

fn values<T>(items: Vec<At<T>>) -> Vec<T> {
    items.into_iter().map(|at| at.value).collect()
}
