//! The names that other servers have for options, with the types of their values, and values from their
//! text to wire. Owns what a value means there; how it is spelled here is for the emitter.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::model::Family::{self, V4, V6};
use crate::domain::dhcp::value;
use crate::domain::hex;

/// How a value is written there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Ip4,
    Ip6,
    U8,
    U16,
    U32,
    I8,
    I16,
    I32,
    Bool,
    Text,
    /// A name in wire form, uncompressed.
    Fqdn,
    /// Names in wire form, compressed in DHCPv4 only.
    Fqdns,
    /// Names in wire form one after the other, never compressed.
    FqdnRow,
    Bytes,
    Empty,
    /// Prefix and router, RFC 3442.
    Routes,
    /// RFC 3361.
    Sip,
    /// Other servers have a form of their own that is not read here.
    Special,
}

/// One option under its names elsewhere; an empty name does not exist there.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    pub family: Family,
    pub code: u16,
    pub kea: &'static str,
    pub dhcpd: &'static str,
    pub dnsmasq: &'static str,
    pub kind: Kind,
    pub list: bool,
}

const fn o(code: u16, kea: &'static str, dhcpd: &'static str, dnsmasq: &'static str, kind: Kind) -> Known {
    Known { family: V4, code, kea, dhcpd, dnsmasq, kind, list: false }
}

const fn l(code: u16, kea: &'static str, dhcpd: &'static str, dnsmasq: &'static str, kind: Kind) -> Known {
    Known { family: V4, code, kea, dhcpd, dnsmasq, kind, list: true }
}

const fn six(
    code: u16,
    kea: &'static str,
    dhcpd: &'static str,
    dnsmasq: &'static str,
    kind: Kind,
    list: bool,
) -> Known {
    Known { family: V6, code, kea, dhcpd, dnsmasq, kind, list }
}

use Kind::*;

