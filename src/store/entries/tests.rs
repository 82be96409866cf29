//! What is written can be read, in this format and in every released one.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::arbitrary::{change, kind, lease_change};
use super::*;
use crate::domain::device::{PhoneConfig, Role, Value};

proptest! {
    #[test]
    fn what_was_encoded_decodes_to_itself(change in change()) {
        let text = encode(&change).expect("encodes");
        prop_assert_eq!(decode(FORMAT, &text), Ok(change.clone()));
        prop_assert_eq!(decode_row(FORMAT, &row(&[&text, &text])), Ok(vec![change.clone(), change]));
    }

    #[test]
    fn damaged_text_is_an_error_not_a_panic(change in change(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = encode(&change).expect("encodes").into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(text) = String::from_utf8(bytes) {
            let _ = decode(FORMAT, &text);
        }
    }
}

/// Journals written by earlier versions must stay readable: format 1, as it was on the day it was made.
#[test]
fn golden_format_1_is_read_as_it_was_written() {
    let golden = include_str!("../../../tests/golden/journal-1.jsonl");
    let read: Vec<Change> = golden.lines().map(|line| decode(1, line).expect("readable")).collect();
    let kinds: BTreeSet<&str> = read.iter().map(kind).collect();
    assert_eq!(kinds.len(), 24, "one of each kind");
    let written: Vec<String> = read.iter().map(|c| encode(c).expect("encodes")).collect();
    assert_eq!(written, golden.lines().collect::<Vec<_>>(), "a released format is frozen: add a new one");
}

#[test]
fn newer_formats_and_unknown_fields_are_refused() {
    assert_eq!(decode(FORMAT + 1, "{}"), Err(EntryError::Format(FORMAT + 1)));
    for text in ["", "null", "{}", r#"{"host_removed":{}}"#, r#"{"host_removed":{"id":"a","x":1}}"#, r#"{"new":{}}"#] {
        assert!(matches!(decode(FORMAT, text), Err(EntryError::Unreadable(_))), "{text}");
    }
}

#[test]
fn a_value_nested_too_deep_is_refused_before_it_is_written() {
    let nested = |depth| {
        let value = (0..depth).fold(Value::Null, |inner, _| Value::List(vec![inner]));
        let raw = [("a".to_owned(), value)].into();
        let config =
            PhoneConfig { id: "a".into(), label: "".into(), parents: vec![], role: Role::None, transient: false, raw };
        Change::ConfigPut(Box::new(config))
    };
    let deepest = encode(&nested(DEEPEST - 1)).expect("encodes");
    assert_eq!(decode(FORMAT, &deepest), Ok(nested(DEEPEST - 1)));
    assert_eq!(encode(&nested(DEEPEST)), Err(EntryError::TooDeep));
}

proptest! {
    /// The short form in which leases are remembered loses nothing of what is stored.
    #[test]
    fn a_lease_is_remembered_as_it_was_granted(changes in proptest::collection::vec(lease_change(), 1..20)) {
        let mut commons = crate::domain::kept::Commons::default();
        for change in changes {
            let Change::LeaseGranted(lease) = change else { continue };
            let kept = commons.keep(&lease);
            prop_assert_eq!(&kept.lease(), lease.as_ref());
            prop_assert!(kept.is_of(&lease.client));
            prop_assert_eq!((kept.client(), kept.mac(), kept.expires()), (lease.client, lease.mac, lease.expires));
            prop_assert_eq!((kept.network(), kept.interface()), (&*lease.network, &*lease.interface));
        }
    }
}
