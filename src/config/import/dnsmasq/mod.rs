//! dnsmasq: `dnsmasq.conf` with what it names, files of hosts and options, and its lease file. Owns how
//! tags become classes and places; refuses to keep silent about any directive.

use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::model::{Family, Model, Opt, Scope};
use super::report::Report;
use super::source::{Files, Place, Unreadable, beside};
use crate::config::services::is_too_wide;

/// `dhcp-host`.
mod hosts;
/// Lease files.
mod leases;
/// Directives.
mod lines;
/// DNS.
mod names;
/// `dhcp-option`, `dhcp-boot`, `pxe-service`.
mod options;
/// `dhcp-range`.
mod ranges;
/// What sets tags and what asks for them.
mod tags;

use lines::Line;

/// An import under way.
pub struct Dnsmasq<'a> {
    model: &'a mut Model,
    report: &'a mut Report,
    files: &'a Files,
    path: PathBuf,
    /// Tags of ranges, with the prefix that each lies in.
    places: Vec<(String, IpNet)>,
    /// Of its DNS; 0 if it is off.
    port: u16,
    domain: Option<String>,
}

/// Reads a configuration or a lease file into the model.
pub fn read(files: &Files, path: &Path, model: &mut Model, report: &mut Report) -> Result<(), Unreadable> {
    let text = files.text(path)?;
    if leases::is_lease_file(path, &text) {
        leases::read(path, &text, model, report);
        return Ok(());
    }
    let lines = lines::read(files, path, report)?;
    model.configured = true;
    let mut dnsmasq =
        Dnsmasq { model, report, files, path: path.to_owned(), places: Vec::new(), port: 53, domain: None };
    dnsmasq.all(&lines)
}

