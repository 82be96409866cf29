use super::*;
use crate::domain::dns::name::Name;
use crate::domain::dns::rdata;
use crate::domain::dns::zone::Layer;
use crate::domain::dns::zonefile;

const SEED: u64 = 42;

/// The zone of RFC 4592 §2.2.1, and what else the sentences below need.
const EXAMPLE: &str = r#"
$TTL 3600
@                 SOA ns host 1 3600 900 604800 300
                  NS  ns.example.com.
                  NS  ns.example.net.
*                 TXT "this is a wildcard"
*                 MX  10 host1
sub.*             TXT "this is not a wildcard"
host1             A   192.0.2.1
_ssh._tcp.host1   SRV 0 0 22 host1
_ssh._tcp.host2   SRV 0 0 22 host2
subdel            NS  ns.example.com.
                  NS  ns.example.net.
"#;

const LAN: &str = r#"
$TTL 3600
@        SOA ns host 1 3600 900 604800 60
         NS ns
ns       A 10.0.0.1
pc       A 10.0.0.2
a.b.c    A 10.0.0.3
www      CNAME pc
far      CNAME elsewhere.test.
other    CNAME x.two.
gone     CNAME missing
one      CNAME two
two      CNAME one
self     CNAME self
*.w      CNAME pc
*.v      A 10.0.0.9
deleg    NS ns.deleg
ns.deleg A 10.1.0.1
x.deleg  A 10.1.0.2
old      DNAME new
pc.new   A 10.0.0.5
long     DNAME aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.lan.
_sip._udp SRV 1 1 5060 pc
@        MX 5 pc
n        NAPTR 10 10 "a" "SIP+D2U" "" pc
c0 CNAME c1
$GENERATE 1-20 c$ CNAME c${1,0,d}
"#;

fn state() -> State {
    let mut state = State::new(SEED);
    for (origin, text) in
        [("example", EXAMPLE), ("lan", LAN), ("two", "$TTL 9\n@ SOA n h 1 1 1 1 5\n@ NS n\nn A 10.2.0.1\n")]
    {
        let parsed = zonefile::parse(&Name::parse(origin).unwrap(), origin, text, &|_| Err(String::new()));
        state.put(parsed.unwrap_or_else(|e| panic!("{e:#?}")).into_zone(SEED));
    }
    state
}

/// `rcode [aa]` and then the sections, a line each.
fn ask(state: &State, name: &str, qtype: &str) -> Vec<String> {
    let name = Name::parse(name).unwrap();
    let answer = lookup(state, name.as_wire(), rdata::type_number(qtype).unwrap());
    let mut out = vec![format!("{}{}", answer.rcode, if answer.authoritative { " aa" } else { "" })];
    for (section, rrs) in [("an", &answer.answer), ("ns", &answer.authority), ("ar", &answer.additional)] {
        for rr in rrs {
            for data in rr.rdata() {
                let owner = describe(rr, name.as_wire());
                let owner = owner.split(' ').next().unwrap();
                let data = rdata::show(rr.rtype(), data);
                out.push(format!("{section} {owner} {} {} {data}", rr.ttl(), rdata::type_name(rr.rtype())));
            }
        }
    }
    out.extend(answer.foreign.map(|f| format!("foreign {}", Name::from_wire(&f).unwrap())));
    out
}

const SOA: &str = "ns example 300 SOA ns.example. host.example. 1 3600 900 604800 300";
const LAN_SOA: &str = "ns lan 60 SOA ns.lan. host.lan. 1 3600 900 604800 60";

#[test]
fn rfc_4592_section_2_2_1_responses_synthesised_from_a_wildcard() {
    let s = state();
    assert_eq!(
        ask(&s, "host3.example", "MX"),
        ["0 aa", "an host3.example 3600 MX 10 host1.example.", "ar host1.example 3600 A 192.0.2.1"]
    );
    assert_eq!(ask(&s, "host3.example", "A"), ["0 aa", SOA], "no data, because the wildcard has no A");
    assert_eq!(ask(&s, "foo.bar.example", "TXT"), ["0 aa", "an foo.bar.example 3600 TXT \"this is a wildcard\""]);
}

