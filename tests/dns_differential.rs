//! Random zones (wildcards, cuts, CNAME, DNAME, empty non-terminals) served by us and by NSD: the same
//! answers to the same questions. Needs `nsd` (Debian package of that name).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hickory_proto::op::Message;
use lanlord::domain::dns::name::Name;
use lanlord::domain::dns::respond::{Asker, Verdict, respond};
use lanlord::domain::dns::zone::State;
use lanlord::domain::dns::zonefile;

#[path = "common/port.rs"]
mod port;

/// Zones in one run; all are served by one NSD.
const ZONES: u64 = 200;
/// Questions to each.
const QUESTIONS: usize = 120;

/// SplitMix64: the same sequence everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn of<'t>(&mut self, all: &[&'t str]) -> &'t str {
        all[(self.roll() % all.len() as u64) as usize]
    }
}

const LABELS: [&str; 6] = ["a", "b", "c", "d", "*", "ns"];

/// One to four labels below the apex.
fn below(dice: &mut Dice) -> String {
    let labels: Vec<&str> = (0..=dice.roll() % 3).map(|_| dice.of(&LABELS)).collect();
    labels.join(".")
}

/// A zone that both servers accept: what our own checks refuse is rolled again.
fn zone(dice: &mut Dice, origin: &Name) -> String {
    loop {
        let mut text = "$TTL 300\n@ SOA ns host 1 3600 900 604800 60\n@ NS ns\nns A 10.0.0.1\n".to_owned();
        for i in 0..6 + dice.roll() % 14 {
            let (owner, target) = (below(dice), below(dice));
            let line = match dice.roll() % 16 {
                0..=4 => format!("{owner} A 10.0.1.{i}"),
                5 | 6 => format!("{owner} TXT t{i}"),
                7 | 8 => format!("{owner} CNAME {target}"),
                9 => format!("{owner} MX 5 {target}"),
                10 => format!("{owner} AAAA fd00::{i}"),
                11 => format!("{owner} SRV 1 1 {i} {target}"),
                12 if !owner.contains('*') => format!("{owner} NS ns.{owner}\nns.{owner} A 10.0.2.{i}"),
                13 if !owner.contains('*') => format!("{owner} DNAME {target}"),
                14 => format!("{owner} CNAME elsewhere.org."),
                _ => format!("{owner} A 10.0.3.{i}\n{owner} A 10.0.4.{i}"),
            };
            writeln!(text, "{line}").expect("a string takes it");
        }
        if zonefile::parse(origin, "zone", &text, &|_| Err(String::new())).is_ok() {
            return text;
        }
    }
}

struct Nsd {
    child: Child,
    address: SocketAddr,
}

