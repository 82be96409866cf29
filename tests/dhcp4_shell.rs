//! The DHCPv4 shell and leasing with real clients on a network of our own, over a journal in memory. As root;
//! it fails, and never skips, without its tools.

#[path = "lab/space.rs"]
#[allow(dead_code)]
mod space;

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lanlord::clock::{Clock, System};
use lanlord::domain::dhcp::policy::{LeaseTimes, Network, Policy, Pool, Setting, Subnet};
use lanlord::domain::dns::naming::{self, NameRequest, Names};
use lanlord::domain::lease::Lease;
use lanlord::net::{Presence, links};
use lanlord::server::dhcp4::{Dhcp4, Settings};
use lanlord::service::leasing::Leasing;
use lanlord::store::Ledger;
use lanlord::store::memory::Memory;
use space::{Lab, PATIENCE, due};
use tokio_util::sync::CancellationToken;

struct PlainNames;

impl Names for PlainNames {
    fn choose(&self, request: &NameRequest<'_>) -> Option<String> {
        naming::decide(request, true, |_| false).map(|choice| choice.fqdn)
    }
}

fn subnet(prefix: &str, first: [u8; 4], last: [u8; 4], router: [u8; 4]) -> Subnet {
    let mut subnet = Subnet::new(prefix.parse().expect("a prefix"));
    subnet.pools = vec![Pool::new(first.into(), last.into())];
    subnet.router = Some(router.into());
    subnet.times = Some(LeaseTimes { default: 600, min: 4, max: 3600, infinite: false });
    subnet
}

fn policy() -> Policy {
    let near = Network {
        name: "near".to_owned(),
        interface: Some("eth0".to_owned()),
        domain: "near.test".to_owned(),
        subnets: vec![subnet("10.77.0.0/16", [10, 77, 9, 1], [10, 77, 9, 99], [10, 77, 0, 2])],
        ..Network::default()
    };
    let far = Network {
        name: "far".to_owned(),
        subnets: vec![subnet("10.78.0.0/24", [10, 78, 0, 100], [10, 78, 0, 199], [10, 78, 0, 1])],
        ..Network::default()
    };
    let mut policy = Policy::new(vec![near, far]);
    policy.options = vec![Setting::parse(6, "10.77.0.1", false).expect("an option")];
    policy
}

async fn lease_of(leasing: &Leasing, network: &str, mac: &str) -> Arc<Lease> {
    let mut found = None;
    until(|| {
        found =
            leasing.leases().into_iter().find(|l| l.network == network && l.mac.is_some_and(|m| m.to_string() == mac));
        found.is_some()
    })
    .await;
    found.unwrap_or_else(|| panic!("no lease for {mac} on {network}; counters: {:?}", leasing.counters()))
}

/// Waits until it is so, within bounds; true if it is.
async fn until(mut done: impl FnMut() -> bool) -> bool {
    let waiting = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.is_ok()
}

async fn gone(leasing: &Leasing, network: &str, ip: std::net::IpAddr) {
    let std::net::IpAddr::V4(ip) = ip else { panic!("{ip} is no IPv4 address") };
    let gone = until(|| leasing.lease(network, ip.into()).is_none()).await;
    assert!(gone, "{ip} is still leased; counters: {:?}", leasing.counters());
}

/// A script for udhcpc and dhclient that configures the address.
fn script(lab: &Lab) -> String {
    use std::os::unix::fs::PermissionsExt;
    let path = lab.dir().join("hook");
    let text = "#!/bin/sh\nset -eu\necho \"hook ${1:-} ${reason:-} ${ip:-} ${new_ip_address:-}\"\n\
        case \"${1:-}${reason:-}\" in\n\
        bound|renew|BOUND|REBOOT|RENEW|REBIND)\n\
          a=${ip:-$new_ip_address}; m=${mask:-}; [ -n \"$m\" ] || m=${new_subnet_mask}\n\
          ip addr replace \"$a/$m\" dev \"$interface\" ;;\n\
        deconfig|PREINIT|RELEASE) ip addr flush dev \"$interface\"; ip link set \"$interface\" up ;;\n\
        esac\n";
    std::fs::write(&path, text).expect("a script");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("executable");
    path.display().to_string()
}

/// How the interfaces fare.
#[derive(Default)]
struct States(Mutex<HashMap<String, Presence>>);

impl States {
    fn note(&self, name: &str, presence: Option<Presence>) {
        let mut all = self.0.lock().expect("no panic");
        match presence {
            Some(presence) => drop(all.insert(name.to_owned(), presence)),
            None => drop(all.remove(name)),
        }
    }

    fn of(&self, name: &str) -> Option<Presence> {
        self.0.lock().expect("no panic").get(name).cloned()
    }
}

