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
    /// `1=text, 2=0x0a`: sub-options with a code and a length of one octet each.
    Encapsulated,
    /// `4491 text`: texts by enterprise (RFC 3925 §3), separated by commas.
    VendorClasses,
    /// `4491.1=text`: options by enterprise (RFC 3925 §4), separated by commas.
    VendorOptions,
    /// `PRIORITY NAME [ADDRESS ..] [key=value ..]`: resolvers (RFC 9463 §5.1), separated by commas.
    Resolvers,
    /// IPv6 addresses, separated by commas or blanks where `list`.
    Ip6,
    /// A URI as bytes, with a scheme.
    Uri,
    /// Presence is all.
    Empty,
}

/// Form of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Form {
    pub kind: Type,
    pub list: bool,
}

/// Names of the types in the configuration, and how a value is written.
pub const TYPES: &[(&str, Type, &str)] = &[
    ("ip4", Type::Ip4, "an IPv4 address"),
    ("ip6", Type::Ip6, "an IPv6 address"),
    ("u8", Type::U8, "a number from 0 to 255"),
    ("u16", Type::U16, "a number from 0 to 65535"),
    ("u32", Type::U32, "a number below 2^32"),
    ("i32", Type::I32, "a number with a sign"),
    ("bool", Type::Bool, "true or false"),
    ("string", Type::Text, "text; escapes `\\n \\r \\t \\\\ \\xHH`"),
    ("uri", Type::Uri, "a URI such as `https://portal.example/api`"),
    ("fqdn", Type::Fqdn, "a domain name, in wire form"),
    ("fqdn-list", Type::FqdnList, "domain names, compressed (RFC 3397)"),
    ("routes", Type::Routes, "`10.1.0.0/16 via 10.0.0.1`, separated by commas (RFC 3442)"),
    ("sip-servers", Type::SipServers, "names or IPv4 addresses (RFC 3361)"),
    ("bytes", Type::Bytes, "`0x..`, `ip:..` or text with escapes"),
    ("encapsulated", Type::Encapsulated, "`1=text, 2=0x0a`: sub-options"),
    ("vendor-classes", Type::VendorClasses, "`4491 text`: by enterprise (RFC 3925)"),
    ("vendor-options", Type::VendorOptions, "`4491.1=text`: by enterprise (RFC 3925)"),
    ("resolvers", Type::Resolvers, "`1 dns.example 192.0.2.1 alpn=dot` (RFC 9463)"),
    ("empty", Type::Empty, "nothing; its presence is all"),
];

/// One option.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    pub code: u8,
    pub name: &'static str,
    pub form: Form,
    /// The protocol itself writes it: configuration must not (DH-402).
    pub owned: bool,
    pub doc: &'static str,
}

const fn one(code: u8, name: &'static str, kind: Type, doc: &'static str) -> Entry {
    Entry { code, name, form: Form { kind, list: false }, owned: false, doc }
}

const fn many(code: u8, name: &'static str, kind: Type, doc: &'static str) -> Entry {
    Entry { code, name, form: Form { kind, list: true }, owned: false, doc }
}

const fn owned(code: u8, name: &'static str, kind: Type, doc: &'static str) -> Entry {
    Entry { code, name, form: Form { kind, list: false }, owned: true, doc }
}

use Type::*;

