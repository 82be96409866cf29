//! The registry of DHCPv4 options: one flat entry each. Completion, documentation and the text form of
//! values derive from it; an option that is not here can be set by number all the same.

/// How the value of an option is written in text and on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Type {
    /// Dotted quads, separated by commas or blanks where `list`.
    Ip4,
    U8,
    U16,
    U32,
    /// Signed seconds, e.g. a time offset.
    I32,
    Bool,
    /// Bytes as written; escapes `\n \r \t \\ \xHH`.
    Text,
    /// A domain name in wire form (RFC 1035), uncompressed.
    Fqdn,
    /// Domain names in wire form, compressed (RFC 3397).
    FqdnList,
    /// `prefix/len via router`, separated by commas (RFC 3442).
    Routes,
    /// SIP servers (RFC 3361): names or addresses.
    SipServers,
    /// `0x..` or `hex:..` in hexadecimal, else text with escapes.
    Bytes,
    /// Presence is all.
    Empty,
}

/// One option.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    pub code: u8,
    pub name: &'static str,
    pub kind: Type,
    pub list: bool,
    /// The protocol itself writes it: configuration must not (DH-402).
    pub owned: bool,
    pub doc: &'static str,
}

const fn one(code: u8, name: &'static str, kind: Type, doc: &'static str) -> Entry {
    Entry { code, name, kind, list: false, owned: false, doc }
}

const fn many(code: u8, name: &'static str, kind: Type, doc: &'static str) -> Entry {
    Entry { code, name, kind, list: true, owned: false, doc }
}

const fn owned(code: u8, name: &'static str, kind: Type, doc: &'static str) -> Entry {
    Entry { code, name, kind, list: false, owned: true, doc }
}

use Type::*;

