use std::borrow::Cow;
use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::domain::dhcp::options;

/// A message made of what a test needs.
#[derive(Default)]
struct Message {
    options: HashMap<u16, Vec<u8>>,
    relay: HashMap<u16, Vec<u8>>,
    fields: HashMap<Field, Vec<u8>>,
    v6: bool,
}

impl Subject for Message {
    fn is_v6(&self) -> bool {
        self.v6
    }
    fn option(&self, code: u16) -> Option<Cow<'_, [u8]>> {
        self.options.get(&code).map(|value| Cow::Borrowed(value.as_slice()))
    }
    fn relay(&self, sub: u16) -> Option<Cow<'_, [u8]>> {
        self.relay.get(&sub).map(|value| Cow::Borrowed(value.as_slice()))
    }
    fn field(&self, field: Field) -> Option<Cow<'_, [u8]>> {
        self.fields.get(&field).map(|value| Cow::Borrowed(value.as_slice()))
    }
}

fn phone() -> Message {
    Message {
        options: HashMap::from([
            (12, b"desk-1".to_vec()),
            (60, b"PXEClient:Arch:00007:UNDI:003016".to_vec()),
            (43, vec![1, 2, b'a', b'b', 7, 1, 9]),
            (93, vec![0, 7]),
            (125, vec![0, 0, 0x11, 0x8b, 4, 2, 2, b'o', b'k']),
            (124, vec![0, 0, 0x0d, 0xe9, 6, 5, b'p', b'h', b'o', b'n', b'e', 0, 0, 0x11, 0x8b, 2, b'c', b'm']),
        ]),
        relay: HashMap::from([(1, b"port-7".to_vec()), (2, vec![0, 6])]),
        fields: HashMap::from([
            (Field::Mac, vec![0x80, 0x5e, 0xc0, 0, 0, 1]),
            (Field::CircuitId, b"port-7".to_vec()),
            (Field::Giaddr, vec![10, 0, 0, 2]),
            (Field::HardwareLength, vec![0, 0, 0, 6]),
            (Field::VendorClass, b"PXEClient:Arch:00007:UNDI:003016".to_vec()),
            (Field::UserClass, vec![4, b'i', b'P', b'X', b'E']),
            (Field::Arch, vec![0, 7, 0, 9]),
        ]),
        v6: false,
    }
}

fn code(name: &str) -> Option<u16> {
    options::code_of(name).map(u16::from)
}

fn parsed(text: &str) -> Result<Expression, ExprError> {
    Expression::parse(text, &code)
}

fn holds(text: &str) -> bool {
    let test = parsed(text).unwrap_or_else(|e| panic!("{text}: {} at {}", e.message, e.at));
    let classes = Classes::default();
    Membership::new(&classes, &phone(), true, &["vip".to_owned()]).meets(&test)
}

