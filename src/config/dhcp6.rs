//! `[dhcp6]`, and what IPv6 subnets say to it: pools, prefixes to delegate, options, lifetimes. Owns their
//! keys and defaults, and that nothing which is delegated lies on a link or is delegated twice.

use std::net::Ipv6Addr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use ipnet::{IpNet, Ipv6Net};

use super::networks::{Network, Subnet};
use super::raw::{At, Document, Section};
use super::services::lease_time;
use crate::domain::dhcp::policy::{Delegation, Policy, Pool6, Rules6, Setting6, Subnet6, Times6, Value6};
use crate::domain::dhcp::v6::options;
use crate::domain::{follow, hex};

/// `[dhcp6]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Dhcp6 {
    pub enabled: bool,
    pub port: u16,
    pub client_port: u16,
    /// Addresses and prefixes are given, not options only.
    pub stateful: bool,
    pub lease_time: Duration,
    pub preferred_time: Option<Duration>,
    pub rapid_commit: bool,
    pub use_multicast: bool,
    pub register: bool,
    pub preference: u8,
    /// Our DUID; `None`: made from the key of the installation.
    pub duid: Option<Vec<u8>>,
    /// DUIDs of other servers that belong there.
    pub known_servers: Vec<Vec<u8>>,
    /// Name or number, and value.
    pub options: Vec<(At<String>, At<String>)>,
}

impl Default for Dhcp6 {
    fn default() -> Dhcp6 {
        Dhcp6 {
            enabled: false,
            port: 547,
            client_port: 546,
            stateful: true,
            lease_time: Duration::from_secs(43_200),
            preferred_time: None,
            rapid_commit: false,
            use_multicast: false,
            register: true,
            preference: 0,
            duid: None,
            known_servers: Vec::new(),
            options: Vec::new(),
        }
    }
}

/// What an IPv6 subnet says beside its prefix.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Six {
    pub pools: Vec<At<RangeInclusive<Ipv6Addr>>>,
    pub exclude: Vec<RangeInclusive<Ipv6Addr>>,
    pub delegate: Vec<At<Delegation>>,
    pub dns: Option<Vec<Ipv6Addr>>,
    pub ntp: Vec<Ipv6Addr>,
    pub lease_time: Option<Duration>,
    pub preferred_time: Option<Duration>,
}

/// Addresses with a hyphen between them, one address, or a prefix.
struct Addresses(RangeInclusive<Ipv6Addr>);

