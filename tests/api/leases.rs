//! Leases and reservations through REST and the command line, over a daemon that was up before: what its
//! journal holds is put there first, as an earlier life would have left it.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use lanlord::clock::{Clock, System};
use lanlord::domain::change::Change;
use lanlord::domain::lease::{Cause, ClientKey, Lease};
use lanlord::domain::net::Mac;
use lanlord::store::{self, Ledger, SqlitePort};

use crate::daemon::{Daemon, LIMIT, free_port};

/// A lease of the network `voice`, as a phone gets it.
pub fn lease(ip: &str, mac: [u8; 6], name: &str) -> Lease {
    let now = System.wall();
    Lease {
        ip: ip.parse().expect("an address"),
        delegated: None,
        network: "voice".to_owned(),
        subnet: "10.77.0.0/24".parse().expect("a prefix"),
        client: ClientKey::Hw(1, mac.to_vec()),
        mac: Some(Mac(mac)),
        client_id: None,
        hostname: Some(name.as_bytes().to_vec()),
        fqdn: Some(format!("{name}.home.arpa")),
        vendor_class: Some(b"yealink".to_vec()),
        user_class: None,
        requested: vec![1, 3, 6],
        relay_info: None,
        circuit_id: None,
        remote_id: None,
        relay: None,
        interface: "eth1".to_owned(),
        began: now,
        expires: now.plus(Duration::from_secs(3600)),
        preferred: None,
        cause: Cause::New,
    }
}

/// Puts changes into the journal of a state folder that no daemon uses.
async fn remember(state: &Path, changes: Vec<Change>) {
    let store::Opened { port, recovered, .. } = store::open(state, "local").await.expect("a state folder");
    let (ledger, end) = Ledger::start::<SqlitePort>(port, recovered, Vec::new(), Arc::new(System));
    ledger.commit(changes).await.expect("committed");
    ledger.stop().await;
    end.await.expect("the writer says how it ended").expect("in order");
}

pub async fn with_leases(leases: Vec<Lease>) -> Daemon {
    let dir = tempfile::tempdir().expect("a folder");
    remember(&dir.path().join("state"), leases.into_iter().map(|l| Change::LeaseGranted(Box::new(l))).collect()).await;
    Daemon::on(dir, free_port()).await
}

