//! Over loopback, byte by byte: what leaves for whom, in which form, and what a hostile path gets.

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::domain::net::Mac;
use crate::net::{Link, Links};
use crate::service::provisioning::Settings as Policy;
use crate::service::provisioning::fixture::{House, LINK, hostile_paths, house};

const PHONE: Mac = Mac([0, 0x15, 0x65, 0x4a, 0xa9, 0x37]);
const AGENT: &str = "Yealink SIP-T46G 28.72.0.1 00:15:65:4a:a9:37";
const WAIT: Duration = Duration::from_secs(60);

fn lo(n: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, n).into()
}

struct Rig {
    house: House,
    at: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

async fn rig(settings: Settings) -> Rig {
    let house = house(Policy::default());
    let addresses = vec!["127.0.0.1/8".parse().unwrap()];
    let link = Link { index: 1, name: LINK.to_owned(), up: true, mtu: 1500, addresses, ..Link::default() };
    let settings = Settings { listen: vec![lo(1)], port: 0, ..settings };
    let files = Files::bind(settings, house.phones.clone(), LinkWatch::fixed(Links::new([link]))).await.unwrap();
    let (at, stop) = (files.addresses()[0], CancellationToken::new());
    let task = tokio::spawn(files.run(stop.clone()));
    Rig { house, at, stop, task }
}

impl Rig {
    async fn end(self) {
        self.stop.cancel();
        timeout(WAIT, self.task).await.unwrap().unwrap();
    }

    async fn connect(&self, from: u8) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(lo(from), 0)).unwrap();
        socket.connect(self.at).await.unwrap()
    }

    /// Sends raw bytes and reads until the server closes.
    async fn raw(&self, from: u8, bytes: &[u8]) -> String {
        let mut stream = self.connect(from).await;
        // The server may answer and close before it has read everything.
        let _ = stream.write_all(bytes).await;
        let mut out = Vec::new();
        let _ = timeout(WAIT, stream.read_to_end(&mut out)).await.expect("the server closes");
        String::from_utf8_lossy(&out).into_owned()
    }

    async fn get(&self, from: u8, path: &str, fields: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}\r\n");
        self.raw(from, request.as_bytes()).await
    }
}

fn field<'a>(response: &'a str, name: &str) -> Option<&'a str> {
    response.lines().find_map(|l| l.split_once(": ").filter(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v))
}

fn body(response: &str) -> &str {
    response.split_once("\r\n\r\n").expect("a body").1
}

