use super::*;

fn request(client: &ClientKey) -> NameRequest<'_> {
    NameRequest {
        client,
        mac: Some(Mac([0x80, 0x5e, 0xc0, 0xaa, 0xbb, 0xcc])),
        ip: IpAddr::from([192, 168, 1, 20]),
        domain: "lan.example",
        reserved: None,
        option81: None,
        option12: None,
        vendor_class: None,
        previous: None,
    }
}

fn name(request: &NameRequest<'_>, taken: &[&str]) -> Option<String> {
    decide(request, false, |n| taken.contains(&n)).map(|c| c.fqdn)
}

#[test]
fn the_best_ranked_source_names_a_host() {
    let client = ClientKey::Id(vec![1]);
    let mut r = request(&client);
    assert_eq!(name(&r, &[]).as_deref(), Some("host-192-168-1-20.lan.example"));
    r.vendor_class = Some(b"yealink");
    assert_eq!(name(&r, &[]).as_deref(), Some("yealink-805ec0aabbcc.lan.example"));
    r.option12 = Some(b"twelve");
    assert_eq!(name(&r, &[]).as_deref(), Some("twelve.lan.example"));
    r.option81 = Some(b"\x00\x00\x00eighty-one.corp.example");
    assert_eq!(name(&r, &[]).as_deref(), Some("eighty-one.lan.example"));
    r.reserved = Some("desk");
    assert_eq!(name(&r, &[]).as_deref(), Some("desk.lan.example"));
    r.reserved = Some("Desk.other.example.");
    assert_eq!(name(&r, &[]).as_deref(), Some("desk.other.example"));
}

#[test]
fn a_refused_name_falls_to_the_next_source_and_is_told() {
    let client = ClientKey::Id(vec![1]);
    let mut r = request(&client);
    r.option12 = Some(b"WPAD");
    let choice = decide(&r, false, |_| false).unwrap();
    assert_eq!(choice.rank, Rank::Template);
    assert_eq!(choice.instead_of.as_deref(), Some("WPAD"));
}

#[test]
fn the_owner_keeps_a_name_and_the_newcomer_gets_a_suffix_stable_across_renewals() {
    let client = ClientKey::Id(vec![1]);
    let mut r = request(&client);
    r.option12 = Some(b"printer");
    assert_eq!(name(&r, &["printer.lan.example"]).as_deref(), Some("printer-bbcc.lan.example"));
    let both = ["printer.lan.example", "printer-bbcc.lan.example"];
    assert_eq!(name(&r, &both).as_deref(), Some("printer-2.lan.example"));
    r.previous = Some("printer-2.lan.example");
    assert_eq!(name(&r, &["printer.lan.example"]).as_deref(), Some("printer-2.lan.example"));
    assert_eq!(name(&r, &[]).as_deref(), Some("printer-2.lan.example"), "no rename because the owner went");
    r.option12 = Some(b"plotter");
    assert_eq!(name(&r, &[]).as_deref(), Some("plotter.lan.example"), "a new wish is a new name");
}

#[test]
fn n_means_no_records_only_if_clients_are_honoured() {
    let client = ClientKey::Id(vec![1]);
    let mut r = request(&client);
    r.option81 = Some(b"\x08\x00\x00pc");
    assert!(decide(&r, true, |_| false).is_none());
    assert_eq!(name(&r, &[]).as_deref(), Some("pc.lan.example"));
}

#[test]
fn a_long_name_leaves_room_for_its_suffix() {
    let client = ClientKey::Id(vec![1]);
    let mut r = request(&client);
    let long = "x".repeat(63);
    r.option12 = Some(long.as_bytes());
    let taken = format!("{long}.lan.example");
    let got = name(&r, &[&taken]).unwrap();
    assert_eq!(got.split('.').next().unwrap().len(), 63);
    assert!(got.ends_with("-bbcc.lan.example"));
}
