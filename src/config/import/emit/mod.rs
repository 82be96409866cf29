//! A model as our TOML: complete, with which the daemon starts at once. Owns the spelling; refuses, in the
//! report, what has none.

use std::fmt::Write as _;

use super::expr::Expr;
use super::model::{Class, Family, Key, Model, Opt, Reservation, Scope, Times, class_name};
use super::report::Report;
use super::source::Place;
use crate::domain::dhcp::classes::Expression;
use crate::domain::dhcp::options;

/// Networks, subnets, pools.
mod networks;
/// Values.
pub mod text;

use text::{list, quoted, time};

/// A text that grows, and what could not be put into it.
struct Writer<'a> {
    out: String,
    report: &'a mut Report,
    model: &'a Model,
}

/// The whole configuration.
pub fn toml(model: &Model, report: &mut Report) -> String {
    let mut writer = Writer { out: String::new(), report, model };
    writer.top();
    writer.forced();
    for class in &model.classes {
        writer.class(class);
    }
    for network in &model.networks {
        writer.network(network);
    }
    for host in &model.reservations {
        writer.reservation("reservation", host);
    }
    writer.out
}

impl Writer<'_> {
    fn line(&mut self, key: &str, value: impl AsRef<str>) {
        let _ = writeln!(self.out, "{key} = {}", value.as_ref());
    }

    fn heading(&mut self, heading: &str, place: &Place) {
        let _ = writeln!(self.out, "\n# {place}\n[[{heading}]]");
    }

    fn top(&mut self) {
        let model = self.model;
        let _ = writeln!(self.out, "# Made by `lanlord import`. Lines of the source stand beside each object.");
        if let Some(domain) = &model.domain {
            let _ = writeln!(self.out, "\n[server]");
            self.line("domain", quoted(domain));
        }
        let _ = writeln!(self.out, "\n[dhcp4]");
        self.line("enabled", model.v4.to_string());
        if model.v4 {
            self.knobs();
            self.times(&model.global.times);
            self.boot(&model.global);
            self.options("options", &model.global, Family::V4);
        }
        if model.v6 {
            let _ = writeln!(self.out, "\n[dhcp6]");
            self.line("enabled", "true");
            // a prefix without a pool gives none anyway; the mode is that of all networks
            let six = model.networks.iter().flat_map(|n| &n.subnets).filter(|s| s.prefix.addr().is_ipv6());
            let gives = six.into_iter().any(|s| !s.pools.is_empty() || !s.delegate.is_empty());
            if model.knobs.stateless == Some(true) && !gives {
                self.line("mode", quoted("stateless"));
            }
            if let Some(flag) = model.knobs.rapid_commit6 {
                self.line("rapid_commit", flag.to_string());
            }
            self.times6(&model.global.times6);
            self.options("options", &model.global, Family::V6);
        }
        if let Some(folder) = &model.boot_folder {
            let _ = writeln!(self.out, "\n[netboot]");
            self.line("dir", quoted(folder));
        }
        if model.dns.enabled {
            let _ = writeln!(self.out, "\n[dns]");
            if let Some(port) = model.dns.port {
                self.line("port", port.to_string());
            }
            if !model.dns.listen.is_empty() {
                self.line("listen", list(&model.dns.listen));
            }
            if !model.dns.forward.is_empty() {
                self.line("forward", list(&model.dns.forward));
            }
        }
    }

    fn knobs(&mut self) {
        let (model, knobs) = (self.model, &self.model.knobs);
        self.line("authoritative", model.global.authoritative.unwrap_or(false).to_string());
        let flags =
            [("rapid_commit", knobs.rapid_commit), ("echo_client_id", knobs.echo_client_id), ("probe", knobs.probe)];
        for (key, flag) in flags {
            if let Some(flag) = flag {
                self.line(key, flag.to_string());
            }
        }
        if let Some(seconds) = knobs.quarantine {
            self.line("quarantine", time(seconds));
        }
    }

    fn times(&mut self, times: &Times) {
        for (key, seconds) in
            [("lease_time", times.default), ("min_lease_time", times.min), ("max_lease_time", times.max)]
        {
            if let Some(seconds) = seconds {
                self.line(key, time(seconds));
            }
        }
    }

    /// DHCPv6 has no bounds of what clients wish: they wish nothing.
    fn times6(&mut self, times: &Times) {
        // no longer than the lease, which another level may say
        let most = times.default.or(self.model.global.times6.default).unwrap_or(u32::MAX);
        let preferred = times.preferred.map(|seconds| seconds.min(most));
        for (key, seconds) in [("lease_time", times.default), ("preferred_time", preferred)] {
            if let Some(seconds) = seconds {
                self.line(key, time(seconds));
            }
        }
    }

    /// Options that are sent unasked.
    fn forced(&mut self) {
        let networks = || self.model.networks.iter();
        let subnets = || networks().flat_map(|network| &network.subnets);
        let scopes = std::iter::once(&self.model.global)
            .chain(self.model.classes.iter().map(|class| &class.scope))
            .chain(networks().map(|network| &network.scope))
            .chain(subnets().map(|subnet| &subnet.scope))
            .chain(subnets().flat_map(|subnet| &subnet.for_class).map(|class| &class.scope))
            .chain(subnets().flat_map(|subnet| &subnet.pools).map(|pool| &pool.scope));
        // those of a reservation are sent unasked anyway, and DHCPv6 sends what is asked for
        let forced = scopes.flat_map(|scope| &scope.options).filter(|o| o.force && o.family == Family::V4);
        let mut codes: Vec<(u16, &Place)> = forced.map(|option| (option.code, &option.place)).collect();
        codes.extend(self.model.forced.iter().map(|(code, place)| (*code, place)));
        codes.sort_by_key(|(code, _)| *code);
        codes.dedup_by_key(|(code, _)| *code);
        for (code, place) in codes {
            let Ok(code) = u8::try_from(code) else { continue };
            if options::by_code(code).is_some_and(|entry| entry.owned) {
                continue;
            }
            self.heading("option", place);
            self.line("code", code.to_string());
            if options::by_code(code).is_none() {
                self.line("name", quoted(&format!("option-{code}")));
            }
            self.line("always_send", "true");
        }
    }

    /// Options of DHCPv6 that only some clients of a place get cannot be said.
    fn no_options6(&mut self, scope: &Scope, what: &str) {
        for option in scope.options.iter().filter(|option| option.family == Family::V6) {
            let why = format!("DHCPv6 options of {what} cannot be said here");
            self.report.refused(&option.place, format!("option {}", option.code), why, "set it for the subnet");
        }
    }

    /// `options = { .. }` of one family, if there are any.
    fn options(&mut self, key: &str, scope: &Scope, family: Family) {
        let own: Vec<&Opt> = scope.options.iter().filter(|option| option.family == family).collect();
        let mut pairs = Vec::new();
        for option in own {
            match text::option(option, &self.model.definitions) {
                Ok((name, value)) => pairs.push(format!("{name} = {}", quoted(&value))),
                Err(why) => {
                    let what = format!("option {}", option.code);
                    self.report.refused(&option.place, what, why, "set what the clients need in another way");
                }
            }
        }
        if !pairs.is_empty() {
            self.line(key, format!("{{ {} }}", pairs.join(", ")));
        }
    }

    /// Boot fields, as every level has them.
    fn boot(&mut self, scope: &Scope) {
        if let Some(ip) = scope.next_server {
            self.line("next_server", quoted(&ip.to_string()));
        } else if scope.next_is_self {
            self.line("next_server", quoted("${server_ip}"));
        }
        if let Some(file) = &scope.boot_file {
            self.line("boot_file", quoted(file));
        }
        if let Some(name) = &scope.server_name {
            self.line("server_name", quoted(name));
        }
    }

    fn class(&mut self, class: &Class) {
        self.heading("class", &class.place);
        self.line("name", quoted(class_name(&class.name)));
        if let Some(test) = &class.test {
            self.test(test, &class.place, || format!("class {}", class.name));
        }
        self.boot(&class.scope);
        if let Some(seconds) = class.scope.times.default {
            self.line("lease_time", time(seconds));
        }
        self.options("options", &class.scope, Family::V4);
        self.no_options6(&class.scope, "a class");
    }

    /// A condition; one that our language cannot say selects nobody.
    fn test(&mut self, test: &Expr, place: &Place, what: impl Fn() -> String) {
        let text = test.spelled();
        // many addresses are a list of them
        if let Some(macs) = test.macs().filter(|_| text.len() > 200) {
            return self.line("mac", list(macs));
        }
        let any_option = |_: &str| Some(0u16);
        match Expression::parse(&text, &any_option) {
            Ok(_) => self.line("test", quoted(&text)),
            Err(why) => {
                let todo = "write the class anew, with the words of lanlord-dhcp(7)";
                self.report.refused(place, what(), format!("its condition cannot be said here: {why}"), todo);
                self.line("test", quoted("false"));
            }
        }
    }

    fn reservation(&mut self, heading: &str, host: &Reservation) {
        self.heading(heading, &host.place);
        let mut macs = Vec::new();
        for key in &host.keys {
            match key {
                Key::Mac(mac) => macs.push(mac.to_string()),
                Key::ClientId(id) => self.line("client_id", quoted(&crate::domain::hex::write(id))),
                Key::Duid(id) => self.line("duid", quoted(&crate::domain::hex::write(id))),
                Key::Circuit(id) => self.line("circuit_id", quoted(&format!("0x{}", crate::domain::hex::write(id)))),
                Key::Remote(id) => self.line("remote_id", quoted(&format!("0x{}", crate::domain::hex::write(id)))),
                Key::Test(test) => self.test(test, &host.place, || "reservation".to_owned()),
            }
        }
        match &macs[..] {
            [] => {}
            [one] => self.line("mac", quoted(one)),
            several => self.line("mac", list(several)),
        }
        if let Some(ip) = host.ips.iter().find(|ip| ip.is_ipv4()) {
            self.line("ip", quoted(&ip.to_string()));
        }
        let six: Vec<_> = host.ips.iter().filter(|ip| ip.is_ipv6()).collect();
        if !six.is_empty() {
            self.line("ip6", list(six));
        }
        if let Some(prefix) = host.prefixes.first() {
            self.line("prefix6", quoted(&prefix.to_string()));
        }
        if let Some(name) = &host.name {
            self.line("name", quoted(name));
        }
        if !host.classes.is_empty() {
            self.line("class", list(host.classes.iter().map(|name| class_name(name))));
        }
        self.boot(&Scope { next_is_self: false, ..host.scope.clone() });
        if let Some(seconds) = host.scope.times.default {
            self.line("lease_time", time(seconds));
        }
        self.options("options", &host.scope, Family::V4);
        self.no_options6(&host.scope, "a reservation");
    }
}
