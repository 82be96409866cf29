//! `lease explain` and `lease simulate`: every value with its source, and no effect.

use crate::daemon::{Daemon, configuration, free_port};

const MORE: &str = "\
[dhcp4]
options = { 42 = \"10.77.0.1\", 66 = \"all.example\" }
[[class]]
name = \"phones\"
vendor_class = \"yealink*\"
options = { 66 = \"phones.example\" }
[[network.reservation]]
mac = \"02:00:00:00:00:02\"
ip = \"10.77.0.10\"
[[network.subnet.class_options]]
class = \"phones\"
options = { 42 = \"10.77.0.8\" }
boot_file = \"phone.bin\"
";

/// The options of the class belong to the subnet: they stand before the next table of the network.
fn text(tcp: std::net::SocketAddr) -> String {
    let (here, rest) = MORE.split_once("[[network.subnet.class_options]]").expect("both parts");
    let (top, reservation) = here.split_once("[[network.reservation]]").expect("both parts");
    let of_subnet = format!("[[network.subnet.class_options]]{rest}[[network.reservation]]\nmac");
    let base = configuration(tcp).replacen("[[network.reservation]]\nmac", &of_subnet, 1);
    let base = base.replacen("[dns]", &format!("[[network.reservation]]{reservation}[dns]"), 1);
    format!("{base}{top}")
}

#[tokio::test]
async fn every_value_has_its_source_and_what_it_overrode() {
    let (dir, tcp) = (tempfile::tempdir().expect("a folder"), free_port());
    let daemon = Daemon::with(dir, tcp, &text(tcp)).await;
    let path = "/api/v1/leases/explain?client=02:00:00:00:00:01&vendor_class=yealink&request=1,42,66";
    let found = daemon.get(path).await.json();
    assert_eq!(found["ip"], "10.77.0.10", "{found}");
    assert_eq!(found["classes"][0], "phones");
    let value = |name: &str| {
        let items = found["items"].as_array().expect("values");
        items.iter().find(|item| item["name"] == name).unwrap_or_else(|| panic!("{name}: {found}")).clone()
    };
    let ntp = value("ntp-servers");
    assert_eq!((ntp["value"].as_str(), ntp["sent"].as_bool()), (Some("10.77.0.8"), Some(true)));
    assert!(ntp["source"].as_str().is_some_and(|s| s.starts_with("class phones in the subnet (")), "{ntp}");
    assert!(ntp["source"].as_str().is_some_and(|s| s.contains("c.toml:")), "{ntp}");
    assert_eq!(ntp["overrode"][0]["value"], "10.77.0.1");
    assert!(ntp["overrode"][0]["source"].as_str().is_some_and(|s| s.starts_with("all networks (")), "{ntp}");
    assert_eq!(value("tftp-server-name")["value"], "phones.example");
    assert_eq!(value("boot_file")["value"], "phone.bin");
    assert_eq!(value("broadcast-address")["sent"], false, "nobody asked for it");

    let by_ip = daemon.get("/api/v1/leases/explain?client=10.77.0.10").await.json();
    assert_eq!(by_ip["items"].as_array().map(Vec::is_empty), Some(false), "{by_ip}");
    let stranger = daemon.get("/api/v1/leases/simulate?client=02:00:00:00:00:77").await.json();
    assert_eq!((stranger["answer"].as_str(), stranger["ip"].as_str()), (Some("DHCPOFFER"), Some("10.77.0.100")));
    assert_eq!(daemon.get("/api/v1/leases").await.json()["items"].as_array().map(Vec::len), Some(0));
    assert_eq!(daemon.get("/api/v1/leases/explain?client=nobody").await.status, 400);

    // the second reservation of that address was left out, and the daemon says so
    let status = daemon.get("/api/v1/status").await.body;
    assert!(status.contains("10.77.0.10 is reserved in"), "{status}");
    daemon.stop().await;
}

/// What makes a member of a class, where that is written; and subnets of IPv6 beside those of IPv4.
#[tokio::test]
async fn classes_and_subnets_of_both_families_are_listed() {
    let (dir, tcp) = (tempfile::tempdir().expect("a folder"), free_port());
    let six = "[[network]]\nname = \"six\"\n[[network.subnet]]\nprefix = \"fd00:77::/64\"\n\
               pool = [\"fd00:77::1000-fd00:77::1fff\"]\n";
    let daemon = Daemon::with(dir, tcp, &format!("{}{six}", text(tcp))).await;
    let classes = daemon.get("/api/v1/dhcp/classes").await.json();
    let phones = &classes["items"][0];
    assert_eq!(
        (phones["name"].as_str(), phones["definition"].as_str()),
        (Some("phones"), Some("vendor_class = yealink*"))
    );
    assert!(phones["place"].as_str().is_some_and(|place| place.contains("c.toml:")), "{phones}");
    assert_eq!(phones["members"], 0);
    let subnets = daemon.get("/api/v1/subnets").await.json();
    let prefixes = subnets["items"].as_array().expect("subnets");
    let of_six = prefixes.iter().find(|item| item["prefix"] == "fd00:77::/64").unwrap_or_else(|| panic!("{subnets}"));
    assert_eq!((of_six["size"].as_u64(), of_six["free"].as_u64()), (Some(4096), Some(4096)));
    let unknown = daemon.get("/api/v1/leases/explain?client=02:00:00:00:00:77&network=voice").await.json();
    assert_eq!(unknown["state"], "newcomer", "{unknown}");
    daemon.stop().await;
}