/// DHCPv4 by code, then DHCPv6.
pub const KNOWN: &[Known] = &[
    o(1, "subnet-mask", "subnet-mask", "netmask", Ip4),
    o(2, "time-offset", "time-offset", "time-offset", I32),
    l(3, "routers", "routers", "router", Ip4),
    l(4, "time-servers", "time-servers", "", Ip4),
    l(5, "name-servers", "ien116-name-servers", "", Ip4),
    l(6, "domain-name-servers", "domain-name-servers", "dns-server", Ip4),
    l(7, "log-servers", "log-servers", "log-server", Ip4),
    l(8, "cookie-servers", "cookie-servers", "", Ip4),
    l(9, "lpr-servers", "lpr-servers", "lpr-server", Ip4),
    l(10, "impress-servers", "impress-servers", "", Ip4),
    l(11, "resource-location-servers", "resource-location-servers", "", Ip4),
    o(12, "host-name", "host-name", "hostname", Text),
    o(13, "boot-size", "boot-size", "boot-file-size", U16),
    o(14, "merit-dump", "merit-dump", "", Text),
    o(15, "domain-name", "domain-name", "domain-name", Text),
    o(16, "swap-server", "swap-server", "swap-server", Ip4),
    o(17, "root-path", "root-path", "root-path", Text),
    o(18, "extensions-path", "extensions-path", "extension-path", Text),
    o(19, "ip-forwarding", "ip-forwarding", "ip-forward-enable", Bool),
    o(20, "non-local-source-routing", "non-local-source-routing", "non-local-source-routing", Bool),
    l(21, "policy-filter", "policy-filter", "policy-filter", Ip4),
    o(22, "max-dgram-reassembly", "max-dgram-reassembly", "max-datagram-reassembly", U16),
    o(23, "default-ip-ttl", "default-ip-ttl", "default-ttl", U8),
    o(24, "path-mtu-aging-timeout", "path-mtu-aging-timeout", "", U32),
    l(25, "path-mtu-plateau-table", "path-mtu-plateau-table", "", U16),
    o(26, "interface-mtu", "interface-mtu", "mtu", U16),
    o(27, "all-subnets-local", "all-subnets-local", "all-subnets-local", Bool),
    o(28, "broadcast-address", "broadcast-address", "broadcast", Ip4),
    o(29, "perform-mask-discovery", "perform-mask-discovery", "", Bool),
    o(30, "mask-supplier", "mask-supplier", "", Bool),
    o(31, "router-discovery", "router-discovery", "router-discovery", Bool),
    o(32, "router-solicitation-address", "router-solicitation-address", "router-solicitation", Ip4),
    l(33, "static-routes", "static-routes", "static-route", Ip4),
    o(34, "trailer-encapsulation", "trailer-encapsulation", "trailer-encapsulation", Bool),
    o(35, "arp-cache-timeout", "arp-cache-timeout", "arp-timeout", U32),
    o(36, "ieee802-3-encapsulation", "ieee802-3-encapsulation", "ethernet-encap", Bool),
    o(37, "default-tcp-ttl", "default-tcp-ttl", "tcp-ttl", U8),
    o(38, "tcp-keepalive-interval", "tcp-keepalive-interval", "tcp-keepalive", U32),
    o(39, "tcp-keepalive-garbage", "tcp-keepalive-garbage", "", Bool),
    o(40, "nis-domain", "nis-domain", "nis-domain", Text),
    l(41, "nis-servers", "nis-servers", "nis-server", Ip4),
    l(42, "ntp-servers", "ntp-servers", "ntp-server", Ip4),
    o(43, "vendor-encapsulated-options", "vendor-encapsulated-options", "vendor-encap", Bytes),
    l(44, "netbios-name-servers", "netbios-name-servers", "netbios-ns", Ip4),
    l(45, "netbios-dd-server", "netbios-dd-server", "netbios-dd", Ip4),
    o(46, "netbios-node-type", "netbios-node-type", "netbios-nodetype", U8),
    o(47, "netbios-scope", "netbios-scope", "netbios-scope", Text),
    l(48, "font-servers", "font-servers", "x-windows-fs", Ip4),
    l(49, "x-display-manager", "x-display-manager", "x-windows-dm", Ip4),
    o(50, "dhcp-requested-address", "dhcp-requested-address", "requested-address", Ip4),
    o(51, "dhcp-lease-time", "dhcp-lease-time", "lease-time", U32),
    o(52, "dhcp-option-overload", "dhcp-option-overload", "option-overload", U8),
    o(53, "dhcp-message-type", "dhcp-message-type", "message-type", U8),
    o(54, "dhcp-server-identifier", "dhcp-server-identifier", "server-identifier", Ip4),
    l(55, "dhcp-parameter-request-list", "dhcp-parameter-request-list", "parameter-request", U8),
    o(56, "dhcp-message", "dhcp-message", "message", Text),
    o(57, "dhcp-max-message-size", "dhcp-max-message-size", "max-message-size", U16),
    o(58, "dhcp-renewal-time", "dhcp-renewal-time", "T1", U32),
    o(59, "dhcp-rebinding-time", "dhcp-rebinding-time", "T2", U32),
    o(60, "vendor-class-identifier", "vendor-class-identifier", "vendor-class", Text),
    o(61, "dhcp-client-identifier", "dhcp-client-identifier", "client-id", Bytes),
    o(62, "nwip-domain-name", "nwip-domain", "", Text),
    o(63, "nwip-suboptions", "nwip-suboptions", "", Bytes),
    o(64, "nisplus-domain-name", "nisplus-domain", "nis+-domain", Text),
    l(65, "nisplus-servers", "nisplus-servers", "nis+-server", Ip4),
    o(66, "tftp-server-name", "tftp-server-name", "tftp-server", Text),
    o(67, "boot-file-name", "bootfile-name", "bootfile-name", Text),
    l(68, "mobile-ip-home-agent", "mobile-ip-home-agent", "mobile-ip-home", Ip4),
    l(69, "smtp-server", "smtp-server", "smtp-server", Ip4),
    l(70, "pop-server", "pop-server", "pop3-server", Ip4),
    l(71, "nntp-server", "nntp-server", "nntp-server", Ip4),
    l(72, "www-server", "www-server", "", Ip4),
    l(73, "finger-server", "finger-server", "", Ip4),
    l(74, "irc-server", "irc-server", "irc-server", Ip4),
    l(75, "streettalk-server", "streettalk-server", "", Ip4),
    l(76, "streettalk-directory-assistance-server", "streettalk-directory-assistance-server", "", Ip4),
    o(77, "user-class", "user-class", "user-class", Bytes),
    o(78, "slp-directory-agent", "slp-directory-agent", "", Special),
    o(79, "slp-service-scope", "slp-service-scope", "", Special),
    o(80, "rapid-commit", "rapid-commit", "rapid-commit", Empty),
    o(81, "fqdn", "fqdn", "FQDN", Special),
    o(82, "dhcp-agent-options", "agent", "agent-id", Special),
    o(85, "nds-servers", "nds-servers", "", Ip4),
    o(86, "nds-tree-name", "nds-tree-name", "", Text),
    o(87, "nds-context", "nds-context", "", Text),
    l(88, "bcms-controller-names", "bcms-controller-names", "", Fqdns),
    l(89, "bcms-controller-address", "bcms-controller-address", "", Ip4),
    o(93, "client-system", "pxe-system-type", "client-arch", U16),
    o(94, "client-ndi", "pxe-interface-id", "client-interface-id", Bytes),
    o(97, "uuid-guid", "pxe-client-id", "client-machine-id", Bytes),
    o(98, "uap-servers", "uap-servers", "", Text),
    o(99, "geoconf-civic", "geoconf-civic", "", Bytes),
    o(100, "pcode", "pcode", "posix-timezone", Text),
    o(101, "tcode", "tcode", "tzdb-timezone", Text),
    o(108, "v6-only-preferred", "v6-only-preferred", "ipv6-only", U32),
    l(112, "netinfo-server-address", "netinfo-server-address", "", Ip4),
    o(113, "netinfo-server-tag", "netinfo-server-tag", "", Text),
    o(114, "v4-captive-portal", "default-url", "", Text),
    o(116, "auto-config", "auto-config", "", U8),
    l(117, "name-service-search", "name-service-search", "", U16),
    o(118, "", "subnet-selection", "subnet-select", Ip4),
    l(119, "domain-search", "domain-search", "domain-search", Fqdns),
    l(120, "", "", "sip-server", Sip),
    l(121, "classless-static-route", "", "classless-static-route", Routes),
    o(124, "vivco-suboptions", "vivco", "vendor-id-encap", Special),
    o(125, "vivso-suboptions", "vivso", "vendor-id", Special),
    l(136, "pana-agent", "pana-agent", "", Ip4),
    o(137, "v4-lost", "v4-lost", "", Fqdn),
    l(138, "capwap-ac-v4", "capwap-ac-v4", "", Ip4),
    l(141, "sip-ua-cs-domains", "sip-ua-cs-domains", "", Fqdns),
    o(146, "rdnss-selection", "rdnss-selection", "", Special),
    l(150, "tftp-server-address", "", "server-ip-address", Ip4),
    o(159, "v4-portparams", "", "", Special),
    o(162, "v4-dnr", "", "", Special),
    l(212, "option-6rd", "option-6rd", "", Special),
    l(213, "v4-access-domain", "v4-access-domain", "", Fqdn),
    six(7, "preference", "preference", "", U8, false),
    six(21, "sip-server-dns", "sip-servers-names", "sip-server-domain", Fqdns, true),
    six(22, "sip-server-addr", "sip-servers-addresses", "sip-server", Ip6, true),
    six(23, "dns-servers", "name-servers", "dns-server", Ip6, true),
    six(24, "domain-search", "domain-search", "domain-search", Fqdns, true),
    six(27, "nis-servers", "nis-servers", "nis-server", Ip6, true),
    six(28, "nisp-servers", "nisp-servers", "nis+-server", Ip6, true),
    six(29, "nis-domain-name", "nis-domain-name", "nis-domain", Fqdns, true),
    six(30, "nisp-domain-name", "nisp-domain-name", "nis+-domain", Fqdns, true),
    six(31, "sntp-servers", "sntp-servers", "sntp-server", Ip6, true),
    six(32, "information-refresh-time", "info-refresh-time", "information-refresh-time", U32, false),
    six(33, "bcmcs-server-dns", "bcms-server-d", "", Fqdns, true),
    six(34, "bcmcs-server-addr", "bcms-server-a", "", Ip6, true),
    six(41, "new-posix-timezone", "timezone-posix", "", Text, false),
    six(42, "new-tzdb-timezone", "timezone-database", "", Text, false),
    six(56, "ntp-server", "ntp-server", "ntp-server", Special, false),
    six(59, "bootfile-url", "bootfile-url", "bootfile-url", Text, false),
    six(60, "bootfile-param", "bootfile-params", "bootfile-param", Special, false),
    six(65, "erp-local-domain-name", "erp-local-domain-name", "", Fqdn, false),
    six(82, "sol-max-rt", "sol-max-rt", "", U32, false),
    six(83, "inf-max-rt", "inf-max-rt", "", U32, false),
    six(103, "v6-captive-portal", "", "", Text, false),
];

