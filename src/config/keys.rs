//! The registry of configuration keys: one flat entry each. `raw` refuses what is not in it, and the
//! shipped `config/lanlord.toml` is written from it (a test compares them).

/// One key of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The table that it stands in, e.g. `network.subnet`; empty for the top of the file.
    pub section: &'static str,
    pub name: &'static str,
    /// What it means, its form and its default, for people.
    pub about: &'static str,
    /// How it looks in the file.
    pub example: &'static str,
}

/// A table of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    pub path: &'static str,
    /// True for `[[path]]`, which may stand several times.
    pub many: bool,
    pub about: &'static str,
}

const fn table(path: &'static str, many: bool, about: &'static str) -> Table {
    Table { path, many, about }
}

const fn key(section: &'static str, name: &'static str, example: &'static str, about: &'static str) -> Key {
    Key { section, name, about, example }
}

/// All tables, in the order of the shipped file.
pub const TABLES: &[Table] = &[
    table("server", false, "The daemon itself, and the way in: REST, CLAWS and the status page."),
    table("log", false, "What is written to the journal (standard error)."),
    table(
        "class",
        true,
        "A class of clients: all keys that are given must fit. Guards and boot rules name it; options of it go to its\n\
         members. KNOWN (has a reservation), UNKNOWN and ALL are built in; members of DROP get no answer, those of\n\
         SKIP_DNS no name.",
    ),
    table("boot", true, "What clients boot, by architecture, user class and class: the first block that fits decides."),
    table("option", true, "An option that this server does not know, or one of a vendor."),
    table("reservation", true, "As [[network.reservation]], on whatever network the address lies."),
    table("network", true, "A network is one link (a segment or VLAN). Repeat the block for each."),
    table("network.subnet", true, "A prefix of the network above it, IPv4 or IPv6."),
    table(
        "network.ra",
        false,
        "Router advertisements (IPv6) on the interface of the network above. Off until you say so.",
    ),
    table(
        "network.subnet.delegate",
        true,
        "A prefix that is delegated in parts to the routers on the IPv6 subnet above.",
    ),
    table(
        "network.subnet.pools",
        true,
        "A pool with more to say than its range; beside `pool`. Pools must not overlap.",
    ),
    table("network.subnet.class_options", true, "What members of a class get in the subnet above."),
    table("network.reservation", true, "An address, a name or options that wait for one client of the network above."),
    table("dhcp4", false, "DHCPv4. Off until you say so: look for other DHCP servers on the link first."),
    table("dhcp6", false, "DHCPv6. Off until you say so."),
    table("dns", false, "DNS for the names of leases, reservations and hosts, for zone files, and for local clients."),
    table("provisioning", false, "Files for phones, over TFTP and HTTP."),
    table(
        "netboot",
        false,
        "Files for computers that boot from the network, over the TFTP and HTTP servers of [provisioning] (its `listen`\n\
         and ports), whether phones are served or not. [[boot]] says who boots what.",
    ),
    table("claws", false, "The CLAWS event bus."),
    table("claws.zone", true, "Domains for hosts that ask for a name: the first block that fits decides."),
    table(
        "claws.credential",
        true,
        "Who may speak on the bus: a token of `lanlord token create NAME`, or a local user.",
    ),
    table("claws.module", true, "What the bus expects of a module of that credential. Without a block: optional, 5 s."),
];