#[test]
fn rfc_4592_section_2_2_1_responses_not_synthesised() {
    let s = state();
    assert_eq!(ask(&s, "host1.example", "MX"), ["0 aa", SOA], "because host1.example exists");
    assert_eq!(ask(&s, "sub.*.example", "MX"), ["0 aa", SOA], "because sub.*.example exists");
    assert_eq!(ask(&s, "_telnet._tcp.host1.example", "SRV"), ["3 aa", SOA], "because _tcp.host1.example exists");
    assert_eq!(ask(&s, "host.subdel.example", "A")[0], "0", "because subdel.example is a zone cut");
    assert_eq!(ask(&s, "ghost.*.example", "MX"), ["3 aa", SOA], "because *.example exists");
    assert_eq!(ask(&s, "x.host2.example", "TXT"), ["3 aa", SOA], "an empty non-terminal is a closest encloser");
}

#[test]
fn a_star_in_the_question_is_an_ordinary_label() {
    let s = state();
    assert_eq!(ask(&s, "*.example", "TXT"), ["0 aa", "an *.example 3600 TXT \"this is a wildcard\""]);
    assert_eq!(ask(&s, "*.host1.example", "A"), ["3 aa", SOA]);
}

#[test]
fn nodata_never_nxdomain_for_aaaa_on_an_a_only_name_and_for_empty_non_terminals() {
    let s = state();
    assert_eq!(ask(&s, "pc.lan", "AAAA"), ["0 aa", LAN_SOA]);
    assert_eq!(ask(&s, "b.c.lan", "A"), ["0 aa", LAN_SOA]);
    assert_eq!(ask(&s, "c.lan", "A"), ["0 aa", LAN_SOA]);
    assert_eq!(ask(&s, "d.c.lan", "A"), ["3 aa", LAN_SOA]);
    assert_eq!(ask(&s, "pc.v.lan", "AAAA"), ["0 aa", LAN_SOA], "of a wildcard too");
}

#[test]
fn the_soa_of_a_negative_has_the_smaller_of_its_ttl_and_minimum() {
    assert_eq!(ask(&state(), "nothing.lan", "A"), ["3 aa", LAN_SOA]);
    assert_eq!(ask(&state(), "lan", "SOA")[1], "an lan 3600 SOA ns.lan. host.lan. 1 3600 900 604800 60");
}

#[test]
fn cname_chains_are_followed_across_own_zones() {
    let s = state();
    assert_eq!(ask(&s, "www.lan", "A"), ["0 aa", "an www.lan 3600 CNAME pc.lan.", "an pc.lan 3600 A 10.0.0.2"]);
    assert_eq!(ask(&s, "www.lan", "CNAME"), ["0 aa", "an www.lan 3600 CNAME pc.lan."]);
    assert_eq!(
        ask(&s, "gone.lan", "A"),
        ["3 aa", "an gone.lan 3600 CNAME missing.lan.", LAN_SOA],
        "the code of the last name"
    );
    assert_eq!(ask(&s, "www.lan", "AAAA"), ["0 aa", "an www.lan 3600 CNAME pc.lan.", LAN_SOA]);
    assert_eq!(
        ask(&s, "other.lan", "A"),
        ["3 aa", "an other.lan 3600 CNAME x.two.", "ns two 5 SOA n.two. h.two. 1 1 1 1 5"]
    );
    assert_eq!(ask(&s, "far.lan", "A"), ["0 aa", "an far.lan 3600 CNAME elsewhere.test.", "foreign elsewhere.test"]);
    assert_eq!(ask(&s, "q.w.lan", "A"), ["0 aa", "an q.w.lan 3600 CNAME pc.lan.", "an pc.lan 3600 A 10.0.0.2"]);
}

#[test]
fn cname_loops_end_with_each_name_once() {
    let s = state();
    assert_eq!(ask(&s, "one.lan", "A"), ["0 aa", "an one.lan 3600 CNAME two.lan.", "an two.lan 3600 CNAME one.lan."]);
    assert_eq!(ask(&s, "self.lan", "A"), ["0 aa", "an self.lan 3600 CNAME self.lan."]);
}

#[test]
fn a_chain_of_more_than_sixteen_is_a_failure() {
    assert_eq!(ask(&state(), "c0.lan", "A"), ["2"]);
    assert_eq!(ask(&state(), "c6.lan", "A")[0], "3 aa");
    assert_eq!(ask(&state(), "c5.lan", "A")[0], "3 aa", "c21 is the sixteenth target");
    assert_eq!(ask(&state(), "c4.lan", "A")[0], "2");
}

