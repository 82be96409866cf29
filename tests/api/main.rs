//! The whole daemon in this process, on a Unix socket and a free loopback port: what REST answers to good
//! and bad requests, who is let in, and what survives a restart.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use lanlord::app::{App, Options};
use lanlord::config;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::sync::CancellationToken;

mod daemon;
mod explain;
mod leases;
#[path = "../common/port.rs"]
mod port;
mod reload;

use daemon::{Daemon, LIMIT};

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).expect("it is there").mode() & 0o777
}

#[tokio::test]
async fn reservations_are_made_changed_and_removed_and_survive_a_restart() {
    let daemon = Daemon::start().await;
    let wanted = json!({ "mac": "80-5E-C0-00-00-01", "ip": "10.77.0.20", "name": "desk", "options": { "tftp-server-name": "10.77.0.2" } });
    let made = daemon.call("POST", "/api/v1/reservations", Some(&wanted)).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let id = made.json()["id"].as_str().expect("an id").to_owned();
    assert_eq!(made.json()["mac"], "80:5e:c0:00:00:01");

    let again = daemon.call("POST", "/api/v1/reservations", Some(&wanted)).await;
    assert_eq!(again.problem(), 409);
    let rival = json!({ "mac": "80:5e:c0:00:00:02", "ip": "10.77.0.20" });
    let refused = daemon.call("POST", "/api/v1/reservations", Some(&rival)).await;
    assert_eq!(refused.problem(), 409);
    assert!(refused.body.contains(&id), "the conflict names the other: {}", refused.body);

    let changed = json!({ "mac": "80:5e:c0:00:00:01", "ip": "10.77.0.21" });
    assert_eq!(daemon.call("PUT", &format!("/api/v1/reservations/{id}"), Some(&changed)).await.status, 200);
    let (dir, tcp) = daemon.stop().await;
    let daemon = Daemon::on(dir, tcp).await;
    let shown = daemon.get(&format!("/api/v1/reservations/{id}")).await.json();
    assert_eq!((shown["ip"].as_str(), shown["name"].as_str()), (Some("10.77.0.21"), None));
    assert_eq!(daemon.get("/api/v1/reservations").await.json()["total"], 2, "the other one is of the configuration");

    assert_eq!(daemon.call("DELETE", &format!("/api/v1/reservations/{id}"), None).await.status, 204);
    assert_eq!(daemon.call("DELETE", &format!("/api/v1/reservations/{id}"), None).await.problem(), 404);
    let of_config =
        daemon.get("/api/v1/reservations").await.json()["items"][0]["id"].as_str().expect("an id").to_owned();
    let path = format!("/api/v1/reservations/{of_config}");
    assert_eq!(daemon.call("DELETE", &path, None).await.problem(), 409, "the file's own are changed in the file (I9)");
    daemon.stop().await;
}

#[tokio::test]
async fn devices_are_made_shown_and_removed() {
    let daemon = Daemon::start().await;
    let made =
        daemon.call("POST", "/api/v1/devices", Some(&json!({ "mac": "805ec0000001", "vendor": "Yealink" }))).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let twin = daemon.call("POST", "/api/v1/devices", Some(&json!({ "mac": "80:5e:c0:00:00:01" }))).await;
    assert_eq!(twin.problem(), 409);
    let unknown =
        daemon.call("POST", "/api/v1/devices", Some(&json!({ "mac": "80:5e:c0:00:00:02", "plugin": "nobody" }))).await;
    assert_eq!(unknown.problem(), 422);
    let shown = daemon.get("/api/v1/devices/80-5e-c0-00-00-01").await.json();
    assert_eq!(shown["vendor"], "Yealink");
    let id = shown["id"].as_str().expect("an id");
    assert_eq!(daemon.get(&format!("/api/v1/devices/{id}/explain")).await.status, 200);
    assert_eq!(daemon.call("DELETE", &format!("/api/v1/devices/{id}"), None).await.status, 204);
    assert_eq!(daemon.get(&format!("/api/v1/devices/{id}")).await.problem(), 404);
    daemon.stop().await;
}

