//! Provisioning end to end over a ledger in memory: the seed's story in its variants, what creates a
//! device and what never does, and who gets a file with a secret.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::fixture::*;
use super::*;
use crate::domain::device::Value;
use crate::domain::lease::Lease;
use crate::domain::net::Mac;

const PHONE: Mac = Mac([0, 0x11, 0x22, 0x33, 0x44, 0x77]);
fn text(reply: &FileReply) -> String {
    match reply {
        FileReply::File(file) => String::from_utf8_lossy(&file.bytes).into_owned(),
        other => panic!("no file: {other:?}"),
    }
}

/// Both boots of the seed's story, on two addresses.
async fn story(
    house: &House,
    first: IpAddr,
    second: IpAddr,
    bind: impl AsyncFn(&House, IpAddr),
    unbind: impl AsyncFn(&House, IpAddr),
) {
    let mut ids = Vec::new();
    for at in [first, second] {
        bind(house, at).await;
        assert!(text(&house.tftp(at, "/spa3102.cfg").await).contains("$MA.xml"));
        ids.push(house.devices.by_mac(PHONE).expect("known from its first request on").id.clone());
        let own = text(&house.tftp(at, "/001122334477.xml").await);
        assert!(own.contains(&house.password), "{own}");
        let device = house.devices.by_mac(PHONE).unwrap();
        assert_eq!((device.ip, device.model.as_deref(), device.configured), (Some(at), Some("SPA3102"), true));
        unbind(house, at).await;
    }
    assert_eq!(ids[0], ids[1], "the second boot is the same device, from its first request on");
    assert_eq!(house.devices.count(), 1, "no junk");
    assert!(house.phones.ring().is_empty(), "nothing unattributed");
    let traces = house.phones.explain(&ids[0]);
    assert_eq!(traces.len(), 4);
    assert!(traces.iter().all(|t| matches!(t.attribution, Attribution::Device { by: By::BoundMac, .. })));
}

#[tokio::test]
async fn spa3102_with_our_own_dhcp_is_one_device_before_its_first_request() {
    let house = house(Settings::default());
    let stop = tokio_util::sync::CancellationToken::new();
    let follower = tokio::spawn(house.phones.clone().follow(house.ledger.clone(), stop.clone()));
    tokio::task::yield_now().await;
    let bind = async |house: &House, at| {
        house.lease(PHONE, at, Some("LINKSYS SPA-3102")).await;
        while house.devices.by_mac(PHONE).is_none_or(|d| d.ip != Some(at)) {
            tokio::task::yield_now().await;
        }
    };
    story(&house, ip(101), ip(102), bind, async |house, at| house.release(at).await).await;
    let device = house.devices.by_mac(PHONE).unwrap();
    assert_eq!(device.added, Added::Lease);
    let config = house.devices.config(device.config.as_deref().unwrap()).unwrap();
    assert!(config.transient && config.parents == ["autoprov"]);
    stop.cancel();
    follower.await.unwrap();
}

#[tokio::test]
async fn spa3102_behind_a_relay_is_one_device() {
    let house = house(Settings::default());
    // The file server is asked over another interface than the one of the relay's requests.
    let bind = async |house: &House, at| {
        let lease = Lease { interface: "core0".into(), ..leased(PHONE, at, Some("LINKSYS SPA-3102"), Some(ip(1))) };
        house.ledger.commit(vec![Change::LeaseGranted(Box::new(lease))]).await.unwrap();
    };
    story(&house, ip(101), ip(102), bind, async |house, at| house.release(at).await).await;
}

#[tokio::test]
async fn spa3102_with_a_static_address_is_one_device_by_the_neighbour_table() {
    let house = house(Settings::default());
    house.bindings.neighbours().set_segments(vec![(LINK.into(), "192.168.1.0/24".parse().unwrap())]);
    let bind = async |house: &House, at| house.bindings.neighbours().learn(LINK, at, Some(PHONE));
    let unbind = async |house: &House, at| {
        // The address goes to another phone, as in the seed.
        house.bindings.neighbours().learn(LINK, at, Some(Mac([0, 0x11, 0x22, 0x33, 0x44, 0x99])));
    };
    story(&house, ip(101), ip(102), bind, unbind).await;
}