/// Sorted by code.
pub const REGISTRY: &[Entry] = &[
    one(1, "subnet-mask", Ip4, "netmask; made from the subnet's prefix if not set (RFC 2132 §3.3)"),
    one(2, "time-offset", I32, "seconds east of UTC (RFC 2132 §3.4)"),
    many(3, "routers", Ip4, "default routers; made from the subnet's router if not set"),
    many(4, "time-servers", Ip4, "time servers (RFC 868)"),
    many(6, "domain-name-servers", Ip4, "recursive name servers"),
    many(7, "log-servers", Ip4, "MIT-LCS UDP log servers; phones use it for syslog"),
    one(12, "host-name", Text, "name of the client, without or with domain"),
    one(13, "boot-size", U16, "boot file size in 512-octet blocks"),
    one(15, "domain-name", Text, "domain of the client; made from the network's domain if not set"),
    one(17, "root-path", Text, "path of the client's root disk"),
    one(19, "ip-forwarding", Bool, "whether the client forwards packets"),
    one(23, "default-ip-ttl", U8, "TTL of outgoing packets"),
    one(26, "interface-mtu", U16, "MTU of the interface, at least 68"),
    one(28, "broadcast-address", Ip4, "broadcast address; made from the prefix if not set"),
    many(33, "static-routes", Ip4, "pairs of destination and router, classful (ignored beside 121)"),
    one(40, "nis-domain", Text, "NIS domain"),
    many(41, "nis-servers", Ip4, "NIS servers"),
    many(42, "ntp-servers", Ip4, "NTP servers"),
    one(43, "vendor-encapsulated-options", Bytes, "vendor options; chosen by the client's option 60"),
    many(44, "netbios-name-servers", Ip4, "WINS servers"),
    one(46, "netbios-node-type", U8, "1 B, 2 P, 4 M, 8 H"),
    one(47, "netbios-scope", Text, "NetBIOS scope"),
    owned(50, "requested-address", Ip4, "the address that a client asks for"),
    owned(51, "lease-time", U32, "seconds; set lease_time instead"),
    owned(52, "option-overload", U8, "1 file, 2 sname, 3 both hold options"),
    owned(53, "message-type", U8, "DHCP message type"),
    owned(54, "server-identifier", Ip4, "address of the server; set server_id instead"),
    owned(55, "parameter-request-list", Bytes, "codes that the client wants, in its order"),
    one(56, "message", Text, "text of a DHCPNAK"),
    owned(57, "max-message-size", U16, "largest message that the client takes, at least 576"),
    owned(58, "renewal-time", U32, "T1 in seconds"),
    owned(59, "rebinding-time", U32, "T2 in seconds"),
    one(60, "vendor-class-identifier", Text, "vendor class; sent back to PXE and HTTP boot clients"),
    owned(61, "client-identifier", Bytes, "the key of the client's lease"),
    one(66, "tftp-server-name", Text, "TFTP server name, address or, for most phones, a URL"),
    one(67, "bootfile-name", Text, "boot file name or path"),
    many(69, "smtp-server", Ip4, "SMTP servers"),
    many(70, "pop-server", Ip4, "POP3 servers"),
    one(77, "user-class", Bytes, "user class (RFC 3004)"),
    owned(80, "rapid-commit", Empty, "two-message exchange (RFC 4039)"),
    owned(81, "client-fqdn", Bytes, "name of the client and who updates DNS (RFC 4702)"),
    owned(82, "relay-agent-information", Bytes, "added by relays, echoed as received (RFC 3046)"),
    one(93, "client-arch", U16, "PXE architecture (RFC 4578)"),
    one(94, "client-ndi", Bytes, "PXE network device interface"),
    one(97, "client-uuid", Bytes, "PXE machine identifier, echoed"),
    one(100, "pcode", Text, "time zone as in IEEE 1003.1 (RFC 4833)"),
    one(101, "tcode", Text, "time zone as in the TZ database (RFC 4833)"),
    one(108, "ipv6-only-preferred", U32, "seconds without IPv4 (RFC 8925)"),
    one(114, "captive-portal", Text, "URI of the captive portal API (RFC 8910)"),
    one(116, "auto-config", U8, "whether a client may use a link-local address (RFC 2563)"),
    owned(118, "subnet-selection", Ip4, "subnet that the address shall come from (RFC 3011)"),
    many(119, "domain-search", FqdnList, "search list (RFC 3397)"),
    many(120, "sip-servers", SipServers, "SIP servers, names or addresses (RFC 3361)"),
    many(121, "classless-static-routes", Routes, "routes; the default route is added (RFC 3442)"),
    one(124, "vendor-class", Bytes, "vendor class by enterprise (RFC 3925)"),
    one(125, "vendor-specific", Bytes, "vendor options by enterprise (RFC 3925)"),
    one(128, "tftp-phone-server", Bytes, "used by several phone vendors, each in its own way"),
    one(129, "call-server", Bytes, "used by several phone vendors, each in its own way"),
    one(132, "phone-vlan", Text, "VLAN id of the voice network, as text"),
    one(133, "phone-priority", Text, "layer 2 priority of voice packets, as text"),
    one(138, "capwap-controllers", Ip4, "CAPWAP access controllers (RFC 5417)"),
    many(150, "tftp-server-address", Ip4, "TFTP servers, as Cisco phones want them (RFC 5859)"),
    one(159, "provisioning-url-159", Text, "provisioning URL, as some Panasonic phones want it"),
    one(160, "provisioning-url-160", Text, "provisioning URL, as Polycom, AudioCodes and Panasonic want it"),
    one(161, "provisioning-161", Text, "used by thin clients and some phones"),
    one(175, "ipxe", Bytes, "options of iPXE, encapsulated"),
    one(208, "pxelinux-magic", Bytes, "f1:00:74:7e (RFC 5071)"),
    one(209, "pxelinux-config", Text, "configuration file of PXELINUX (RFC 5071)"),
    one(210, "pxelinux-prefix", Text, "path prefix of PXELINUX (RFC 5071)"),
    one(211, "pxelinux-reboot-time", U32, "seconds until PXELINUX reboots (RFC 5071)"),
    one(242, "avaya-site", Text, "site-specific option of Avaya phones"),
    many(249, "ms-classless-static-routes", Routes, "121 for old Windows clients"),
    one(252, "wpad", Text, "URL of the proxy configuration; a lone line feed says there is none"),
];

/// The entry of an option.
pub fn by_code(code: u8) -> Option<&'static Entry> {
    REGISTRY.binary_search_by_key(&code, |entry| entry.code).ok().map(|at| &REGISTRY[at])
}

/// The entry by name, or by number written in decimal; `None` for numbers without an entry too.
pub fn by_name(name: &str) -> Option<&'static Entry> {
    REGISTRY.iter().find(|entry| entry.name == name).or_else(|| by_code(name.parse().ok()?))
}

/// The code that a configuration means by a name or a number; `None` for 0, 255 and unknown names.
pub fn code_of(name: &str) -> Option<u8> {
    match name.parse::<u8>() {
        Ok(code) => (1..=254).contains(&code).then_some(code),
        Err(_) => by_name(name).map(|entry| entry.code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_sorted_and_every_name_is_unique() {
        assert!(REGISTRY.windows(2).all(|pair| pair[0].code < pair[1].code));
        let names: std::collections::HashSet<_> = REGISTRY.iter().map(|e| e.name).collect();
        assert_eq!(names.len(), REGISTRY.len());
        assert!(REGISTRY.iter().all(|e| !e.doc.is_empty() && e.name.bytes().all(|b| b.is_ascii_graphic())));
    }

    #[test]
    fn is_found_by_name_and_number() {
        assert_eq!(by_code(150).map(|e| e.name), Some("tftp-server-address"));
        assert_eq!(by_name("wpad").map(|e| e.code), Some(252));
        assert_eq!(by_name("66").map(|e| e.code), Some(66));
        assert_eq!((code_of("224"), code_of("0"), code_of("255"), code_of("nonsense")), (Some(224), None, None, None));
    }
}
