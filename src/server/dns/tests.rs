//! The server on loopback: probes by UDP and TCP, forwarding against upstreams of our own, limits of TCP.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use hickory_proto::op::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::domain::time::Wall;
use crate::service::naming;

mod forwarding;
mod probes;
mod stream;

const LAN: &str = r#"
$TTL 300
@        SOA ns host 1 3600 900 604800 60
         NS ns
ns       A 10.0.0.1
pc       A 10.0.0.2
www      CNAME pc
far      CNAME www.elsewhere.org.
deleg    NS ns.deleg
ns.deleg A 10.1.0.1
deleg6   NS ns1.deleg6
         NS ns2.deleg6
$GENERATE 1-2 ns$.deleg6 A 10.1.6.$
$GENERATE 10-99 big AAAA fd00::$
$GENERATE 10-29 mid AAAA fd00::$
wide     TXT "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
         TXT "1123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
         TXT "2123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
         TXT "3123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
"#;

/// A hang guard; nothing here takes that long.
const GUARD: Duration = Duration::from_secs(60);

struct Bed {
    address: SocketAddr,
    naming: Naming,
    dns: Dns,
    cancel: CancellationToken,
    tasks: TaskTracker,
    _dir: tempfile::TempDir,
}

impl Bed {
    /// A server with the zone above; `change` may alter its settings.
    fn new(change: impl FnOnce(&mut Settings)) -> Bed {
        let dir = tempfile::tempdir().unwrap();
        write_zone(dir.path(), LAN);
        let mut names = naming::Settings::new("home.arpa", 5);
        names.zone_dir = Some(dir.path().into());
        let naming = Naming::open(names, Wall(1_700_000_000_000));
        assert!(naming.problems().is_empty(), "{:?}", naming.problems());
        let mut settings = Settings::new(vec!["127.0.0.1:0".parse().unwrap()]);
        change(&mut settings);
        let (tasks, cancel) = (TaskTracker::new(), CancellationToken::new());
        let dns = Dns::start(&settings, naming.clone(), &tasks, &cancel).unwrap();
        Bed { address: dns.addresses()[0], naming, dns, cancel, tasks, _dir: dir }
    }

    async fn stop(self) {
        self.cancel.cancel();
        self.tasks.close();
        tokio::time::timeout(GUARD, self.tasks.wait()).await.expect("all tasks end");
    }

    /// The answer by UDP; `None` for silence.
    async fn udp(&self, packet: &[u8]) -> Option<Vec<u8>> {
        let (to, packet) = (self.address, packet.to_vec());
        tokio::task::spawn_blocking(move || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(GUARD)).unwrap();
            socket.connect(to).unwrap();
            socket.send(&packet).unwrap();
            // what follows in the same socket is answered after it: the answer to it alone means silence
            let fence = question("ns.lan.test", 1, 0x5a5a, 0);
            let foreign_may_be_slow = packet.len() > 12 && packet[2] & 1 == 1;
            if !foreign_may_be_slow {
                socket.send(&fence).unwrap();
            }
            let mut buffer = [0; 65_535];
            let n = socket.recv(&mut buffer).ok()?;
            let answer = buffer[..n].to_vec();
            (answer[..2] != [0x5a, 0x5a]).then_some(answer)
        })
        .await
        .unwrap()
    }

    async fn tcp(&self, packet: &[u8]) -> Option<Vec<u8>> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        send(&mut stream, packet).await;
        send(&mut stream, &question("ns.lan.test", 1, 0x5a5a, 0)).await;
        let mut answer = receive(&mut stream).await?;
        if answer[..2] == [0x5a, 0x5a] && packet.len() > 12 && packet[2] & 1 == 1 {
            answer = receive(&mut stream).await?; // what has to be asked elsewhere comes later
        }
        (answer[..2] != [0x5a, 0x5a]).then_some(answer)
    }
}

fn write_zone(dir: &Path, text: &str) {
    std::fs::write(dir.join("lan.test.zone"), text).unwrap();
}

async fn send(stream: &mut TcpStream, packet: &[u8]) {
    let length = (packet.len() as u16).to_be_bytes();
    stream.write_all(&[&length, packet].concat()).await.unwrap();
}

async fn receive(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let read = async {
        let mut answer = vec![0; usize::from(stream.read_u16().await.ok()?)];
        stream.read_exact(&mut answer).await.ok()?;
        Some(answer)
    };
    tokio::time::timeout(GUARD, read).await.ok().flatten()
}

/// A question without EDNS; `flags` as in the header.
fn question(name: &str, qtype: u16, id: u16, flags: u16) -> Vec<u8> {
    let mut out = Vec::new();
    for word in [id, flags, 1, 0, 0, 0] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    for label in name.split('.').filter(|l| !l.is_empty()) {
        out.push(label.len() as u8);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out.extend_from_slice(&qtype.to_be_bytes());
    out.extend_from_slice(&[0, 1]);
    out
}

/// Adds an OPT record: size, version, flags, options.
fn with_opt(mut packet: Vec<u8>, size: u16, version: u8, flags: u16, options: &[u8]) -> Vec<u8> {
    let count = u16::from_be_bytes([packet[10], packet[11]]) + 1;
    packet[10..12].copy_from_slice(&count.to_be_bytes());
    packet.extend_from_slice(&[0, 0, 41]);
    packet.extend_from_slice(&size.to_be_bytes());
    packet.extend_from_slice(&[0, version]);
    packet.extend_from_slice(&flags.to_be_bytes());
    packet.extend_from_slice(&(options.len() as u16).to_be_bytes());
    packet.extend_from_slice(options);
    packet
}

/// An answer as an independent codec reads it, in one line: `id rcode flags counts [opt]`.
fn show(answer: &[u8]) -> String {
    let message = Message::from_vec(answer).unwrap_or_else(|e| panic!("{e}: {answer:02x?}"));
    let m = &message.metadata;
    let mut out = format!("{}", u16::from(m.response_code));
    for (on, name) in [
        (m.authoritative, "aa"),
        (m.truncation, "tc"),
        (m.recursion_desired, "rd"),
        (m.recursion_available, "ra"),
        (m.authentic_data, "ad"),
        (m.checking_disabled, "cd"),
        (answer[3] & 0x40 != 0, "z"),
    ] {
        if on {
            out.push(' ');
            out.push_str(name);
        }
    }
    let counts = [message.queries.len(), message.answers.len(), message.authorities.len(), message.additionals.len()];
    out.push_str(&format!(" q{} an{} ns{} ar{}", counts[0], counts[1], counts[2], counts[3]));
    if let Some(edns) = &message.edns {
        let dnssec = if edns.flags().dnssec_ok { " do" } else { "" };
        out.push_str(&format!(" opt{} {}{dnssec}", edns.version(), edns.max_payload()));
    }
    out
}
