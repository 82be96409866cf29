//! Kea: its JSON for DHCPv4 and DHCPv6, and the CSV of its lease files. Owns which of its directives mean
//! what; refuses to keep silent about any.

use std::path::Path;

use super::model::{Family, Model, Scope, Times};
use super::report::Report;
use super::source::{Files, Unreadable};

/// Conditions.
mod expr;
/// Reservations and classes.
mod hosts;
/// JSON with places.
mod json;
/// Lease files.
pub mod leases;
/// Options.
mod options;
/// Shared networks, subnets, pools.
mod subnets;
/// Objects that remember what was looked at.
mod walk;

use json::Node;
use walk::Table;

/// An import under way.
pub struct Kea<'a> {
    pub model: &'a mut Model,
    pub report: &'a mut Report,
    own: Vec<options::Own>,
    /// Whether leases hang on the hardware address.
    by_mac: bool,
    /// Classes that are asked only where a pool or subnet requires them, with what they give there.
    late: Vec<(String, Scope)>,
    authoritative: Option<bool>,
}

/// Why lease databases and the like are not carried over.
const OWN_STORE: &str = "leases are kept in lanlord's own state folder";

/// Reads a configuration or a lease file into the model.
pub fn read(files: &Files, path: &Path, model: &mut Model, report: &mut Report) -> Result<(), Unreadable> {
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv")) || leases::looks_like(files, path) {
        return leases::read(files, path, model, report);
    }
    let node = json::read(files, path)?;
    let table = Table::new(&node);
    let mut kea = Kea { model, report, own: Vec::new(), by_mac: false, late: Vec::new(), authoritative: None };
    let mut found = false;
    for (key, family) in [("Dhcp4", Family::V4), ("Dhcp6", Family::V6)] {
        if let Some(node) = table.get(key) {
            found = true;
            kea.server(family, node);
        }
    }
    if !found {
        let what =
            "neither \"Dhcp4\" nor \"Dhcp6\" is in it: this is no configuration of Kea's DHCP servers".to_owned();
        return Err(Unreadable::Syntax { place: node.place.clone(), what });
    }
    kea.model.lift_boot();
    let whys = [
        ("Control-agent", "lanlord has its own API"),
        ("DhcpDdns", "names of leases are in lanlord's DNS at once"),
        ("Logging", "lanlord logs to the journal"),
        ("Netconf", "lanlord reads its own configuration"),
    ];
    table.needless(&whys, kea.report);
    table.finish(kea.report);
    Ok(())
}