#[tokio::test]
async fn whoever_comes_over_tcp_needs_a_token() {
    let daemon = Daemon::start().await;
    for path in ["/api/v1/leases", "/api/v1/status", "/metrics", "/claws/v1/stream", "/nonsense", "/"] {
        let refused = daemon.tcp(&format!("GET {path}"), "", "").await;
        assert_eq!(refused.problem(), 401, "{path}");
        assert!(refused.head.contains("www-authenticate: Bearer"), "{}", refused.head);
    }
    for path in ["/healthz", "/readyz", "/livez", "/login", "/style.css"] {
        assert_eq!(daemon.tcp(&format!("GET {path}"), "", "").await.status, 200, "{path}");
    }
    let wrong = daemon.tcp("GET /api/v1/status", "Authorization: Bearer lan_00\r\n", "").await;
    assert_eq!(wrong.problem(), 401);

    let token = daemon.first_token();
    assert_eq!(mode(&daemon.state().join("admin.token")), 0o600);
    let bearer = format!("Authorization: Bearer {token}\r\n");
    assert_eq!(daemon.tcp("GET /api/v1/status", &bearer, "").await.status, 200);

    let made =
        daemon.call("POST", "/api/v1/tokens", Some(&json!({ "name": "reader", "scopes": ["lease:read"] }))).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let (id, secret) = (made.json()["id"].clone(), made.json()["secret"].clone());
    assert!(!daemon.get("/api/v1/tokens").await.body.contains(secret.as_str().expect("a secret")), "shown once");
    let bearer = format!("Authorization: Bearer {}\r\n", secret.as_str().expect("a secret"));
    assert_eq!(daemon.tcp("GET /api/v1/leases", &bearer, "").await.status, 200);
    for (request, path) in
        [("GET", "/api/v1/devices"), ("GET", "/api/v1/tokens"), ("DELETE", "/api/v1/leases/10.77.0.100"), ("GET", "/")]
    {
        assert_eq!(daemon.tcp(&format!("{request} {path}"), &bearer, "").await.problem(), 403, "{request} {path}");
    }
    assert_eq!(
        daemon.call("DELETE", &format!("/api/v1/tokens/{}", id.as_str().expect("an id")), None).await.status,
        204
    );
    assert_eq!(daemon.tcp("GET /api/v1/leases", &bearer, "").await.problem(), 401, "revoked at once");
    daemon.stop().await;
}

#[tokio::test]
async fn a_browser_signs_in_with_a_token_and_is_protected_from_other_sites() {
    let daemon = Daemon::start().await;
    let html = "Accept: text/html\r\n";
    let sent_away = daemon.tcp("GET /", html, "").await;
    assert_eq!(sent_away.status, 303);
    assert!(sent_away.head.contains("location: /login"), "{}", sent_away.head);
    assert_eq!(daemon.tcp("POST /login", html, "token=lan_0").await.status, 422);
    let form = format!("token={}", daemon.first_token());
    let signed_in = daemon.tcp("POST /login", html, &form).await;
    assert_eq!(signed_in.status, 303, "{}", signed_in.body);
    let cookie = signed_in.head.lines().find_map(|l| l.strip_prefix("set-cookie: ")).expect("a cookie");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    assert!(!cookie.contains(&daemon.first_token()), "the token itself stays out of the browser");
    let cookie = format!("{html}Cookie: {}\r\n", cookie.split(';').next().expect("its value"));

    let page = daemon.tcp("GET /", &cookie, "").await;
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(page.head.contains("content-security-policy: default-src 'none'"), "{}", page.head);
    assert!(!page.body.contains("<script") && !page.body.contains("style="), "strict CSP");
    assert!(page.body.contains("Leases"), "{}", page.body);

    let forged = format!("{cookie}Origin: http://evil.example\r\n");
    assert_eq!(daemon.tcp("POST /logout", &forged, "").await.problem(), 403);
    assert_eq!(daemon.tcp("POST /logout", &cookie, "").await.problem(), 403, "a browser says where it comes from");
    let own = format!("{cookie}Origin: http://{}\r\n", daemon.tcp);
    assert_eq!(daemon.tcp("POST /logout", &own, "").await.status, 303);
    assert_eq!(daemon.tcp("GET /", &cookie, "").await.status, 303, "signed out");
    daemon.stop().await;
}