#[tokio::test]
async fn an_unbound_phone_gets_the_common_file_a_ring_entry_and_no_device() {
    let house = house(Settings::default());
    for at in [ip(101), ip(102)] {
        assert!(text(&house.tftp(at, "/spa3102.cfg").await).contains("$MA.xml"));
        assert_eq!(house.tftp(at, "/001122334477.xml").await, FileReply::NotFound);
    }
    assert_eq!(house.devices.count(), 0);
    assert_eq!(house.phones.ring().len(), 4);
    assert!(house.phones.pending().is_empty(), "a MAC without a vendor is not even a claim");
}

#[tokio::test]
async fn the_seeds_aastra_is_added_once_and_found_by_its_mac() {
    let house = house(Settings::default());
    let agent = "Aastra6731i MAC:00-11-22-33-44-77 V:3.2.2.1136-SIP";
    house.lease(PHONE, ip(100), None).await;
    for _ in 0..2 {
        assert!(
            text(&house.ask(Protocol::Http, ip(100), "/Aastra/aastra.cfg", Some(agent)).await).contains("download")
        );
        let own = house.ask(Protocol::Http, ip(100), "/Aastra/001122334477.cfg", Some(agent)).await;
        assert!(text(&own).contains(&house.password));
    }
    assert_eq!(house.devices.count(), 1);
    let device = house.devices.by_mac(PHONE).unwrap();
    assert_eq!(device.plugin.as_deref(), Some("aastra"));
    assert_eq!((device.model.as_deref(), device.version.as_deref()), (Some("6731i"), Some("3.2.2.1136")));
    let plugin = device.evidence.iter().find(|e| e.field == "plugin").unwrap();
    assert_eq!((plugin.source.as_str(), plugin.strength), ("aastra/ua", Strength::Bound));
    let committed = house.disk.recovered().entries.len();
    house.ask(Protocol::Http, ip(100), "/Aastra/aastra.cfg", Some(agent)).await;
    assert_eq!(house.disk.recovered().entries.len(), committed, "a request that teaches nothing writes nothing");
}

#[tokio::test]
async fn a_request_that_needs_no_commit_is_answered_at_the_first_poll() {
    use futures_util::FutureExt;
    let house = house(Settings::default());
    house.lease(PHONE, ip(100), Some("LINKSYS SPA-3102")).await;
    house.tftp(ip(100), "/spa3102.cfg").await;
    assert!(house.tftp(ip(100), "/001122334477.xml").now_or_never().is_some());
}

#[tokio::test]
async fn a_claim_makes_a_device_only_if_the_policy_says_so() {
    let agent = "Yealink SIP-T46G 28.72.0.1 00:15:65:4a:a9:37";
    for (auto_create, devices, pending) in
        [(AutoCreate::Bound, 0, 1), (AutoCreate::Claimed, 1, 0), (AutoCreate::Off, 0, 0)]
    {
        let house = house(Settings { auto_create, ..Settings::default() });
        for _ in 0..3 {
            let reply = house.ask(Protocol::Http, ip(9), "/0015654aa937.cfg", Some(agent)).await;
            assert_eq!(reply, FileReply::NotFound, "a claim gets no secret");
        }
        assert_eq!((house.devices.count(), house.phones.pending().len()), (devices, pending), "{auto_create:?}");
    }
    let believed = Settings {
        auto_create: AutoCreate::Claimed,
        claims_allow: vec!["192.168.1.0/24".parse().unwrap()],
        ..Settings::default()
    };
    let house = house(believed);
    assert!(text(&house.ask(Protocol::Http, ip(9), "/0015654aa937.cfg", Some(agent)).await).contains(&house.password));
}

#[tokio::test]
async fn a_router_that_stands_for_other_phones_never_becomes_one() {
    let house = house(Settings::default());
    let router = Mac([2, 0, 0, 0, 0, 1]);
    house.lease(router, ip(50), None).await;
    let agent = "Yealink SIP-T46G 28.72.0.1 00:15:65:4a:a9:37";
    assert_eq!(house.ask(Protocol::Http, ip(50), "/0015654aa937.cfg", Some(agent)).await, FileReply::NotFound);
    assert_eq!(house.devices.count(), 0);
    assert_eq!(house.phones.ring()[0].reason, Reason::Mismatch);
}