impl Dnsmasq<'_> {
    /// Directives in the order in which they depend on one another.
    fn all(&mut self, lines: &[Line]) -> Result<(), Unreadable> {
        let mut rest: Vec<&Line> = Vec::new();
        for line in lines {
            match line.key.as_str() {
                "interface" => {
                    for name in line.parts() {
                        self.model.interfaces.push((name, None, line.place.clone()));
                    }
                    self.report.imported(&line.place, line.shown());
                }
                "port" => {
                    self.port = line.value.parse().unwrap_or(53);
                    self.report.imported(&line.place, line.shown());
                }
                _ => rest.push(line),
            }
        }
        rest.retain(|line| !self.range(line));
        rest.retain(|line| !self.tagging(line));
        rest.retain(|line| !self.domain(line));
        let mut later = Vec::new();
        for line in rest {
            match line.key.as_str() {
                "dhcp-hostsfile" | "dhcp-hostsdir" => {
                    self.listed(line, "dhcp-host")?.iter().for_each(|line| self.host(line))
                }
                "dhcp-optsfile" | "dhcp-optsdir" => later.extend(self.listed(line, "dhcp-option")?),
                "dhcp-host" => self.host(line),
                _ => later.push(line.clone()),
            }
        }
        for line in &later {
            match line.key.as_str() {
                "dhcp-option" | "dhcp-option-force" | "dhcp-option-pxe" => self.option(line),
                "dhcp-boot" => self.boot(line),
                "pxe-service" => self.service(line),
                "dhcp-ignore" => self.ignore(line),
                _ => self.other(line)?,
            }
        }
        self.finish();
        Ok(())
    }

    /// The lines of a file, or of the files of a folder, each as a directive of that key.
    fn listed(&mut self, line: &Line, key: &str) -> Result<Vec<Line>, Unreadable> {
        let path = beside(&self.path, &line.value);
        let paths = if self.files.is_folder(&path) { self.files.folder(&path)? } else { vec![path] };
        self.report.imported(&line.place, line.shown());
        let mut out = Vec::new();
        for path in paths {
            let text = self.files.text(&path)?;
            let place = Place { file: path.display().to_string().into(), line: 1 };
            for (n, line) in text.lines().enumerate() {
                let line = lines::uncommented(line).trim();
                let value =
                    line.strip_prefix("dhcp-host=").or_else(|| line.strip_prefix("dhcp-option=")).unwrap_or(line);
                if !value.is_empty() {
                    out.push(Line { place: place.at(n + 1), key: key.to_owned(), value: value.to_owned() });
                }
            }
        }
        Ok(out)
    }

    /// `dhcp-ignore=tag:!known`: such clients get no answer.
    fn ignore(&mut self, line: &Line) {
        let mut parts = line.parts();
        let tags = tags::asked(&mut parts);
        match self.condition(&tags).filter(|_| !tags.is_empty() && parts.is_empty()) {
            Some(test) => {
                self.report.adapted(&line.place, line.shown(), "its clients are in the class DROP");
                self.member_if("DROP", test, &line.place);
            }
            None => {
                let why = "clients of a range or interface cannot be ignored";
                self.report.refused(&line.place, line.shown(), why, "leave the range out");
            }
        }
    }

    /// Directives that are settings of the whole server, or that have no place here.
    fn other(&mut self, line: &Line) -> Result<(), Unreadable> {
        let (place, what) = (&line.place, line.shown());
        match line.key.as_str() {
            "dhcp-authoritative" => {
                self.model.global.authoritative = Some(true);
                self.report.imported(place, what);
            }
            "dhcp-rapid-commit" => {
                (self.model.knobs.rapid_commit, self.model.knobs.rapid_commit6) = (Some(true), Some(true));
                self.report.imported(place, what);
            }
            "no-ping" => {
                self.model.knobs.probe = Some(false);
                self.report.imported(place, what);
            }
            "enable-ra" => {
                for network in self.model.networks.iter_mut().filter(|network| network.ra.is_none()) {
                    let six = |subnet: &super::model::Subnet| subnet.prefix.addr().is_ipv6();
                    if network.subnets.iter().any(six) {
                        network.ra = Some(super::model::Ra { managed: true, other: true, autonomous: false });
                    }
                }
                self.report.adapted(place, what, "the networks with an IPv6 range send router advertisements")
            }
            "tftp-root" => {
                let folder = line.parts().into_iter().next().unwrap_or_default();
                if folder.is_empty() || is_too_wide(std::path::Path::new(&folder)) {
                    let why = "everybody would be given all files of it";
                    self.report.refused(place, what, why, "name a folder of boot files as `dir` of [netboot]");
                    return Ok(());
                }
                let why = "everybody on the networks is given its files, over HTTP as /boot/NAME, too";
                self.model.boot_folder = Some(folder);
                self.report.adapted(place, what, why);
            }
            "enable-tftp" => self.report.adapted(place, what, "files are served as soon as [netboot] names a folder"),
            "tftp-secure" | "tftp-unique-root" => {
                let why = "a file is served if all users may read it, and to everybody alike";
                self.report.refused(place, what, why, "see that `dir` of [netboot] holds boot files only");
            }
            "no-dhcp-interface" | "except-interface" => {
                self.report.adapted(place, what, "only the interfaces of networks are served");
            }
            "dhcp-proxy"
            | "dhcp-relay"
            | "dhcp-script"
            | "dhcp-luascript"
            | "dhcp-duid"
            | "dhcp-pxe-vendor"
            | "dhcp-generate-names"
            | "dhcp-broadcast"
            | "dhcp-scriptuser"
            | "bridge-interface"
            | "shared-network"
            | "ra-param"
            | "pxe-prompt"
            | "dhcp-fqdn"
            | "dhcp-alternate-port"
            | "dhcp-ignore-names"
            | "dhcp-no-override" => {
                let (why, todo) = refusal(&line.key);
                self.report.refused(place, what, why, todo);
            }
            "read-ethers" => self.report.refused(place, what, "/etc/ethers is not read", "list its lines as dhcp-host"),
            key => match needless(key) {
                Some(why) => self.report.adapted(place, what, why),
                None => self.name_service(line)?,
            },
        }
        Ok(())
    }

    /// What dnsmasq does unasked: it is the router and the name server of its clients.
    fn finish(&mut self) {
        let place = self.model.networks.first().map(|n| n.place.clone()).unwrap_or_default();
        let model = &mut *self.model;
        for code in [3u16, 6] {
            let wanted = code == 3 || self.port != 0;
            if wanted && model.v4 && model.global.option(Family::V4, code).is_none() {
                let text = Some("${server_ip}");
                model.global.set(Opt { text, ..Opt::new(Family::V4, code, Vec::new(), &place) });
            }
        }
        // an option without a value is one that is not sent
        let unset =
            |scope: &mut Scope| scope.options.retain(|o| !(o.wire.is_empty() && o.text.is_none() && o.code != 80));
        unset(&mut model.global);
        model.global.authoritative = model.global.authoritative.or(Some(false));
        // dnsmasq names itself in siaddr
        model.global.next_is_self = model.global.next_server.is_none();
        if self.port != 0 && model.dns.forward.is_empty() {
            let why = "forwarders of /etc/resolv.conf are not read";
            self.report.look(&place, "name servers", why, "set dns.forward, or only names of ours are answered");
        }
        model.domain = self.domain.take();
        model.dns.enabled = self.port != 0;
        model.dns.port = Some(self.port).filter(|port| !matches!(port, 0 | 53));
        // of two that match, dnsmasq takes the later one; here the first class wins
        model.classes.reverse();
        model.lift_classes(&[]);
    }
}