#[tokio::test]
async fn bad_requests_get_a_problem_and_harm_nobody() {
    let daemon = Daemon::start().await;
    let before = daemon.get("/api/v1/status").await.json()["seq"].clone();
    for (status, method, path) in [
        (400, "GET", "/api/v1/leases?colour=red"),
        (400, "GET", "/api/v1/leases?limit=0"),
        (400, "GET", "/api/v1/leases?cursor=zz"),
        (400, "GET", "/api/v1/leases/not-an-address"),
        (404, "GET", "/api/v1/leases/10.77.0.100"),
        (404, "GET", "/api/v1/nothing"),
        (404, "GET", "/api/v1/devices/..%2f..%2fetc%2fpasswd"),
        (405, "DELETE", "/api/v1/leases"),
        (405, "PATCH", "/api/v1/status"),
        (405, "POST", "/healthz"),
        (415, "POST", "/api/v1/devices"),
        (400, "GET", "/api/v1/dns/query?name=a..b"),
        (400, "GET", "/api/v1/dns/query?name=a&type=NONSENSE"),
        (400, "GET", "/api/v1/events?limit=100000"),
    ] {
        assert_eq!(daemon.call(method, path, None).await.problem(), status, "{method} {path}");
    }
    for (status, body) in [
        (400, json!({ "mac": "80:5e:c0:00:00:01", "colour": "red" })),
        (400, json!([1, 2])),
        (422, json!({ "ip": "10.77.0.20" })),
        (422, json!({ "mac": "zz" })),
        (422, json!({ "mac": "ff:ff:ff:ff:ff:ff" })),
        (422, json!({ "mac": "80:5e:c0:00:00:01", "ip": "10.99.0.1" })),
        (422, json!({ "mac": "80:5e:c0:00:00:01", "network": "nowhere" })),
        (422, json!({ "mac": "80:5e:c0:00:00:01", "options": { "nonsense": "1" } })),
        (422, json!({ "mac": "80:5e:c0:00:00:01", "options": { "51": "1" } })),
    ] {
        assert_eq!(daemon.call("POST", "/api/v1/reservations", Some(&body)).await.problem(), status, "{body}");
    }
    let twice = "{\"mac\":\"02:00:00:00:00:09\",\"mac\":\"02:00:00:00:00:08\"}";
    let head = format!(
        "POST /api/v1/devices HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        twice.len()
    );
    assert_eq!(daemon.try_send(&head, twice.as_bytes()).await.expect("an answer").problem(), 400);

    let large = vec![b' '; (1 << 20) + 1];
    let head = format!(
        "POST /api/v1/devices HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        large.len()
    );
    assert_eq!(daemon.try_send(&head, &large).await.expect("an answer").problem(), 413);
    assert_eq!(daemon.tcp("GET /healthz", "Host: evil.example\r\n", "").await.problem(), 421);
    assert_eq!(
        daemon.try_send("GET /healthz HTTP/1.1\r\n\r\n", b"").await.expect("an answer").problem(),
        400,
        "no Host"
    );
    let fields: String = (0..200).map(|n| format!("X-{n}: y\r\n")).collect();
    let many =
        daemon.try_send(&format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{fields}\r\n"), b"").await.expect("an answer");
    assert_eq!(many.status, 431);

    assert_eq!(daemon.get("/api/v1/status").await.json()["seq"], before, "nothing was written");
    daemon.stop().await;
}

#[tokio::test]
async fn events_are_listed_and_follow_live_from_where_one_left_off() {
    let daemon = Daemon::start().await;
    let start = daemon.get("/api/v1/status").await.json()["seq"].as_u64().expect("a number");
    let body = json!({ "mac": "80:5e:c0:00:00:01", "vendor": "Yealink" });
    assert_eq!(daemon.call("POST", "/api/v1/devices", Some(&body)).await.status, 201);

    let mut stream = UnixStream::connect(daemon.state().join("api.sock")).await.expect("a connection");
    let head = format!(
        "GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nLast-Event-ID: {start}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut text = String::new();
    let mut buffer = [0u8; 4096];
    let mut more = async |text: &mut String| {
        let n = tokio::time::timeout(LIMIT, stream.read(&mut buffer)).await.expect("in time").expect("readable");
        text.push_str(&String::from_utf8_lossy(&buffer[..n]));
    };
    while !text.contains("device-put") {
        more(&mut text).await;
    }
    assert!(text.contains("text/event-stream") && text.contains(&format!("id: {}", start + 1)), "{text}");
    let body = json!({ "mac": "80:5e:c0:00:00:02", "ip": "10.77.0.30" });
    assert_eq!(daemon.call("POST", "/api/v1/reservations", Some(&body)).await.status, 201);
    while !text.contains("reservation-put") {
        more(&mut text).await;
    }
    let listed = daemon.get(&format!("/api/v1/events?after={start}")).await.json();
    let kinds: Vec<&str> =
        listed["items"].as_array().expect("a list").iter().filter_map(|e| e["type"].as_str()).collect();
    assert_eq!(kinds, ["device-put", "reservation-put"]);

    let ahead = "GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nLast-Event-ID: 99999\r\n\r\n";
    assert_eq!(daemon.try_send(ahead, b"").await.expect("an answer").problem(), 410);
    // a stream is open: the daemon ends all the same
    daemon.stop().await;
}

#[tokio::test]
async fn a_host_is_added_over_the_bus_and_shows_in_rest_and_names() {
    let daemon = Daemon::start().await;
    let event = concat!(
        "<claws:event xmlns:claws=\"urn:openclaws:ns:claws:1\" xmlns:host=\"urn:openclaws:ns:host:1\" ",
        "xmlns:dns=\"urn:openclaws:ns:dns:1\" txid=\"0192f0c1-0000-7000-8000-000000000001\">",
        "<claws:source>Web Client</claws:source><claws:identity>Alice</claws:identity><host:add-host>",
        "<host:hostname>Alice-PC</host:hostname><host:mac-addr name=\"ethernet\">02:77:00:00:0a:11</host:mac-addr>",
        "<dns:auto-assign-fqdn/></host:add-host></claws:event>"
    );
    let head = format!(
        "POST /claws/v1/messages HTTP/1.1\r\nHost: x\r\nContent-Type: application/xml\r\nPrefer: wait=5\r\nContent-Length: {}\r\n\r\n",
        event.len()
    );
    let answer = daemon.try_send(&head, event.as_bytes()).await.expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let host = daemon.get("/api/v1/hosts/alice-pc").await.json();
    assert_eq!(host["fqdn"], "alice-pc.home.arpa");
    let address = host["interfaces"][0]["addresses"][0].as_str().expect("an address").to_owned();
    let named = daemon.get("/api/v1/dns/query?name=alice-pc.home.arpa").await.json();
    assert_eq!(named["answers"][0]["data"], address, "{named}");
    let reverse = daemon.get(&format!("/api/v1/dns/query?name={address}")).await.json();
    assert!(reverse["answers"][0]["data"].as_str().is_some_and(|d| d.starts_with("alice-pc.home.arpa")), "{reverse}");
    daemon.stop().await;
}

#[tokio::test]
async fn an_invalid_reload_keeps_what_was_there() {
    let daemon = Daemon::start().await;
    let file = daemon.dir.path().join("c.toml");
    // a signal would reach every daemon of this process; tests/reload sends it
    let reload = async || daemon.call("POST", "/api/v1/reload", None).await.status;
    let until = async |what: &str, done: &dyn Fn(&Value) -> bool| {
        let wait = async {
            while !done(&daemon.get("/api/v1/status").await.json()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("not in time: {what}"));
    };
    std::fs::write(&file, "[server]\nlsiten = []\n").expect("written");
    reload().await;
    until("the problem is shown", &|status| status["parts"]["configuration"]["state"] == "degraded").await;
    assert_eq!(daemon.get("/api/v1/reservations").await.json()["total"], 1, "the old configuration stays");

    let text = format!(
        "[server]\nlisten = [\"{}\"]\n[[network]]\nname = \"voice\"\n[[network.subnet]]\nprefix = \"10.77.0.0/24\"\n[dns]\nlisten = []\n",
        daemon.tcp
    );
    std::fs::write(&file, &text).expect("written");
    reload().await;
    until("the new one is taken over", &|status| status["parts"]["configuration"].is_null()).await;
    assert_eq!(daemon.get("/api/v1/reservations").await.json()["total"], 0);

    // DN-203: of a zone file it says which, where and what
    std::fs::create_dir(daemon.dir.path().join("zones")).expect("made");
    std::fs::write(daemon.dir.path().join("zones/bad.example.zone"), "@ IN NONSENSE x\n").expect("written");
    reload().await;
    let names = |status: &Value| status["parts"]["configuration"]["reason"].as_str().map(str::to_owned);
    let told = |status: &Value| names(status).is_some_and(|text| text.contains("bad.example.zone:1:"));
    until("the zone file is named", &told).await;
    // and with a bad zone file a good configuration is not taken over either
    let reserved = "[[network.reservation]]\nmac = \"02:00:00:00:00:09\"\nip = \"10.77.0.9\"\n[dns]";
    std::fs::write(&file, text.replace("[dns]", reserved)).expect("written");
    reload().await;
    assert_eq!(daemon.get("/api/v1/reservations").await.json()["total"], 0, "all or nothing");
    std::fs::remove_file(daemon.dir.path().join("zones/bad.example.zone")).expect("removed");
    reload().await;
    until("both are taken over", &|status| status["parts"]["configuration"].is_null()).await;
    assert_eq!(daemon.get("/api/v1/reservations").await.json()["total"], 1);
    daemon.stop().await;
}

#[tokio::test]
async fn a_taken_port_stops_nothing_else_and_is_named() {
    let taken = daemon::free_port();
    let holder = TcpListener::bind(taken).expect("a port of ours");
    let dir = tempfile::tempdir().expect("a folder");
    let options = Options { config: dir.path().join("c.toml"), state: dir.path().join("state"), socket: None };
    let config = config::parse(&options.config, &format!("[server]\nlisten = [\"{taken}\"]\n")).expect("valid");
    let app = App::build(options, config).await.unwrap_or_else(|e| panic!("{e}"));
    let stop = CancellationToken::new();
    let daemon = Daemon { dir, tcp: taken, stop: stop.clone(), running: tokio::spawn(app.run(stop)) };
    let told = async {
        loop {
            let answer = daemon.try_send("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n", b"").await;
            if let Some(answer) = answer.filter(|a| a.body.contains("\"fails\"")) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let answer = tokio::time::timeout(LIMIT, told).await.expect("told in time");
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["parts"][format!("api {taken}")]["state"], "fails", "{}", answer.body);
    drop(holder);
    let served = async {
        while TcpStream::connect(taken).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, served).await.expect("the port is taken over when it is free");
    daemon.stop().await;
}