#[tokio::test]
async fn a_pc_never_becomes_a_device_by_its_lease() {
    let house = house(Settings::default());
    house.phones.leased(&leased(PHONE, ip(7), Some("MSFT 5.0"), None)).await;
    house.phones.leased(&leased(PHONE, ip(7), None, None)).await;
    assert_eq!(house.devices.count(), 0);
    house.phones.leased(&leased(PHONE, ip(7), Some("yealink"), None)).await;
    assert_eq!(house.devices.count(), 1);
}

#[tokio::test]
async fn a_contradicted_lease_gets_common_files_only() {
    let house = house(Settings::default());
    house.lease(PHONE, ip(100), Some("LINKSYS SPA-3102")).await;
    assert!(text(&house.tftp(ip(100), "/001122334477.xml").await).contains(&house.password));
    house.bindings.neighbours().set_segments(vec![(LINK.into(), "192.168.1.0/24".parse().unwrap())]);
    house.bindings.neighbours().learn(LINK, ip(100), Some(Mac([2, 0, 0, 0, 0, 9])));
    assert_eq!(house.tftp(ip(100), "/001122334477.xml").await, FileReply::NotFound);
    assert!(text(&house.tftp(ip(100), "/spa3102.cfg").await).contains("$MA.xml"));
    assert_eq!(house.phones.ring().len(), 2);
    assert!(house.phones.ring().iter().all(|u| u.reason == Reason::Conflict));
}

#[tokio::test]
async fn a_device_is_answered_only_after_it_is_durable() {
    let house = house(Settings::default());
    house.lease(PHONE, ip(100), Some("LINKSYS SPA-3102")).await;
    house.disk.refuse(true);
    assert_eq!(house.tftp(ip(100), "/spa3102.cfg").await, FileReply::Busy);
    assert_eq!(house.devices.count(), 0);
    house.disk.refuse(false);
    assert!(text(&house.tftp(ip(100), "/spa3102.cfg").await).contains("$MA.xml"));
    let restarted = house_on(Settings::default(), house.disk.clone());
    assert_eq!(restarted.devices.all(), house.devices.all());
}

#[tokio::test]
async fn many_requests_at_once_make_one_device() {
    let house = Arc::new(house(Settings::default()));
    house.lease(PHONE, ip(100), Some("LINKSYS SPA-3102")).await;
    let asks = (0..64).map(|_| {
        let house = house.clone();
        tokio::spawn(async move { house.tftp(ip(100), "/spa3102.cfg").await })
    });
    for reply in futures_util::future::join_all(asks).await {
        assert!(text(&reply.unwrap()).contains("$MA.xml"));
    }
    assert_eq!(house.devices.count(), 1);
}

