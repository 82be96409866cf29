use super::*;

const HEAD: &str = "$TTL 1h\n@ IN SOA ns host 7 1h 15m 1w 1m\n@ NS ns\nns A 10.0.0.1\n";

fn none(_: &str) -> Result<String, String> {
    Err("no includes here".to_owned())
}

fn read(body: &str) -> Result<Parsed, Vec<Problem>> {
    parse(&Name::parse("lan.example").unwrap(), "lan.example.zone", &format!("{HEAD}{body}"), &none)
}

fn show(parsed: &Parsed) -> Vec<String> {
    let line = |n: &Name, s: &RrSet, d: &Vec<u8>| {
        format!("{n} {} {} {}", s.ttl, rdata::type_name(s.rtype), rdata::show(s.rtype, d))
    };
    let all = parsed.nodes.iter().flat_map(|(n, sets)| sets.iter().map(move |s| (n, s)));
    let mut lines: Vec<String> = all.flat_map(|(n, s)| s.rdata.iter().map(move |d| line(n, s, d))).collect();
    lines.sort();
    lines
}

fn messages(result: Result<Parsed, Vec<Problem>>) -> Vec<String> {
    match result {
        Ok(parsed) => parsed.warnings,
        Err(problems) => problems,
    }
    .iter()
    .map(ToString::to_string)
    .collect()
}

#[test]
fn reads_what_master_files_are_made_of() {
    let parsed = read(
        "pc 60 IN A 10.0.0.2 ; a comment\n   IN 60 AAAA 2001:db8::2\n\
         txt TXT ( \"one ; two\"\n  three )\n$ORIGIN sub\nx CNAME pc.lan.example.\n@ MX 5 x\na\\.b TYPE700 \\# 1 ff\n",
    )
    .unwrap();
    assert_eq!(
        show(&parsed),
        [
            "a\\.b.sub.lan.example 3600 TYPE700 \\# 1 ff",
            "lan.example 3600 NS ns.lan.example.",
            "ns.lan.example 3600 A 10.0.0.1",
            "pc.lan.example 60 A 10.0.0.2",
            "pc.lan.example 60 AAAA 2001:db8::2",
            "sub.lan.example 3600 MX 5 x.sub.lan.example.",
            "txt.lan.example 3600 TXT \"one ; two\" \"three\"",
            "x.sub.lan.example 3600 CNAME pc.lan.example.",
        ]
    );
    assert_eq!((parsed.soa.serial, parsed.soa.negative_ttl), (7, 60));
}

#[test]
fn generate_counts_with_offset_width_and_base() {
    let parsed = read(
        "$GENERATE 1-3 h$ A 10.0.1.$\n$GENERATE 8-10/2 x${1,3,d} 60 IN TXT \"${0,2,x}\" a$$b\n\
         $GENERATE 18-18 ${0,3,n}.r PTR h$\n",
    )
    .unwrap();
    let lines = show(&parsed);
    for expected in [
        "h1.lan.example 3600 A 10.0.1.1",
        "h3.lan.example 3600 A 10.0.1.3",
        "x009.lan.example 60 TXT \"08\" \"a$b\"",
        "x011.lan.example 60 TXT \"0a\" \"a$b\"",
        "2.1.r.lan.example 3600 PTR h18.lan.example.",
    ] {
        assert!(lines.iter().any(|l| l == expected), "{expected} not in {lines:#?}");
    }
    assert!(messages(read("$GENERATE 0-65536 a$ A 10.0.0.1\n"))[0].contains("more than 65536"));
    assert!(messages(read("$GENERATE 5-1 a$ A 10.0.0.1\n"))[0].contains("no range"));
    assert!(messages(read("$GENERATE 1-2 a${0,x} A 10.0.0.1\n"))[0].contains("bad modifier"));
}