/// All keys, in the order of the shipped file.
pub const KEYS: &[Key] = &[
    key("server", "domain", "\"home.arpa\"", "Domain of networks that have none of their own. Default \"home.arpa\"."),
    key(
        "server",
        "listen",
        "[\"127.0.0.1:8080\"]",
        "Loopback addresses for the API, CLAWS and the status page in plain HTTP, with a token. Others are refused.\n\
         Default [\"127.0.0.1:8080\"]; [] for none.",
    ),
    key("server", "socket", "\"api.sock\"", "Unix socket of the same. Default: api.sock in the state directory."),
    key(
        "server",
        "admin_group",
        "\"lanlord-admin\"",
        "Members of this group are administrators on the Unix socket, as root is. Default \"lanlord-admin\".",
    ),
    key(
        "log",
        "level",
        "\"info\"",
        "error, warn, info, debug or trace, or a filter such as \"info,lanlord::server=debug\".",
    ),
    key(
        "log",
        "lease_history",
        "\"365d\"",
        "How long it is remembered who held which address, after the end (`lanlord lease history`). Default \"365d\".",
    ),
    key("class", "name", "\"phones\"", "Name of the class; needed."),
    key(
        "class",
        "vendor_class",
        "[\"yealink*\"]",
        "Option 60: the whole text, its beginning (\"text*\") or its end (\"*text\"), or hexadecimal after 0x. One or\n\
         several, as with all keys down to `interface`.",
    ),
    key("class", "user_class", "\"iPXE\"", "Option 77, in the same form."),
    key("class", "arch", "[\"7\", \"9\"]", "Numbers of option 93: \"0\" is BIOS, \"7\" UEFI, \"16\" UEFI by HTTP."),
    key("class", "oui", "[\"80:5e:c0\"]", "First three octets of the hardware address."),
    key("class", "mac", "[\"80:5e:c0:00*\"]", "The hardware address, or its beginning."),
    key("class", "circuit_id", "[\"port-7\"]", "Circuit id of the relay (option 82), as `vendor_class`."),
    key("class", "remote_id", "[\"0x0006*\"]", "Remote id of the relay (option 82), as `vendor_class`."),
    key("class", "relay", "[\"10.77.0.1\"]", "Address of the relay (giaddr)."),
    key("class", "interface", "[\"eth1\"]", "The interface that the request came in by."),
    key(
        "class",
        "test",
        "\"option[12].exists and not member('KNOWN')\"",
        "An expression; the manual of DHCP has the language.",
    ),
    key("class", "options", "{ 66 = \"${http_url}\" }", "DHCPv4 options of its members, on all networks."),
    key("class", "next_server", "\"10.77.0.2\"", "siaddr of its members; ${server_ip} is this server."),
    key("class", "server_name", "\"boot\"", "sname of its members."),
    key("class", "boot_file", "\"lpxelinux.0\"", "Boot file of its members."),
    key("class", "lease_time", "\"1h\"", "Lease time of its members, where the subnet sets none."),
    key("boot", "arch", "[\"0\"]", "Numbers of option 93, as in [[class]]."),
    key("boot", "user_class", "\"iPXE\"", "Option 77."),
    key("boot", "vendor_class", "\"HTTPClient*\"", "Option 60."),
    key("boot", "class", "[\"KNOWN\"]", "Classes; one of them is enough."),
    key(
        "boot",
        "next_server",
        "\"${server_ip}\"",
        "TFTP server in the header (siaddr). Default: this server, if there is a boot file.",
    ),
    key(
        "boot",
        "menu",
        "\"Install Debian\"",
        "On networks with `proxy`: an entry of the menu that PXE clients choose from, instead of booting the first block\n\
         that fits; without `boot_file` it means the machine's own disk.",
    ),
    key("boot", "server_name", "\"boot\"", "Name of the server in the header (sname), and option 66."),
    key("boot", "boot_file", "\"http://${server_ip}:8667/boot/menu.ipxe\"", "Boot file in the header, and option 67."),
    key("boot", "options", "{ 209 = \"pxelinux.cfg/default\" }", "DHCPv4 options."),
    key("option", "code", "224", "Its number, 1 to 254; needed."),
    key(
        "option",
        "name",
        "\"floor\"",
        "The name that `options` use; needed, but for an option that is known and shall be sent always.",
    ),
    key(
        "option",
        "type",
        "\"u16\"",
        "One of ip4, ip6, u8, u16, u32, i32, bool, string, uri, fqdn, fqdn-list, routes, bytes (default), encapsulated\n\
         and others of the manual.",
    ),
    key("option", "list", "false", "Whether it takes several values. Default false."),
    key("option", "enterprise", "4491", "It is an option of that enterprise, in option 125."),
    key("option", "within", "125", "It is a sub-option of that option, such as 43."),
    key("option", "always_send", "false", "Sent to those who did not ask for it, too. Default false."),
    key("network", "name", "\"voice\"", "Name of the network; needed. CLAWS knows it by this name, too."),
    key(
        "network",
        "interface",
        "\"eth1\"",
        "The interface on that link; leave it out if only relays speak for the network.",
    ),
    key("network", "relays", "[\"10.77.0.1\"]", "Addresses of relay agents that lie outside the network's prefixes."),
    key(
        "network",
        "interface_ids",
        "[\"port-7\"]",
        "Interface-ids (DHCPv6 option 18) of relays that name no address: text, or hexadecimal after 0x.",
    ),
    key("network", "vlan", "20", "VLAN number, 1 to 4094, as CLAWS events may name it."),
    key("network", "domain", "\"voice.home.arpa\"", "Domain of its clients (option 15). Default: the server's."),
    key(
        "network",
        "authoritative",
        "true",
        "Whether strangers that ask for a wrong address are told so (DHCPNAK). Default: dhcp4's.",
    ),
    key(
        "network",
        "identify",
        "\"client_id\"",
        "What a lease hangs on: \"client_id\" (default), \"mac\" whatever the client says, or \"both\" together where\n\
         cloned machines share an identifier.",
    ),
    key(
        "network",
        "trust_relay_info",
        "false",
        "Whether option 82 of switches that do not relay is believed. Default false.",
    ),
    key("network", "vendor_recipes", "true", "Whether phones get the DHCP options of their plugin here. Default true."),
    key(
        "network",
        "proxy",
        "false",
        "Whether another server gives the addresses here, and this one only says what is booted (ProxyDHCP, with port\n\
         4011/udp). The subnet has no pool then. Default false.",
    ),
    key(
        "network",
        "ipv6_only",
        "1800",
        "RFC 8925: seconds without IPv4 for clients that offer to go without. Default: off.",
    ),
    key("network", "class", "[\"phones\"]", "Who is served here: members of one of these classes. Default: everybody."),
    key(
        "network",
        "options",
        "{ \"ntp-servers\" = \"10.77.0.1\", 150 = \"10.77.0.1\" }",
        "DHCPv4 options by name or number, for all its clients.",
    ),
    key(
        "network",
        "options6",
        "{ \"domain-search\" = \"voice.home.arpa\" }",
        "DHCPv6 options by name or number, for all its clients.",
    ),
    key(
        "network.subnet",
        "prefix",
        "\"10.77.0.0/24\"",
        "Needed, IPv4 or IPv6. Hosts of the CLAWS bus get addresses of it.",
    ),
    key(
        "network.subnet",
        "prefix_from",
        "\"eth1\"",
        "In place of `prefix`, IPv6: part of the prefix that this interface has, however that changes. Who asks the\nprovider for it is the system's own DHCPv6 client. Pools are counted from the prefix (\"::1000-::1fff\"), and\nso are prefixes to delegate that begin with zeros.",
    ),
    key("network.subnet", "prefix_id", "0", "Which part of the interface's prefix."),
    key("network.subnet", "prefix_length", "64", "Length of the part."),
    key(
        "network.subnet",
        "pool",
        "[\"10.77.0.100-10.77.0.199\"]",
        "Ranges for anybody who asks; for IPv6 prefixes, too.",
    ),
    key("network.subnet", "exclude", "[\"10.77.0.150\"]", "Addresses or ranges of the pool that are left out."),
    key("network.subnet", "router", "\"10.77.0.1\"", "Default router (option 3)."),
    key("network.subnet", "dns", "[\"10.77.0.1\"]", "DNS servers. Default: this server, if its DNS is on."),
    key("network.subnet", "ntp", "[\"10.77.0.1\"]", "Time servers."),
    key(
        "network.subnet",
        "lease_time",
        "\"12h\"",
        "Lease time: seconds, or \"90s\", \"10m\", \"12h\", \"7d\". Default: dhcp4's.",
    ),
    key("network.subnet", "min_lease_time", "\"10m\"", "IPv4: the least that a client can ask for. Default: dhcp4's."),
    key("network.subnet", "max_lease_time", "\"7d\"", "IPv4: the most that a client can ask for. Default: dhcp4's."),
    key(
        "network.subnet",
        "server_id",
        "\"10.77.0.2\"",
        "Our address towards its clients (option 54). Default: the address that they reach.",
    ),
    key(
        "network.subnet",
        "next_server",
        "\"10.77.0.2\"",
        "TFTP server in the header (siaddr); ${server_ip} is this server. Default: dhcp4's, or by the phone's plugin.",
    ),
    key("network.subnet", "server_name", "\"boot.home.arpa\"", "Name of the boot server in the header (sname)."),
    key("network.subnet", "boot_file", "\"undionly.kpxe\"", "Boot file in the header."),
    key("network.subnet", "relays", "[\"192.0.2.7\"]", "Relay agents that serve this subnet from outside of it."),
    key(
        "network.subnet",
        "class",
        "[\"phones\"]",
        "Who gets addresses of it: members of one of these classes. Default: everybody.",
    ),
    key(
        "network.subnet",
        "options",
        "{ 66 = \"10.77.0.2\" }",
        "DHCP options by name or number, of the prefix's family.",
    ),
    key(
        "network.ra",
        "enabled",
        "false",
        "Default false. M and O follow [dhcp6], prefixes the subnets of the network.",
    ),
    key(
        "network.ra",
        "router",
        "true",
        "Whether hosts may use this machine, which must forward IPv6, as their router. Default true.",
    ),
    key(
        "network.ra",
        "lifetime",
        "\"30m\"",
        "How long they may: 0, or max_interval to 9000 s. Default: three intervals.",
    ),
    key("network.ra", "max_interval", "600", "Longest time between two advertisements, 4 to 1800 s. Default 600 s."),
    key("network.ra", "min_interval", "198", "The shortest, 3 s to 0.75 max_interval. Default: a third of it."),
    key("network.ra", "preference", "\"medium\"", "Among several routers: \"high\", \"medium\" (default) or \"low\"."),
    key("network.ra", "hop_limit", "64", "Of the hosts' packets; 0 leaves it to them. Default 64."),
    key("network.ra", "mtu", "1500", "MTU of the link. Default: not said."),
    key("network.ra", "on_link", "true", "Whether hosts reach the prefixes without a router. Default true."),
    key(
        "network.ra",
        "autonomous",
        "true",
        "Whether hosts make addresses of the prefixes (SLAAC). Default: unless DHCPv6 has a pool there.",
    ),
    key("network.ra", "valid_lifetime", "\"1d\"", "Of these addresses. Default one day."),
    key("network.ra", "preferred_lifetime", "\"4h\"", "How long they are used for new connections. Default 4 hours."),
    key("network.ra", "routes", "[\"2001:db8:2::/48 high\"]", "More specific routes through this machine."),
    key("network.ra", "dns", "[\"2001:db8::53\"]", "DNS servers. Default: this server, if its DNS is on; [] for none."),
    key("network.ra", "search", "[\"home.arpa\"]", "Domains to search in. Default: the network's domain."),
    key("network.ra", "captive_portal", "\"https://portal.example/api\"", "API of a captive portal (RFC 8910)."),
    key("network.ra", "nat64", "\"64:ff9b::/96\"", "Prefix of the NAT64 (RFC 8781)."),
    key(
        "network.ra",
        "resolvers",
        "[\"1 dns.example 2001:db8::53 alpn=dot\"]",
        "Encrypted resolvers (RFC 9463): priority, name, addresses, then alpn=, port=, dohpath=.",
    ),
    key(
        "network.ra",
        "known_routers",
        "[\"fe80::1\"]",
        "Link-local addresses of other routers that belong there; any other one is reported. Default: none.",
    ),
    key("network.subnet", "preferred_time", "\"8h\"", "IPv6: preferred lifetime. Default: dhcp6's."),
    key("network.subnet.delegate", "prefix", "\"2001:db8:7700::/40\"", "Needed."),
    key(
        "network.subnet.delegate",
        "length",
        "56",
        "Needed: length of the parts. Who asks for a longer prefix, up to 64, gets the begin of a part.",
    ),
    key(
        "network.subnet.delegate",
        "exclude",
        "\"2001:db8:7700::/64\"",
        "What the holder of the part around it leaves alone (RFC 6603).",
    ),
    key("network.subnet.pools", "range", "[\"10.77.0.200-10.77.0.219\"]", "Its addresses; needed."),
    key("network.subnet.pools", "exclude", "[\"10.77.0.210\"]", "Addresses or ranges that are left out."),
    key("network.subnet.pools", "class", "[\"phones\"]", "Who gets addresses of it. Default: everybody."),
    key("network.subnet.pools", "lease_time", "\"1h\"", "Lease time. Default: the subnet's."),
    key(
        "network.subnet.pools",
        "min_lease_time",
        "\"10m\"",
        "The least that a client can ask for. Default: the subnet's.",
    ),
    key(
        "network.subnet.pools",
        "max_lease_time",
        "\"7d\"",
        "The most that a client can ask for. Default: the subnet's.",
    ),
    key("network.subnet.pools", "options", "{ 66 = \"10.77.0.2\" }", "DHCPv4 options by name or number."),
    key("network.subnet.class_options", "class", "\"phones\"", "The class; needed."),
    key("network.subnet.class_options", "options", "{ 66 = \"10.77.0.2\" }", "DHCPv4 options by name or number."),
    key("network.subnet.class_options", "next_server", "\"10.77.0.2\"", "siaddr."),
    key("network.subnet.class_options", "server_name", "\"boot\"", "sname."),
    key("network.subnet.class_options", "boot_file", "\"lpxelinux.0\"", "Boot file."),
    key("network.subnet.class_options", "lease_time", "\"1h\"", "Lease time."),
    key(
        "network.reservation",
        "mac",
        "\"80:5e:c0:00:00:01\"",
        "Hardware address or several, in any notation. One of mac, client_id, circuit_id, remote_id, duid is needed.",
    ),
    key("network.reservation", "client_id", "\"01805ec0000001\"", "Client identifier (option 61) in hexadecimal."),
    key(
        "network.reservation",
        "circuit_id",
        "\"port-7\"",
        "Circuit id of the relay (option 82): text, or hexadecimal after 0x.",
    ),
    key(
        "network.reservation",
        "remote_id",
        "\"0x0006abcdef\"",
        "Remote id of the relay (option 82), in the same form.",
    ),
    key(
        "network.reservation",
        "duid",
        "\"000300010800270000aa\"",
        "DUID in hexadecimal, of DHCPv6 and of DHCPv4 clients that send one (RFC 4361).",
    ),
    key("network.reservation", "iaid", "1", "With `duid`: the one interface of that host that is meant."),
    key("network.reservation", "test", "\"relay.remote_id == 'house-9'\"", "An expression, as in [[class]]."),
    key("network.reservation", "ip", "\"10.77.0.20\"", "The address. Without it: any of the pool."),
    key("network.reservation", "name", "\"desk-1\"", "Host name; a single label gets the network's domain."),
    key("network.reservation", "options", "{ 67 = \"x.cfg\" }", "DHCPv4 options that override all others."),
    key("network.reservation", "ip6", "[\"2001:db8:77::20\"]", "IPv6 addresses."),
    key("network.reservation", "prefix6", "[\"2001:db8:7700::/56\"]", "IPv6 prefixes that are delegated to it."),
    key("network.reservation", "class", "[\"phones\"]", "Classes that the client belongs to besides."),
    key("network.reservation", "next_server", "\"10.77.0.2\"", "siaddr."),
    key("network.reservation", "server_name", "\"boot\"", "sname."),
    key("network.reservation", "boot_file", "\"lpxelinux.0\"", "Boot file."),
    key("network.reservation", "lease_time", "\"7d\"", "Lease time."),
    key(
        "network.reservation",
        "shared",
        "false",
        "Whether the address passes from one of several clients to the next at once. Default false.",
    ),
    key(
        "reservation",
        "mac",
        "\"80:5e:c0:00:00:01\"",
        "Hardware address or several, in any notation. One of mac, client_id, circuit_id, remote_id, duid is needed.",
    ),
    key("reservation", "client_id", "\"01805ec0000001\"", "Client identifier (option 61) in hexadecimal."),
    key(
        "reservation",
        "circuit_id",
        "\"port-7\"",
        "Circuit id of the relay (option 82): text, or hexadecimal after 0x.",
    ),
    key("reservation", "remote_id", "\"0x0006abcdef\"", "Remote id of the relay (option 82), in the same form."),
    key(
        "reservation",
        "duid",
        "\"000300010800270000aa\"",
        "DUID in hexadecimal, of DHCPv6 and of DHCPv4 clients that send one (RFC 4361).",
    ),
    key("reservation", "iaid", "1", "With `duid`: the one interface of that host that is meant."),
    key("reservation", "test", "\"relay.remote_id == 'house-9'\"", "An expression, as in [[class]]."),
    key("reservation", "ip", "\"10.77.0.20\"", "The address. Without it: any of the pool."),
    key("reservation", "name", "\"desk-1\"", "Host name; a single label gets the network's domain."),
    key("reservation", "options", "{ 67 = \"x.cfg\" }", "DHCPv4 options that override all others."),
    key("reservation", "ip6", "[\"2001:db8:77::20\"]", "IPv6 addresses."),
    key("reservation", "prefix6", "[\"2001:db8:7700::/56\"]", "IPv6 prefixes that are delegated to it."),
    key("reservation", "class", "[\"phones\"]", "Classes that the client belongs to besides."),
    key("reservation", "next_server", "\"10.77.0.2\"", "siaddr."),
    key("reservation", "server_name", "\"boot\"", "sname."),
    key("reservation", "boot_file", "\"lpxelinux.0\"", "Boot file."),
    key("reservation", "lease_time", "\"7d\"", "Lease time."),
    key(
        "reservation",
        "shared",
        "false",
        "Whether the address passes from one of several clients to the next at once. Default false.",
    ),
    key("dhcp4", "enabled", "false", "Default false."),
    key("dhcp4", "port", "67", "UDP port of servers. Default 67."),
    key("dhcp4", "client_port", "68", "UDP port of clients. Default 68."),
    key(
        "dhcp4",
        "authoritative",
        "true",
        "Whether networks are authoritative if they do not say: right where no other server answers. Default false.",
    ),
    key("dhcp4", "lease_time", "\"12h\"", "Default 12 hours."),
    key("dhcp4", "min_lease_time", "\"10m\"", "The least that a client can ask for. Default 10 minutes."),
    key("dhcp4", "max_lease_time", "\"7d\"", "The most that a client can ask for. Default 7 days."),
    key("dhcp4", "infinite_leases", "false", "Whether a client may have a lease without end. Default false."),
    key("dhcp4", "offer_hold", "\"30s\"", "How long an offer waits for its REQUEST. Default 30 s."),
    key("dhcp4", "quarantine", "\"24h\"", "How long a declined address is kept out of use. Default 24 hours."),
    key("dhcp4", "affinity", "\"30d\"", "How long an ended lease is remembered for its client. Default 30 days."),
    key("dhcp4", "cache_fraction", "0.1", "A renewal within this part of the lease time writes nothing. Default 0.1."),
    key("dhcp4", "rapid_commit", "false", "Answer DISCOVER with option 80 by an ACK (RFC 4039). Default false."),
    key("dhcp4", "echo_client_id", "true", "Send option 61 back (RFC 6842). Default true."),
    key("dhcp4", "accept_bare_request", "false", "Serve a REQUEST that names no address at all. Default false."),
    key(
        "dhcp4",
        "probe",
        "true",
        "Ask the link (ARP, behind relays ping) whether an address is in use before a newcomer is offered it.\n\
         Default true.",
    ),
    key("dhcp4", "bootp", "false", "Give clients of BOOTP (RFC 951) an address without end. Default false."),
    key(
        "dhcp4",
        "leasequery",
        "[\"10.77.0.2\"]",
        "Relays that may ask who holds an address (LEASEQUERY, RFC 4388), by giaddr. Default: none.",
    ),
    key(
        "dhcp4",
        "one_lease_per_mac",
        "false",
        "A machine that comes back under another client identifier (boot ROM, then system) keeps its lease.\n\
         Default false: each identifier has its own.",
    ),
    key(
        "dhcp4",
        "steal",
        "\"next-renewal\"",
        "When a stranger loses an address that is reserved now: at its \"next-renewal\" (default), or at \"expiry\".",
    ),
    key(
        "dhcp4",
        "client_rate",
        "2",
        "DISCOVERs of one client a second; two and a half times as many at once. 0: without bound. Default 2.",
    ),
    key(
        "dhcp4",
        "port_rate",
        "20",
        "Newcomers at one port of a relay (option 82) a second; two and a half times as many at once. Clients that\n\
         are known do not count. More is right where one circuit id stands for a whole VLAN. 0: without bound.\n\
         Default 20.",
    ),
    key(
        "dhcp4",
        "stranger_rate",
        "2000",
        "Newcomers on one link a second, while more waits than can be answered. 0: without bound. Default 2000.",
    ),
    key(
        "dhcp4",
        "known_share",
        "0.1",
        "The part of each pool that only known clients get: who held an address before, has a reservation, or is a\n\
         device. Reserved addresses in the pool count as part of it. Default 0.1.",
    ),
    key(
        "dhcp4",
        "check_source_mac",
        "false",
        "Drop what a client on the link sends from another hardware address than the one that it names: a client\n\
         cannot speak for another one then. Clients behind a wireless bridge do so rightly. Default false.",
    ),
    key(
        "dhcp4",
        "rogue_probe",
        "true",
        "Ask every 45 s, as a client would, whether another DHCP server answers on our links. What is overheard\n\
         is told either way. Default true.",
    ),
    key(
        "dhcp4",
        "known_servers",
        "[\"10.77.0.2\"]",
        "Other DHCP servers that belong on our links: they are not reported. Default: none.",
    ),
    key(
        "dhcp4",
        "next_server",
        "\"10.77.0.2\"",
        "TFTP server in the header (siaddr) on all networks; ${server_ip} is this server. Default: none.",
    ),
    key("dhcp4", "server_name", "\"boot\"", "Name of the boot server in the header (sname) on all networks."),
    key("dhcp4", "boot_file", "\"lpxelinux.0\"", "Boot file in the header on all networks."),
    key("dhcp4", "options", "{ \"domain-search\" = \"home.arpa\" }", "DHCPv4 options for all networks."),
    key("dhcp6", "enabled", "false", "Default false."),
    key("dhcp6", "port", "547", "UDP port of servers and relays. Default 547."),
    key("dhcp6", "client_port", "546", "UDP port of clients. Default 546."),
    key(
        "dhcp6",
        "mode",
        "\"stateful\"",
        "\"stateful\" (default) gives addresses and prefixes, \"stateless\" options only.",
    ),
    key("dhcp6", "lease_time", "\"12h\"", "Valid lifetime. Default 12 hours."),
    key("dhcp6", "preferred_time", "\"8h\"", "Preferred lifetime. Default: five eighths of the lease time."),
    key("dhcp6", "rapid_commit", "false", "Answer SOLICIT with option 14 by a REPLY. Default false."),
    key(
        "dhcp6",
        "use_multicast",
        "false",
        "Tell clients that unicast to use multicast (RFC 8415); RFC 9915 drops their messages. Default false.",
    ),
    key("dhcp6", "register", "true", "Whether clients may register addresses of their own (RFC 9686). Default true."),
    key("dhcp6", "preference", "0", "Rank among several servers (option 7), 0 to 255. Default 0."),
    key("dhcp6", "duid", "\"000300010800270000aa\"", "Our DUID in hexadecimal. Default: made once and kept."),
    key(
        "dhcp6",
        "known_servers",
        "[\"000300010800270000aa\"]",
        "DUIDs of other DHCPv6 servers that belong on our links: they are not reported. Default: none.",
    ),
    key("dhcp6", "options", "{ \"sol-max-rt\" = 3600 }", "DHCPv6 options by name or number, for all networks."),
    key("dns", "enabled", "true", "Default: true if the table [dns] stands in the file."),
    key(
        "dns",
        "listen",
        "[\"127.0.0.1\", \"10.77.0.1\"]",
        "Addresses. Default: the loopback and the addresses of the networks' interfaces.",
    ),
    key("dns", "port", "53", "UDP and TCP. Default 53."),
    key("dns", "zones", "\"zones\"", "Folder of the zone files `<origin>.zone`. Default: zones beside this file."),
    key(
        "dns",
        "forward",
        "[\"192.0.2.53\"]",
        "Servers for all other names, with `:port` if not 53. Default: none, other names are refused.",
    ),
    key(
        "dns",
        "recursion",
        "[\"10.0.0.0/8\"]",
        "Clients that may ask for other names. Default: loopback and the networks' prefixes.",
    ),
    key(
        "dns",
        "ttl",
        "60",
        "TTL of names that come from leases, reservations and hosts, in seconds. Default: by lease time.",
    ),
    key("provisioning", "enabled", "false", "Default false."),
    key("provisioning", "http_port", "8667", "Default 8667."),
    key("provisioning", "tftp_port", "69", "Default 69."),
    key("provisioning", "listen", "[\"0.0.0.0\"]", "Addresses for both. Default: all IPv4 addresses."),
    key(
        "provisioning",
        "http_url",
        "\"http://10.77.0.2:8667\"",
        "What phones are told. Default: http://, the address that they reach, and the port.",
    ),
    key(
        "provisioning",
        "auto_create",
        "\"bound\"",
        "Who becomes a device unasked: \"bound\" (a lease or neighbour proves the MAC), \"claimed\" (the phone says so),\n\
         \"off\". Default \"bound\".",
    ),
    key(
        "provisioning",
        "create_on_lease",
        "true",
        "Whether a lease with a phone's vendor class makes a device. Default true.",
    ),
    key(
        "provisioning",
        "new_devices_per_hour",
        "100",
        "How many devices leases may make on one network in an hour, 1 to 100000. Further phones get their address, and\n\
         become a device at their first request for a file. Default 100.",
    ),
    key(
        "provisioning",
        "plugins",
        "[\"/usr/share/lanlord/plugins\", \"/etc/lanlord/plugins\"]",
        "Folders of plugins, a later one overlays the earlier. Default: /usr/share/lanlord/plugins and plugins beside\n\
         this file.",
    ),
    key(
        "provisioning",
        "trusted_proxies",
        "[\"192.0.2.80/32\"]",
        "Peers whose X-Forwarded-For is believed. Default: none.",
    ),
    key(
        "provisioning",
        "base",
        "{ timezone = \"Europe/Paris\", sip_proxy_ip = \"10.77.0.5\", sip_registrar_ip = \"10.77.0.5\" }",
        "Settings of all phones: registrar, time zone, locale, codecs, VLAN and so on. No secrets. Default: none.",
    ),
    key(
        "provisioning",
        "template",
        "{ sip_lines = { 1 = { username = \"guest\", display_name = \"Guest\" } } }",
        "Settings that a new phone starts with besides. Default: one line named Autoprov, without password.",
    ),
    key(
        "netboot",
        "dir",
        "\"/srv/boot\"",
        "Folder whose files everybody on the networks' prefixes may read: over HTTP as /boot/NAME, over TFTP as NAME or\n\
         boot/NAME. Symbolic links are not followed; a file must be readable for all users (o+r). Default: none, nothing\n\
         is served.",
    ),
    key(
        "netboot",
        "menu_prompt",
        "\"Press F8 to choose what to boot\"",
        "What the screen says before the menu of [[boot]] blocks on networks with `proxy`. Default as shown.",
    ),
    key(
        "netboot",
        "menu_timeout",
        "10",
        "Seconds until the first entry is booted; 0: at once, 255: never. Default 10.",
    ),
    key("claws", "enrich_address", "true", "Whether the built-in module gives addresses to new hosts. Default true."),
    key("claws", "enrich_dns", "true", "Whether the built-in module gives names to new hosts. Default true."),
    key("claws", "deadline", "\"10s\"", "The most that a whole transaction may take, up to 60 s. Default 10 s."),
    key("claws", "apply_timeout", "\"30s\"", "From the final event to the last ack, up to 300 s. Default 30 s."),
    key("claws", "heartbeat", "\"5s\"", "How often modules show that they live, up to 60 s. Default 5 s."),
    key(
        "claws",
        "on_conflict",
        "\"fail\"",
        "What two values for one thing lead to: \"fail\" (default), or \"priority\" decides.",
    ),
    key("claws.zone", "domain", "\"roamer.home.arpa\"", "Needed."),
    key("claws.zone", "roaming", "true", "For hosts with a roaming interface."),
    key("claws.zone", "vlan", "\"guest-network\"", "For hosts in that network or vlan."),
    key("claws.credential", "name", "\"Web Client\"", "Its name, which is its `claws:source`; needed."),
    key("claws.credential", "uid", "1000", "User id of a local process that speaks as this source on the Unix socket."),
    key(
        "claws.credential",
        "sources",
        "[\"Web Client\"]",
        "Texts of `claws:source` that it may use. Default: its name.",
    ),
    key("claws.credential", "submit", "[\"host:*\"]", "Events that it may submit."),
    key("claws.credential", "delegate", "[\"*\"]", "Identities that it may speak for."),
    key("claws.credential", "subscribe", "[\"*\"]", "Namespaces or events that it may see."),
    key("claws.credential", "append", "[\"dns\"]", "Namespaces that it may add elements in."),
    key("claws.credential", "remove", "[\"dns\"]", "Namespaces that it may take elements out of."),
    key("claws.credential", "watch", "false", "Whether it sees transactions of others. Default false."),
    key(
        "claws.credential",
        "assume_prefixes",
        "true",
        "Whether missing declarations of the known prefixes are added. Default: for frontends, not for modules.",
    ),
    key("claws.module", "name", "\"DNS Management Module\"", "Name of its credential; needed."),
    key("claws.module", "role", "\"optional\"", "\"required\", \"optional\" (default) or \"observer\"."),
    key("claws.module", "timeout", "\"5s\"", "How long its update is waited for, up to 30 s. Default 5 s."),
    key("claws.module", "on_timeout", "\"continue\"", "\"continue\" or \"cancel\". Default: by role."),
    key(
        "claws.module",
        "on_down",
        "\"skip\"",
        "\"skip\", \"wait\" or \"cancel\", if it is not connected. Default: by role.",
    ),
    key("claws.module", "apply", "true", "Whether its ack of a final event is waited for. Default true."),
    key("claws.module", "veto", "false", "Whether it may reject. Default false."),
    key("claws.module", "priority", "100", "Order of output and conflicts. Default 100."),
];