/// Runs the command line against that daemon, beside it.
pub async fn lanlord(daemon: &Daemon, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lanlord"));
    command.arg("--socket").arg(daemon.state().join("api.sock")).args(arguments);
    tokio::task::spawn_blocking(move || command.output().expect("it runs")).await.expect("no panic")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

pub const PHONE: [u8; 6] = [0x80, 0x5e, 0xc0, 0, 0, 1];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_takes_the_name_of_a_lease_and_the_list_says_so() {
    let daemon = with_leases(vec![lease("10.77.0.100", PHONE, "pc")]).await;
    let shown = daemon.get("/api/v1/leases/10.77.0.100").await.json();
    assert_eq!(shown["fqdn"], "pc.home.arpa");
    let made = lanlord(&daemon, &["host", "add", "pc", "--mac", "e=02:00:00:00:00:07"]).await;
    let line = text(&made.stdout);
    assert!(made.status.success(), "{}", text(&made.stderr));
    assert!(line.starts_with("host pc is added as pc.home.arpa; e (02:00:00:00:00:07): 10.77.0."), "{line}");
    let shown = daemon.get("/api/v1/leases").await.json();
    assert_eq!(shown["items"][0]["fqdn"], serde_json::Value::Null, "{shown}");
    assert_eq!(shown["items"][0]["name_note"], "pc.home.arpa: host pc");
    let gone = lanlord(&daemon, &["host", "rm", "pc"]).await;
    assert_eq!(text(&gone.stdout), "host pc is removed, with its addresses and names\n");
    assert_eq!(daemon.get("/api/v1/leases/10.77.0.100").await.json()["fqdn"], "pc.home.arpa");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_says_what_is_missing_wrong_or_in_the_way() {
    let daemon = with_leases(vec![lease("10.77.0.100", PHONE, "pc")]).await;
    let missing = lanlord(&daemon, &["host", "rm", "nosuch"]).await;
    assert_eq!(missing.status.code(), Some(3), "{}", text(&missing.stderr));
    let group = lanlord(&daemon, &["host", "add", "x", "--mac", "e=ff:ff:ff:ff:ff:ff"]).await;
    assert_eq!(group.status.code(), Some(2), "{}", text(&group.stderr));

    let taken = lanlord(&daemon, &["reservation", "add", "--mac", "02:00:00:00:00:09", "--ip", "10.77.0.100"]).await;
    assert!(taken.status.success());
    assert!(
        text(&taken.stderr).contains("10.77.0.100 is leased to 80:5e:c0:00:00:01 until "),
        "{}",
        text(&taken.stderr)
    );
    let own = lanlord(&daemon, &["reservation", "add", "--mac", "02:00:00:00:00:0a", "--name", "desk"]).await;
    assert_eq!(text(&own.stderr), "");
    let rival = lanlord(&daemon, &["reservation", "add", "--mac", "02:00:00:00:00:0b", "--name", "desk"]).await;
    assert_eq!(rival.status.code(), Some(4));
    assert!(text(&rival.stderr).contains("name desk is taken by 02000000000a"), "{}", text(&rival.stderr));

    let reverse = lanlord(&daemon, &["dns", "query", "-x", "10.77.0.100"]).await;
    assert!(text(&reverse.stdout).contains("pc.home.arpa"), "{}", text(&reverse.stdout));
    assert_eq!(lanlord(&daemon, &["dns", "query", "-x", "pc"]).await.status.code(), Some(2));
    daemon.stop().await;
}

#[tokio::test]
async fn an_event_with_a_group_address_is_refused() {
    let daemon = Daemon::start().await;
    let event = "<claws:event xmlns:claws=\"urn:openclaws:ns:claws:1\" xmlns:host=\"urn:openclaws:ns:host:1\" \
         txid=\"0192f0c1-0000-7000-8000-000000000002\"><claws:source>x</claws:source><claws:identity>x</claws:identity>\
         <host:add-host><host:hostname>pc</host:hostname><host:mac-addr>ff:ff:ff:ff:ff:ff</host:mac-addr></host:add-host>\
         </claws:event>";
    let head = format!(
        "POST /claws/v1/messages HTTP/1.1\r\nHost: x\r\nContent-Type: application/xml\r\nPrefer: wait=5\r\nContent-Length: {}\r\n\r\n",
        event.len()
    );
    let answer = daemon.try_send(&head, event.as_bytes()).await.expect("an answer");
    assert_eq!(answer.status, 409, "{}", answer.body);
    assert!(answer.body.contains("group or broadcast address"), "{}", answer.body);
    assert_eq!(daemon.get("/api/v1/hosts").await.json()["total"], 0);
    daemon.stop().await;
}

#[test]
fn a_state_folder_that_cannot_be_is_told_with_what_to_do() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("c.toml");
    std::fs::write(&file, "").expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_lanlord"));
    let output = command.args(["serve", "--state", "/proc/nope", "--config"]).arg(file).output().expect("it runs");
    assert_eq!(output.status.code(), Some(7));
    assert!(text(&output.stderr).contains("choose another with --state"), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_are_searched_sorted_paged_exported_and_made_static() {
    let other = Lease { vendor_class: Some(b"=cmd|evil".to_vec()), ..lease("10.77.0.101", [2, 0, 0, 0, 0, 2], "pc") };
    let daemon = with_leases(vec![lease("10.77.0.100", PHONE, "phone-12"), other]).await;
    let count = async |query: &str| daemon.get(&format!("/api/v1/leases?{query}")).await.json()["total"].clone();
    // AP-109: any MAC notation, whole or in part; a part of an address, of a name, of a class
    for query in ["q=80:5e:c0", "q=80-5E-C0", "q=805ec0", "q=805e.c0", "q=.0.100", "q=phone", "q=yealink", "q=PHONE-12"]
    {
        assert_eq!(count(query).await, 1, "{query}");
    }
    for (query, wanted) in
        [("q=10.77", 2), ("q=nobody", 0), ("network=voice", 2), ("network=data", 0), ("state=offered", 0)]
    {
        assert_eq!(count(query).await, wanted, "{query}");
    }
    for bad in ["state=x", "sort=x", "order=x", "limit=0", "cursor=x", "nonsense=1"] {
        assert_eq!(daemon.get(&format!("/api/v1/leases?{bad}")).await.problem(), 400, "{bad}");
    }
    let first = daemon.get("/api/v1/leases?sort=name&order=desc&limit=1").await.json();
    assert_eq!(first["items"][0]["fqdn"], "phone-12.home.arpa");
    let cursor = first["cursor"].as_str().expect("there is more");
    let second = daemon.get(&format!("/api/v1/leases?sort=name&order=desc&limit=1&cursor={cursor}")).await.json();
    assert_eq!((second["items"][0]["ip"].as_str(), second["cursor"].as_str()), (Some("10.77.0.101"), None));

    let csv = lanlord(&daemon, &["lease", "list", "--csv"]).await;
    let lines = text(&csv.stdout);
    assert!(lines.starts_with("ip,mac,fqdn,"), "{lines}");
    assert!(lines.contains(",'=cmd|evil,"), "a spreadsheet runs nothing: {lines}");

    let made = lanlord(&daemon, &["lease", "reserve", "10.77.0.100"]).await;
    assert!(made.status.success(), "{}", text(&made.stderr));
    let kept = daemon.get("/api/v1/reservations/805ec0000001@voice").await.json();
    assert_eq!((kept["ip"].as_str(), kept["name"].as_str()), (Some("10.77.0.100"), Some("phone-12.home.arpa")));
    // "reset leases" never touches reservations
    for ip in ["10.77.0.100", "10.77.0.101"] {
        assert!(lanlord(&daemon, &["lease", "delete", ip]).await.status.success());
    }
    assert_eq!(count("").await, 0);
    assert_eq!(daemon.get("/api/v1/reservations").await.json()["total"], 2);
    assert_eq!(lanlord(&daemon, &["lease", "release", "10.77.0.100"]).await.status.code(), Some(3));
    let folded = async {
        while count("state=revoked").await != 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, folded).await.expect("what is over is listed");
    daemon.stop().await;
}

/// AP-105, DH-612: who had an address at a time, how full the pools are, what is odd.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_pools_options_and_findings_are_shown() {
    let daemon = with_leases(vec![lease("10.77.0.100", PHONE, "phone-12")]).await;
    let now = System.wall().rfc3339();
    let held = daemon.get(&format!("/api/v1/dhcp/history?ip=10.77.0.100&at={now}")).await.json();
    assert_eq!(
        (held["total"].as_u64(), held["items"][0]["mac"].as_str()),
        (Some(1), Some("80:5e:c0:00:00:01")),
        "{held}"
    );
    let before = daemon.get("/api/v1/dhcp/history?ip=10.77.0.100&at=2001-01-01T00:00:00Z").await.json();
    assert_eq!(before["total"], 0);
    assert_eq!(daemon.get("/api/v1/dhcp/history?at=yesterday").await.problem(), 400);
    let named = lanlord(&daemon, &["lease", "history", "--mac", "805EC0000001"]).await;
    assert!(
        text(&named.stdout).starts_with("10.77.0.100\t80:5e:c0:00:00:01\tphone-12.home.arpa\t"),
        "{}",
        text(&named.stdout)
    );

    let positional = lanlord(&daemon, &["lease", "history", "10.77.0.100"]).await;
    assert_eq!(text(&positional.stdout), text(&named.stdout));
    // who is in the classes that are built in
    let classes = daemon.get("/api/v1/dhcp/classes").await.json();
    let members = |name: &str| {
        let items = classes["items"].as_array().expect("classes");
        items.iter().find(|item| item["name"] == name).unwrap_or_else(|| panic!("{name}: {classes}"))["ips"].clone()
    };
    assert_eq!((members("ALL"), members("KNOWN")), (serde_json::json!(["10.77.0.100"]), serde_json::json!([])));
    assert_eq!(members("UNKNOWN"), serde_json::json!(["10.77.0.100"]));
    let listed = lanlord(&daemon, &["class", "list"]).await;
    assert!(text(&listed.stdout).starts_with("ALL\t1\teverybody\t-\t10.77.0.100"), "{}", text(&listed.stdout));

    let pool = daemon.get("/api/v1/subnets").await.json()["items"][0].clone();
    let part = |key: &str| pool[key].as_u64().expect("a count");
    assert_eq!((part("size"), part("leased")), (100, 1));
    assert_eq!(part("size"), ["free", "leased", "reserved", "offered", "quarantined"].map(part).iter().sum::<u64>());
    let options = daemon.get("/api/v1/dhcp/options?q=tftp").await.json();
    assert!(options["total"].as_u64().is_some_and(|n| n >= 1), "{options}");
    assert_eq!(daemon.get("/api/v1/quarantine").await.json()["total"], 0);
    assert_eq!(daemon.call("DELETE", "/api/v1/quarantine/10.77.0.9", None).await.problem(), 404);
    let log = daemon.get("/api/v1/dhcp/log?client=80-5E-C0-00-00-01").await.json();
    assert_eq!(log["total"], 0, "nothing was sent yet");
    assert_eq!(daemon.get("/api/v1/dhcp/log?client=x").await.problem(), 400);
    let metrics = daemon.get("/metrics").await.body;
    for wanted in [
        "lanlord_dhcp_pool_addresses{subnet=\"10.77.0.0/24\",state=\"leased\"} 1",
        "# TYPE lanlord_lease_commit_duration_seconds histogram",
        "lanlord_dhcp_request_duration_seconds_count 0",
        "process_resident_memory_bytes ",
        "process_open_fds ",
    ] {
        assert!(metrics.contains(wanted), "{wanted}: {metrics}");
    }
    daemon.stop().await;
}