impl Drop for Nsd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Nsd {
    fn start(dir: &Path, zones: &[(Name, String)]) -> Nsd {
        let address = SocketAddr::from(([127, 0, 0, 1], port::free_port()));
        let d = dir.display();
        let mut config = format!(
            "server:\n  ip-address: 127.0.0.1@{}\n  username: \"\"\n  zonesdir: \"{d}\"\n  database: \"\"\n  \
             pidfile: \"\"\n  xfrdfile: \"{d}/xfrd\"\n  xfrdir: \"{d}\"\n  zonelistfile: \"{d}/list\"\n  logfile: \"{d}/log\"\n  \
             rrl-ratelimit: 0\n  minimal-responses: no\n  server-count: 1\nremote-control:\n  control-enable: no\n",
            address.port()
        );
        for (origin, text) in zones {
            std::fs::write(dir.join(format!("{origin}.zone")), text).expect("a zone file");
            writeln!(config, "zone:\n  name: {origin}\n  zonefile: {origin}.zone").expect("a string takes it");
        }
        std::fs::write(dir.join("nsd.conf"), config).expect("a config file");
        let child = Command::new("nsd")
            .args(["-d", "-c"])
            .arg(dir.join("nsd.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("this test needs the nsd package: apt-get install nsd");
        let nsd = Nsd { child, address };
        for _ in 0..600 {
            if TcpStream::connect(address).is_ok() {
                return nsd;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let log = std::fs::read_to_string(dir.join("log")).unwrap_or_default();
        panic!("nsd does not listen on {address}:\n{log}");
    }

    fn ask(&self, stream: &mut TcpStream, packet: &[u8]) -> Vec<u8> {
        let framed = [&(packet.len() as u16).to_be_bytes(), packet].concat();
        stream.write_all(&framed).expect("nsd takes a question");
        let mut length = [0; 2];
        stream.read_exact(&mut length).expect("nsd answers");
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut answer).expect("nsd answers");
        answer
    }
}

fn question(name: &Name, qtype: u16) -> Vec<u8> {
    let mut out = vec![0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    out.extend_from_slice(name.as_wire());
    out.extend_from_slice(&qtype.to_be_bytes());
    out.extend_from_slice(&[0, 1]);
    out
}

/// What must agree: code, AA, answer and authority as sets, and the glue of a referral. Other additional
/// records are a courtesy, and so are the NS of the zone that NSD adds to a positive answer.
fn essence(packet: &[u8]) -> String {
    let message = Message::from_vec(packet).unwrap_or_else(|e| panic!("{e}: {packet:02x?}"));
    let lines = |records: &[hickory_proto::rr::Record]| -> BTreeSet<String> {
        records.iter().map(|r| format!("{r}").to_ascii_lowercase()).collect()
    };
    let referral = message.answers.is_empty() && !message.metadata.authoritative;
    let negative = message.authorities.iter().any(|r| u16::from(r.record_type()) == 6);
    let authority = if referral || negative { lines(&message.authorities) } else { BTreeSet::new() };
    let glue = if referral { lines(&message.additionals) } else { BTreeSet::new() };
    format!(
        "code {} aa {}\nanswer {:#?}\nauthority {authority:#?}\nglue {glue:#?}",
        u16::from(message.metadata.response_code),
        message.metadata.authoritative,
        lines(&message.answers)
    )
}

#[test]
fn the_same_answers_as_nsd() {
    let dir = tempfile::tempdir().expect("a folder");
    // DNS_SEED=n tries other zones
    let seed = std::env::var("DNS_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1_034);
    let mut dice = Dice(seed);
    let zones: Vec<(Name, String)> = (0..ZONES)
        .map(|i| {
            let origin = Name::parse(&format!("z{i}.lan")).expect("a name");
            let text = zone(&mut dice, &origin);
            (origin, text)
        })
        .collect();
    let mut state = State::new(dice.roll());
    for (origin, text) in &zones {
        let parsed = zonefile::parse(origin, "zone", text, &|_| Err(String::new())).expect("it was sound");
        state.put(parsed.into_zone(state.seed));
    }
    let nsd = Nsd::start(dir.path(), &zones);
    let asker = Asker { stream: true, recursion: false };
    let mut endless = 0;
    for (origin, text) in &zones {
        let mut stream = TcpStream::connect(nsd.address).expect("nsd listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        for i in 0..QUESTIONS {
            let owner = if i % 17 == 0 { "@".to_owned() } else { below(&mut dice) };
            let name = Name::parse_in(&owner, origin).expect("a name");
            let qtype = [1, 1, 1, 28, 16, 15, 5, 2, 6, 33, 39, 43, 1000][(dice.roll() % 13) as usize];
            let packet = question(&name, qtype);
            let mut ours = Vec::new();
            assert!(matches!(respond(&state, &packet, asker, &mut ours), Verdict::Answered(_)));
            let theirs = nsd.ask(&mut stream, &packet);
            let (ours, theirs) = (essence(&ours), essence(&theirs));
            // a DNAME that leads below itself: NSD stops after one step, we fail after sixteen (limits table)
            if ours.starts_with("code 2") && theirs.contains(" dname ") {
                endless += 1;
                continue;
            }
            assert_eq!(
                ours, theirs,
                "\n{name} type {qtype} in\n$ORIGIN {origin}.\n{text}\nours:\n{ours}\nnsd:\n{theirs}"
            );
        }
    }
    assert!(endless * 50 < zones.len() * QUESTIONS, "{endless} answers were not compared");
}