#[test]
fn a_referral_is_not_authoritative_and_carries_glue() {
    let s = state();
    let referral = ["0", "ns deleg.lan 3600 NS ns.deleg.lan.", "ar ns.deleg.lan 3600 A 10.1.0.1"];
    for (name, qtype) in [
        ("x.deleg.lan", "A"),
        ("deleg.lan", "A"),
        ("deleg.lan", "NS"),
        ("no.x.deleg.lan", "TXT"),
        ("ns.deleg.lan", "A"),
    ] {
        assert_eq!(ask(&s, name, qtype), referral, "{name} {qtype}");
    }
}

#[test]
fn ds_at_a_cut_is_answered_by_the_parent() {
    let mut s = state();
    assert_eq!(ask(&s, "deleg.lan", "DS"), ["0 aa", LAN_SOA]);
    let child = "$TTL 9\n@ SOA n h 1 1 1 1 5\n@ NS n\nn A 10.2.0.1\n";
    let parsed = zonefile::parse(&Name::parse("deleg.lan").unwrap(), "", child, &|_| Err(String::new())).unwrap();
    s.put(parsed.into_zone(SEED));
    assert_eq!(ask(&s, "deleg.lan", "DS"), ["0 aa", LAN_SOA], "though we have the child as well");
    assert_eq!(ask(&s, "deleg.lan", "A")[1], "ns deleg.lan 5 SOA n.deleg.lan. h.deleg.lan. 1 1 1 1 5");
    assert_eq!(ask(&s, "lan", "DS"), ["0 aa", LAN_SOA], "the parent is not ours");
}

#[test]
fn dname_replaces_the_suffix_of_names_below_it() {
    let s = state();
    assert_eq!(
        ask(&s, "pc.old.lan", "A"),
        [
            "0 aa",
            "an old.lan 3600 DNAME new.lan.",
            "an pc.old.lan 3600 CNAME pc.new.lan.",
            "an pc.new.lan 3600 A 10.0.0.5"
        ]
    );
    let made = ["0 aa", "an old.lan 3600 DNAME new.lan.", "an pc.old.lan 3600 CNAME pc.new.lan."];
    assert_eq!(ask(&s, "pc.old.lan", "CNAME"), made, "the CNAME that was asked for is not followed");
    assert_eq!(ask(&s, "old.lan", "DNAME"), ["0 aa", "an old.lan 3600 DNAME new.lan."]);
    assert_eq!(ask(&s, "old.lan", "A"), ["0 aa", LAN_SOA], "the owner itself is not redirected");
    let long = format!("{}.long.lan", "b".repeat(63));
    let longer = format!("{}.{long}", "b".repeat(63));
    assert_eq!(ask(&s, &long, "A")[0], "3 aa");
    assert_eq!(ask(&s, &longer, "A")[0], "6 aa", "RFC 6672: the name is too long, YXDOMAIN");
}

#[test]
fn addresses_of_targets_are_added() {
    let s = state();
    let pc = "ar pc.lan 3600 A 10.0.0.2";
    assert_eq!(ask(&s, "_sip._udp.lan", "SRV"), ["0 aa", "an _sip._udp.lan 3600 SRV 1 1 5060 pc.lan.", pc]);
    assert_eq!(ask(&s, "lan", "MX")[2], pc);
    assert_eq!(ask(&s, "n.lan", "NAPTR")[2], pc);
    assert_eq!(ask(&s, "lan", "NS")[2], "ar ns.lan 3600 A 10.0.0.1");
}

#[test]
fn any_is_answered_with_one_set() {
    assert_eq!(ask(&state(), "lan", "TYPE255")[1..].len(), 1);
    assert_eq!(ask(&state(), "ns.lan", "TYPE255"), ["0 aa", "an ns.lan 3600 A 10.0.0.1"]);
    assert_eq!(ask(&state(), "www.lan", "TYPE255"), ["0 aa", "an www.lan 3600 CNAME pc.lan."]);
}

#[test]
fn a_name_of_no_zone_is_foreign() {
    assert_eq!(ask(&state(), "www.test", "A"), ["0", "foreign www.test"]);
    assert_eq!(ask(&state(), ".", "NS"), ["0", "foreign ."]);
}