fn refusal(key: &str) -> (&'static str, &'static str) {
    match key {
        "dhcp-proxy" => ("relays are not overridden for all networks", "set server_id of the subnet"),
        "dhcp-relay" => ("lanlord does not relay", "keep a relay there"),
        "dhcp-script" | "dhcp-luascript" | "dhcp-scriptuser" => {
            ("programs are not run on events", "follow the events of the CLAWS bus")
        }
        "dhcp-duid" => ("lanlord has a DUID of its own", "clients of DHCPv6 bind anew"),
        "dhcp-generate-names" => ("clients without a name get none", ""),
        "dhcp-fqdn" => ("names always have the domain of their network", "nothing, if all clients are in one domain"),
        "shared-network" => ("it depends on the addresses of this machine", "put the subnets into one [[network]]"),
        "ra-param" => ("intervals and priorities are not carried over", "see [network.ra]"),
        "pxe-prompt" => ("menus are not carried over", "use the menu of iPXE"),
        _ => ("it cannot be said here", "see whether your clients need it"),
    }
}

/// Why a directive is not needed, if it is not.
fn needless(key: &str) -> Option<&'static str> {
    let own = "lanlord does this its own way";
    let system = "see the unit lanlord.service";
    let cache = "see the DNS part of lanlord";
    Some(match key {
        "log-dhcp" | "log-queries" | "log-facility" | "log-async" | "quiet-dhcp" | "quiet-dhcp6" | "quiet-ra"
        | "quiet-tftp" | "log-debug" => "lanlord logs to the journal",
        "user" | "group" | "pid-file" | "keep-in-foreground" | "no-daemon" | "enable-dbus" | "enable-ubus"
        | "conntrack" => system,
        "dhcp-leasefile" | "leasefile-ro" | "dhcp-lease-max" => {
            "leases are kept in lanlord's own state folder: import the lease file too"
        }
        "bind-interfaces"
        | "bind-dynamic"
        | "bogus-priv"
        | "domain-needed"
        | "filterwin2k"
        | "localise-queries"
        | "expand-hosts"
        | "no-negcache"
        | "all-servers"
        | "strict-order"
        | "dns-loop-detect"
        | "stop-dns-rebind"
        | "rebind-localhost-ok"
        | "rebind-domain-ok"
        | "cache-size"
        | "neg-ttl"
        | "local-ttl"
        | "max-ttl"
        | "max-cache-ttl"
        | "min-cache-ttl"
        | "dnssec"
        | "trust-anchor"
        | "dnssec-check-unsigned"
        | "edns-packet-max"
        | "dns-forward-max"
        | "no-poll"
        | "clear-on-reload"
        | "query-port"
        | "min-port"
        | "max-port"
        | "no-hosts"
        | "local-service" => cache,
        "dhcp-sequential-ip"
        | "dhcp-ttl"
        | "tftp-no-fail"
        | "tftp-no-blocksize"
        | "tftp-max"
        | "tftp-lowercase"
        | "tftp-port-range"
        | "tftp-single-port"
        | "tftp-mtu"
        | "dhcp-no-override-file"
        | "script-arp"
        | "script-on-renewal"
        | "no-round-robin" => own,
        _ => return None,
    })
}
