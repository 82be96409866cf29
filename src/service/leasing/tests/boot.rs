use super::*;
use crate::service::leasing::explain::Question;

/// DH-414, by the example that ships.
#[tokio::test]
async fn beside_another_server_only_who_boots_is_answered_on_both_ports_and_nothing_is_leased() {
    let text = include_str!("../../../../config/examples/netboot-beside.toml");
    let policy = crate::config::parse(std::path::Path::new("example.toml"), text).unwrap().policy;
    let (leasing, mut replies) = Leasing::new(policy, Arc::new(PlainNames), Arc::new(Hands::default()));
    let arrival = Arrival { local: Ipv4Addr::new(10, 77, 0, 1), ..arrival() };
    let bios: [(u8, &[u8]); 2] = [(code::VENDOR_CLASS, b"PXEClient:Arch:00000:UNDI:002001"), (code::PXE_ARCH, &[0, 0])];
    let mut answer = || replies.try_recv().ok().map(|out| (out.to, out.bytes));

    assert_eq!(leasing.receive(&arrival, &message(Kind::Discover, 1, 1, &bios)), Received::Answered(Kind::Offer));
    let (to, bytes) = answer().unwrap();
    let offer = Packet::walk(&bytes).unwrap();
    assert_eq!((to, offer.yiaddr(), offer.option(code::LEASE_TIME)), (Target::Broadcast, Ipv4Addr::UNSPECIFIED, None));
    // the disk first, with nobody behind it; the entry of UEFI is not among them
    let menu = [&[0, 0, 18][..], b"Boot from the disk", &[0x80, 4, 7], b"Install"].concat();
    let vendor = offer.option(code::VENDOR).unwrap();
    assert!(vendor.windows(menu.len()).any(|part| part == menu), "{vendor:?}");

    let from =
        Arrival { source: Ipv4Addr::new(10, 77, 0, 77), source_port: 4011, destination: arrival.local, ..arrival };
    let chosen: [(u8, &[u8]); 3] = [bios[0], bios[1], (code::VENDOR, &[71, 4, 0x80, 4, 0, 0, 255])];
    assert_eq!(leasing.receive_boot(&from, &message(Kind::Request, 1, 2, &chosen)), Received::Answered(Kind::Ack));
    let (to, bytes) = answer().unwrap();
    let ack = Packet::walk(&bytes).unwrap();
    assert_eq!((to, ack.yiaddr()), (Target::Port(from.source, 4011), Ipv4Addr::UNSPECIFIED));
    assert_eq!(ack.option(code::BOOT_FILE).as_deref(), Some(&b"undionly.kpxe"[..]));

    let silent = Received::Silent(Silence::NotBooting);
    assert_eq!(leasing.receive(&arrival, &message(Kind::Discover, 2, 3, &[])), silent);
    assert_eq!(leasing.receive_boot(&from, &message(Kind::Request, 2, 4, &[])), silent);
    assert!(answer().is_none() && leasing.leases().is_empty());

    let client =
        Question { mac: Some(Mac([2, 0, 0, 0, 0, 1])), user_class: Some(b"iPXE".to_vec()), ..Question::default() };
    let stranger = leasing.explain(client.clone()).unwrap_err();
    assert_eq!(stranger, "no answer: not-booting");
    let explained = leasing.explain(Question { vendor_class: Some(b"PXEClient".to_vec()), ..client }).unwrap();
    let names: Vec<&str> = explained.values.iter().map(|value| value.name.as_str()).collect();
    assert!(
        names.contains(&"boot_file") && !names.contains(&"lease_time") && !names.contains(&"subnet-mask"),
        "{names:?}"
    );
}