#[test]
fn includes_restore_the_origin_and_stop_when_nested_too_deep() {
    let load = |name: &str| match name {
        "more" => Ok("deep A 10.0.0.9\n".to_owned()),
        "loop" => Ok("$INCLUDE loop\n".to_owned()),
        other => Err(format!("`{other}` is not in the zone directory")),
    };
    let origin = Name::parse("lan.example").unwrap();
    let text = format!("{HEAD}$INCLUDE more sub\nafter A 10.0.0.8\n");
    let lines = show(&parse(&origin, "z", &text, &load).unwrap());
    assert!(lines.contains(&"deep.sub.lan.example 3600 A 10.0.0.9".to_owned()));
    assert!(lines.contains(&"after.lan.example 3600 A 10.0.0.8".to_owned()));
    let looping = messages(parse(&origin, "z", &format!("{HEAD}$INCLUDE loop\n"), &load));
    assert!(looping[0].starts_with("loop:1:10: $INCLUDE nested more than 8 deep"), "{looping:?}");
    let outside = messages(parse(&origin, "z", &format!("{HEAD}$INCLUDE ../x\n"), &load));
    assert!(outside[0].starts_with("z:5:10: `../x` is not in"), "{outside:?}");
}

#[test]
fn all_problems_come_at_once_with_line_and_column() {
    let found = messages(read("a A 1.2.3\nb NOSUCH x\n c..d A 10.0.0.1\nd 99999999999 A 10.0.0.1\ne CH A 10.0.0.1\n"));
    assert_eq!(found.len(), 5, "{found:#?}");
    assert!(found[0].starts_with("lan.example.zone:5:5: A record: `1.2.3` is no IPv4"), "{}", found[0]);
    assert!(found[1].starts_with("lan.example.zone:6:3: unknown type `NOSUCH`"), "{}", found[1]);
    assert!(found[2].starts_with("lan.example.zone:7:2: unknown type `c..d`"), "{}", found[2]);
    assert!(found[3].starts_with("lan.example.zone:8:3: `99999999999` is no TTL"), "{}", found[3]);
    assert!(found[4].starts_with("lan.example.zone:9:3: class CH"), "{}", found[4]);
}

#[test]
fn zones_that_break_the_rules_are_refused() {
    for (body, why) in [
        ("@ SOA ns host 8 1 1 1 1\n", "more than one SOA"),
        ("sub SOA ns host 8 1 1 1 1\n", "not the apex"),
        ("other.example. A 10.0.0.1\n", "not in the zone"),
        ("c CNAME a\nc CNAME b\n", "more than one CNAME"),
        ("c CNAME a\nc A 10.0.0.1\n", "a CNAME and A"),
        ("@ CNAME a\n", "a CNAME and"),
        ("d DNAME x.\nx.d A 10.0.0.1\n", "below a DNAME"),
        ("c CNAME ns\nsub NS c\n", "is a CNAME"),
        ("x 2147483648 A 10.0.0.1\n", "is no TTL"),
        ("x AXFR \\# 0\n", "unknown type"),
        ("x TYPE255 \\# 0\n", "no type for records"),
        ("x A ( 10.0.0.1\n", "never closed"),
        ("x TXT \"abc\n", "not closed"),
        ("x ) A 10.0.0.1\n", "without `(`"),
        ("$FOO bar\n", "unknown directive"),
        ("$TTL\n", "one argument"),
    ] {
        let result = read(body);
        assert!(result.is_err(), "{body} was taken");
        let found = messages(result);
        assert!(found.iter().any(|m| m.contains(why)), "{body}: {found:?}");
    }
    let long = "a".repeat(64);
    assert!(messages(read(&format!("{long} A 10.0.0.1\n")))[0].contains("longer than 63"));
    let origin = Name::parse("lan").unwrap();
    let without = messages(parse(&origin, "z", "a A 10.0.0.1\n", &none));
    assert!(without.iter().any(|m| m.contains("no SOA")) && without.iter().any(|m| m.contains("no NS")), "{without:?}");
}

#[test]
fn doubtful_zones_are_served_with_warnings() {
    for (body, why) in [
        ("c CNAME ns\n@ MX 1 c\n", "is a CNAME"),
        ("sub NS gone\n", "has no address"),
        ("x 60 A 10.0.0.1\nx 90 A 10.0.0.2\n", "TTLs of one set differ"),
    ] {
        let parsed = read(body).unwrap_or_else(|e| panic!("{body}: {e:?}"));
        assert!(parsed.warnings.iter().any(|p| p.message.contains(why)), "{body}: {:?}", parsed.warnings);
    }
    let origin = Name::parse("lan").unwrap();
    let parsed = parse(&origin, "z", "@ SOA ns host 7 1h 15m 1w 1m\n@ NS ns.other.\n", &none).unwrap();
    assert!(parsed.warnings[0].message.contains("has no TTL"));
    assert_eq!(parsed.nodes[0].1[0].ttl, 60);
}