/// The names that may stand in a table: its keys and the tables below it.
pub fn of(section: &str) -> impl Iterator<Item = &'static str> {
    let keys = KEYS.iter().filter(move |key| key.section == section).map(|key| key.name);
    let tables = TABLES.iter().filter_map(move |table| below(section, table.path));
    keys.chain(tables)
}

/// The last word of `path` if it lies directly below `section`.
fn below(section: &str, path: &'static str) -> Option<&'static str> {
    match path.rsplit_once('.') {
        Some((parent, last)) => (parent == section).then_some(last),
        None => section.is_empty().then_some(path),
    }
}

/// True if the name may stand in the table.
pub fn known(section: &str, name: &str) -> bool {
    of(section).any(|known| known == name)
}

/// True for a key of a subnet that needs an IPv6 prefix.
pub fn of_ipv6(key: &Key) -> bool {
    (key.section, key.name) == ("network.subnet", "preferred_time")
}

/// True for a key of a subnet that stands in place of `prefix`.
pub fn of_followed(key: &Key) -> bool {
    key.section == "network.subnet" && ["prefix_from", "prefix_id", "prefix_length"].contains(&key.name)
}

impl Key {
    /// Example and explanation, commented out.
    fn shown(&self) -> String {
        let about: String = self.about.lines().map(|line| format!("#    {line}\n")).collect();
        format!("#{} = {}\n{about}", self.name, self.example)
    }
}

/// The shipped configuration file: every key explained, none set.
pub fn shipped() -> String {
    let mut out = String::from(
        "# lanlord's configuration. Every key is explained here; none is set. `lanlord check FILE` tells what is\n\
         # wrong with a file, `lanlord serve --config FILE --state DIR` uses it. `lanlord reload`, or SIGHUP,\n\
         # takes over a changed file as a whole; with a problem in it, or in a zone file, what was there before\n\
         # stays. Unknown keys are refused.\n",
    );
    for table in TABLES {
        if table.path == "network.subnet.delegate" {
            out.push_str(
                "\n# An IPv6 subnet whose prefix another interface has, from the provider.\n#[[network.subnet]]\n",
            );
            KEYS.iter().filter(|key| of_followed(key)).for_each(|key| out.push_str(&key.shown()));
        }
        out.push('\n');
        table.about.lines().for_each(|line| out.push_str(&format!("# {line}\n")));
        if table.path == "network.subnet.delegate" {
            out.push_str("#[[network.subnet]]\n#prefix = \"2001:db8:77::/64\"\n");
            KEYS.iter().filter(|key| of_ipv6(key)).for_each(|key| out.push_str(&key.shown()));
        }
        let heading = if table.many { format!("#[[{}]]", table.path) } else { format!("#[{}]", table.path) };
        out.push_str(&format!("{heading}\n"));
        let own = KEYS.iter().filter(|key| key.section == table.path && !of_ipv6(key) && !of_followed(key));
        own.for_each(|key| out.push_str(&key.shown()));
    }
    out
}