/// The option of that code.
pub fn by_code(family: Family, code: u16) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.family == family && known.code == code)
}

/// The option that `name` is for one of the servers.
pub fn by_name(family: Family, name: &str, of: fn(&Known) -> &'static str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.family == family && !name.is_empty() && of(known) == name)
}

/// A value from its text to wire. Elements of a list stand between commas.
pub fn wire(family: Family, kind: Kind, list: bool, text: &str) -> Result<Vec<u8>, String> {
    let whole = text.trim();
    if kind == Text {
        return if text.is_empty() { Err("the value is empty".to_owned()) } else { Ok(text.as_bytes().to_vec()) };
    }
    match kind {
        Bytes => return bytes(whole).ok_or_else(|| format!("`{whole}` is no sequence of hexadecimal digits")),
        Empty => return Ok(Vec::new()),
        Special => return Err("its form is not read here".to_owned()),
        Fqdns => return names(family, whole),
        FqdnRow => return names(V6, whole),
        Routes => return routes(whole),
        Sip => return value::parse_value(120, whole).map_err(|e| e.to_string()),
        _ => {}
    }
    let parts: Vec<&str> = whole.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        return Err("the value is empty".to_owned());
    }
    if parts.len() > 1 && !list {
        return Err(format!("`{whole}` are several values where one is possible"));
    }
    let mut out = Vec::new();
    for part in parts {
        out.extend(one(kind, part).ok_or_else(|| format!("`{part}` is no {}", word(kind)))?);
    }
    Ok(out)
}

