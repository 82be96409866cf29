//! Real DHCP clients, each in a mount and pid namespace of its own with private state, so that they neither
//! share a DUID nor leave anything behind.

use std::collections::HashMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::space::{Lab, PATIENCE, Process, need, wait};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Udhcpc,
    /// Another way to call the same family: no client identifier, so the lease is keyed by MAC.
    Busybox,
    Dhclient,
    Dhcpcd,
    Networkd,
    Dhclient6,
    /// A router that asks for a prefix, nothing else.
    DhclientPd,
    /// A host that has an address and asks for the rest (INFORMATION-REQUEST).
    DhclientInfo,
    Dhcpcd6,
    Dhcp6c,
    Dhcp6cPd,
    Networkd6,
}

const NETWORKD: &str = "/lib/systemd/systemd-networkd";

/// What a client was told, as it tells it itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Told {
    pub event: String,
    pub ip: String,
    pub prefix: String,
    pub router: String,
    pub dns: String,
    pub domain: String,
    pub seconds: String,
    pub server: String,
}

impl Told {
    pub fn ip(&self) -> Ipv4Addr {
        self.ip.parse().unwrap_or_else(|e| panic!("{self:?}: {e}"))
    }
}

pub struct Client<'a> {
    lab: &'a Lab,
    kind: Kind,
    ns: &'a str,
    dir: PathBuf,
    process: Process,
}