/// Without what differs from second to second.
fn undated(response: &str) -> String {
    response.lines().filter(|l| !l.starts_with("date: ")).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_phone_gets_its_file_with_length_and_validator_and_304_when_it_has_it() {
    let rig = rig(Settings::default()).await;
    rig.house.lease(PHONE, lo(101), Some("yealink")).await;
    let agent = format!("User-Agent: {AGENT}\r\n");
    let whole = rig.get(101, "/0015654aa937.cfg", &agent).await;
    assert!(whole.starts_with("HTTP/1.1 200 OK"), "{whole}");
    assert!(body(&whole).contains(&rig.house.password));
    assert_eq!(field(&whole, "content-length"), Some(body(&whole).len().to_string().as_str()));
    assert_eq!(field(&whole, "content-type"), Some("text/plain; charset=UTF-8"));
    let etag = field(&whole, "etag").unwrap();
    let again = rig.get(101, "/0015654aa937.cfg", &format!("If-None-Match: \"x\", {etag}\r\n")).await;
    assert!(again.starts_with("HTTP/1.1 304") && body(&again).is_empty(), "{again}");
    let old = rig.raw(101, b"GET /y000000000028.cfg HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.0 200 OK") && field(&old, "content-length").is_some(), "{old}");
    let head = rig.raw(101, b"HEAD /0015654aa937.cfg HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert_eq!(field(&head, "content-length"), field(&whole, "content-length"));
    assert!(body(&head).is_empty());
    assert_eq!(rig.house.devices.count(), 1);
    rig.end().await;
}

/// PR-41: phones that know no ETag ask by date.
#[tokio::test]
async fn a_file_is_dated_by_its_last_change_and_304_since_then() {
    let rig = rig(Settings::default()).await;
    rig.house.lease(PHONE, lo(101), Some("yealink")).await;
    let clock = |seconds: i64| rig.house.clock.0.store(seconds * 1000, std::sync::atomic::Ordering::Relaxed);
    let path = "/y000000000028.cfg";
    clock(1_000_000_000);
    let first = rig.get(101, path, "").await;
    assert_eq!(field(&first, "last-modified"), None, "it may change again within this second");
    clock(1_000_000_005);
    let second = rig.get(101, path, "").await;
    assert_eq!(field(&second, "last-modified"), Some("Sun, 09 Sep 2001 01:46:40 GMT"));
    for (fields, status) in [
        ("If-Modified-Since: Sun, 09 Sep 2001 01:46:40 GMT", 304),
        ("If-Modified-Since: Sunday, 09-Sep-01 01:46:41 GMT", 304),
        ("If-Modified-Since: Sun, 09 Sep 2001 01:46:39 GMT", 200),
        ("If-Modified-Since: yesterday", 200),
        ("If-Modified-Since: Sun, 09 Sep 2001 01:46:40 GMT\r\nIf-None-Match: \"x\"", 200),
    ] {
        let reply = rig.get(101, path, &format!("{fields}\r\n")).await;
        assert!(reply.starts_with(&format!("HTTP/1.1 {status}")), "{fields}: {reply}");
    }
    let denied = rig.get(66, "/0015654aa937.cfg", "If-Modified-Since: Sun, 09 Sep 2001 01:46:40 GMT\r\n").await;
    assert!(denied.starts_with("HTTP/1.1 404") && field(&denied, "last-modified").is_none(), "{denied}");
    rig.end().await;
}

#[tokio::test]
async fn one_range_is_served_and_several_are_the_whole_file() {
    let rig = rig(Settings::default()).await;
    let whole = rig.get(66, "/y000000000028.cfg", "").await;
    let (text, size) = (body(&whole).to_owned(), body(&whole).len());
    for (range, part) in [
        ("bytes=0-9", &text[..10]),
        ("bytes=10-", &text[10..]),
        ("bytes=-5", &text[size - 5..]),
        ("bytes=5-99999", &text[5..]),
    ] {
        let reply = rig.get(66, "/y000000000028.cfg", &format!("Range: {range}\r\n")).await;
        assert!(reply.starts_with("HTTP/1.1 206"), "{reply}");
        assert_eq!(body(&reply), part, "{range}");
    }
    let past = rig.get(66, "/y000000000028.cfg", "Range: bytes=99999-\r\n").await;
    assert!(past.starts_with("HTTP/1.1 416"));
    assert_eq!(field(&past, "content-range"), Some(format!("bytes */{size}").as_str()));
    for whole in [
        "Range: bytes=0-1,3-4\r\n",
        "Range: lines=1-2\r\n",
        "Range: bytes=9-1\r\n",
        "Range: bytes=0-1\r\nIf-Range: \"old\"\r\n",
    ] {
        let reply = rig.get(66, "/y000000000028.cfg", whole).await;
        assert!(reply.starts_with("HTTP/1.1 200"), "{whole}");
        assert_eq!(body(&reply), text);
    }
    rig.end().await;
}

#[tokio::test]
async fn missing_denied_and_foreign_look_the_same() {
    let rig = rig(Settings::default()).await;
    rig.house.lease(PHONE, lo(101), Some("yealink")).await;
    assert!(rig.get(101, "/0015654aa937.cfg", "").await.contains(&rig.house.password));
    let missing = undated(&rig.get(66, "/nothing", "").await);
    assert!(missing.starts_with("HTTP/1.1 404"));
    for (from, path) in [
        (66, "/0015654aa937.cfg"),
        (66, "/0015654aa938.cfg"),
        (101, "/0015654aa938.cfg"),
        (66, "/SEP0015654AA937.cnf.xml"),
    ] {
        let agent = format!("User-Agent: {AGENT}\r\nX-Forwarded-For: 127.0.0.101\r\n");
        assert_eq!(undated(&rig.get(from, path, &agent).await), missing, "{path}");
    }
    rig.end().await;
}

/// The largest distance between two distributions (Kolmogorov and Smirnov), 0 to 1.
fn distance(a: &[Duration], b: &[Duration]) -> f64 {
    let (mut a, mut b) = (a.to_vec(), b.to_vec());
    a.sort_unstable();
    b.sort_unstable();
    let below = |sorted: &[Duration], at| sorted.partition_point(|x| *x <= at) as f64 / sorted.len() as f64;
    a.iter().chain(&b).map(|at| (below(&a, *at) - below(&b, *at)).abs()).fold(0.0, f64::max)
}

/// SE-11: the time of a denial tells nothing either. `TIMING=10000` samples of each kind for the full size.
#[tokio::test]
async fn missing_denied_and_unknown_take_the_same_time() {
    let samples = std::env::var("TIMING").map_or(700, |n| n.parse().expect("TIMING is a number"));
    let rig = rig(Settings::default()).await;
    rig.house.lease(PHONE, lo(101), Some("yealink")).await;
    assert!(rig.get(101, "/0015654aa937.cfg", "").await.contains(&rig.house.password));
    // no such file, the file of a phone that is there, the file of one that is not
    let paths = ["/0015654aa937.txt", "/0015654aa937.cfg", "/0015654aa939.cfg"];
    let mut stream = rig.connect(66).await;
    let mut times = [const { Vec::new() }; 3];
    let mut dice = 0x9e37_79b9_7f4a_7c15_u64;
    let mut answer = vec![0; 4096];
    while times.iter().any(|t| t.len() < samples) {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let kind = (dice >> 33) as usize % paths.len();
        let began = tokio::time::Instant::now();
        stream.write_all(format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", paths[kind]).as_bytes()).await.unwrap();
        let read = stream.read(&mut answer).await.unwrap();
        times[kind].push(began.elapsed());
        assert!(answer[..read].starts_with(b"HTTP/1.1 404"));
    }
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        let most = f64::max(0.05, 2.3 * (2.0 / samples as f64).sqrt());
        let apart = distance(&times[one][..samples], &times[other][..samples]);
        assert!(apart < most, "{} and {} can be told apart by time: {apart:.3} of {most:.3}", paths[one], paths[other]);
    }
    rig.end().await;
}

#[tokio::test]
async fn other_methods_are_refused() {
    let rig = rig(Settings::default()).await;
    for method in ["PUT", "POST", "DELETE", "OPTIONS", "BREW"] {
        let request = format!(
            "{method} /0015654aa937-boot.log HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc"
        );
        let reply = rig.raw(66, request.as_bytes()).await;
        assert!(reply.starts_with("HTTP/1.1 405"), "{reply}");
        assert_eq!(field(&reply, "allow"), Some("GET, HEAD"));
    }
    rig.end().await;
}

/// PR-7.
#[tokio::test]
async fn a_forwarded_address_counts_only_from_a_trusted_proxy() {
    let rig = rig(Settings { trusted_proxies: vec!["127.0.0.80/31".parse().unwrap()], ..Settings::default() }).await;
    rig.house.lease(PHONE, lo(101), Some("yealink")).await;
    let ask = async |from: u8, chain: &str| {
        let reply = rig.get(from, "/0015654aa937.cfg", &format!("X-Forwarded-For: {chain}\r\n")).await;
        (reply.starts_with("HTTP/1.1 200"), reply.starts_with("HTTP/1.1 404"))
    };
    assert_eq!(ask(80, "127.0.0.101").await, (true, false));
    assert_eq!(ask(80, "9.9.9.9, 127.0.0.101, 127.0.0.81").await, (true, false));
    assert_eq!(ask(80, "127.0.0.101, 9.9.9.9").await, (false, true), "only the rightmost is vouched for");
    for broken in ["", "x", "127.0.0.101, x", "127.0.0.101:80", "\u{e9}"] {
        assert_eq!(ask(80, broken).await, (false, true), "{broken}");
    }
    assert_eq!(ask(66, "127.0.0.101").await, (false, true), "nobody else is believed");
    rig.end().await;
}

#[tokio::test]
async fn a_boot_file_is_served_to_firmware_whole_in_parts_and_by_its_length_alone() {
    let rig = rig(Settings::default()).await;
    let boot = rig.house.boot_folder();
    let kernel = boot.write("linux/vmlinuz", 300_000);
    boot.write("ipxe.efi", 1_000);
    let whole = rig.get(66, "/boot/linux/vmlinuz", "").await;
    assert!(whole.starts_with("HTTP/1.1 200"), "{whole}");
    assert_eq!((field(&whole, "content-length"), field(&whole, "accept-ranges")), (Some("300000"), Some("bytes")));
    assert!(body(&whole) == kernel);
    let head = rig.raw(66, b"HEAD /boot/ipxe.efi HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert_eq!((field(&head, "content-length"), field(&head, "content-type")), (Some("1000"), Some("application/efi")));
    assert!(head.starts_with("HTTP/1.1 200") && body(&head).is_empty());
    let part = rig.get(66, "/boot/linux/vmlinuz", "Range: bytes=100000-199999\r\n").await;
    assert!(part.starts_with("HTTP/1.1 206") && body(&part) == &kernel[100_000..200_000]);
    assert_eq!(field(&part, "content-range"), Some("bytes 100000-199999/300000"));
    let etag = field(&whole, "etag").unwrap().to_owned();
    let same = rig.get(66, "/boot/linux/vmlinuz", &format!("If-None-Match: {etag}\r\n")).await;
    assert!(same.starts_with("HTTP/1.1 304"), "{same}");
    boot.write("linux/vmlinuz", 300_001);
    let other = rig.get(66, "/boot/linux/vmlinuz", &format!("If-None-Match: {etag}\r\n")).await;
    assert!(other.starts_with("HTTP/1.1 200") && field(&other, "content-length") == Some("300001"));
    for missing in ["/boot/none", "/boot/linux", "/boot/", "/ipxe.efi", "/boot"] {
        assert!(rig.get(66, missing, "").await.starts_with("HTTP/1.1 404"), "{missing}");
    }
    assert_eq!((rig.house.devices.count(), rig.house.phones.ring().len()), (0, 2), "only what is not below /boot/");
    rig.end().await;
}

/// SE-10.
#[tokio::test]
async fn no_hostile_path_leaks_a_byte() {
    let rig = rig(Settings { connections_per_peer: 4096, ..Settings::default() }).await;
    let _boot = rig.house.boot_folder();
    let paths = hostile_paths();
    assert!(paths.len() >= 2_000, "{}", paths.len());
    let missing = undated(&rig.get(66, "/nothing", "").await);
    for some in paths.chunks(64) {
        let replies = futures_util::future::join_all(some.iter().map(|path| rig.get(66, path, ""))).await;
        for (path, reply) in some.iter().zip(replies) {
            let reply = undated(&reply);
            let refused = reply.starts_with("HTTP/1.1 400") && body_less(&reply);
            assert!(reply == missing || refused, "{path}: {reply}");
        }
    }
    let long = rig.get(66, &format!("/{}", "a".repeat(4096)), "").await;
    assert!(long.starts_with("HTTP/1.1 414"), "{long}");
    rig.end().await;
}

/// A request line that is no HTTP is refused by the codec, without a body.
fn body_less(reply: &str) -> bool {
    reply.contains("content-length: 0")
}

#[tokio::test]
async fn headers_are_bounded_in_size_number_and_time() {
    let rig = rig(Settings {
        first_byte: Duration::from_millis(200),
        header: Duration::from_millis(400),
        ..Settings::default()
    })
    .await;
    let given = Settings::default();
    let agent = format!("User-Agent: {}\r\n", "x".repeat(64 << 10));
    let reply = rig.get(66, "/y000000000028.cfg", &agent).await;
    assert!(reply.starts_with("HTTP/1.1 431"), "{reply}");
    let many: String = (0..200).map(|n| format!("X-{n}: y\r\n")).collect();
    assert!(rig.get(66, "/y000000000028.cfg", &many).await.starts_with("HTTP/1.1 431"));
    let few: String = (0..60).map(|n| format!("X-{n}: y\r\n")).collect();
    assert!(rig.get(66, "/y000000000028.cfg", &few).await.starts_with("HTTP/1.1 200"));
    let began = tokio::time::Instant::now();
    assert_eq!(rig.raw(66, b"").await, "", "silence is closed");
    assert!(rig.raw(66, b"GET /y000000000028.cfg HTTP/1.1\r\nHost").await.is_empty(), "half a header is closed");
    let idle = rig.raw(66, b"GET /y000000000028.cfg HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(idle.starts_with("HTTP/1.1 200"), "an idle connection is closed after its answer");
    // each of the three by the short times above, not by those that are given otherwise
    assert!(began.elapsed() < given.first_byte + 2 * given.header, "{:?}", began.elapsed());
    rig.end().await;
}

#[tokio::test]
async fn connections_are_capped_per_peer() {
    let rig = rig(Settings { connections_per_peer: 4, ..Settings::default() }).await;
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(rig.connect(66).await);
    }
    // connections are taken in the order in which they were made: the four are counted before this one
    let refused = rig.get(66, "/y000000000028.cfg", "").await;
    assert!(!refused.starts_with("HTTP/1.1 200"), "{refused}");
    assert!(rig.get(67, "/y000000000028.cfg", "").await.starts_with("HTTP/1.1 200"), "others are not disturbed");
    open.clear();
    let served = async {
        while !rig.get(66, "/y000000000028.cfg", "").await.starts_with("HTTP/1.1 200") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(WAIT, served).await.expect("there is room again");
    rig.end().await;
}