/// One element.
pub fn one(kind: Kind, text: &str) -> Option<Vec<u8>> {
    Some(match kind {
        Ip4 => text.parse::<Ipv4Addr>().ok()?.octets().to_vec(),
        Ip6 => text.trim_matches(['[', ']']).parse::<Ipv6Addr>().ok()?.octets().to_vec(),
        U8 => vec![u8::try_from(number(text)?).ok()?],
        U16 => u16::try_from(number(text)?).ok()?.to_be_bytes().to_vec(),
        U32 => u32::try_from(number(text)?).ok()?.to_be_bytes().to_vec(),
        I8 => i8::try_from(number(text)?).ok()?.to_be_bytes().to_vec(),
        I16 => i16::try_from(number(text)?).ok()?.to_be_bytes().to_vec(),
        I32 => i32::try_from(number(text)?).ok()?.to_be_bytes().to_vec(),
        Bool => match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "on" | "yes" => vec![1],
            "false" | "0" | "off" | "no" => vec![0],
            _ => return None,
        },
        Text => text.as_bytes().to_vec(),
        Fqdn | Fqdns | FqdnRow => value::name(text)?,
        Bytes => bytes(text)?,
        Empty => Vec::new(),
        Routes | Sip | Special => return None,
    })
}

fn number(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Ip4 => "IPv4 address",
        Ip6 => "IPv6 address",
        Bool => "truth value",
        Fqdn | Fqdns | FqdnRow => "domain name",
        _ => "number in range",
    }
}