#[test]
fn expressions_say_what_the_manual_says() {
    for text in [
        "option[60].text == 'PXEClient:Arch:00007:UNDI:003016'",
        "substring(option[60].hex, 0, 9) == 'PXEClient'",
        "substring(option[60].hex,-6,all) == '003016'",
        "substring('foobar', 4, -2) == 'ob'",
        "substring('foobar', 9, 2) == ''",
        "option[93].hex == 0x0007 and option[93].text == '7'",
        "option[93].hex == 7",
        "option[93].exists and not option[94].exists",
        "option[host-name].text == \"desk-1\"",
        "option[host_name] == 'desk-1'",
        "option[43].option[1].hex == 'ab' and option[43].sub[7] == 0x09",
        "relay4[1].hex == 'port-7' and relay[2] == 0x0006 and relay.circuit_id == 'port-7'",
        "pkt4.mac == 0x805ec0000001 and mac == 0x805ec0000001",
        "substring(pkt4.mac, 0, 3) in (0x000413, 0x805ec0)",
        "mac not in (0x000000000001, 0x000000000002)",
        "pkt4.giaddr == 10.0.0.2 and addrtotext(relay.giaddr) == '10.0.0.2'",
        "pkt4.hlen == 6",
        "vendor[4491].option[2].hex == 'ok' and vendor.enterprise == 4491",
        "vendor-class[3561].data == 'phone' and vendor-class[*].exists",
        "vendor-class[4491].data[0] == 'cm' and not vendor-class[4491].data[1].exists",
        "hexstring(pkt4.mac, ':') == '80:5e:c0:00:00:01'",
        "concat('a', 'b', 0x63) == 'abc' and 'a' + 'b' == 'ab'",
        "split(option[60].text, ':', 3) == '00007'",
        "split('a.b', '.', 0) == '' and split('a.b', '.', 9) == ''",
        "ifelse(option[12].exists, 'yes', 'no') == 'yes'",
        "ifelse(option[99].exists, 'yes', 'no') != 'yes'",
        "ucase(option[12].text) == 'DESK-1' and lcase('ABC') == 'abc'",
        "uint16totext(option[93].hex) == '7' and int8totext(0xff) == '-1' and uint32totext(0x0000000a) == '10'",
        "match('desk-[0-9]+', option[12].text) and not match('desk', option[12].text)",
        "known and not unknown and member('KNOWN') and member('ALL') and not member('UNKNOWN')",
        "member('vip') and not member('nobody')",
        "option[200].hex == ''",
        "(option[12].exists or false) and ((('x')) == 'x')",
        "not (not (true and (mac == mac)))",
        "false and true or true",
    ] {
        assert!(holds(text), "{text}");
    }
}

#[test]
fn wrong_expressions_are_refused_where_they_are_wrong() {
    for (text, at, part) in [
        ("option[60].text = 'x'", 16, "means nothing"),
        ("option[60].text == ", 19, "missing"),
        ("option[nonsense].text == 'x'", 7, "no option `nonsense`"),
        ("option[12].txt == 'x'", 11, "`hex`, `text` or `exists`"),
        ("substring('a', 'b', 1) == 'a'", 15, "number"),
        ("mac", 3, "a value is no test"),
        ("mac == known", 7, "true or false"),
        ("mac == 0xzz", 7, "not hexadecimal"),
        ("member(mac)", 7, "text in quotes"),
        ("match('(', mac)", 6, "pattern"),
        ("match('a))|((b', mac)", 6, "pattern"),
        ("nobody == 'x'", 0, "`nobody` is not known"),
        ("nofun('x') == 'x'", 0, "no function `nofun`"),
        ("'x", 0, "closing quote"),
        ("mac == 'x' 'y'", 11, "should end here"),
        ("option[99999].exists", 7, "0 to 65535"),
        ("pkt4.nothing == 'x'", 5, "no such field"),
    ] {
        let error = parsed(text).expect_err(text);
        assert!(error.message.contains(part) && error.at == at, "{text}: {} at {}", error.message, error.at);
    }
}

#[test]
fn depth_and_length_are_bounded() {
    let nested = |n: usize| format!("{}true{}", "(".repeat(n), ")".repeat(n));
    assert!(parsed(&nested(MAX_DEPTH - 1)).is_ok());
    assert!(parsed(&nested(MAX_DEPTH)).unwrap_err().message.contains("levels deep"));
    assert!(parsed(&"not ".repeat(MAX_DEPTH + 2)).unwrap_err().message.contains("levels deep"));
    let long = format!("mac == '{}'", "x".repeat(MAX_TEXT));
    assert!(parsed(&long).unwrap_err().message.contains("octets"));
    // a chain is no nest
    assert!(parsed(&["true"; 400].join(" and ")).is_ok());
}