impl<'a> Client<'a> {
    /// Starts a client on `eth0` of a namespace. `arguments` go to its command line as they are.
    pub fn start(lab: &'a Lab, kind: Kind, ns: &'a str, hostname: &str, arguments: &[&str]) -> Client<'a> {
        need(&[kind.tool()]);
        let dir = lab.dir().join(format!("{ns}-{kind:?}"));
        fs::create_dir_all(&dir).expect("a directory for the client");
        for (file, text) in [("inside", INSIDE), ("hook", HOOK)] {
            let path = dir.join(file);
            fs::write(&path, text.replace("@DIR@", &dir.display().to_string())).expect("a script");
            executable(&path);
        }
        // what an earlier run left is not ours
        for path in ["release", "events"].map(|file| dir.join(file)).into_iter().filter(|path| path.exists()) {
            fs::remove_file(path).expect("to clean up");
        }
        let mut command = kind.command(&dir, hostname);
        command.extend(arguments.iter().map(|a| (*a).to_owned()));
        let mut argv: Vec<&str> = vec!["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh"];
        let inside = dir.join("inside").display().to_string();
        let name = format!("{kind:?}").to_lowercase();
        argv.extend([inside.as_str(), name.as_str()]);
        argv.extend(command.iter().map(String::as_str));
        let process = lab.start(&format!("{ns}-{name}"), ns, &argv);
        Client { lab, kind, ns, dir, process }
    }

    /// Waits for the lease that it gets.
    pub fn bound(&mut self) -> Told {
        self.told("a lease", |t| ["bound", "BOUND", "BOUND6", "REBOOT", "lease"].contains(&t.event.as_str()))
    }

    /// Waits until it has renewed: by unicast to its server, at T1 of a short lease; udhcpc, which takes no
    /// lease to be shorter than half a minute, when it is told to.
    pub fn renewed(&mut self) -> Told {
        if self.kind == Kind::Networkd {
            // it runs no script: its debug log tells
            let renewed = || self.process.output().matches("DHCPv4 client: ACK").count() >= 2;
            assert!(wait(PATIENCE, renewed), "networkd did not renew:\n{}", self.process.output());
            return self.bound();
        }
        if matches!(self.kind, Kind::Udhcpc | Kind::Busybox) {
            kill(self.client_pid(), Signal::SIGUSR1).expect("udhcpc runs");
        }
        self.told("a renewal", |t| ["renew", "RENEW", "RENEW6"].contains(&t.event.as_str()))
    }

    /// What networkd knows of its links, resolvers included.
    pub fn links(&self) -> String {
        let files = fs::read_dir(self.dir.join("run/systemd/netif/links")).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read_to_string(file.path()).ok()).collect()
    }

    /// Lets it send its RELEASE and end.
    pub fn release(mut self) {
        fs::write(self.dir.join("release"), "").expect("ask for the release");
        let gone = wait(PATIENCE, || self.process.exited());
        assert!(gone, "{:?} in {} did not end after its release:\n{}", self.kind, self.ns, self.process.output());
    }

    /// Ends it as a power cut does: no RELEASE. The address goes with it.
    pub fn power_off(self) {
        let Client { lab, ns, process, .. } = self;
        process.kill();
        lab.flush(ns);
    }

    /// unshare → sh → the client.
    fn client_pid(&self) -> Pid {
        let child = |pid: Pid| {
            let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
            text.split_whitespace().next()?.parse().ok().map(Pid::from_raw)
        };
        child(self.process.pid()).and_then(child).unwrap_or_else(|| panic!("{:?} does not run", self.kind))
    }

    fn told(&mut self, what: &str, is: impl Fn(&Told) -> bool) -> Told {
        let mut found = None;
        let done = wait(PATIENCE, || {
            found = self.events().into_iter().rev().find(&is);
            found.is_some() || self.process.exited()
        });
        match found {
            Some(told) => told,
            None => panic!(
                "{:?} in {} did not get {what} ({}):\n{}",
                self.kind,
                self.ns,
                if done { "it ended" } else { "out of time" },
                self.process.output()
            ),
        }
    }

    fn events(&self) -> Vec<Told> {
        if self.kind == Kind::Networkd {
            return self.networkd().into_iter().collect();
        }
        let text = fs::read_to_string(self.dir.join("events")).unwrap_or_default();
        text.lines().map(|line| told(&line.split('|').map(str::trim).collect::<Vec<_>>())).collect()
    }

    /// From the file that networkd keeps about a lease.
    fn networkd(&self) -> Option<Told> {
        let file = fs::read_dir(self.dir.join("run/systemd/netif/leases")).ok()?.flatten().next()?;
        let text = fs::read_to_string(file.path()).ok()?;
        let values: HashMap<&str, &str> = text.lines().filter_map(|l| l.split_once('=')).collect();
        let value = |key: &str| values.get(key).copied().unwrap_or_default();
        let bits: u32 = value("NETMASK").parse::<Ipv4Addr>().ok().map(|m| u32::from(m).count_ones())?;
        Some(told(&[
            "lease",
            value("ADDRESS"),
            &bits.to_string(),
            value("ROUTER"),
            value("DNS"),
            value("DOMAINNAME"),
            value("LIFETIME"),
            value("SERVER_ADDRESS"),
        ]))
    }
}

impl Kind {
    fn tool(self) -> (&'static str, &'static str) {
        match self {
            Kind::Udhcpc => ("udhcpc", "udhcpc"),
            Kind::Busybox => ("busybox", "busybox"),
            Kind::Dhclient | Kind::Dhclient6 | Kind::DhclientPd | Kind::DhclientInfo => ("dhclient", "isc-dhcp-client"),
            Kind::Dhcpcd | Kind::Dhcpcd6 => ("dhcpcd", "dhcpcd-base"),
            Kind::Dhcp6c | Kind::Dhcp6cPd => ("dhcp6c", "wide-dhcpv6-client"),
            Kind::Networkd | Kind::Networkd6 => (NETWORKD, "systemd"),
        }
    }

