//! RL-1: the real daemon is killed at random, again and again, under load from DHCP exchanges, API edits and
//! events. What it had acknowledged is there after every kill, no address has two owners, names agree with
//! the journal, the database is sound. As root, on loopback. `KILLS=1000` for the full size.

mod daemon;
#[path = "../lab/dhcp.rs"]
mod dhcp;
mod load;
#[path = "../common/port.rs"]
mod port;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use lanlord::clock::{Clock as _, System};
use lanlord::domain::change::Change;
use lanlord::domain::lease::Lease;
use lanlord::domain::time::Wall;
use lanlord::store::{self, Entry, History as _, Opened, Port as _};
use sqlx::{ConnectOptions as _, Connection as _};

use daemon::Daemon;
use load::{Acknowledged, Load};

/// SplitMix64: when to kill.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (z ^ z >> 31) % n
    }
}

/// What the files hold.
#[derive(Default)]
struct Found {
    /// As a start reads them.
    entries: Vec<Entry>,
    /// Txids of all final events.
    finals: BTreeSet<String>,
}

async fn read_back(state: &Path) -> Found {
    let Opened { mut port, recovered, history } = store::open(state, "test").await.expect("opens after a kill");
    assert_eq!(recovered.findings, Vec::<String>::new());
    let (mut finals, mut after) = (BTreeSet::new(), 0);
    loop {
        let page = history.events(after, 1_000).await.expect("read");
        let Some(last) = page.last() else { break };
        after = last.seq;
        finals.extend(page.iter().filter_map(|e| match &e.change {
            Change::TxFinal(tx) => Some(tx.key.txid.clone()),
            _ => None,
        }));
    }
    history.close().await;
    port.close().await.expect("closed");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(state.join(store::open::DATABASE));
    let mut connection = options.connect().await.expect("connected");
    let sound: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut connection).await.expect("checked");
    assert_eq!(sound, "ok");
    connection.close().await.expect("closed");
    Found { entries: recovered.entries, finals }
}

/// Active leases by address. Two grants of one address to different clients without an end in between: I3.
fn leases(entries: &[Entry]) -> BTreeMap<IpAddr, Lease> {
    let mut active: BTreeMap<IpAddr, Lease> = BTreeMap::new();
    for entry in entries {
        match &entry.change {
            Change::LeaseGranted(lease) => {
                let old = active.insert(lease.ip, lease.as_ref().clone());
                assert!(old.is_none_or(|old| old.client == lease.client), "{} has two owners", lease.ip);
            }
            Change::LeaseEnded { ip, .. } => drop(active.remove(ip)),
            _ => {}
        }
    }
    active
}

/// Everything that was acknowledged is in the files.
fn nothing_is_lost(acknowledged: &Acknowledged, found: &Found) {
    let active = leases(&found.entries);
    let now = System.wall();
    for (mac, (ip, until)) in acknowledged.leases.iter().filter(|(_, (_, until))| *until > now) {
        let lease = active.get(&IpAddr::V4(*ip)).unwrap_or_else(|| panic!("the lease of {ip} to {mac:?} is lost"));
        assert_eq!(lease.mac.map(|m| m.0), Some(*mac), "{ip}");
        // the wire has whole seconds
        assert!(lease.expires.0 + 1_000 >= until.0, "{ip} is acknowledged until {until:?}: {lease:?}");
    }
    let (mut tokens, mut devices, mut hosts) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for entry in &found.entries {
        match &entry.change {
            Change::TokenPut(token) => tokens.extend([token.name.clone()]),
            Change::DevicePut(device) => devices.extend(device.mac.map(|mac| mac.to_string())),
            Change::HostPut(host) => hosts.extend([host.id.clone()]),
            _ => {}
        }
    }
    let edits = &acknowledged.edits;
    let lost = |told: &BTreeSet<String>, found: &BTreeSet<String>| told.difference(found).next().cloned();
    assert_eq!(lost(&edits.tokens, &tokens), None, "a token is lost");
    assert_eq!(lost(&edits.devices, &devices), None, "a device is lost");
    assert_eq!(lost(&edits.hosts.keys().cloned().collect(), &hosts), None, "a host is lost");
    assert_eq!(lost(&edits.hosts.values().cloned().collect(), &found.finals), None, "a final event is lost");
    // I7: a host is there because its event is final
    assert!(hosts.len() <= found.finals.len(), "{hosts:?}, {:?}", found.finals);
}