/// I6, SE-11: one leased host asks for the files of others. `SWEEP=65536` for all that differ in two octets.
#[tokio::test]
async fn a_sweep_gets_no_secret_and_identical_denials() {
    let macs: u32 = std::env::var("SWEEP").map_or(2_000, |n| n.parse().expect("SWEEP is a number"));
    let house = house(Settings { new_devices_per_hour: 200, ..Settings::default() });
    let victim = |n: u16| Mac([0, 0x15, 0x65, 0, n.to_be_bytes()[0], n.to_be_bytes()[1]]);
    for n in 0..200u16 {
        let [_, low] = n.to_be_bytes();
        let at = IpAddr::V4(Ipv4Addr::new(192, 168, 2, low));
        house.lease(victim(n), at, Some("yealink")).await;
        house.phones.leased(&leased(victim(n), at, Some("yealink"), None)).await;
    }
    let sweeper = Mac([0, 0x15, 0x65, 0xff, 0, 1]);
    house.lease(sweeper, ip(66), Some("yealink")).await;
    assert!(text(&house.tftp(ip(66), &format!("/{}.cfg", sweeper.hex())).await).contains(&house.password));
    let mut replies = 0;
    for n in (0..=u16::MAX).take(macs as usize) {
        let (lower, upper) = (victim(n).hex(), victim(n).hex().to_ascii_uppercase());
        for path in [
            format!("/{lower}.cfg"),
            format!("/{upper}.xml"),
            format!("/SEP{upper}.cnf.xml"),
            format!("/Aastra/{upper}.cfg"),
        ] {
            for protocol in [Protocol::Http, Protocol::Tftp] {
                assert_eq!(house.ask(protocol, ip(66), &path, None).await, FileReply::NotFound, "{path}");
                replies += 1;
            }
        }
    }
    assert_eq!(replies, macs.min(65_536) * 8);
    assert_eq!(house.devices.count(), 201, "and no junk");
    // PR-53: even its own secrets are held back for ten minutes; the others are undisturbed.
    let own = format!("/{}.cfg", sweeper.hex());
    assert_eq!(house.tftp(ip(66), &own).await, FileReply::NotFound);
    assert!(
        text(&house.tftp("192.168.2.7".parse().unwrap(), &format!("/{}.cfg", victim(7).hex())).await)
            .contains(&house.password)
    );
    house.clock.0.fetch_add(601_000, Ordering::Relaxed);
    assert!(text(&house.tftp(ip(66), &own).await).contains(&house.password));
}

/// Boot files are for everybody on a served network and for nobody else; no request for one makes a device
/// or is remembered as one of a phone, found or not.
#[tokio::test]
async fn boot_files_are_kept_apart_from_phones() {
    let house = house(Settings::default());
    let boot = house.boot_folder();
    boot.write("ipxe.efi", 10);
    boot.write("pxelinux.cfg/default", 10);
    let served = async |protocol, from, path: &str| matches!(house.ask(protocol, from, path, None).await, FileReply::Boot(file) if file.size == 10);
    assert!(served(Protocol::Tftp, ip(7), "ipxe.efi").await);
    assert!(served(Protocol::Http, ip(7), "/boot/ipxe.efi").await);
    assert!(served(Protocol::Tftp, ip(7), "/boot/pxelinux.cfg/default").await);
    assert!(!served(Protocol::Tftp, "192.168.2.7".parse().unwrap(), "ipxe.efi").await, "of no network");
    assert!(!served(Protocol::Http, "192.168.2.7".parse().unwrap(), "/boot/ipxe.efi").await);
    assert!(!served(Protocol::Http, ip(7), "/ipxe.efi").await, "over HTTP the prefix is needed");
    assert_eq!(house.phones.ring().len(), 1, "which is why that one was asked of the phones' files");
    // what boot loaders try out before they find their configuration
    let mac = Mac([0, 0x15, 0x65, 0x4a, 0xa9, 0x37]);
    assert_eq!(house.tftp(ip(7), "pxelinux.cfg/01-00-15-65-4a-a9-37").await, FileReply::NotFound);
    house.lease(mac, ip(8), Some("PXEClient:Arch:00000:UNDI:002001")).await;
    assert_eq!(house.tftp(ip(8), "/0015654aa937.cfg").await, FileReply::NotFound, "a boot ROM is no phone");
    assert_eq!((house.devices.count(), house.phones.ring().len()), (0, 1));
    assert!(served(Protocol::Tftp, ip(8), "ipxe.efi").await);
    let count = |outcome| {
        let all = house.phones.counters();
        let of = all.iter().filter(|(name, labels, _)| *name == "lanlord_boot_files_total" && labels[1].1 == outcome);
        of.map(|(_, _, n)| n).sum::<u64>()
    };
    assert_eq!((count("served"), count("missing"), count("refused")), (4, 2, 2));
    house.phones.set_boot(None);
    assert!(!served(Protocol::Tftp, ip(7), "ipxe.efi").await);
}