    fn command(self, dir: &std::path::Path, hostname: &str) -> Vec<String> {
        let path = |name: &str| dir.join(name).display().to_string();
        let own = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let udhcpc = ["-f", "-t", "40", "-T", "2", "-n", "-i", "eth0", "-s", &path("hook"), "-x"];
        let udhcpc = [own(&udhcpc), vec![format!("hostname:{hostname}")]].concat();
        match self {
            Kind::Udhcpc => [own(&["udhcpc"]), udhcpc].concat(),
            Kind::Busybox => [own(&["busybox", "udhcpc", "-C"]), udhcpc].concat(),
            Kind::Dhclient => {
                let text = format!(
                    "send host-name \"{hostname}\";\nrequest subnet-mask, routers, domain-name, domain-name-servers;\n"
                );
                fs::write(path("dhclient.conf"), text).expect("dhclient.conf");
                // its lease file must exist, and its path be absolute
                fs::OpenOptions::new().create(true).append(true).open(path("leases")).expect("a lease file");
                let (conf, leases, hook, pid) = (path("dhclient.conf"), path("leases"), path("hook"), path("pid"));
                own(&["dhclient", "-4", "-d", "-v", "-cf", &conf, "-lf", &leases, "-pf", &pid, "-sf", &hook, "eth0"])
            }
            Kind::Dhcpcd => {
                let text =
                    format!("option routers, domain_name, domain_name_servers\nduid\nnoipv4ll\nhostname {hostname}\n");
                fs::write(path("dhcpcd.conf"), text).expect("dhcpcd.conf");
                own(&["dhcpcd", "-4", "-B", "-d", "--noarp", "-f", &path("dhcpcd.conf"), "-c", &path("hook"), "eth0"])
            }
            Kind::Networkd => {
                let text = format!(
                    "[Match]\nName=eth0\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n\
                     [DHCPv4]\nClientIdentifier=mac\nHostname={hostname}\n"
                );
                fs::write(path("eth0.network"), text).expect("eth0.network");
                own(&[NETWORKD])
            }
            _ => self.command6(&path, hostname),
        }
    }
}

impl Kind {
    /// The DHCPv6 ones.
    fn command6(self, path: &impl Fn(&str) -> String, hostname: &str) -> Vec<String> {
        let own = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        match self {
            Kind::Dhclient6 | Kind::DhclientPd | Kind::DhclientInfo => {
                let text =
                    format!("send fqdn.fqdn \"{hostname}\";\nrequest dhcp6.name-servers, dhcp6.domain-search;\n");
                fs::write(path("dhclient.conf"), text).expect("dhclient.conf");
                fs::OpenOptions::new().create(true).append(true).open(path("leases")).expect("a lease file");
                let (conf, leases, hook, pid) = (path("dhclient.conf"), path("leases"), path("hook"), path("pid"));
                let what = match self {
                    Kind::DhclientPd => "-P",
                    Kind::DhclientInfo => "-S",
                    _ => "-N",
                };
                own(&[
                    "dhclient", "-6", what, "-d", "-v", "-cf", &conf, "-lf", &leases, "-pf", &pid, "-sf", &hook, "eth0",
                ])
            }
            Kind::Dhcpcd6 => {
                let text = format!(
                    "duid\nhostname {hostname}\nfqdn both\noption dhcp6_name_servers, dhcp6_domain_search\n\
                     interface eth0\nia_na 1\n"
                );
                fs::write(path("dhcpcd.conf"), text).expect("dhcpcd.conf");
                own(&["dhcpcd", "-6", "-B", "-d", "-f", &path("dhcpcd.conf"), "-c", &path("hook"), "eth0"])
            }
            Kind::Dhcp6c | Kind::Dhcp6cPd => {
                let wish = if self == Kind::Dhcp6cPd {
                    ("ia-pd", "id-assoc pd 1 { };")
                } else {
                    ("ia-na", "id-assoc na 1 { };")
                };
                let text = format!(
                    "interface eth0 {{ send {} 1; request domain-name-servers; script \"/bin/true\"; }};\n{}\n",
                    wish.0, wish.1
                );
                fs::write(path("dhcp6c.conf"), text).expect("dhcp6c.conf");
                own(&["dhcp6c", "-f", "-D", "-c", &path("dhcp6c.conf"), "-p", &path("pid"), "eth0"])
            }
            _ => {
                let text = format!(
                    "[Match]\nName=eth0\n[Network]\nDHCP=ipv6\nIPv6AcceptRA=yes\nLinkLocalAddressing=ipv6\n\
                     [DHCPv6]\nDUIDType=link-layer\nHostname={hostname}\n[IPv6AcceptRA]\nDHCPv6Client=always\n"
                );
                fs::write(path("eth0.network"), text).expect("eth0.network");
                own(&[NETWORKD])
            }
        }
    }
}

