use super::*;
use crate::domain::claws::access::Namespaces;
use crate::domain::claws::message::{Uplink, parse};
use crate::domain::claws::xml::decode_assuming_prefixes;
use crate::domain::claws::{DNS, HOST, LAN};

fn golden(text: &str) -> Element {
    let event = decode_assuming_prefixes(text.as_bytes()).unwrap();
    event.find(HOST, "add-host").unwrap().clone()
}

fn edits(text: &str) -> Vec<Edit> {
    let repaired = text.replace("</claws:event>", "</claws:event-update>");
    match parse(&decode_assuming_prefixes(repaired.as_bytes()).unwrap()).unwrap() {
        Uplink::Update(update) => update.edits,
        other => panic!("not an update: {other:?}"),
    }
}

fn answer(module: &str, edits: Vec<Edit>) -> Answer {
    Answer { module: module.to_owned(), priority: 100, edits }
}

fn append(children: Vec<Element>) -> Edit {
    let block = children.into_iter().fold(Element::new(HOST, "add-host"), Element::child);
    Edit { action: Action::Append, block }
}

fn remove(pattern: Element) -> Edit {
    Edit { action: Action::Remove, block: Element::new(HOST, "add-host").child(pattern) }
}

fn fqdn(name: &str) -> Element {
    Element::new(DNS, "fqdn").text_of(name)
}

fn multiset(payload: &Element) -> Vec<String> {
    let mut out: Vec<String> = payload.children().map(Element::write).collect();
    out.sort();
    out
}

const M1: &str = include_str!("../../../../tests/golden/claws/m1-submission.xml");
const M3: &str = include_str!("../../../../tests/golden/claws/m3-dns-update.xml");
const M4: &str = include_str!("../../../../tests/golden/claws/m4-address-update.xml");
const M5: &str = include_str!("../../../../tests/golden/claws/m5-final.xml");

#[test]
fn the_sketchs_submission_and_updates_make_its_final_event() {
    let answers =
        [answer("Address and Network Management Module", edits(M4)), answer("DNS Management Module", edits(M3))];
    let merged = merge(&golden(M1), "Web Client", &answers, OnConflict::Fail).unwrap();
    assert_eq!(multiset(&merged.payload), multiset(&golden(M5)));
    let removed: Vec<&Contribution> = merged.contributions.iter().filter(|c| c.op == "removed").collect();
    assert_eq!(removed.len(), 1);
    assert_eq!(removed[0].by, ["DNS Management Module"]);
    assert!(merged.idle.is_empty() && merged.denied.is_empty());
}

#[test]
fn two_modules_with_different_names_conflict_and_equal_ones_agree() {
    let base = golden(M1);
    let says = |module, name| answer(module, vec![append(vec![fqdn(name)])]);
    let answers = [says("a", "x.example.com"), says("b", "y.example.com")];
    let conflict = merge(&base, "web", &answers, OnConflict::Fail).unwrap_err();
    assert_eq!(conflict.to_string(), "dns:fqdn: a says `x.example.com`, b says `y.example.com`");
    let merged = merge(&base, "web", &answers, OnConflict::Priority).unwrap();
    assert_eq!(
        (merged.denied, merged.payload.find(DNS, "fqdn").unwrap().text()),
        (vec!["b".to_owned()], "x.example.com".to_owned())
    );
    let agreed =
        merge(&base, "web", &[says("a", "X.example.com"), says("b", "x.example.com.")], OnConflict::Fail).unwrap();
    let names: Vec<String> = agreed.payload.children().filter(|c| c.is(DNS, "fqdn")).map(Element::text).collect();
    assert_eq!(names, ["X.example.com"], "spelled as by the first");
    assert_eq!(agreed.contributions.last().unwrap().by, ["a", "b"]);
}

#[test]
fn a_single_value_is_replaced_only_by_who_removes_it() {
    let base = golden(M1);
    let tag = |text: &str| Element::new(HOST, "asset-tag").text_of(text);
    let beside = answer("a", vec![append(vec![tag("2")])]);
    let conflict = merge(&base, "web", std::slice::from_ref(&beside), OnConflict::Fail).unwrap_err();
    assert_eq!(conflict.to_string(), "host:asset-tag: web says `000001`, a says `2`");
    let removal = answer("b", vec![remove(Element::new(HOST, "asset-tag"))]);
    assert!(merge(&base, "web", &[beside, removal], OnConflict::Fail).is_err(), "another's removal does not help");
    let replaced = answer("a", vec![append(vec![tag("2")]), remove(tag("000001"))]);
    let merged = merge(&base, "web", &[replaced], OnConflict::Fail).unwrap();
    assert_eq!(merged.payload.find(HOST, "asset-tag"), Some(&tag("2")));
}

#[test]
fn removal_sees_own_appends_never_those_of_others_and_nothing_is_a_warning() {
    let base = golden(M1);
    let address = Element::new(LAN, "address").with("name", "ethernet").text_of("192.0.2.1");
    let appends = answer("a", vec![append(vec![address.clone()])]);
    let removes = answer("b", vec![remove(Element::new(LAN, "address"))]);
    let merged = merge(&base, "web", &[appends, removes], OnConflict::Fail).unwrap();
    assert_eq!(merged.payload.find(LAN, "address"), Some(&address));
    assert_eq!(merged.idle, [("b".to_owned(), "lan:address".to_owned())]);
    let own = answer("a", vec![append(vec![address]), remove(Element::new(LAN, "address"))]);
    let merged = merge(&base, "web", &[own], OnConflict::Fail).unwrap();
    assert_eq!(merged.payload.find(LAN, "address"), None);
}

#[test]
fn an_equal_append_keeps_an_element_against_anothers_removal() {
    let base = golden(M1);
    let wish = Element::new(DNS, "auto-assign-fqdn");
    let answers = [answer("a", vec![remove(wish.clone())]), answer("b", vec![append(vec![wish])])];
    let merged = merge(&base, "web", &answers, OnConflict::Fail).unwrap();
    assert_eq!(multiset(&merged.payload), multiset(&base));
}

#[test]
fn answers_beyond_the_grants_or_with_another_block_do_not_count() {
    let base = golden(M1);
    let dns = Namespaces(vec!["dns".to_owned()]);
    let grants = Grants { append: dns.clone(), remove: dns };
    assert_eq!(check(&base, &edits(M3), &grants), Ok(()));
    assert!(matches!(check(&base, &edits(M4), &grants), Err(Invalid::Denied("append", _))));
    let other = Edit { action: Action::Append, block: Element::new(HOST, "modify-host") };
    assert!(matches!(check(&base, &[other], &grants), Err(Invalid::Wrapper(..))));
}

#[test]
fn a_result_beyond_the_limits_is_refused() {
    let base = golden(M1);
    let many = (0..NODES).map(|i| Element::new("urn:x", "e").with("i", i.to_string())).collect();
    let result = merge(&base, "web", &[answer("a", vec![append(many)])], OnConflict::Fail);
    assert_eq!(result, Err(Conflict::TooLarge));
}