/// Runs the stack in the server's namespace while `story` goes on.
fn serving(lab: &Lab, story: impl AsyncFnOnce(Arc<Leasing>, Arc<States>) + Send) {
    lab.inside("srv", || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let clock: Arc<dyn Clock> = Arc::new(System);
            let (leasing, replies) = Leasing::new(policy(), Arc::new(PlainNames), clock.clone());
            let disk = Memory::default();
            let (ledger, _end) = Ledger::start(disk.clone(), disk.recovered(), vec![leasing.view()], clock);
            let cancel = CancellationToken::new();
            let tasks = leasing.start(ledger.clone(), cancel.clone());
            let watch = links::watch(cancel.clone()).await.expect("a watch");
            let states = Arc::new(States::default());
            let told = states.clone();
            let (tell, interfaces) = tokio::sync::watch::channel(vec!["eth0".to_owned(), "late0".to_owned()]);
            let shell = Dhcp4 {
                settings: Settings::default(),
                interfaces,
                boot_interfaces: tokio::sync::watch::channel(Vec::new()).1,
                leasing: leasing.clone(),
                links: watch,
                boot_state: Arc::new(|_, _| ()),
                state: Arc::new(move |name, presence| told.note(name, presence)),
            };
            let run = tokio::spawn(shell.run(replies, cancel.clone()));
            tokio::time::timeout(6 * PATIENCE, story(leasing, states)).await.expect("in time");
            drop(tell);
            cancel.cancel();
            run.await.expect("no panic").expect("no failure");
            for task in tasks {
                task.await.expect("no panic");
            }
            ledger.stop().await;
        });
    });
}

#[test]
fn clients_without_address_bind_renew_and_release() {
    space::need(&[("udhcpc", "udhcpc"), ("dhclient", "isc-dhcp-client")]);
    let lab = Lab::up();
    let hook = script(&lab);
    serving(&lab, async |leasing, shell| {
        let argv =
            ["udhcpc", "-f", "-n", "-R", "-t", "40", "-T", "2", "-i", "eth0", "-s", &hook, "-x", "hostname:phone-1"];
        let udhcpc = lab.start("udhcpc", "c1", &argv);
        let first = lease_of(&leasing, "near", "02:77:00:00:01:01").await;
        assert_eq!(first.fqdn.as_deref(), Some("phone-1.near.test"));
        assert_eq!(first.vendor_class.as_deref().map(|v| v.starts_with(b"udhcp")), Some(true));

        let leases = lab.dir().join("dhclient.leases").display().to_string();
        std::fs::write(&leases, "").expect("a lease file");
        let pid = lab.dir().join("dhclient.pid").display().to_string();
        let argv = ["dhclient", "-4", "-1", "-d", "-v", "-sf", &hook, "-lf", &leases, "-pf", &pid, "eth0"];
        let dhclient = lab.start("dhclient", "c2", &argv);
        let second = lease_of(&leasing, "near", "02:77:00:00:01:02").await;
        assert_ne!(first.ip, second.ip);

        // by unicast now: SIGUSR1 renews, SIGTERM with -R releases
        let before = lease_of(&leasing, "near", "02:77:00:00:01:01").await;
        assert!(until(|| udhcpc.output().contains("hook bound")).await, "{}", udhcpc.output());
        let renewals = |l: &Leasing| {
            l.counters().iter().find(|(_, labels, _)| labels.contains(&("type", "DHCPREQUEST"))).map_or(0, |c| c.2)
        };
        let asked = renewals(&leasing);
        udhcpc.signal(nix::sys::signal::Signal::SIGUSR1);
        assert!(until(|| renewals(&leasing) > asked).await, "no renewal arrived");
        assert_eq!(lease_of(&leasing, "near", "02:77:00:00:01:01").await.ip, before.ip);
        udhcpc.signal(nix::sys::signal::Signal::SIGTERM);
        gone(&leasing, "near", before.ip).await;
        drop(dhclient);

        // an interface that comes late is served without a restart (DH-804)
        let state = |name: &str| shell.of(name);
        assert_eq!(state("eth0"), Some(Presence::Serving));
        assert!(matches!(state("late0"), Some(Presence::Waiting(_))));
        lab.ip("srv", &["link", "add", "late0", "type", "veth", "peer", "name", "late1"]);
        lab.ip("srv", &["addr", "add", "10.90.0.1/24", "dev", "late0"]);
        let since = space::now();
        assert!(until(|| state("late0") == Some(Presence::Serving)).await, "{:?}", state("late0"));
        assert!(since.elapsed() < due(Duration::from_secs(3)), "{:?}", since.elapsed());
    });
}

#[test]
fn clients_behind_a_relay_are_served_and_option_82_comes_back() {
    space::need(&[("udhcpc", "udhcpc"), ("dhcrelay", "isc-dhcp-relay")]);
    let lab = Lab::up();
    let hook = script(&lab);
    serving(&lab, async |leasing, _| {
        let argv = ["dhcrelay", "-4", "-d", "-a", "-m", "append", "-id", "eth1", "-iu", "eth0", "10.77.0.1"];
        let _relay = lab.start("dhcrelay", "relay", &argv);
        // the relay may come up after its first questions
        let argv = ["udhcpc", "-f", "-n", "-R", "-t", "40", "-T", "2", "-i", "eth0", "-s", &hook];
        let udhcpc = lab.start("udhcpc", "far", &argv);
        let lease = lease_of(&leasing, "far", "02:78:00:00:01:01").await;
        assert_eq!(lease.relay, Some(Ipv4Addr::new(10, 78, 0, 1).into()));
        assert_eq!(lease.circuit_id.as_deref(), Some(&b"eth1"[..]));
        // dhcrelay drops an answer without its option 82, so the client's address proves the echo
        let mine = format!("{}/24", lease.ip);
        let held = until(|| lab.ip("far", &["addr", "show", "dev", "eth0"]).contains(&mine)).await;
        assert!(held, "{}", udhcpc.output());
        // the release comes by unicast, routed, without relay
        lab.ip("far", &["route", "add", "default", "via", "10.78.0.1"]);
        udhcpc.signal(nix::sys::signal::Signal::SIGTERM);
        gone(&leasing, "far", lease.ip).await;
    });
}