/// After the restart: names and addresses are those of the journal.
fn names_agree(daemon: &Daemon, found: &Found, random: &mut Random) {
    let active: Vec<Lease> = leases(&found.entries).into_values().filter(|l| l.fqdn.is_some()).collect();
    for _ in 0..20.min(active.len()) {
        let lease = &active[random.below(active.len() as u64) as usize];
        let IpAddr::V4(ip) = lease.ip else { continue };
        if lease.expires.0 < System.wall().0 + 5_000 {
            continue;
        }
        let name = lease.fqdn.as_deref().unwrap_or_default();
        assert_eq!(daemon.addresses_of(name), [ip], "{name}");
    }
    for entry in &found.entries {
        if let Change::HostPut(host) = &entry.change
            && let Some(name) = &host.fqdn
        {
            let wanted: Vec<Ipv4Addr> = (host.interfaces.iter().flat_map(|i| &i.addresses))
                .filter_map(|ip| if let IpAddr::V4(ip) = ip { Some(*ip) } else { None })
                .collect();
            if random.below(5) == 0 {
                assert_eq!(daemon.addresses_of(name), wanted, "{name}");
            }
        }
    }
}

#[tokio::test]
async fn kill_9_under_load_loses_nothing_that_was_acknowledged() {
    assert!(nix::unistd::geteuid().is_root(), "the crash test needs root: it serves DHCP on loopback");
    let kills: u64 = std::env::var("KILLS").ok().map_or(30, |text| text.parse().expect("a number"));
    let dir = tempfile::tempdir().expect("a directory");
    let mut random = Random(1);
    let (mut acknowledged, mut found) = (Acknowledged::default(), Found::default());
    for kill in 0..kills {
        let daemon = Daemon::start(dir.path());
        names_agree(&daemon, &found, &mut random);
        let load = Load::start(&daemon, acknowledged, kill);
        std::thread::sleep(std::time::Duration::from_millis(10 + random.below(490)));
        // every other kill comes whenever it comes, also before anything is done; the others after a share of what
        // the end of this test asks for
        if kill % 2 == 1 {
            load.wait(12 + random.below(10), 2 + random.below(3));
        }
        daemon.kill();
        acknowledged = load.stop();
        found = read_back(&daemon.state()).await;
        nothing_is_lost(&acknowledged, &found);
    }
    let Acknowledged { exchanges, edits, .. } = &acknowledged;
    let told = [*exchanges, edits.tokens.len(), edits.devices.len(), edits.hosts.len()];
    let [acks, tokens, devices, hosts] = told;
    let line = format!("{kills} kills: {acks} ACKs, {tokens} tokens, {devices} devices, {hosts} hosts, 0 lost\n");
    std::io::stderr().write_all(line.as_bytes()).expect("stderr");
    // what never happens is not tested
    assert!(acks as u64 > 5 * kills && told.iter().all(|n| *n as u64 > kills / 2), "{line}");
}

/// The control: a check that finds nothing missing in an empty journal would be none.
#[test]
fn control_what_is_missing_is_noticed() {
    let lost = |change: fn(&mut Acknowledged)| {
        let mut acknowledged = Acknowledged::default();
        change(&mut acknowledged);
        std::panic::catch_unwind(|| nothing_is_lost(&acknowledged, &Found::default())).is_err()
    };
    assert!(!lost(|_| {}));
    assert!(lost(|a| a.leases.extend([([2; 6], (Ipv4Addr::LOCALHOST, Wall::NEVER))])));
    assert!(lost(|a| a.edits.tokens.extend(["t".to_owned()])));
    assert!(lost(|a| a.edits.devices.extend(["d".to_owned()])));
    assert!(lost(|a| a.edits.hosts.extend([("h".to_owned(), "t".to_owned())])));
}
