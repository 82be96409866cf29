//! Configurations that are loaded one after the other.

/// Generation `n`: clients learn it as the address of their DNS server, 10.0.x.y. What else is in the file comes
/// and goes, so that networks, subnets and classes are numbered anew each time.
pub fn valid(n: u32, port: u16) -> String {
    let before = match n % 4 {
        0 => "",
        1 => {
            "[[network]]\nname = \"aaa\"\n[[network.subnet]]\nprefix = \"10.98.0.0/24\"\npool = [\"10.98.0.10-10.98.0.99\"]\n"
        }
        2 => {
            "[[network]]\nname = \"aaa\"\n[[network]]\nname = \"bbb\"\n[[network.subnet]]\nprefix = \"10.97.0.0/24\"\n"
        }
        _ => {
            "[[class]]\nname = \"phones\"\nvendor_class = \"phone*\"\noptions = { tftp-server-name = \"10.99.0.9\" }\n"
        }
    };
    let reserved = match n % 3 {
        0 => String::new(),
        _ => format!(
            "[[network.reservation]]\nmac = \"02:aa:00:00:00:{:02x}\"\nip = \"10.99.0.{}\"\n",
            n % 200,
            10 + n % 200
        ),
    };
    let (high, low) = (n / 250, n % 250);
    format!(
        r#"
[server]
domain = "home.arpa"
listen = []
[log]
level = "warn"
{before}
[[network]]
name = "lan"
interface = "lo"
options = {{ domain-name-servers = "10.0.{high}.{low}" }}
[[network.subnet]]
prefix = "10.99.0.0/16"
pool = ["10.99.1.0-10.99.4.255"]
router = "10.99.0.1"
relays = ["127.0.0.2"]
{reserved}
[dhcp4]
enabled = true
# of stations on loopback nobody else could hold the address
probe = false
port = {port}
min_lease_time = "60s"
lease_time = "10m"
cache_fraction = 0.0
[dns]
listen = []
"#
    )
}

/// A configuration that cannot be.
pub struct Bad {
    /// A part of what is said about it.
    pub what: &'static str,
    /// How many problems are told at least.
    pub problems: usize,
    /// What is replaced by what.
    edits: &'static [(&'static str, &'static str)],
}

impl Bad {
    /// As generation `n + 1000` would be, if it were valid: no answer may ever show that.
    pub fn text(&self, n: u32, port: u16) -> String {
        self.edits.iter().fold(valid(1_000 + n, port), |text, (from, to)| {
            assert!(text.contains(from), "{from} is not there");
            text.replace(from, to)
        })
    }
}

const fn bad(what: &'static str, problems: usize, edits: &'static [(&'static str, &'static str)]) -> Bad {
    Bad { what, problems, edits }
}

/// Each differently wrong.
pub const BAD: [Bad; 11] = [
    bad("lease_tme", 1, &[("lease_time = \"10m\"\ncache", "lease_tme = \"10m\"\ncache")]),
    bad("lsiten", 2, &[("listen = []\n[log]", "lsiten = []\n[log]"), ("level = \"warn\"", "levle = \"warn\"")]),
    bad("min_lease_time", 1, &[("min_lease_time = \"60s\"", "min_lease_time = \"20h\"\nmax_lease_time = \"1h\"")]),
    bad("10.99.9.9", 1, &[("pool = [\"10.99.1.0-10.99.4.255\"]", "pool = [\"10.99.9.9-10.99.1.1\"]")]),
    bad(
        "banana",
        3,
        &[("probe = false", "probe = \"banana\""), ("router = \"10.99.0.1\"", "router = \"banana\""), ("\"lo\"", "17")],
    ),
    bad(
        "10.99.2",
        1,
        &[("pool = [\"10.99.1.0-10.99.4.255\"]", "pool = [\"10.99.1.0-10.99.2.255\", \"10.99.2.0-10.99.4.255\"]")],
    ),
    bad("`lan`", 1, &[("[dhcp4]\nenabled", "[[network]]\nname = \"lan\"\n[dhcp4]\nenabled")]),
    bad("domain-name-srvers", 1, &[("domain-name-servers", "domain-name-srvers")]),
    bad("", 1, &[("[dhcp4]\nenabled", "[dhcp4\nenabled")]),
    bad("10.0.0.0.0", 1, &[("prefix = \"10.99.0.0/16\"", "prefix = \"10.0.0.0.0/16\"")]),
    bad("0.0.0.0", 1, &[("listen = []\n[log]", "listen = [\"0.0.0.0:8080\"]\n[log]")]),
];