impl FromStr for Addresses {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Addresses, Self::Err> {
        if let Ok(net) = text.parse::<Ipv6Net>() {
            return Ok(Addresses(net.network()..=net.broadcast()));
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let first: Ipv6Addr = first.trim().parse().map_err(|_| "no address")?;
        let last: Ipv6Addr = last.trim().parse().map_err(|_| "no address")?;
        if first <= last { Ok(Addresses(first..=last)) } else { Err("the range runs backwards") }
    }
}

const RANGE: &str = "a range such as 2001:db8:77::1000-2001:db8:77::1fff, an address or a prefix";
const IPV6: &str = "an IPv6 address such as 2001:db8:77::1";

/// The section itself; its defaults if it is not there.
pub(super) fn read(section: Option<Section<'_>>) -> Dhcp6 {
    let Some(s) = section else { return Dhcp6::default() };
    let base = Dhcp6::default();
    Dhcp6 {
        enabled: s.flag("enabled").unwrap_or(false),
        port: s.port("port").unwrap_or(base.port),
        client_port: s.port("client_port").unwrap_or(base.client_port),
        stateful: s.choice("mode", &[("stateful", true), ("stateless", false)]).unwrap_or(true),
        lease_time: lease_time(&s, "lease_time").unwrap_or(base.lease_time),
        preferred_time: preferred(&s),
        rapid_commit: s.flag("rapid_commit").unwrap_or(false),
        use_multicast: s.flag("use_multicast").unwrap_or(false),
        register: s.flag("register").unwrap_or(true),
        preference: s.number("preference", 0..=255).and_then(|n| u8::try_from(n).ok()).unwrap_or(0),
        duid: s.text("duid").and_then(|text| duid(&s, &text, "duid")),
        known_servers: s
            .texts("known_servers")
            .unwrap_or_default()
            .iter()
            .filter_map(|text| duid(&s, text, "known_servers"))
            .collect(),
        options: s.pairs("options"),
    }
}

/// Not longer than the lease, where both stand in one table.
fn preferred(s: &Section<'_>) -> Option<Duration> {
    let preferred = lease_time(s, "preferred_time")?;
    if let (Some(whole), Some(value)) = (s.duration("lease_time"), s.value("preferred_time"))
        && preferred > whole
    {
        s.doc.complain(&value.span(), "`preferred_time` is longer than `lease_time`", None);
    }
    Some(preferred)
}

/// RFC 9915 §11.1: two octets of type, and 1 to 128 more.
fn duid(s: &Section<'_>, text: &At<String>, key: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.value.bytes().filter(|b| *b != b':').collect();
    let duid = hex::read(&digits).filter(|duid| (3..=130).contains(&duid.len()));
    if duid.is_none() {
        let message = format!("`{key}` must be hexadecimal such as 000300010800270000aa, not `{}`", text.value);
        s.doc.complain(&text.span, message, None);
    }
    duid
}

/// What a subnet of that prefix says; `None` for IPv4. `whole`: the prefix is part of this one, and what the subnet
/// names is counted from there.
pub(super) fn subnet(s: &Section<'_>, prefix: &IpNet, whole: Option<Ipv6Net>) -> Option<Six> {
    let IpNet::V6(prefix) = prefix else {
        for key in ["delegate", "preferred_time"].into_iter().filter(|key| s.has(key)) {
            s.doc.complain(&s.span, format!("`{key}` is for IPv6 prefixes"), None);
        }
        return None;
    };
    let ips = |key| -> Vec<Ipv6Addr> {
        s.list::<Ipv6Addr>(key, IPV6).unwrap_or_default().into_iter().map(|at| at.value).collect()
    };
    Some(Six {
        pools: pools(s, prefix, whole.is_some()),
        exclude: ranges(s, "exclude", prefix, whole.is_some()).into_iter().map(|at| at.value).collect(),
        delegate: s.tables("delegate", "network.subnet.delegate").iter().filter_map(|s| delegation(s, whole)).collect(),
        dns: s.has("dns").then(|| ips("dns")),
        ntp: ips("ntp"),
        lease_time: lease_time(s, "lease_time"),
        preferred_time: preferred(s),
    })
}

fn ranges(s: &Section<'_>, key: &str, prefix: &Ipv6Net, counted: bool) -> Vec<At<RangeInclusive<Ipv6Addr>>> {
    let mut out = Vec::new();
    for At { value: Addresses(mut range), span } in s.list::<Addresses>(key, RANGE).unwrap_or_default() {
        if counted {
            let host = u128::from(prefix.hostmask());
            if [range.start(), range.end()].iter().any(|ip| u128::from(**ip) & !host != 0) {
                let message = format!("`{key}` {}-{} is not counted from the prefix", range.start(), range.end());
                s.doc.complain(&span, message, Some("write it as ::1000-::1fff".to_owned()));
                continue;
            }
            range = joined(prefix, *range.start())..=joined(prefix, *range.end());
        }
        if prefix.contains(range.start()) && prefix.contains(range.end()) {
            out.push(At { value: range, span });
        } else {
            let message = format!("`{key}` {}-{} lies outside {prefix}", range.start(), range.end());
            s.doc.complain(&span, message, None);
        }
    }
    out
}

/// The address that is so far from the begin of the prefix.
fn joined(prefix: &Ipv6Net, ip: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from(u128::from(prefix.network()) | u128::from(ip))
}

/// A prefix to delegate that begins with zeros is counted from the one of the interface; `None` if it does not lie
/// in that.
fn placed(prefix: Ipv6Net, whole: Option<Ipv6Net>) -> Option<Ipv6Net> {
    let Some(whole) = whole.filter(|_| prefix.network().segments()[0] == 0) else { return Some(prefix) };
    let inside = u128::from(prefix.network()) & u128::from(whole.netmask()) == 0;
    Ipv6Net::new(joined(&whole, prefix.network()), prefix.prefix_len())
        .ok()
        .filter(|prefix| inside && whole.contains(prefix))
}

fn pools(s: &Section<'_>, prefix: &Ipv6Net, counted: bool) -> Vec<At<RangeInclusive<Ipv6Addr>>> {
    let mut out: Vec<At<RangeInclusive<Ipv6Addr>>> = Vec::new();
    for pool in ranges(s, "pool", prefix, counted) {
        let (first, last) = (*pool.value.start(), *pool.value.end());
        let rival = out.iter().find(|o| *o.value.start() <= last && first <= *o.value.end());
        if let Some(rival) = rival {
            let message = format!("`pool` {first}-{last} overlaps the one of {}", s.doc.place(&rival.span));
            s.doc.complain(&pool.span, message, None);
        } else {
            out.push(pool);
        }
    }
    out
}

fn delegation(s: &Section<'_>, from: Option<Ipv6Net>) -> Option<At<Delegation>> {
    for key in ["prefix", "length"].into_iter().filter(|key| !s.has(key)) {
        let hint = Some("such as { prefix = \"2001:db8:7700::/40\", length = 56 }".to_owned());
        s.doc.complain(&s.span, format!("`{key}` is missing"), hint);
    }
    let prefix = s.parsed::<Ipv6Net>("prefix", "an IPv6 prefix such as 2001:db8:7700::/40");
    let length = s.number("length", 1..=128).and_then(|n| u8::try_from(n).ok());
    let exclude = s.parsed::<Ipv6Net>("exclude", "an IPv6 prefix such as 2001:db8:7700::/64");
    let (prefix, length) = (prefix?, length?);
    let (whole, span) = (prefix.value.trunc(), prefix.span);
    if whole != prefix.value {
        s.doc.complain(&span, format!("{} has bits beyond its length", prefix.value), Some(format!("write {whole}")));
    }
    if length < whole.prefix_len() {
        s.doc.complain(&span, format!("{whole} holds no prefix of length {length}"), None);
        return None;
    }
    if let Some(at) = exclude.as_ref().filter(|at| !whole.contains(&at.value) || at.value.prefix_len() <= length) {
        let message = format!("`exclude` {} lies in no prefix of length {length} of {whole}", at.value);
        s.doc.complain(&at.span, message, None);
    }
    let exclude = exclude.map(|at| at.value.trunc());
    let Some(prefix) = placed(whole, from) else {
        let from = from.map_or(String::new(), |from| from.to_string());
        let hint = Some("the provider's prefix is longer than it was meant for".to_owned());
        s.doc.find(&span, format!("{whole} is not delegated: it does not lie in {from}"), hint);
        return None;
    };
    let exclude = exclude.and_then(|exclude| placed(exclude, from));
    Some(At { value: Delegation { prefix, length, exclude }, span })
}

/// DH-706: what is delegated lies on no link, and is delegated once.
pub(super) fn check(doc: &Document<'_>, networks: &[Network]) {
    let subnets = || networks.iter().flat_map(|network| &network.subnets);
    let all: Vec<&At<Delegation>> = subnets().filter_map(|s| s.six.as_ref()).flat_map(|six| &six.delegate).collect();
    let meet = |a: &Ipv6Net, b: &Ipv6Net| a.contains(b) || b.contains(a);
    for (at, delegation) in all.iter().enumerate() {
        let prefix = delegation.value.prefix;
        for other in subnets() {
            if let IpNet::V6(net) = other.prefix
                && meet(&net, &prefix)
            {
                let message = format!("{prefix} overlaps the subnet {net} of {}", doc.place(&other.span));
                doc.complain(&delegation.span, message, Some("delegate a prefix that is on no link".to_owned()));
            }
        }
        for other in all[..at].iter().filter(|other| meet(&other.value.prefix, &prefix)) {
            let message = format!("{prefix} overlaps {} of {}", other.value.prefix, doc.place(&other.span));
            doc.complain(&delegation.span, message, None);
        }
    }
}

/// Puts what the file says of DHCPv6 into the policy.
pub(super) fn settle(doc: &Document<'_>, dhcp6: &Dhcp6, own_dns: bool, policy: &mut Policy) {
    policy.options6 = settings(doc, &dhcp6.options);
    if own_dns && !policy.options6.iter().any(|setting| setting.code == DNS) {
        policy.options6.push(Setting6 { code: DNS, value: Value6::Text("${server_ip}".to_owned()) });
    }
    policy.rules6 = Rules6 {
        stateful: dhcp6.stateful,
        rapid_commit: dhcp6.rapid_commit,
        use_multicast: dhcp6.use_multicast,
        register: dhcp6.register,
        preference: dhcp6.preference,
        times: Times6::of(dhcp6.lease_time, dhcp6.preferred_time),
        server_id: dhcp6.duid.clone().unwrap_or_default(),
        known_servers: dhcp6.known_servers.clone(),
        client_port: dhcp6.client_port,
        server_port: dhcp6.port,
        ..Rules6::default()
    };
}

/// An IPv6 subnet as decisions see it; `None` for IPv4.
pub(super) fn prefix(doc: &Document<'_>, subnet: &Subnet, dhcp6: &Dhcp6) -> Option<Subnet6> {
    let (IpNet::V6(net), Some(six)) = (subnet.prefix, &subnet.six) else { return None };
    let mut own = settings(doc, &subnet.options);
    let mut servers = |code: u16, text: String| {
        if !text.is_empty() && !own.iter().any(|setting| setting.code == code) {
            own.extend(Setting6::parse(code, &text));
        }
    };
    servers(DNS, listed(six.dns.as_deref().unwrap_or_default()));
    servers(NTP, listed(&six.ntp));
    let valid = six.lease_time.unwrap_or(dhcp6.lease_time);
    let said = six.lease_time.is_some() || six.preferred_time.is_some();
    let inherited = dhcp6.preferred_time.filter(|_| six.lease_time.is_none());
    let own_times = Times6::of(valid, six.preferred_time.or(inherited));
    let times = if subnet.followed {
        let all = if said { own_times } else { Times6::of(dhcp6.lease_time, dhcp6.preferred_time) };
        Some(Times6 { preferred: all.preferred.min(follow::PREFERRED), valid: all.valid.min(follow::VALID) })
    } else {
        said.then_some(own_times)
    };
    let pool = |pool: &At<RangeInclusive<Ipv6Addr>>| Pool6 { range: pool.value.clone(), exclude: six.exclude.clone() };
    Some(Subnet6 {
        pools: six.pools.iter().map(pool).collect(),
        delegate: six.delegate.iter().map(|at| at.value.clone()).collect(),
        options: own,
        times,
        ..Subnet6::new(net)
    })
}

const DNS: u16 = 23;
const NTP: u16 = 56;

fn listed(ips: &[Ipv6Addr]) -> String {
    ips.iter().map(Ipv6Addr::to_string).collect::<Vec<_>>().join(" ")
}

/// The options of a network; with this server as resolver, if its DNS is on and no other is named.
pub(super) fn of_network(doc: &Document<'_>, network: &Network) -> Vec<Setting6> {
    settings(doc, &network.options6)
}

/// Options by name or number.
fn settings(doc: &Document<'_>, pairs: &[(At<String>, At<String>)]) -> Vec<Setting6> {
    let mut out = Vec::new();
    for (name, text) in pairs {
        let spelled = name.value.replace('_', "-");
        let Some(code) = options::code_of(&spelled) else {
            let near = super::problem::nearest(&spelled, options::REGISTRY.iter().map(|entry| entry.name));
            let hint = near.map_or("write its name or its number".to_owned(), |n| format!("did you mean `{n}`?"));
            doc.complain(&name.span, format!("there is no DHCPv6 option `{}`", name.value), Some(hint));
            continue;
        };
        match Setting6::parse(code, &text.value) {
            Ok(setting) => out.push(setting),
            Err(problem) => doc.complain(&text.span, problem.to_string(), None),
        }
    }
    out
}

/// Interface-ids of relays: text, or hexadecimal after 0x.
pub(super) fn interface_ids(s: &Section<'_>) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for At { value, span } in s.texts("interface_ids").unwrap_or_default() {
        let bytes = value.strip_prefix("0x").map_or(Some(value.clone().into_bytes()), |d| hex::read(d.as_bytes()));
        match bytes {
            Some(bytes) if (1..=255).contains(&bytes.len()) => out.push(bytes),
            _ => s.doc.complain(&span, "`interface_ids` must be texts, or hexadecimal after 0x", None),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::parse;

    const FILE: &str = r#"
[dhcp6]
enabled = true
rapid_commit = true
lease_time = "2h"
options = { sol-max-rt = 3600 }
[dns]
[[network]]
name = "lan"
interface = "eth0"
relays = ["10.9.9.9", "2001:db8:9::1"]
interface_ids = ["port-7", "0x0102"]
options6 = { domain-search = "a.example b.example" }
[[network.subnet]]
prefix = "2001:db8:77::/64"
pool = ["2001:db8:77::1000-2001:db8:77::1fff", "2001:db8:77:0:1::/112"]
exclude = ["2001:db8:77::1100"]
delegate = [{ prefix = "2001:db8:7700::/40", length = 56, exclude = "2001:db8:7700::/64" }]
preferred_time = "30m"
ntp = ["2001:db8:77::1"]
options = { captive-portal = "https://portal.example/" }
"#;

    #[test]
    fn the_whole_of_it_becomes_a_policy() {
        let config = parse(Path::new("test.toml"), FILE).expect("valid");
        let network = &config.policy.networks[0];
        assert_eq!(network.relays6, ["2001:db8:9::1".parse::<std::net::Ipv6Addr>().unwrap()]);
        assert_eq!(network.interface_ids, [b"port-7".to_vec(), vec![1, 2]]);
        assert_eq!(network.options6.iter().map(|s| s.code).collect::<Vec<_>>(), [24]);
        assert!(config.policy.options6.iter().any(|s| s.code == super::DNS));
        let subnet = &network.subnets6[0];
        assert_eq!((subnet.pools.len(), subnet.delegate[0].length), (2, 56));
        assert!(!subnet.pooled("2001:db8:77::1100".parse().unwrap()));
        assert!(subnet.pooled("2001:db8:77:0:1::".parse().unwrap()));
        assert_eq!(subnet.options.iter().map(|s| s.code).collect::<Vec<_>>(), [103, 56]);
        let times = config.policy.times6(subnet);
        assert_eq!((times.preferred, times.valid), (1800, 7200));
        assert!(config.policy.rules6.rapid_commit && config.policy.stateful6(0));
        assert_eq!(config.policy.options6[0].code, 82);
    }

    #[test]
    fn what_cannot_be_is_told_with_its_place() {
        let wrong = |from: &str, to: &str| {
            let text = FILE.replacen(from, to, 1);
            assert_ne!(text, FILE, "{from}");
            let problems = parse(Path::new("t.toml"), &text).expect_err(to).0;
            assert!(problems.iter().all(|problem| problem.at.is_some()), "{problems:?}");
            problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>().join("; ")
        };
        let outside = wrong("2001:db8:77::1000-", "2001:db8:76::1000-");
        assert!(outside.contains("lies outside 2001:db8:77::/64"), "{outside}");
        let twice = wrong("2001:db8:77:0:1::/112", "2001:db8:77::1fff");
        assert!(twice.contains("overlaps the one of t.toml:16"), "{twice}");
        let on_link = wrong("2001:db8:7700::/40", "2001:db8::/32");
        assert!(on_link.contains("2001:db8::/32 overlaps the subnet 2001:db8:77::/64"), "{on_link}");
        let short = wrong("length = 56", "length = 39");
        assert!(short.contains("holds no prefix of length 39"), "{short}");
        let exclude = wrong("exclude = \"2001:db8:7700::/64\"", "exclude = \"2001:db8:1::/64\"");
        assert!(exclude.contains("lies in no prefix of length 56"), "{exclude}");
        let long = wrong("preferred_time = \"30m\"", "preferred_time = \"3h\"\nlease_time = \"2h\"");
        assert!(long.contains("longer than `lease_time`"), "{long}");
        let unknown = wrong("captive-portal", "captive-portl");
        assert!(unknown.contains("there is no DHCPv6 option `captive-portl`"), "{unknown}");
        let owned = wrong("sol-max-rt = 3600", "client-identifier = \"0x00\"");
        assert!(owned.contains("written by the server itself"), "{owned}");
        let family = wrong("prefix = \"2001:db8:77::/64\"", "prefix = \"10.0.0.0/24\"");
        assert!(family.contains("`delegate` is for IPv6 prefixes"), "{family}");
        let bounds = wrong("sol-max-rt = 3600", "sol-max-rt = 59");
        assert!(bounds.contains("within its bounds"), "{bounds}");
    }
}