fn set(rtype: u16, soft: bool, rdata: &[u8]) -> RrSet {
    RrSet { rtype, ttl: 60, soft, rdata: vec![rdata.to_vec()] }
}

#[test]
fn the_file_wins_over_what_hosts_and_leases_bring() {
    let mut s = state();
    let put = |s: &mut State, name: &str, sets: &[RrSet]| {
        let apex = Name::parse("lan").unwrap();
        s.zone_mut(&apex).unwrap().dynamic.put(&Name::parse(name).unwrap(), sets);
    };
    let v6 = [0xfd; 16];
    put(&mut s, "pc.lan", &[set(rtype::A, true, &[10, 9, 9, 9]), set(rtype::AAAA, true, &v6)]);
    assert_eq!(ask(&s, "pc.lan", "A"), ["0 aa", "an pc.lan 3600 A 10.0.0.2"]);
    assert_eq!(ask(&s, "pc.lan", "AAAA"), ["0 aa", LAN_SOA], "a lease adds no address to a name of the file");
    put(&mut s, "pc.lan", &[set(rtype::AAAA, false, &v6)]);
    assert_eq!(ask(&s, "pc.lan", "AAAA").len(), 2, "the API may");
    put(&mut s, "www.lan", &[set(rtype::TXT, false, b"\x01x")]);
    assert_eq!(ask(&s, "www.lan", "TXT")[1], "an www.lan 3600 CNAME pc.lan.", "but not beside a CNAME");
    put(&mut s, "new2.lan", &[set(rtype::A, true, &[10, 9, 9, 9])]);
    assert_eq!(ask(&s, "new2.lan", "A"), ["0 aa", "an new2.lan 60 A 10.9.9.9"]);
    put(&mut s, "deep.c.lan", &[set(rtype::A, true, &[10, 9, 9, 8])]);
    assert_eq!(ask(&s, "deep.c.lan", "A")[1], "an deep.c.lan 60 A 10.9.9.8");
    assert_eq!(ask(&s, "b.c.lan", "A"), ["0 aa", LAN_SOA], "both layers make a name exist");
}

#[test]
fn a_dynamic_name_under_a_static_wildcard_hides_the_wildcard() {
    let mut s = state();
    let apex = Name::parse("lan").unwrap();
    let name = Name::parse("x.v.lan").unwrap();
    s.zone_mut(&apex).unwrap().dynamic.put(&name, &[set(rtype::TXT, true, b"\x01x")]);
    assert_eq!(ask(&s, "x.v.lan", "A"), ["0 aa", LAN_SOA]);
    s.zone_mut(&apex).unwrap().dynamic.put(&name, &[]);
    assert_eq!(ask(&s, "x.v.lan", "A"), ["0 aa", "an x.v.lan 3600 A 10.0.0.9"]);
}

#[test]
fn denied_and_empty_kinds_of_zones() {
    let mut s = state();
    let soa = s.zone(&Name::parse("lan").unwrap()).unwrap().soa.clone();
    for (name, kind) in [("invalid", Kind::Denied), ("resolver.arpa", Kind::Nothing), ("bad", Kind::Broken)] {
        let apex = std::sync::Arc::new(Name::parse(name).unwrap());
        s.put(Zone::new(SEED, apex, kind, soa.clone(), None));
    }
    assert_eq!(ask(&s, "x.invalid", "A")[0], "3 aa");
    assert_eq!(ask(&s, "invalid", "A")[0], "3 aa");
    assert_eq!(ask(&s, "_dns.resolver.arpa", "TYPE64")[0], "0 aa");
    assert_eq!(ask(&s, "x.bad", "A"), ["2"]);
}

#[test]
fn older_snapshots_do_not_change() {
    let before = state();
    let mut after = before.clone();
    let apex = Name::parse("lan").unwrap();
    after.zone_mut(&apex).unwrap().dynamic.put(&Name::parse("new3.lan").unwrap(), &[set(rtype::A, true, &[1; 4])]);
    assert_eq!(ask(&before, "new3.lan", "A")[0], "3 aa");
    assert_eq!(ask(&after, "new3.lan", "A")[0], "0 aa");
    assert_eq!(Layer::new(1, std::sync::Arc::new(apex)).len(), 0);
}