fn told(fields: &[&str]) -> Told {
    let field = |i: usize| fields.get(i).copied().unwrap_or_default().to_owned();
    Told {
        event: field(0),
        ip: field(1),
        prefix: field(2),
        router: field(3),
        dns: field(4),
        domain: field(5),
        seconds: field(6),
        server: field(7),
    }
}

fn executable(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("make the script executable");
}

/// Runs as pid 1 of a pid namespace; the client is its only child until the release is asked for.
const INSIDE: &str = r#"#!/bin/sh
kind=$1; shift
mount --make-rprivate / && mount -t proc proc /proc || exit 1
for m in /var/lib/dhcp /var/lib/dhcpcd /var/lib/dhcpv6 /run; do
  if [ -d $m ]; then mkdir -p @DIR@$m && mount --bind @DIR@$m $m || exit 1; fi
done
if [ "${kind%6}" = networkd ]; then
  rm -rf /run/systemd
  mkdir -p /run/systemd/network /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp
  chown -R systemd-network:systemd-network /run/systemd/netif
  cp @DIR@/eth0.network /run/systemd/network/
  mount -o remount,bind,ro /sys || exit 1 # else it waits for udev to initialise the link
  export container=lxc SYSTEMD_LOG_LEVEL=debug SYSTEMD_LOG_TARGET=console
fi
"$@" &
pid=$!
until [ -e @DIR@/release ] || ! kill -0 $pid 2>/dev/null; do sleep 0.1; done
if [ -e @DIR@/release ]; then
  case $kind in
    dhclient*) timeout 60 "$@" -r ;;
    dhcpcd*) kill -ALRM $pid ;;
    udhcpc | busybox) kill -USR2 $pid; sleep 0.3; kill -TERM $pid ;;
    *) kill -TERM $pid ;;
  esac
fi
wait $pid
"#;

/// One hook for udhcpc (event in $1), dhclient and dhcpcd (event in $reason).
const HOOK: &str = r#"#!/bin/sh
if [ -n "$reason" ]; then
  ev=$reason ip=$new_ip_address mask=$new_subnet_mask router=$new_routers
  dns=${new_domain_name_servers:-$new_dhcp6_name_servers} domain=${new_domain_name:-$new_dhcp6_domain_search} lease=$new_dhcp_lease_time serverid=$new_dhcp_server_identifier
else
  ev=$1 mask=$subnet
fi
bits=0
for o in $(echo "$mask" | tr . ' '); do
  while [ "$o" -gt 0 ]; do bits=$((bits + (o & 1))); o=$((o >> 1)); done
done
case $ev in
  PREINIT*) ip link set "$interface" up ;;
  deconfig | EXPIRE | FAIL | RELEASE | STOP) ip -4 addr flush dev "$interface" ;;
  # dhcpcd sets its IPv6 addresses itself
  BOUND6 | RENEW6 | REBIND6)
    [ -z "$new_ip6_address" ] || ip -6 addr replace "$new_ip6_address/128" dev "$interface" ;;
  EXPIRE6 | RELEASE6 | STOP6)
    [ -z "$old_ip6_address" ] || ip -6 addr del "$old_ip6_address/128" dev "$interface" ;;
  bound | renew | BOUND | RENEW | REBIND | REBOOT)
    ip -4 addr replace "$ip/$bits" dev "$interface"
    [ -z "$router" ] || ip -4 route replace default via "${router%% *}" dev "$interface" ;;
esac
echo "$ev|$ip|$bits|$router|$dns|$domain|$lease|$serverid" >> @DIR@/events
exit 0
"#;
