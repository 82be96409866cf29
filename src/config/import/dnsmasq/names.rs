//! What dnsmasq does as a name server: forwarders, and records as lines of a zone file.

use std::net::IpAddr;

use super::super::registry::address;
use super::super::source::Unreadable;
use super::Dnsmasq;
use super::lines::Line;

impl Dnsmasq<'_> {
    /// `domain` and `local`; true if the line was one of them.
    pub fn domain(&mut self, line: &Line) -> bool {
        match line.key.as_str() {
            "domain" => {
                let parts = line.parts();
                let name = parts[0].trim_end_matches('.').to_ascii_lowercase();
                if parts.len() > 1 || name == "#" || name.is_empty() {
                    let why = "domains of single prefixes are domains of networks here";
                    self.report.refused(&line.place, line.shown(), why, "set domain of the network");
                } else {
                    self.domain = Some(name);
                    self.report.imported(&line.place, line.shown());
                }
            }
            "local" => self.report.adapted(&line.place, line.shown(), "names of our domains are never forwarded"),
            _ => return false,
        }
        true
    }

    /// Directives of the name server; all others are unknown.
    pub fn name_service(&mut self, line: &Line) -> Result<(), Unreadable> {
        let (place, what) = (line.place.clone(), line.shown());
        match line.key.as_str() {
            "server" => self.server(line),
            "listen-address" => {
                self.model.dns.listen.extend(line.parts().iter().filter_map(|text| address(text)));
                self.report.imported(&place, what);
            }
            "address" => self.address(line),
            "host-record" => {
                let parts = line.parts();
                let (ips, names): (Vec<&String>, Vec<&String>) =
                    parts.iter().filter(|part| part.parse::<u32>().is_err()).partition(|part| address(part).is_some());
                for name in names {
                    for ip in ips.iter().filter_map(|text| address(text)) {
                        self.record(line, name, kind(ip), &ip.to_string());
                    }
                }
            }
            "cname" => {
                let parts: Vec<String> = line.parts().into_iter().filter(|part| part.parse::<u32>().is_err()).collect();
                if let [aliases @ .., target] = &parts[..] {
                    aliases.iter().for_each(|alias| self.record(line, alias, "CNAME", &self.full(target)));
                }
            }
            "txt-record" => {
                let parts = line.parts();
                let texts: Vec<String> =
                    parts[1..].iter().map(|text| format!("\"{}\"", text.replace('"', "\\\""))).collect();
                self.record(line, &parts[0], "TXT", &texts.join(" "));
            }
            "ptr-record" => {
                let parts = line.parts();
                let target = parts.get(1).map(|name| self.full(name)).unwrap_or_default();
                self.record(line, &parts[0], "PTR", &target);
            }
            "mx-host" => {
                let parts = line.parts();
                let target = self.full(parts.get(1).filter(|t| !t.is_empty()).unwrap_or(&parts[0]));
                let weight = parts.get(2).map_or("1", String::as_str).to_owned();
                self.record(line, &parts[0], "MX", &format!("{weight} {target}"));
            }
            "srv-host" => {
                let parts = line.parts();
                let part =
                    |n: usize, or: &str| parts.get(n).filter(|t| !t.is_empty()).map_or(or.to_owned(), Clone::clone);
                let target = parts.get(1).filter(|t| !t.is_empty()).map_or(".".to_owned(), |name| self.full(name));
                let data = format!("{} {} {} {target}", part(3, "0"), part(4, "0"), part(2, "1"));
                self.record(line, &parts[0], "SRV", &data);
            }
            "addn-hosts" | "hostsdir" => self.hosts_file(line)?,
            "resolv-file" | "no-resolv" | "servers-file" => {
                self.report.look(&place, what, "forwarders are not read from other files", "set dns.forward");
            }
            _ => {
                let why = "this directive is not known here";
                self.report.refused(&place, what, why, "look up what it does, and whether you need it");
            }
        }
        Ok(())
    }

    /// A record becomes a line of a zone file, which the TOML cannot hold.
    fn record(&mut self, line: &Line, name: &str, rtype: &str, data: &str) {
        let text = format!("{} {rtype} {data}", self.full(name));
        let why = "records stand in zone files";
        self.report.refused(&line.place, line.shown(), why, format!("put into a file of dns.zones: {text}"));
        self.model.dns.records.push((line.place.clone(), text));
    }

    /// A name with its final dot; a single label gets the domain.
    fn full(&self, name: &str) -> String {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        match &self.domain {
            Some(domain) if !name.contains('.') => format!("{name}.{domain}."),
            _ => format!("{name}."),
        }
    }

    /// `server=ADDRESS[#PORT]`, `server=/domain/ADDRESS`.
    fn server(&mut self, line: &Line) {
        let (place, what) = (&line.place, line.shown());
        if line.value.starts_with('/') {
            let domain = line.value.split('/').nth(1).unwrap_or_default();
            if line.value.ends_with('/') {
                return self.report.adapted(place, what, "names of our domains are never forwarded");
            }
            let why = "single domains are not forwarded elsewhere";
            return self.report.refused(
                place,
                what,
                why,
                format!("serve {domain} from a zone file, or ask its server directly"),
            );
        }
        let (ip, port) = line.value.split_once('#').map_or((line.value.as_str(), None), |(ip, port)| (ip, Some(port)));
        match (address(ip.split('@').next().unwrap_or_default()), port.map(str::parse::<u16>)) {
            (Some(ip), None | Some(Ok(53))) => {
                self.model.dns.forward.push(ip.to_string());
                self.report.imported(place, what);
            }
            (Some(IpAddr::V4(ip)), Some(Ok(port))) => {
                self.model.dns.forward.push(format!("{ip}:{port}"));
                self.report.imported(place, what);
            }
            (Some(IpAddr::V6(ip)), Some(Ok(port))) => {
                self.model.dns.forward.push(format!("[{ip}]:{port}"));
                self.report.imported(place, what);
            }
            _ => self.report.refused(place, what, "it is no address", "write the address of a name server"),
        }
    }

    /// `address=/NAME/IP`: dnsmasq answers so for all names below, too.
    fn address(&mut self, line: &Line) {
        let parts: Vec<&str> = line.value.split('/').collect();
        let [_, names @ .., last] = &parts[..] else {
            return self.report.refused(&line.place, line.shown(), "it must read /NAME/ADDRESS", "correct it");
        };
        for name in names.iter().filter(|name| !name.is_empty()) {
            match address(last) {
                Some(ip) => {
                    self.record(line, name, kind(ip), &ip.to_string());
                    self.record(line, &format!("*.{name}"), kind(ip), &ip.to_string());
                }
                None => {
                    let why = "names that do not exist are told so by their zone";
                    self.report.refused(&line.place, line.shown(), why, format!("serve an empty zone {name}"));
                }
            }
        }
    }

    /// Lines of a hosts file: an address, then names.
    fn hosts_file(&mut self, line: &Line) -> Result<(), Unreadable> {
        for entry in self.listed(line, "hosts")? {
            let mut words = entry.value.split_whitespace();
            match words.next().and_then(address) {
                Some(ip) => words.for_each(|name| self.record(&entry, name, kind(ip), &ip.to_string())),
                None => {
                    self.report.refused(&entry.place, entry.value.clone(), "it begins with no address", "correct it")
                }
            }
        }
        Ok(())
    }
}

fn kind(ip: IpAddr) -> &'static str {
    if ip.is_ipv4() { "A" } else { "AAAA" }
}
