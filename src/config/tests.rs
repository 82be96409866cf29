use std::path::Path;

use super::keys::{KEYS, TABLES};
use super::*;

fn problems(text: &str) -> Vec<String> {
    match parse(Path::new("t.toml"), text) {
        Ok(_) => Vec::new(),
        Err(Problems(problems)) => problems.iter().map(Problem::to_string).collect(),
    }
}

#[test]
fn an_empty_file_is_a_configuration() {
    let config = parse(Path::new("/etc/x/t.toml"), "").expect("valid");
    assert!(!config.dhcp4.enabled && !config.dns.enabled && !config.provisioning.enabled);
    assert_eq!(config.dns.zones, Path::new("/etc/x/zones"));
}

#[test]
fn unknown_keys_are_fatal_and_all_problems_come_at_once() {
    let found = problems(
        "[server]\ndomian = \"x\"\n[[network]]\nname = \"a\"\ninterfaces = \"eth0\"\n[[network.subnet]]\nprefix = \"10.0.0.1/24\"\n\
         pool = [\"10.0.1.1-10.0.1.9\"]\n[dhcp4]\nenabled = \"yes\"\n[nonsense]\n",
    );
    assert_eq!(
        found,
        [
            "t.toml:2:1: unknown key `domian` in [server]; did you mean `domain`?",
            "t.toml:5:1: unknown key `interfaces` in [network]; did you mean `interface`?",
            "t.toml:7:10: 10.0.0.1/24 has bits beyond its length; write 10.0.0.0/24",
            "t.toml:8:9: `pool` 10.0.1.1-10.0.1.9 lies outside 10.0.0.1/24",
            "t.toml:10:11: `enabled` must be true or false, not string",
            "t.toml:11:2: unknown key `nonsense`; known here: server, log, class, boot, option, reservation, network, dhcp4, dhcp6, dns, provisioning, netboot, claws",
        ]
    );
}

#[test]
fn broken_toml_names_line_and_column() {
    let found = problems("[server]\ndomain = \"home.arpa\nx = 1\n");
    assert!(found[0].starts_with("t.toml:2:"), "{found:?}");
}

#[test]
fn plain_http_off_the_loopback_is_refused() {
    for address in ["0.0.0.0:8080", "10.0.0.1:8080", "[::]:8080"] {
        let found = problems(&format!("[server]\nlisten = [\"{address}\"]\n"));
        assert!(found.len() == 1 && found[0].contains("plain HTTP"), "{found:?}");
    }
    assert!(problems("[server]\nlisten = [\"[::1]:8080\"]\n").is_empty());
}

#[test]
fn two_reservations_cannot_have_one_client_or_address() {
    let text = "[[network]]\nname = \"a\"\n[[network.subnet]]\nprefix = \"10.0.0.0/24\"\n[[network.reservation]]\n\
         mac = \"02:00:00:00:00:01\"\nip = \"10.0.0.9\"\n[[network.reservation]]\nmac = \"0200.0000.0001\"\nip = \"10.0.0.9\"\n\
         [[network.reservation]]\nip = \"10.0.1.9\"\n";
    let config = parse(Path::new("t.toml"), text).expect("all else is served");
    let found: Vec<String> = config.findings.iter().map(Problem::to_string).collect();
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with("t.toml:8:1: 10.0.0.9 is reserved in t.toml:5 already"), "{found:#?}");
    assert_eq!(config.policy.reservations.len(), 1);
}

#[test]
fn options_are_understood_by_name_and_number_and_refused_at_their_place() {
    let text = "[[network]]\nname = \"a\"\noptions = { ntp_servers = \"10.0.0.1\", 150 = \"10.0.0.2\", 66 = \"t\" }\n";
    let config = parse(Path::new("t.toml"), text).expect("valid");
    let codes: Vec<u8> = config.policy.networks[0].options.iter().map(|s| s.code).collect();
    assert!([42, 150, 66].iter().all(|code| codes.contains(code)), "{codes:?}");
    let found = problems("[dhcp4]\noptions = { ntp = \"x\", router = \"y\", 51 = 7 }\n");
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found[1].contains("did you mean `routers`?"), "{found:#?}");
}

