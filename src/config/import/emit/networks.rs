//! Networks with their subnets and pools as TOML.

use std::net::{IpAddr, Ipv4Addr};

use super::super::model::{Family, Network, Pool, Ra, Scope, Subnet, class_name};
use super::Writer;
use super::text::{list, quoted, time};

impl Writer<'_> {
    pub fn network(&mut self, network: &Network) {
        let (four, six): (Vec<&Subnet>, Vec<&Subnet>) = network.subnets.iter().partition(|s| s.prefix.addr().is_ipv4());
        self.heading("network", &network.place);
        self.line("name", quoted(&network.name));
        if let Some(interface) = &network.interface {
            self.line("interface", quoted(interface));
        }
        if !network.relays.is_empty() {
            self.line("relays", list(&network.relays));
        }
        if !network.interface_ids.is_empty() {
            let ids = network.interface_ids.iter().map(|id| format!("0x{}", crate::domain::hex::write(id)));
            self.line("interface_ids", list(ids));
        }
        if network.proxy {
            self.line("proxy", "true");
        }
        if network.by_mac {
            self.line("identify", quoted("mac"));
        }
        if network.trusted {
            self.line("trust_relay_info", "true");
        }
        if let Some(flag) = network.scope.authoritative.filter(|_| !four.is_empty()) {
            self.line("authoritative", flag.to_string());
        }
        let mut scope = network.scope.clone();
        self.domain(&mut scope);
        if !network.guard.is_empty() {
            self.line("class", list(network.guard.iter().map(|name| class_name(name))));
        }
        self.options("options", &scope, Family::V4);
        self.options("options6", &scope, Family::V6);
        match network.ra {
            Some(ra) if network.interface.is_some() => self.advertisements(ra),
            Some(_) => {
                let what = format!("router advertisements of the network {}", network.name);
                let why = "they need an interface, and which one is not known";
                self.report.refused(&network.place, what, why, "set interface of the network, and [network.ra]");
            }
            None => {}
        }
        for subnet in four.into_iter().chain(six) {
            self.subnet(subnet, &scope);
        }
        for host in &network.reservations {
            self.reservation("network.reservation", host);
        }
    }

    fn advertisements(&mut self, ra: Ra) {
        self.out.push_str("[network.ra]\n");
        self.line("enabled", "true");
        self.line("autonomous", ra.autonomous.to_string());
    }

    /// A domain that is not everybody's is the network's.
    fn domain(&mut self, scope: &mut Scope) {
        let Some(option) = scope.option(Family::V4, 15) else { return };
        if let Some(name) =
            String::from_utf8(option.wire.clone()).ok().filter(|name| super::super::settle::is_domain(name))
        {
            if self.model.domain.as_ref() != Some(&name) {
                self.line("domain", quoted(&name));
            }
            scope.options.retain(|o| (o.family, o.code) != (Family::V4, 15));
        }
    }

    fn subnet(&mut self, subnet: &Subnet, above: &Scope) {
        let six = subnet.prefix.addr().is_ipv6();
        self.heading("network.subnet", &subnet.place);
        self.line("prefix", quoted(&subnet.prefix.to_string()));
        // the first pool that has room is used: their order stays
        let plain = |pool: &&Pool| six || pool.guard.is_empty() && pool.scope.is_empty();
        let short: Vec<String> = subnet.pools.iter().take_while(plain).map(range).collect();
        if !short.is_empty() {
            self.line("pool", list(&short));
        }
        if !subnet.guard.is_empty() {
            self.line("class", list(subnet.guard.iter().map(|name| class_name(name))));
        }
        let mut scope = subnet.scope.clone();
        if six {
            self.six(subnet, above);
        } else {
            self.four(subnet, &mut scope, above);
        }
        for pool in subnet.pools.iter().skip(short.len()) {
            self.pool(pool);
        }
        for class in &subnet.for_class {
            self.heading("network.subnet.class_options", &subnet.place);
            self.line("class", quoted(class_name(&class.class)));
            self.boot(&class.scope);
            if let Some(seconds) = class.scope.times.default {
                self.line("lease_time", time(seconds));
            }
            self.options("options", &class.scope, Family::V4);
            self.no_options6(&class.scope, "a class");
        }
    }

    fn four(&mut self, subnet: &Subnet, scope: &mut Scope, above: &Scope) {
        // what only a subnet can say is said by each subnet
        if scope.next_server.is_none() && !scope.next_is_self {
            (scope.next_server, scope.next_is_self) = (above.next_server, above.next_is_self);
        }
        scope.boot_file = scope.boot_file.take().or_else(|| above.boot_file.clone());
        scope.server_name = scope.server_name.take().or_else(|| above.server_name.clone());
        scope.times = scope.times.or(above.times);
        let router = scope
            .option(Family::V4, 3)
            .and_then(|option| <[u8; 4]>::try_from(&option.wire[..]).ok())
            .map(Ipv4Addr::from);
        if let Some(router) = router.filter(|ip| subnet.prefix.contains(&IpAddr::V4(*ip))) {
            self.line("router", quoted(&router.to_string()));
            scope.options.retain(|o| (o.family, o.code) != (Family::V4, 3));
        }
        self.times(&scope.times);
        let relays: Vec<String> = subnet.relays.iter().filter(|ip| ip.is_ipv4()).map(ToString::to_string).collect();
        if !relays.is_empty() {
            self.line("relays", list(relays));
        }
        self.boot(scope);
        self.options("options", scope, Family::V4);
    }

    fn six(&mut self, subnet: &Subnet, above: &Scope) {
        self.times6(&subnet.scope.times6.or(above.times6));
        for pool in &subnet.pools {
            self.no_options6(&pool.scope, "a pool");
            if !pool.guard.is_empty() {
                let what = format!("guard of the pool {}", range(pool));
                let todo = "give the whole subnet the guard, or the pool to everybody";
                self.report.refused(&pool.place, what, "pools of IPv6 are for every client of the subnet", todo);
            }
        }
        if !subnet.delegate.is_empty() {
            let each = subnet.delegate.iter().map(|d| {
                let exclude = d.exclude.map(|net| format!(", exclude = {}", quoted(&net.to_string())));
                let exclude = exclude.unwrap_or_default();
                format!("{{ prefix = {}, length = {}{exclude} }}", quoted(&d.prefix.to_string()), d.length)
            });
            let each: Vec<String> = each.collect();
            self.line("delegate", format!("[{}]", each.join(", ")));
        }
        self.options("options", &subnet.scope, Family::V6);
    }

    fn pool(&mut self, pool: &Pool) {
        self.heading("network.subnet.pools", &pool.place);
        self.line("range", quoted(&range(pool)));
        if !pool.guard.is_empty() {
            self.line("class", list(pool.guard.iter().map(|name| class_name(name))));
        }
        self.times(&pool.scope.times);
        self.options("options", &pool.scope, Family::V4);
    }
}

fn range(pool: &Pool) -> String {
    if pool.first == pool.last { pool.first.to_string() } else { format!("{}-{}", pool.first, pool.last) }
}