#[test]
fn a_computed_value_is_bounded() {
    let mut message = phone();
    message.options.insert(12, vec![b'x'; 65_000]);
    let text = format!("concat({}) == 'x'", vec!["option[12].hex"; 100].join(", "));
    let classes = Classes::default();
    assert!(!Membership::new(&classes, &message, false, &[]).meets(&parsed(&text).unwrap()));
}

#[test]
fn user_classes_are_a_list_or_bare_text() {
    let list: Vec<_> = user_classes(&[1, b'a', 2, b'b', b'c']).unwrap().collect();
    assert_eq!(list, [&b"a"[..], b"bc"]);
    assert!(user_classes(b"iPXE").is_none() && user_classes(b"").is_none());
}

#[test]
fn shorthand_takes_whole_values_beginnings_and_ends() {
    let message = phone();
    let fits = |field, patterns: &[&str]| {
        let any = patterns.iter().map(|text| Pattern::parse(text).unwrap()).collect();
        Matcher { field, any }.holds(&message)
    };
    assert!(fits(Field::VendorClass, &["PXEClient*"]) && !fits(Field::VendorClass, &["PXEClient"]));
    assert!(fits(Field::VendorClass, &["nothing", "*003016"]));
    assert!(fits(Field::UserClass, &["iPXE"]) && fits(Field::Arch, &["0x0009"]) && !fits(Field::Arch, &["0x0010"]));
    assert!(fits(Field::Mac, &["0x805ec0*"]) && fits(Field::Mac, &["0x80:5e:c0:00:00:01"]));
    assert!(!fits(Field::Hostname, &["*"]), "a field that is not there");
    assert_eq!(Pattern::parse("0xzz"), None);
}

fn class(name: &str, test: &str) -> Class {
    Class { name: name.to_owned(), test: Some(parsed(test).unwrap()), ..Class::default() }
}

#[test]
fn a_class_that_asks_for_itself_is_found() {
    let classes = Classes::new(vec![
        class("a", "member('b')"),
        class("b", "mac == 'x' or member('c')"),
        class("c", "member('a')"),
    ]);
    let (guilty, at) = classes.cycle().expect("a cycle");
    assert_eq!((guilty.name.as_str(), at), ("c", 7));
    let fine =
        Classes::new(vec![class("a", "member('b') and member('c')"), class("b", "member('c')"), class("c", "true")]);
    assert!(fine.cycle().is_none());
}

#[test]
fn classes_are_answered_once_and_in_order() {
    let classes = Classes::new(vec![
        class("phone", "member('desk') and known"),
        class("desk", "option[12].text == 'desk-1'"),
        class("other", "unknown"),
        Class { name: "empty".to_owned(), ..Class::default() },
    ]);
    let message = phone();
    let member = Membership::new(&classes, &message, true, &[]);
    assert_eq!(member.classes().map(|class| class.name.as_str()).collect::<Vec<_>>(), ["phone", "desk"]);
    assert!(member.has_any(&[]) && member.has_any(&["other".to_owned(), "desk".to_owned()]));
    assert!(!member.has_any(&["other".to_owned()]) && !member.has(DROP));
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_fail_otherwise(text in "\\PC{0,200}") {
        let _ = parsed(&text);
    }

    #[test]
    fn no_sequence_of_words_does_either(
        words in prop::collection::vec(prop::sample::select(vec![
            "option[", "60", "]", ".hex", ".exists", "(", ")", "==", "!=", "and", "or", "not", "in", ",", "'x'", "0x00",
            "mac", "substring(", "ifelse(", "relay4[1]", "vendor[*]", "all", "-1", "+", "10.0.0.1", "member('a')",
        ]), 0..60),
        octets in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        if let Ok(test) = parsed(&words.join(" ")) {
            let mut message = phone();
            for code in [43, 60, 124, 125] {
                message.options.insert(code, octets.clone());
            }
            let classes = Classes::default();
            for v6 in [false, true] {
                message.v6 = v6;
                Membership::new(&classes, &message, false, &[]).meets(&test);
            }
        }
    }
}