/// The registry and the readers agree: whatever is known is also looked at.
#[test]
fn every_known_key_is_read() {
    for key in KEYS {
        let mut text = String::new();
        let dots = key.section.match_indices('.').map(|(at, _)| &key.section[..at]);
        for path in dots.chain([key.section]) {
            let Some(table) = TABLES.iter().find(|t| t.path == path) else { continue };
            text.push_str(&if table.many { format!("[[{path}]]\n") } else { format!("[{path}]\n") });
            let six = keys::of_ipv6(key) || key.section == "network.subnet.delegate";
            if keys::of_followed(key) && path == key.section {
                text.push_str(if key.name == "prefix_from" { "" } else { "prefix_from = \"eth0\"\n" });
            } else if path == "network.subnet" && (key.section != path || key.name != "prefix") {
                text.push_str(if six { "prefix = \"2001:db8::/64\"\n" } else { "prefix = \"10.0.0.0/24\"\n" });
            }
        }
        if key.section.starts_with("claws.") && !["name", "domain"].contains(&key.name) {
            text.push_str(if key.section == "claws.zone" { "domain = \"x\"\n" } else { "name = \"x\"\n" });
        }
        text.push_str(&format!("{} = 1979-05-27\n", key.name));
        let line = text.lines().count();
        let found = problems(&text);
        assert!(
            found.iter().any(|p| p.starts_with(&format!("t.toml:{line}:"))),
            "{}.{}: {found:?}",
            key.section,
            key.name
        );
    }
}

#[test]
fn the_shipped_file_explains_every_key_and_sets_none() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/lanlord.toml");
    if std::env::var_os("LANLORD_BLESS").is_some() {
        std::fs::write(&path, keys::shipped()).expect("writable");
    }
    let text = std::fs::read_to_string(&path).expect("the shipped file");
    assert_eq!(text, keys::shipped(), "LANLORD_BLESS=1 writes {} anew from config/keys.rs", path.display());
    let plain = Config { text: "".into(), ..parse(&path, &text).expect("valid as shipped") };
    assert_eq!(format!("{plain:?}"), format!("{:?}", parse(&path, "").expect("valid")));
    let live: String = text
        .lines()
        .map(|l| l.strip_prefix('#').filter(|l| !l.starts_with(' ')).unwrap_or(""))
        .collect::<Vec<_>>()
        .join("\n");
    let config = parse(&path, &live).expect("every example is valid");
    assert_eq!(config.networks[0].name, "voice");
}

/// SE-29, DH-414.
#[test]
fn what_everybody_would_be_given_and_a_proxy_with_addresses_are_refused() {
    let told =
        |text: &str| parse(Path::new("t.toml"), text).map(|_| String::new()).unwrap_or_else(|all| all.to_string());
    for wide in ["/", "/etc", "/etc/", "/var/lib", "/root/."] {
        let problem = told(&format!("[netboot]\ndir = \"{wide}\""));
        assert!(problem.starts_with("t.toml:1:1: `dir` is ") && problem.contains("everybody"), "{wide}: {problem}");
    }
    assert_eq!(told("[netboot]\ndir = \"/srv/boot\"\nmenu_timeout = 255"), "");
    let network =
        "[[network]]\nname = \"lan\"\ninterface = \"eth0\"\nproxy = true\n[[network.subnet]]\nprefix = \"10.0.0.0/24\"";
    assert_eq!(told(network), "");
    let pool = told(&format!("{network}\npool = [\"10.0.0.5-10.0.0.9\"]"));
    assert!(pool.starts_with("t.toml:7:") && pool.contains("another server gives the addresses"), "{pool}");
    assert!(told("[[boot]]\nmenu = \"\u{e4}\"").contains("printable ASCII"));
    assert!(told("[netboot]\nmenu_timeout = 256").contains("t.toml:2:"));
}
