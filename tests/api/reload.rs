//! The configuration, loaded again through REST and the command line (DH-607): what the answer says, and what
//! becomes of leases that the new one does not cover.

use serde_json::{Value, json};

use crate::daemon::Daemon;
use crate::leases::{PHONE, lanlord, lease, text, with_leases};

fn write(daemon: &Daemon, text: &str) {
    std::fs::write(daemon.dir.path().join("c.toml"), text).expect("written");
}

fn file(daemon: &Daemon) -> String {
    std::fs::read_to_string(daemon.dir.path().join("c.toml")).expect("readable")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_tells_what_changed_and_what_needs_a_restart() {
    let daemon = Daemon::start().await;
    let same = daemon.call("POST", "/api/v1/reload", None).await;
    assert_eq!(same.status, 200, "{}", same.body);
    let nothing = json!({ "changed": [], "more": 0, "restart": [], "findings": [], "leases_outside": 0 });
    assert_eq!(same.json(), nothing);

    let text =
        file(&daemon).replace("\"10.77.0.10\"", "\"10.77.0.11\"").replace("[dns]", "[dhcp4]\nport = 6700\n[dns]");
    write(&daemon, &text);
    let done = daemon.call("POST", "/api/v1/reload", None).await.json();
    let changed = json!([{ "key": "dhcp4", "change": "added" }, { "key": "network.voice.reservation.02:00:00:00:00:01.ip", "change": "changed" }]);
    assert_eq!((&done["changed"], &done["restart"]), (&changed, &json!(["dhcp4.port"])), "{done}");
    let status = daemon.get("/api/v1/status").await.json();
    assert!(status["parts"]["configuration"]["reason"].as_str().is_some_and(|r| r.contains("dhcp4.port")), "{status}");
    let shown = daemon.get("/api/v1/reservations").await.json();
    assert_eq!(shown["items"][0]["ip"], "10.77.0.11");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_file_is_refused_with_every_place_and_exit_code_2() {
    let daemon = Daemon::start().await;
    let good = file(&daemon);
    write(&daemon, "[server]\nlsiten = []\n[dhcp4]\nlease_time = \"soon\"\n");
    let refused = daemon.call("POST", "/api/v1/reload", None).await;
    assert_eq!(refused.problem(), 422);
    let errors = refused.json()["errors"].clone();
    let places: Vec<(u64, u64)> = errors
        .as_array()
        .expect("a list")
        .iter()
        .map(|error| (error["line"].as_u64().unwrap_or(0), error["column"].as_u64().unwrap_or(0)))
        .collect();
    assert_eq!(places, [(2, 1), (4, 14)], "{errors}");
    assert!(errors[0]["hint"].as_str().is_some_and(|hint| hint.contains("listen")), "{errors}");
    assert_eq!(errors[0]["file"], daemon.dir.path().join("c.toml").display().to_string());

    let done = lanlord(&daemon, &["reload"]).await;
    assert_eq!(done.status.code(), Some(2));
    let told = text(&done.stderr);
    assert!(told.contains("c.toml:2:1: ") && told.contains("c.toml:4:14: "), "{told}");
    assert_eq!(daemon.get("/api/v1/reservations").await.json()["total"], 1, "the old one stays");

    // a zone file is named by its place, too, and a good file beside it is not taken over
    std::fs::create_dir(daemon.dir.path().join("zones")).expect("made");
    let zone = daemon.dir.path().join("zones/bad.example.zone");
    std::fs::write(&zone, "@ IN NONSENSE x\n").expect("written");
    write(&daemon, &good.replace("10.77.0.10\"", "10.77.0.11\""));
    let refused = daemon.call("POST", "/api/v1/reload", None).await;
    assert_eq!(refused.problem(), 422);
    let errors = refused.json()["errors"].clone();
    assert_eq!((&errors[0]["file"], &errors[0]["line"]), (&json!(zone.display().to_string()), &json!(1)), "{errors}");
    assert_eq!(daemon.get("/api/v1/reservations").await.json()["items"][0]["ip"], "10.77.0.10");

    let reader =
        daemon.call("POST", "/api/v1/tokens", Some(&json!({ "name": "r", "scopes": ["lease:write"] }))).await.json();
    let bearer = format!("Authorization: Bearer {}\r\n", reader["secret"].as_str().expect("a secret"));
    assert_eq!(daemon.tcp("POST /api/v1/reload", &bearer, "").await.problem(), 403);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_that_nothing_covers_any_more_are_kept_and_listed_as_such() {
    let daemon =
        with_leases(vec![lease("10.77.0.100", PHONE, "desk"), lease("10.77.0.150", [2, 0, 0, 0, 0, 9], "pc")]).await;
    let good = file(&daemon);
    let outside = |list: &Value, ip: &str| {
        let items = list["items"].as_array().expect("a list");
        let item = items.iter().find(|item| item["ip"] == ip).unwrap_or_else(|| panic!("{ip} is not listed: {list}"));
        item["outside"].clone()
    };
    let list = daemon.get("/api/v1/leases").await.json();
    assert_eq!(outside(&list, "10.77.0.100"), Value::Null);

    write(&daemon, &good.replace("10.77.0.100-10.77.0.199", "10.77.0.120-10.77.0.199"));
    let done = lanlord(&daemon, &["reload"]).await;
    assert!(done.status.success() && text(&done.stderr).contains("1 leases"), "{}", text(&done.stderr));
    let list = daemon.get("/api/v1/leases").await.json();
    assert_eq!((outside(&list, "10.77.0.100"), outside(&list, "10.77.0.150")), (json!("pool"), Value::Null));
    assert_eq!(daemon.get("/api/v1/dns/query?name=desk.home.arpa").await.json()["answers"][0]["data"], "10.77.0.100");

    write(&daemon, &good.replace("name = \"voice\"", "name = \"office\"").replace("10.77.0", "10.78.0"));
    let done = daemon.call("POST", "/api/v1/reload", None).await.json();
    assert_eq!(done["leases_outside"], 2, "{done}");
    let list = daemon.get("/api/v1/leases").await.json();
    assert_eq!(list["total"], 2);
    assert_eq!((outside(&list, "10.77.0.100"), outside(&list, "10.77.0.150")), (json!("subnet"), json!("subnet")));
    let findings = daemon.get("/api/v1/status").await.json()["findings"].to_string();
    assert!(findings.contains("leases-outside"), "{findings}");

    // an administrator may end one, and what is left comes back with its network
    assert_eq!(daemon.call("DELETE", "/api/v1/leases/10.77.0.150", None).await.status, 204);
    write(&daemon, &good);
    let done = daemon.call("POST", "/api/v1/reload", None).await.json();
    assert_eq!(done["leases_outside"], 0, "{done}");
    assert_eq!(daemon.get("/api/v1/leases").await.json()["total"], 1);
    daemon.stop().await;
}

/// A question over UDP; true if something answers there.
async fn answers(address: std::net::SocketAddr) -> bool {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let question = b"\x07\x07\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x09localhost\x00\x00\x01\x00\x01";
    let mut answer = [0; 512];
    if socket.connect(address).await.is_err() || socket.send(question).await.is_err() {
        return false;
    }
    let received = tokio::time::timeout(std::time::Duration::from_millis(500), socket.recv(&mut answer)).await;
    matches!(received, Ok(Ok(n)) if n > 12)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_the_bus_and_dns_follow_a_reload_without_a_restart() {
    let daemon = Daemon::start().await;
    let good = file(&daemon);
    let token =
        daemon.call("POST", "/api/v1/tokens", Some(&json!({ "name": "web", "scopes": ["bus:write"] }))).await.json();
    let bearer = format!(
        "Authorization: Bearer {}\r\nContent-Type: application/xml\r\nPrefer: wait=10\r\n",
        token["secret"].as_str().expect("a secret")
    );
    let add = |n: u32| {
        format!(
            "<claws:event txid='01890a5d-ac96-774b-bcce-{n:012}'><claws:source>web</claws:source>\
             <claws:identity>web</claws:identity><host:add-host><host:hostname>pc{n}</host:hostname>\
             <host:mac-addr name='e'>02:00:00:00:01:0{n}</host:mac-addr><dns:auto-assign-fqdn/></host:add-host></claws:event>"
        )
    };
    assert_eq!(daemon.tcp("POST /claws/v1/messages", &bearer, &add(1)).await.status, 403, "not configured yet");

    // a port that is free now may be taken a moment later: then the next one is tried
    for _ in 0..10 {
        let dns = crate::daemon::free_port();
        let dns_section = format!("[dns]\nlisten = [\"127.0.0.1\"]\nport = {}\nttl = 77\n", dns.port());
        let claws = "[claws]\n[[claws.credential]]\nname = \"web\"\nsubmit = [\"host:*\"]\n[[claws.zone]]\ndomain = \"guest.example\"\n";
        write(&daemon, &good.replace("[dns]\nlisten = []\n", &format!("{dns_section}{claws}")));
        let done = daemon.call("POST", "/api/v1/reload", None).await;
        assert_eq!((done.status, done.json()["restart"].clone()), (200, json!([])), "{}", done.body);
        let serving = async {
            while !answers(dns).await {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(crate::daemon::LIMIT, serving).await.is_ok() {
            assert_eq!(daemon.tcp("POST /claws/v1/messages", &bearer, &add(2)).await.status, 200, "it may now");
            let host = daemon.get("/api/v1/hosts/pc2").await.json();
            assert_eq!(host["fqdn"], "pc2.guest.example", "{host}");
            write(&daemon, &good);
            assert_eq!(daemon.call("POST", "/api/v1/reload", None).await.json()["restart"], json!([]));
            assert_eq!(daemon.tcp("POST /claws/v1/messages", &bearer, &add(3)).await.status, 403, "and no more");
            let silent = async {
                while answers(dns).await {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
            };
            tokio::time::timeout(crate::daemon::LIMIT, silent).await.expect("the listener ends");
            daemon.stop().await;
            return;
        }
    }
    panic!("no port could be had");
}
