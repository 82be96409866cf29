//! Lines that configure, as the things that they describe.

use lanlord::domain::change::Change;
use lanlord::domain::dhcp::policy::{
    Identify, LeaseTimes, Match, Network, Policy, Pool, Recipe, Server, Setting, Subnet, Value,
};
use lanlord::domain::host::{CustomOption, Host, Interface};
use lanlord::domain::lease::{Origin, Reservation, ReservationKey};

use super::words::{Step, Words, bytes, hex, ip, mac, range};

pub fn network(words: &Words<'_>) -> Network {
    Network {
        name: words.0[0].to_owned(),
        interface: words.value("interface").map(str::to_owned),
        relays: words.values("relay").map(ip).collect(),
        domain: words.value("domain").unwrap_or_default().to_owned(),
        authoritative: words.has("authoritative"),
        identify: match words.value("identify") {
            Some("mac") => Identify::Mac,
            Some("both") => Identify::Both,
            _ => Identify::ClientId,
        },
        trusted: words.has("trusted"),
        recipes: !words.has("no-recipes"),
        ipv6_only: words.value("ipv6-only").map(|n| n.parse().unwrap()),
        ..Network::default()
    }
}

pub fn subnet(words: &Words<'_>) -> Subnet {
    let mut subnet = Subnet::new(words.0[0].parse().expect("a prefix"));
    for pool in words.values("pool") {
        let (first, last) = range(pool);
        subnet.pools.push(Pool::new(first, last));
    }
    for exclude in words.values("exclude") {
        let (first, last) = range(exclude);
        subnet.pools.last_mut().expect("a pool").exclude.push(first..=last);
    }
    subnet.router = words.ip("router");
    subnet.server_id = words.ip("server");
    subnet.boot.next_server = words.ip("next-server").map(Server::Address);
    subnet.boot.file = words.value("file").map(str::to_owned);
    subnet.relays = words.values("relay").map(ip).collect();
    subnet.times = words.value("time").map(|text| {
        let n: Vec<u32> = text.split('/').map(|n| n.parse().unwrap()).collect();
        LeaseTimes { default: n[0], min: n[1], max: n[2], infinite: words.has("infinite") }
    });
    subnet
}

pub fn last_subnet(networks: &mut [Network]) -> Result<&mut Subnet, String> {
    networks.last_mut().and_then(|n| n.subnets.last_mut()).ok_or("no subnet yet".to_owned())
}

pub fn setting(rest: &str, force: bool) -> Result<Setting, String> {
    let (code, text) = rest.split_once(' ').ok_or("no value")?;
    Setting::parse(code.parse().map_err(|_| "no code")?, text, force).map_err(|e| e.to_string())
}

pub fn recipe(words: &Words<'_>) -> Result<Recipe, String> {
    let mut recipe = Recipe { name: "test".to_owned(), ..Recipe::default() };
    recipe.when = Match {
        vendor_class: words.values("class").map(|c| c.replace('_', " ")).collect(),
        patterns: words
            .value("regex")
            .map(|r| (60, regex::bytes::Regex::new(r).expect("a regex")))
            .into_iter()
            .collect(),
        enterprise: words.values("enterprise").map(|n| n.parse().expect("a number")).collect(),
        fields: Vec::new(),
        oui: words.values("oui").map(|o| hex(o).try_into().expect("three octets")).collect(),
    };
    recipe.boot.next_server = words.value("siaddr").and_then(Server::parse);
    recipe.boot.file = words.value("file").map(str::to_owned);
    for (key, value) in words.0.iter().filter_map(|w| w.split_once('=')) {
        if let Ok(code) = key.parse::<u8>() {
            recipe.settings.push(Setting::parse(code, value, true).map_err(|e| e.to_string())?);
        }
        if let Some(sub) = key.strip_prefix("43.") {
            let value = Value::Sub(vec![(sub.parse().unwrap(), value.to_owned())]);
            recipe.settings.push(Setting { code: 43, value, force: true, at: None });
        }
    }
    Ok(recipe)
}

pub fn reservation(words: &Words<'_>, number: usize) -> Reservation {
    let mut keys: Vec<ReservationKey> = words.values("mac").map(|m| ReservationKey::Mac(mac(m))).collect();
    keys.extend(words.values("id").map(|id| ReservationKey::ClientId(hex(id))));
    keys.extend(words.values("circuit").map(|id| ReservationKey::CircuitId(bytes(id))));
    keys.extend(words.values("remote").map(|id| ReservationKey::RemoteId(bytes(id))));
    keys.extend(words.values("duid").map(|id| ReservationKey::Duid { duid: hex(id), iaid: None }));
    let options = words.0.iter().filter_map(|w| w.split_once('='));
    Reservation {
        network: words.value("network").map(str::to_owned),
        keys,
        ip: words.ip("ip").map(Into::into),
        name: words.value("name").map(str::to_owned),
        options: options.filter_map(|(code, value)| Some((code.parse().ok()?, bytes(value)))).collect(),
        ..Reservation::new(format!("r{number}"), Origin::Config("scenario".to_owned()))
    }
}

pub fn host(words: &Words<'_>) -> Change {
    let interface = Interface {
        name: "ethernet".to_owned(),
        mac: words.value("mac").map(mac),
        roaming: words.has("roaming"),
        vlan: None,
        networks: Vec::new(),
        addresses: words.values("ip").map(|text| text.parse().expect("an address")).collect(),
    };
    let options = words.0.iter().filter_map(|w| w.split_once('='));
    let option = |(number, value): (&str, &str)| {
        Some(CustomOption { number: number.parse().ok()?, interface: None, family: 4, value: bytes(value) })
    };
    Change::HostPut(Box::new(Host {
        id: words.0[1].to_owned(),
        hostname: words.0[1].to_owned(),
        fqdn: words.value("fqdn").map(str::to_owned),
        aliases: Vec::new(),
        interfaces: vec![interface],
        options: options.filter_map(option).collect(),
        properties: Vec::new(),
    }))
}

pub fn rule(policy: &mut Policy, words: &Words<'_>) -> Step {
    for word in &words.0 {
        match word.split_once('=').unwrap_or((word, "")) {
            ("rapid-commit", _) => policy.rules.rapid_commit = true,
            ("bare", _) => policy.rules.accept_bare_request = true,
            ("bootp", _) => policy.rules.bootp = true,
            ("one-per-mac", _) => policy.rules.one_lease_per_mac = true,
            ("leasequery", relay) => policy.rules.leasequery.push(ip(relay)),
            ("no-echo", _) => policy.rules.echo_client_id = false,
            ("cache", part) => policy.rules.cache_fraction = part.parse().unwrap(),
            (other, _) => return Err(format!("no such rule: {other}")),
        }
    }
    Ok(())
}
