//! What the DNS targets do with their input. Every assertion here is a promise to the rest of the daemon.

use std::net::IpAddr;
use std::sync::OnceLock;

use lanlord::domain::dns::lookup::lookup;
use lanlord::domain::dns::message;
use lanlord::domain::dns::name::Name;
use lanlord::domain::dns::naming::{self, ClientFqdn, NameRequest, reply81};
use lanlord::domain::dns::rdata;
use lanlord::domain::dns::respond::{Asker, Verdict, complete, respond};
use lanlord::domain::dns::zone::State;
use lanlord::domain::dns::zonefile;
use lanlord::domain::lease::ClientKey;
use lanlord::domain::net::Mac;

/// A zone with every kind of node.
const ZONE: &str = "$TTL 300\n@ SOA ns host 1 3600 900 604800 60\n@ NS ns\nns A 10.0.0.1\n*.w TXT x\nwww CNAME ns\n\
    deleg NS ns.deleg\nns.deleg A 10.1.0.1\nold DNAME new\npc.new A 10.0.0.5\nx.y.z MX 5 ns\nfar CNAME a.org.\n\
    one CNAME two\ntwo CNAME one\n$GENERATE 0-40 big TXT number-$\n";

fn state() -> &'static State {
    static STATE: OnceLock<State> = OnceLock::new();
    STATE.get_or_init(|| {
        let mut state = State::new(3);
        let origin = Name::parse("lan").expect("a name");
        let parsed = zonefile::parse(&origin, "lan.zone", ZONE, &|_| Err(String::new())).expect("a sound zone");
        state.put(parsed.into_zone(3));
        state
    })
}

/// A packet over UDP and TCP, with and without recursion: silence, or a well-formed answer within its limit.
pub fn message(data: &[u8]) {
    for (stream, recursion) in [(false, false), (false, true), (true, true)] {
        let asker = Asker { stream, recursion };
        let mut out = Vec::new();
        match respond(state(), data, asker, &mut out) {
            Verdict::Silent(_) => assert!(out.is_empty()),
            Verdict::Answered(_) => {
                assert!((12..=if stream { 65_535 } else { 1_232 }).contains(&out.len()));
                assert_eq!(out[..2], data[..2]);
                assert!(out[2] & 0x80 != 0);
            }
            Verdict::Foreign(_) => {
                assert!(out.is_empty());
                complete(state(), data, asker, None, &mut out);
                assert!(out.len() >= 12);
            }
        }
    }
}

/// The first octet says how much of the rest is the question that was asked; what is left is the answer.
pub fn upstream_reply(data: &[u8]) {
    let Some((split, rest)) = data.split_first() else { return };
    let (name, reply) = rest.split_at(usize::from(*split).min(rest.len()));
    let name = Name::from_wire(name).unwrap_or_else(|_| Name::parse("www.a.org").expect("a name"));
    let asked = message::ask(7, name.as_wire(), 1, true, false);
    let mut likely = asked.clone();
    likely[2] |= 0x80;
    likely.extend_from_slice(reply);
    for packet in [reply, &likely] {
        let Ok(resolved) = message::read(&asked, packet, true) else { continue };
        assert!(resolved.answers.len() <= 500 * 17 && resolved.ttl() <= 86_400);
        for record in resolved.answers.iter().chain(&resolved.authority) {
            assert!(Name::from_wire(&record.owner).is_ok());
        }
        let mut out = Vec::new();
        complete(state(), &asked, Asker { stream: false, recursion: true }, Some(&resolved), &mut out);
        assert!(out.len() <= 1_232);
    }
}

/// Either problems with their places, or a zone in which every name is found.
pub fn zone_file(data: &[u8]) {
    let text = String::from_utf8_lossy(&data[..data.len().min(64 << 10)]);
    let origin = Name::parse("lan").expect("a name");
    let load = |name: &str| if name == "again" { Ok(text.to_string()) } else { Err("no such file".to_owned()) };
    match zonefile::parse(&origin, "lan.zone", &text, &load) {
        Err(problems) => assert!(!problems.is_empty() && problems.len() <= 300, "{}", problems.len()),
        Ok(parsed) => {
            let owners: Vec<Name> = parsed.nodes.iter().take(200).map(|(owner, _)| owner.clone()).collect();
            for (rtype, data) in
                parsed.nodes.iter().take(200).flat_map(|(_, s)| s).flat_map(|s| s.rdata.iter().map(|d| (s.rtype, d)))
            {
                let words = zonefile::words(&rdata::show(rtype, data)).expect("what is shown can be read");
                assert_eq!(rdata::parse(rtype, &words, &Name::root()).as_ref(), Ok(data));
            }
            let mut state = State::new(1);
            state.put(parsed.into_zone(1));
            for owner in owners {
                let answer = lookup(&state, owner.as_wire(), 255);
                assert!(answer.rcode != 3, "{owner} does not exist");
            }
        }
    }
}

/// Whatever a client calls itself, it gets a name that DNS can carry, or none.
pub fn hostname(data: &[u8]) {
    if let Some(label) = naming::sanitise(data) {
        assert!((1..=63).contains(&label.len()), "{label}");
        assert!(label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{label}");
        assert!(!label.starts_with('-') && !label.ends_with('-'), "{label}");
    }
    let client = ClientKey::Id(data.to_vec());
    let half = data.len() / 2;
    let request = NameRequest {
        client: &client,
        mac: Some(Mac([2, 0, 0, 0, 0, 1])),
        ip: IpAddr::from([10, 0, 0, 1]),
        domain: "lan.example",
        reserved: None,
        option81: Some(&data[..half]),
        option12: Some(&data[half..]),
        vendor_class: Some(data),
        previous: None,
    };
    let choice = naming::decide(&request, true, |name| name.len() % 2 == 0);
    if let Some(choice) = &choice {
        let name = Name::parse(&choice.fqdn).expect("a name");
        assert!(name.is_within(&Name::parse("lan.example").expect("a name")) && name.label_count() == 3);
    }
    let reply = reply81(&data[..half], choice.as_ref().map(|c| c.fqdn.as_str()));
    assert_eq!(reply.is_some(), ClientFqdn::parse(&data[..half]).is_some());
    assert!(reply.is_none_or(|r| r.len() <= 255));
}