/// Sorted by code. Owned ones are refused in a configuration.
pub const REGISTRY: &[Entry] = &[
    one(1, "subnet-mask", Ip4, "netmask; made from the subnet's prefix if not set (RFC 2132 §3.3)"),
    one(2, "time-offset", I32, "seconds east of UTC (RFC 2132 §3.4)"),
    many(3, "routers", Ip4, "default routers; made from the subnet's router if not set"),
    many(4, "time-servers", Ip4, "time servers (RFC 868)"),
    many(5, "name-servers", Ip4, "IEN 116 name servers"),
    many(6, "domain-name-servers", Ip4, "recursive name servers"),
    many(7, "log-servers", Ip4, "MIT-LCS UDP log servers; phones use it for syslog"),
    many(8, "cookie-servers", Ip4, "servers of quotes of the day (RFC 865)"),
    many(9, "lpr-servers", Ip4, "line printer servers (RFC 1179)"),
    many(10, "impress-servers", Ip4, "Imagen Impress servers"),
    many(11, "resource-location-servers", Ip4, "resource location servers (RFC 887)"),
    one(12, "host-name", Text, "name of the client, without or with domain"),
    one(13, "boot-size", U16, "boot file size in 512-octet blocks"),
    one(14, "merit-dump", Text, "file that the client dumps its core to"),
    one(15, "domain-name", Text, "domain of the client; made from the network's domain if not set"),
    one(16, "swap-server", Ip4, "swap server"),
    one(17, "root-path", Text, "path of the client's root disk"),
    one(18, "extensions-path", Text, "file with more options"),
    one(19, "ip-forwarding", Bool, "whether the client forwards packets"),
    one(20, "non-local-source-routing", Bool, "whether the client forwards source-routed packets"),
    many(21, "policy-filter", Ip4, "pairs of destination and mask for source routes"),
    one(22, "max-dgram-reassembly", U16, "largest datagram that the client reassembles, at least 576"),
    one(23, "default-ip-ttl", U8, "TTL of outgoing packets"),
    one(24, "path-mtu-aging-timeout", U32, "seconds until a path MTU is forgotten"),
    many(25, "path-mtu-plateau-table", U16, "MTUs to try, ascending"),
    one(26, "interface-mtu", U16, "MTU of the interface, at least 68"),
    one(27, "all-subnets-local", Bool, "whether all subnets have the same MTU"),
    one(28, "broadcast-address", Ip4, "broadcast address; made from the prefix if not set"),
    one(29, "perform-mask-discovery", Bool, "whether the client asks for its mask by ICMP"),
    one(30, "mask-supplier", Bool, "whether the client answers requests for the mask"),
    one(31, "router-discovery", Bool, "whether the client looks for routers (RFC 1256)"),
    one(32, "router-solicitation-address", Ip4, "where router solicitations go"),
    many(33, "static-routes", Ip4, "pairs of destination and router, classful (ignored beside 121)"),
    one(34, "trailer-encapsulation", Bool, "whether trailers are negotiated"),
    one(35, "arp-cache-timeout", U32, "seconds"),
    one(36, "ieee802-3-encapsulation", Bool, "whether 802.3 framing is used"),
    one(37, "default-tcp-ttl", U8, "TTL of TCP segments"),
    one(38, "tcp-keepalive-interval", U32, "seconds; 0 for none"),
    one(39, "tcp-keepalive-garbage", Bool, "whether keepalives carry an octet"),
    one(40, "nis-domain", Text, "NIS domain"),
    many(41, "nis-servers", Ip4, "NIS servers"),
    many(42, "ntp-servers", Ip4, "NTP servers"),
    one(43, "vendor-encapsulated-options", Bytes, "vendor options; chosen by the client's option 60"),
    many(44, "netbios-name-servers", Ip4, "WINS servers"),
    many(45, "netbios-dd-server", Ip4, "NetBIOS datagram distribution servers"),
    one(46, "netbios-node-type", U8, "1 B, 2 P, 4 M, 8 H"),
    one(47, "netbios-scope", Text, "NetBIOS scope"),
    many(48, "font-servers", Ip4, "X font servers"),
    many(49, "x-display-managers", Ip4, "X display managers"),
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
    one(64, "nisplus-domain-name", Text, "NIS+ domain"),
    many(65, "nisplus-servers", Ip4, "NIS+ servers"),
    one(66, "tftp-server-name", Text, "TFTP server name, address or, for most phones, a URL"),
    one(67, "bootfile-name", Text, "boot file name or path"),
    many(68, "mobile-ip-home-agents", Ip4, "home agents of mobile IP"),
    many(69, "smtp-server", Ip4, "SMTP servers"),
    many(70, "pop-server", Ip4, "POP3 servers"),
    many(71, "nntp-server", Ip4, "NNTP servers"),
    many(72, "www-server", Ip4, "web servers"),
    many(73, "finger-server", Ip4, "finger servers"),
    many(74, "irc-server", Ip4, "IRC servers"),
    many(75, "streettalk-server", Ip4, "StreetTalk servers"),
    many(76, "streettalk-directory-assistance-server", Ip4, "StreetTalk directory assistance servers"),
    one(77, "user-class", Bytes, "user class (RFC 3004)"),
    one(78, "slp-directory-agent", Bytes, "SLP directory agents (RFC 2610)"),
    one(79, "slp-service-scope", Bytes, "SLP scopes (RFC 2610)"),
    owned(80, "rapid-commit", Empty, "two-message exchange (RFC 4039)"),
    owned(81, "client-fqdn", Bytes, "name of the client and who updates DNS (RFC 4702)"),
    owned(82, "relay-agent-information", Bytes, "added by relays, echoed as received (RFC 3046)"),
    many(85, "nds-servers", Ip4, "NetWare directory servers (RFC 2241)"),
    one(86, "nds-tree-name", Text, "NetWare tree"),
    one(87, "nds-context", Text, "NetWare context"),
    one(88, "bcms-controller-names", FqdnList, "broadcast controllers by name (RFC 4280)"),
    many(89, "bcms-controller-address", Ip4, "broadcast controllers (RFC 4280)"),
    many(93, "client-arch", U16, "PXE architectures (RFC 4578)"),
    one(94, "client-ndi", Bytes, "PXE network device interface"),
    one(97, "client-uuid", Bytes, "PXE machine identifier, echoed"),
    one(98, "uap-servers", Text, "user authentication servers (RFC 2485)"),
    one(99, "geoconf-civic", Bytes, "civic location (RFC 4776)"),
    one(100, "pcode", Text, "time zone as in IEEE 1003.1 (RFC 4833)"),
    one(101, "tcode", Text, "time zone as in the TZ database (RFC 4833)"),
    one(108, "ipv6-only-preferred", U32, "seconds without IPv4 (RFC 8925)"),
    many(112, "netinfo-server-address", Ip4, "NetInfo parent servers"),
    one(113, "netinfo-server-tag", Text, "NetInfo tag"),
    one(114, "captive-portal", Uri, "URI of the captive portal API (RFC 8910)"),
    one(116, "auto-config", U8, "whether a client may use a link-local address (RFC 2563)"),
    many(117, "name-service-search", U16, "order of name services by their codes (RFC 2937)"),
    owned(118, "subnet-selection", Ip4, "subnet that the address shall come from (RFC 3011)"),
    many(119, "domain-search", FqdnList, "search list (RFC 3397)"),
    many(120, "sip-servers", SipServers, "SIP servers, names or addresses (RFC 3361)"),
    many(121, "classless-static-routes", Routes, "routes; the default route is added (RFC 3442)"),
    one(123, "geoconf", Bytes, "geographic location (RFC 6225)"),
    one(124, "vendor-class", VendorClasses, "vendor class by enterprise (RFC 3925)"),
    one(125, "vendor-specific", VendorOptions, "vendor options by enterprise (RFC 3925)"),
    one(128, "tftp-phone-server", Bytes, "used by several phone vendors, each in its own way"),
    one(129, "call-server", Bytes, "used by several phone vendors, each in its own way"),
    one(132, "phone-vlan", Text, "VLAN id of the voice network, as text"),
    one(133, "phone-priority", Text, "layer 2 priority of voice packets, as text"),
    many(136, "pana-agent", Ip4, "PANA authentication agents (RFC 5192)"),
    one(137, "v4-lost", Fqdn, "LoST server (RFC 5223)"),
    many(138, "capwap-controllers", Ip4, "CAPWAP access controllers (RFC 5417)"),
    one(139, "mos-servers", Bytes, "mobility servers by address (RFC 5678)"),
    one(140, "mos-fqdns", Bytes, "mobility servers by name (RFC 5678)"),
    one(141, "sip-ua-cs-domains", FqdnList, "SIP configuration domains (RFC 6011)"),
    many(142, "andsf-servers", Ip4, "access network discovery servers (RFC 6153)"),
    one(144, "geoloc", Bytes, "geographic location with resolution (RFC 6225)"),
    owned(145, "forcerenew-nonce", Bytes, "algorithms of reconfiguration that the client knows (RFC 6704)"),
    one(146, "rdnss-selection", Bytes, "resolvers by domain (RFC 6731)"),
    one(147, "dots-ri", Text, "name of the DOTS agent (RFC 8973)"),
    many(150, "tftp-server-address", Ip4, "TFTP servers, as Cisco phones want them (RFC 5859)"),
    one(159, "provisioning-url-159", Text, "provisioning URL, as some Panasonic phones want it"),
    one(160, "provisioning-url-160", Text, "provisioning URL, as Polycom, AudioCodes and Panasonic want it"),
    one(161, "provisioning-161", Text, "used by thin clients and some phones"),
    one(162, "dnr", Resolvers, "encrypted resolvers (RFC 9463)"),
    one(175, "ipxe", Encapsulated, "options of iPXE, encapsulated"),
    one(208, "pxelinux-magic", Bytes, "f1:00:74:7e (RFC 5071)"),
    one(209, "pxelinux-config", Text, "configuration file of PXELINUX (RFC 5071)"),
    one(210, "pxelinux-prefix", Text, "path prefix of PXELINUX (RFC 5071)"),
    one(211, "pxelinux-reboot-time", U32, "seconds until PXELINUX reboots (RFC 5071)"),
    one(212, "6rd", Bytes, "6rd parameters (RFC 5969)"),
    one(213, "access-domain", Fqdn, "domain of the access network (RFC 5986)"),
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