/// Hexadecimal digits, after `0x` or not, with `:`, `-` or blanks between them; one-digit octets between
/// colons are read too.
pub fn bytes(text: &str) -> Option<Vec<u8>> {
    let text = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text).trim();
    if let Some(separator) = text.chars().find(|c| matches!(c, ':' | '-' | ' ')) {
        let octets = text.split(separator).map(str::trim).filter(|octet| !octet.is_empty());
        return octets.map(|octet| u8::from_str_radix(octet, 16).ok().filter(|_| octet.len() <= 2)).collect();
    }
    let padded = if text.len() % 2 == 1 { format!("0{text}") } else { text.to_owned() };
    hex::read(padded.as_bytes())
}

/// Names between commas or blanks.
pub fn names(family: Family, text: &str) -> Result<Vec<u8>, String> {
    if family == V4 {
        return value::parse_value(119, text).map_err(|e| e.to_string());
    }
    let mut out = Vec::new();
    for name in text.split([',', ' ']).map(|name| name.trim().trim_matches('"')).filter(|name| !name.is_empty()) {
        out.extend(value::name(name).ok_or_else(|| format!("`{name}` is no domain name"))?);
    }
    if out.is_empty() { Err("the value is empty".to_owned()) } else { Ok(out) }
}

/// `10.0.0.0/8 - 10.1.1.1, ...` or `10.0.0.0/8,10.1.1.1,...`.
fn routes(text: &str) -> Result<Vec<u8>, String> {
    let words: Vec<&str> = text.split([',', ' ', '-']).map(str::trim).filter(|word| !word.is_empty()).collect();
    let mut out = Vec::new();
    for pair in words.chunks(2) {
        let [net, router] = pair else { return Err(format!("`{text}`: a router is missing")) };
        let full = if net.contains('/') { (*net).to_owned() } else { format!("{net}/32") };
        let net: ipnet::Ipv4Net = full.parse().map_err(|_| format!("`{net}` is no prefix"))?;
        let router: Ipv4Addr = router.parse().map_err(|_| format!("`{router}` is no IPv4 address"))?;
        out.extend(value::encode_route(net, router));
    }
    if out.is_empty() { Err("the value is empty".to_owned()) } else { Ok(out) }
}

/// Addresses of either family.
pub fn address(text: &str) -> Option<IpAddr> {
    text.trim().trim_matches(['[', ']']).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_and_name_is_there_once() {
        for family in [V4, V6] {
            let own: Vec<&Known> = KNOWN.iter().filter(|k| k.family == family).collect();
            assert!(own.windows(2).all(|pair| pair[0].code < pair[1].code));
            for of in [|k: &Known| k.kea, |k: &Known| k.dhcpd, |k: &Known| k.dnsmasq] {
                let names: Vec<&str> = own.iter().map(|k| of(k)).filter(|name| !name.is_empty()).collect();
                let unique: std::collections::BTreeSet<&&str> = names.iter().collect();
                assert_eq!(unique.len(), names.len());
            }
        }
    }

    #[test]
    fn values_become_wire() {
        assert_eq!(wire(V4, Ip4, true, "10.0.0.1, 10.0.0.2"), Ok(vec![10, 0, 0, 1, 10, 0, 0, 2]));
        assert!(wire(V4, Ip4, false, "10.0.0.1, 10.0.0.2").is_err());
        assert_eq!(wire(V4, I32, false, "-3600"), Ok(vec![0xff, 0xff, 0xf1, 0xf0]));
        assert_eq!(wire(V6, Fqdns, true, "a.b, c"), Ok(b"\x01a\x01b\0\x01c\0".to_vec()));
        assert_eq!(wire(V4, Routes, true, "10.0.0.0/8 - 10.1.1.1"), Ok(vec![8, 10, 10, 1, 1, 1]));
        assert_eq!((bytes("1:2:ab"), bytes("0x1"), bytes("zz")), (Some(vec![1, 2, 0xab]), Some(vec![1]), None));
    }
}