impl Kea<'_> {
    fn server(&mut self, family: Family, node: &Node) {
        let table = Table::new(node);
        self.model.configured = true;
        match family {
            Family::V4 => self.model.v4 = true,
            Family::V6 => self.model.v6 = true,
        }
        self.interfaces(&table);
        self.definitions(family, table.list("option-def"));
        let mut scope = Scope::default();
        self.scope(family, &table, &mut scope);
        if family == Family::V4 {
            self.by_mac = table.flag("match-client-id") == Some(false);
            self.authoritative = Some(table.flag("authoritative").unwrap_or(false));
            scope.authoritative = self.authoritative;
            fixed(&mut scope.times, 7200);
            self.knobs(&table);
        } else {
            fixed(&mut scope.times6, 7200);
            scope.times6.preferred = scope.times6.preferred.or(Some(3600));
        }
        self.classes(family, table.list("client-classes"));
        merge(&mut self.model.global, scope);
        self.networks(family, &table);
        let hosts = self.hosts(family, table.list("reservations"));
        self.model.reservations.extend(hosts);
        self.others(&table);
        table.finish(self.report);
    }

    fn interfaces(&mut self, server: &Table<'_>) {
        let Some(node) = server.get("interfaces-config") else { return };
        let table = Table::new(node);
        for item in table.list("interfaces") {
            let Some(text) = item.text() else { continue };
            let (name, address) = text.split_once('/').map_or((text, None), |(name, at)| (name, at.parse().ok()));
            self.report.imported(&item.place, format!("interface {text}"));
            self.model.interfaces.push((name.to_owned(), address, item.place.clone()));
        }
        let whys = [
            ("dhcp-socket-type", "unconfigured clients are always reached by raw frames"),
            (
                "outbound-interface",
                "direct replies leave by the receiving interface, relayed ones by the routing table",
            ),
            ("re-detect", "interfaces are followed while they come and go"),
            ("service-sockets-max-retries", "a socket that cannot be opened is tried again every 5 s"),
            ("service-sockets-require-all", "a socket that cannot be opened is tried again every 5 s"),
            ("service-sockets-retry-wait-time", "a socket that cannot be opened is tried again every 5 s"),
        ];
        table.needless(&whys, self.report);
        table.finish(self.report);
    }

    /// Settings of the DHCPv4 server that lanlord has too.
    fn knobs(&mut self, table: &Table<'_>) {
        for key in ["match-client-id", "authoritative"] {
            if let Some(node) = table.get(key) {
                self.report.imported(&node.place, format!("{key} {}", node.shown()));
            }
        }
        if let Some(flag) = table.flag("echo-client-id") {
            self.model.knobs.echo_client_id = Some(flag);
            self.report.imported(&table.at("echo-client-id"), format!("echo-client-id {flag}"));
        }
        if let Some(seconds) = table.seconds("decline-probation-period") {
            self.model.knobs.quarantine = Some(seconds);
            self.report.imported(&table.at("decline-probation-period"), format!("decline-probation-period {seconds}"));
        }
    }

    /// What stands at the top and has no place in ours.
    fn others(&mut self, table: &Table<'_>) {
        let whys = [
            ("lease-database", OWN_STORE),
            ("control-socket", "lanlord has its own API"),
            ("control-sockets", "lanlord has its own API"),
            ("loggers", "lanlord logs to the journal"),
            ("multi-threading", "not needed: see the speed of one thread"),
            ("dhcp-queue-control", "queues are bounded"),
            ("sanity-checks", "leases are always checked"),
            ("expired-leases-processing", "expired leases end in batches, and are remembered for their clients"),
            ("dhcp-ddns", "names of leases are in lanlord's DNS at once"),
            ("server-tag", "it names this server in a shared database"),
            ("host-reservation-identifiers", "every kind of identifier is looked up"),
            ("reservations-lookup-first", "reservations are always looked up first"),
            ("early-global-reservations-lookup", "global reservations are always looked up"),
            ("ip-reservations-unique", "an address is reserved once"),
            ("statistic-default-sample-count", "see /metrics"),
            ("statistic-default-sample-age", "see /metrics"),
            ("decline-probation-period", "dhcp4.quarantine holds for both families"),
            ("data-directory", OWN_STORE),
            ("server-id", "lanlord has a DUID of its own"),
            ("mac-sources", "hardware addresses are taken from relays, DUIDs and neighbours"),
            ("relay-supplied-options", "options of relays are those of the registry"),
            ("parked-packet-limit", "queues are bounded"),
            ("compatibility", "malformed options never hide others"),
            ("stash-agent-options", "option 82 is kept with each lease"),
            ("dhcp4o6-port", "DHCPv4 over DHCPv6 is not served"),
        ];
        table.needless(&whys, self.report);
        for key in ["hosts-database", "hosts-databases", "config-control", "config-databases"] {
            if let Some(node) = table.get(key) {
                let why = "a database holds reservations or configuration that this file does not show";
                self.report.refused(&node.place, key, why, "export it, and import that too");
            }
        }
        for hook in table.list("hooks-libraries") {
            let library = Table::new(hook).text("library").unwrap_or("?").to_owned();
            let name = Path::new(&library).file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or(library);
            let idle = [
                "lease_cmds",
                "stat_cmds",
                "host_cmds",
                "subnet_cmds",
                "class_cmds",
                "cb_cmds",
                "legal_log",
                "perfmon",
            ];
            if idle.iter().any(|part| name.contains(part)) {
                self.report.adapted(&hook.place, format!("hook {name}"), "lanlord's API and lease history do this");
            } else {
                self.report.refused(
                    &hook.place,
                    format!("hook {name}"),
                    "hooks are not run here",
                    "look up what it does for you",
                );
            }
        }
        table.get("hooks-libraries");
    }

    /// What global level, shared network, subnet and class have in common.
    fn scope(&mut self, family: Family, table: &Table<'_>, scope: &mut Scope) {
        self.options(family, table.list("option-data"), scope);
        let times = self.times(table);
        match family {
            Family::V4 => scope.times = times,
            Family::V6 => scope.times6 = times,
        }
        let place = |key| table.at(key);
        if let Some(text) = table.filled("next-server") {
            match text.parse::<std::net::Ipv4Addr>() {
                Ok(ip) if ip.is_unspecified() => self.report.imported(&place("next-server"), "next-server 0.0.0.0"),
                Ok(ip) => {
                    scope.next_server = Some(ip);
                    self.report.imported(&place("next-server"), format!("next-server {ip}"));
                }
                Err(_) => {
                    let why = "it is no IPv4 address";
                    self.report.refused(
                        &place("next-server"),
                        format!("next-server {text}"),
                        why,
                        "write the address of the TFTP server",
                    );
                }
            }
        }
        for (key, target) in [("boot-file-name", &mut scope.boot_file), ("server-hostname", &mut scope.server_name)] {
            if let Some(text) = table.filled(key) {
                *target = Some(text.to_owned());
                self.report.imported(&table.at(key), format!("{key} {text}"));
            }
        }
        self.habits(table);
    }

    /// A client's wish counts only between a minimum and a maximum: without these the time is fixed.
    fn times(&mut self, table: &Table<'_>) -> Times {
        let mut take = |key| {
            let seconds = table.seconds(key);
            if let Some(seconds) = seconds {
                self.report.imported(&table.at(key), format!("{key} {seconds}"));
            }
            seconds
        };
        let mut times = Times {
            default: take("valid-lifetime"),
            min: take("min-valid-lifetime"),
            max: take("max-valid-lifetime"),
            preferred: take("preferred-lifetime"),
        };
        times.min = times.min.or(times.default);
        times.max = times.max.or(times.default);
        let whys = [
            ("min-preferred-lifetime", "the preferred lifetime is a part of the valid one"),
            ("max-preferred-lifetime", "the preferred lifetime is a part of the valid one"),
            ("renew-timer", "clients renew at half of the lease time"),
            ("rebind-timer", "clients rebind at 7/8 of the lease time (DHCPv6: 4/5 of the preferred one)"),
            ("calculate-tee-times", "T1 and T2 are always sent"),
            ("t1-percent", "clients renew at half of the lease time"),
            ("t2-percent", "clients rebind at 7/8 of the lease time (DHCPv6: 4/5 of the preferred one)"),
            ("offer-lifetime", "offers are held for dhcp4.offer_hold"),
            ("offer-lft", "offers are held for dhcp4.offer_hold"),
        ];
        table.needless(&whys, self.report);
        times
    }

    /// What every level may say and lanlord does its own way.
    fn habits(&mut self, table: &Table<'_>) {
        let whys = [
            ("cache-threshold", "see dhcp4.cache_fraction"),
            ("cache-max-age", "see dhcp4.cache_fraction"),
            ("store-extended-info", "what relays say is kept with each lease"),
            ("allocator", "a client gets its former address, else the next free one"),
            ("pd-allocator", "a client gets its former prefix, else the next free one"),
            ("ddns-send-updates", "names of leases are in lanlord's DNS at once"),
            ("ddns-override-no-update", "names of leases are in lanlord's DNS at once"),
            ("ddns-override-client-update", "names of leases are in lanlord's DNS at once"),
            ("ddns-replace-client-name", "a client's name is used if it is free and allowed"),
            ("ddns-generated-prefix", "clients without a name get none"),
            ("ddns-qualifying-suffix", "names get the domain of their network"),
            ("ddns-update-on-renew", "names of leases are in lanlord's DNS at once"),
            ("ddns-use-conflict-resolution", "names belong to their clients"),
            ("ddns-conflict-resolution-mode", "names belong to their clients"),
            ("ddns-ttl-percent", "see dns.ttl"),
            ("ddns-ttl", "see dns.ttl"),
            ("ddns-ttl-min", "see dns.ttl"),
            ("ddns-ttl-max", "see dns.ttl"),
            ("hostname-char-set", "names are reduced to letters, digits and hyphens"),
            ("hostname-char-replacement", "names are reduced to letters, digits and hyphens"),
            ("reservation-mode", "reservations hold globally, in and out of pools"),
            ("reservations-global", "global reservations always hold"),
            ("reservations-in-subnet", "reservations of a subnet always hold"),
            ("reservations-out-of-pool", "reservations hold in and out of pools"),
        ];
        table.needless(&whys, self.report);
    }
}

/// What holds if the text says nothing: that time, whatever clients wish.
fn fixed(times: &mut Times, seconds: u32) {
    if times.default.is_none() {
        *times = Times { default: Some(seconds), min: Some(seconds), max: Some(seconds), ..*times };
    }
}

/// Adds what one family says at the top to what the other said.
fn merge(global: &mut Scope, scope: Scope) {
    let mut whole = scope;
    whole.inherit(global);
    *global = whole;
}