/// Without `[provisioning]` only boot files are served.
#[tokio::test]
async fn phones_get_nothing_where_only_computers_boot() {
    let house = house(Settings { phones: false, ..Settings::default() });
    let boot = house.boot_folder();
    boot.write("ipxe.efi", 10);
    house.lease(PHONE, ip(100), Some("LINKSYS SPA-3102")).await;
    assert_eq!(house.tftp(ip(100), "/spa3102.cfg").await, FileReply::NotFound);
    assert!(matches!(house.tftp(ip(100), "ipxe.efi").await, FileReply::Boot(_)));
    assert_eq!(house.devices.count(), 0);
}

/// SE-12: claims of invented phones leave no trace but a bounded one.
#[tokio::test]
async fn invented_macs_make_no_device_and_write_nothing() {
    let house = house(Settings::default());
    for n in 0..5000u32 {
        let [_, a, b, c] = n.to_be_bytes();
        let mac = Mac([0, 0x15, 0x65, a, b, c]);
        let agent = format!("Yealink SIP-T46G 28.72.0.1 {mac}");
        house.ask(Protocol::Http, ip(3), &format!("/{}.cfg", mac.hex()), Some(&agent)).await;
    }
    assert_eq!((house.devices.count(), house.phones.pending().len()), (0, memory::PENDING));
    assert!(house.disk.recovered().entries.is_empty());
}

#[tokio::test]
async fn configs_are_validated_sealed_and_kept_from_being_removed_in_use() {
    let house = house(Settings::default());
    let config = |raw| crate::domain::device::PhoneConfig {
        id: "desk".into(),
        label: String::new(),
        parents: vec!["base".into()],
        role: Role::None,
        transient: false,
        raw,
    };
    let bad = house.devices.put_config(config(map([("admin_pasword", Value::Text("x".into()))]))).await;
    assert!(bad.unwrap_err().to_string().contains("did you mean `admin_password`"));
    let plain = map([("admin_password", Value::Text(house.password.clone()))]);
    house.devices.put_config(config(plain)).await.unwrap();
    assert!(!format!("{:?}", house.disk.recovered().entries).contains(&house.password));
    assert!(matches!(house.devices.config("desk").unwrap().raw["admin_password"], Value::Sealed(_)));
    let kept = map([("admin_password", Value::Text("***".into()))]);
    house.devices.put_config(config(kept)).await.unwrap();
    assert_eq!(house.devices.opened("desk").unwrap()["admin_password"], Value::Text(house.password.clone()));
    let device =
        Device { config: Some("desk".into()), ..update::new_device("a".into(), Some(PHONE), None, Added::Manual) };
    house.devices.put(device).await.unwrap();
    assert!(matches!(house.devices.remove_config("desk").await, Err(DeviceError::Refused(_))));
    let twin = update::new_device("b".into(), Some(PHONE), None, Added::Manual);
    assert!(matches!(house.devices.put(twin).await, Err(DeviceError::Refused(_))), "a MAC is one device's");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// I5: whatever is asked in whatever order, an address alone never makes a device.
    #[test]
    fn an_ip_alone_never_creates_a_device(
        asks in proptest::collection::vec((0u8..4, 0usize..9, 0usize..4, any::<bool>()), 1..40),
        policy in 0usize..3,
    ) {
        let paths = ["/spa3102.cfg", "/init.cfg", "/000000000000.cfg", "/y000000000028.cfg", "/Aastra/aastra.cfg",
            "/snomD785.htm", "/001122334477.xml", "/lanpbx.cfg", "/6730i.st"];
        let agents = [None, Some("Cisco/SPA525G-7.4.4"), Some("Mozilla/4.0 (compatible; snom320-SIP 8.4.18 1.1.3-s)"), Some("\u{80}x")];
        let auto_create = [AutoCreate::Bound, AutoCreate::Claimed, AutoCreate::Off][policy];
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let house = house(Settings { auto_create, ..Settings::default() });
            for (host, path, agent, http) in asks {
                let protocol = if http { Protocol::Http } else { Protocol::Tftp };
                house.ask(protocol, ip(host), paths[path], agents[agent].filter(|_| http)).await;
            }
            prop_assert_eq!(house.devices.count(), 0);
            prop_assert!(house.disk.recovered().entries.is_empty());
            Ok(())
        })?;
    }
}
