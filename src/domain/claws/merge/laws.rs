//! The laws of merging (claws reference, section 5), over generated payloads and answers.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::domain::claws::xml::decode;
use crate::domain::claws::{DHCP, DNS, HOST, LAN};

/// Few names and values, so that answers meet.
fn child() -> impl Strategy<Value = Element> {
    let kinds = select(vec![
        (HOST, "hostname"),
        (HOST, "mac-addr"),
        (LAN, "address"),
        (LAN, "network"),
        (DNS, "fqdn"),
        (DNS, "alias"),
        (DHCP, "custom-option"),
        ("urn:x", "thing"),
    ]);
    let value =
        select(vec!["", "a", "B", "b", "10.0.0.1", "10.0.0.0/8", "00:00:00:00:00:01", "x \n\u{85}\u{2028}&<\"'"]);
    (kinds, value, proptest::option::of(select(vec!["eth", "wifi"]))).prop_map(|((ns, name), value, label)| {
        let element = Element::new(ns, name).text_of(value);
        label.map_or(element.clone(), |label| element.with("name", label))
    })
}

fn payload() -> impl Strategy<Value = Element> {
    vec(child(), 0..8).prop_map(|children| children.into_iter().fold(Element::new(HOST, "add-host"), Element::child))
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let action = select(vec![Action::Append, Action::Remove]);
    vec((action, payload()).prop_map(|(action, block)| Edit { action, block }), 0..4)
}

fn answers() -> impl Strategy<Value = Vec<Answer>> {
    vec((0u32..3, edits()), 0..4).prop_map(|list| {
        let one = |(i, (priority, edits))| Answer { module: format!("m{i}"), priority, edits };
        list.into_iter().enumerate().map(one).collect()
    })
}

fn run(base: &Element, answers: &[Answer]) -> Result<Merged, Conflict> {
    merge(base, "web", answers, OnConflict::Fail)
}

fn sorted(payload: &Element) -> Vec<(Key, String)> {
    let mut out: Vec<(Key, String)> = payload.children().map(|c| (key(c), value(c))).collect();
    out.sort();
    out
}

fn keys(edits: &[Edit]) -> BTreeSet<(String, String)> {
    edits.iter().flat_map(|e| e.block.children()).map(|c| (c.ns.clone(), c.name.clone())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn l1_any_order_of_updates_gives_the_same_bytes(base in payload(), list in answers(), turn in 0usize..4) {
        let mut other = list.clone();
        other.reverse();
        if !other.is_empty() {
            let by = turn % other.len();
            other.rotate_left(by);
        }
        let text = |result: Result<Merged, Conflict>| result.map(|m| (m.payload.write(), m.contributions));
        prop_assert_eq!(text(run(&base, &list)), text(run(&base, &other)));
    }

    #[test]
    fn l2_no_update_and_empty_updates_change_nothing(base in payload()) {
        prop_assert_eq!(&run(&base, &[]).unwrap().payload, &base);
        let empty = Answer { module: "m".to_owned(), priority: 0, edits: Vec::new() };
        prop_assert_eq!(&run(&base, &[empty]).unwrap().payload, &base);
    }

    #[test]
    fn l3_a_repeated_update_counts_once(base in payload(), list in answers()) {
        let mut twice = list.clone();
        twice.extend(list.clone());
        prop_assert_eq!(run(&base, &twice), run(&base, &list));
    }

    #[test]
    fn l4_l7_the_result_is_base_minus_removed_plus_added_and_all_of_it_is_owned(base in payload(), list in answers()) {
        if let Ok(merged) = run(&base, &list) {
            let kept = merged.contributions.iter().filter(|c| c.op != "removed");
            let elements: Vec<String> = kept.map(|c| c.element.clone()).collect();
            let result: Vec<String> = merged.payload.children().map(Element::write).collect();
            prop_assert_eq!(elements, result);
            let of_base = merged.contributions.iter().filter(|c| c.op != "appended").map(|c| c.element.clone());
            prop_assert_eq!(of_base.collect::<Vec<_>>(), base.children().map(Element::write).collect::<Vec<_>>());
            prop_assert!(merged.contributions.iter().all(|c| !c.by.is_empty()));
            let added: Vec<_> = merged.contributions.iter().filter(|c| c.op == "appended").map(|c| &c.element).collect();
            let distinct: BTreeSet<_> = added.iter().collect();
            prop_assert_eq!(distinct.len(), added.len());
        }
    }

    #[test]
    fn l5_l6_survivors_keep_their_order_and_no_update_action_is_left(base in payload(), list in answers()) {
        if let Ok(merged) = run(&base, &list) {
            let mut originals = base.children();
            let survivors = merged.contributions.iter().filter(|c| c.op == "submitted").count();
            for survivor in merged.payload.children().take(survivors) {
                prop_assert!(originals.any(|o| o == survivor));
            }
            prop_assert!(!merged.payload.write().contains("update-action"));
        }
    }

    #[test]
    fn l8_updates_of_disjoint_keys_can_be_merged_one_after_the_other(base in payload(), u in edits(), v in edits()) {
        prop_assume!(keys(&u).is_disjoint(&keys(&v)));
        let answer = |module: &str, edits: &[Edit]| {
            Answer { module: module.to_owned(), priority: 1, edits: edits.to_vec() }
        };
        let both = run(&base, &[answer("u", &u), answer("v", &v)]);
        let first = run(&base, &[answer("u", &u)]).and_then(|m| run(&m.payload, &[answer("v", &v)]));
        let first = first.map(|m| sorted(&m.payload)).ok();
        prop_assert_eq!(both.map(|m| sorted(&m.payload)).ok(), first);
    }

    #[test]
    fn l9_what_is_written_reads_back_with_the_same_digest(base in payload(), list in answers()) {
        if let Ok(merged) = run(&base, &list) {
            let back = decode(merged.payload.write().as_bytes()).unwrap();
            prop_assert_eq!(back.digest(), merged.payload.digest());
            prop_assert_eq!(back, merged.payload);
        }
    }
}

/// L11, as a guard against quadratic growth: the figure itself is proved in the bench.
#[test]
fn l11_four_thousand_nodes_and_fifty_updates_are_merged_in_one_pass() {
    let thing = |i: usize| Element::new("urn:x", "thing").with("i", i.to_string());
    let base = (0..2_000).map(thing).fold(Element::new(HOST, "add-host"), Element::child);
    let one = |m: usize| {
        let block = (0..40).map(|i| thing(10_000 + m * 40 + i)).fold(Element::new(HOST, "add-host"), Element::child);
        Answer { module: format!("m{m}"), priority: 0, edits: vec![Edit { action: Action::Append, block }] }
    };
    let answers: Vec<Answer> = (0..50).map(one).collect();
    assert_eq!(run(&base, &answers).unwrap().payload.children().count(), 4_000);
}
