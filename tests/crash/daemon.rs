//! The daemon as a process of its own, on loopback, with everything in one directory.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use crate::port::free_port;

/// Long enough for a busy machine; a hang is a failure.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub struct Daemon {
    process: Mutex<Child>,
    dir: PathBuf,
    pub dhcp: SocketAddrV4,
    dns: SocketAddrV4,
}

impl Daemon {
    /// Starts it on what is in `dir`, and waits until it answers.
    pub fn start(dir: &Path) -> Daemon {
        let (dhcp, dns) = (free_port(), free_port());
        let config = dir.join("lanlord.toml");
        let text = format!(
            r#"
[server]
domain = "home.arpa"
listen = []
[log]
level = "warn"
[[network]]
name = "lan"
interface = "lo"
[[network.subnet]]
prefix = "10.99.0.0/16"
pool = ["10.99.1.0-10.99.254.255"] # room for the hosts of all lives
router = "10.99.0.1"
relays = ["127.0.0.2"]
[dhcp4]
enabled = true
# of stations on loopback nobody else could hold the address, and most lives are shorter than a probe
probe = false
port = {dhcp}
min_lease_time = "60s"
lease_time = "10m"
[dns]
listen = ["127.0.0.1"]
port = {dns}
[claws]
"#
        );
        std::fs::write(&config, text).expect("written");
        let log = std::fs::File::options().create(true).append(true).open(dir.join("log")).expect("a log");
        let process = Command::new(env!("CARGO_BIN_EXE_lanlord"))
            .args(["serve", "--config"])
            .arg(&config)
            .arg("--state")
            .arg(dir.join("state"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("starts");
        let loopback = |port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        let daemon =
            Daemon { process: Mutex::new(process), dir: dir.to_owned(), dhcp: loopback(dhcp), dns: loopback(dns) };
        daemon.wait();
        daemon
    }

    fn wait(&self) {
        let mut waited = Duration::ZERO;
        while !self.request("GET", "/livez", "").is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            let ended = self.process.lock().expect("no holder panics").try_wait().expect("ours");
            assert!(ended.is_none() && waited < PATIENCE, "not up after {waited:?} ({ended:?}):\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
            waited += Duration::from_millis(10);
        }
    }

    /// The end of what it wrote to standard error.
    pub fn log(&self) -> String {
        let text = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        text.lines().rev().take(20).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    pub fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// SIGKILL.
    pub fn kill(&self) {
        let mut process = self.process.lock().expect("no holder panics");
        process.kill().expect("killed");
        process.wait().expect("gone");
    }

    /// One request to the API as the administrator that root is; `None` if it was not answered.
    pub fn request(&self, method: &str, path: &str, body: &str) -> Option<String> {
        request(&self.state().join("api.sock"), method, path, "application/json", body)
    }

    /// The A records of a name, sorted.
    pub fn addresses_of(&self, name: &str) -> Vec<Ipv4Addr> {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(500))).expect("set");
        let mut question = vec![7, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            question.push(u8::try_from(label.len()).expect("short"));
            question.extend(label.as_bytes());
        }
        question.extend([0, 0, 1, 0, 1]);
        for _ in 0..60 {
            socket.send_to(&question, self.dns).expect("sent");
            let mut answer = [0; 1232];
            if let Ok(n) = socket.recv(&mut answer) {
                return addresses(&answer[..n], question.len());
            }
        }
        panic!("no answer about {name}:\n{}", self.log());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let process = self.process.get_mut().expect("no holder panics");
        let _ = process.kill();
        let _ = process.wait();
    }
}

/// A records of a plain answer: owner pointers, no additional records of interest.
fn addresses(answer: &[u8], question: usize) -> Vec<Ipv4Addr> {
    let count = answer.get(6..8).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
    let (mut at, mut out) = (question, Vec::new());
    for _ in 0..count {
        let Some(record) = answer.get(at..).filter(|r| r.len() >= 12 && r[0] & 0xc0 == 0xc0) else { break };
        let len = usize::from(u16::from_be_bytes([record[10], record[11]]));
        if let ([0, 1], Some([a, b, c, d])) = (&record[2..4], record.get(12..12 + len)) {
            out.push(Ipv4Addr::new(*a, *b, *c, *d));
        }
        at += 12 + len;
    }
    out.sort();
    out
}

/// HTTP/1.1 over the Unix socket, one request a connection.
pub fn request(socket: &Path, method: &str, path: &str, kind: &str, body: &str) -> Option<String> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nPrefer: wait=5\r\n\
         Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(head.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8(answer).ok()?;
    (!answer.is_empty()).then_some(answer)
}
