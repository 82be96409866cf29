//! What the CLAWS target does with its input. Every assertion here is a promise to the rest of the daemon.

use lanlord::domain::claws::hosting;
use lanlord::domain::claws::merge::{Answer, OnConflict, merge};
use lanlord::domain::claws::message::{Uplink, parse};
use lanlord::domain::claws::xml::{DEPTH, Element, MESSAGE, NODES, decode, decode_assuming_prefixes};

/// Decodes bytes both ways; what is understood is written, read back and merged.
pub fn session(data: &[u8]) {
    for root in [decode(data), decode_assuming_prefixes(data)] {
        match root {
            Ok(root) => understood(&root),
            Err(fault) => assert!((400..500).contains(&fault.status()), "{fault}"),
        }
    }
}

fn understood(root: &Element) {
    assert!(root.count() <= NODES && depth(root) <= DEPTH);
    let written = root.write();
    assert!(!written.contains(['\r', '\n', '\u{85}', '\u{2028}']));
    if written.len() <= MESSAGE {
        let back = decode(written.as_bytes());
        // escapes may make a text longer than the limit; nothing else may change
        if let Ok(back) = back {
            assert_eq!(&back, root);
            assert_eq!(back.digest(), root.digest());
        }
    }
    match parse(root) {
        Ok(Uplink::Submission(submission)) => {
            let _ = hosting::host(&submission.payload, |_| None);
            let merged = merge(&submission.payload, "web", &[], OnConflict::Fail);
            assert!(merged.is_err() || merged.is_ok_and(|m| m.payload.count() <= NODES));
        }
        Ok(Uplink::Update(update)) => {
            let base = update.edits.first().map(|edit| edit.block.clone());
            let base = base.unwrap_or_else(|| Element::new("urn:x", "event"));
            let answer = Answer { module: "m".to_owned(), priority: 1, edits: update.edits };
            let once = merge(&base, "web", std::slice::from_ref(&answer), OnConflict::Fail);
            assert_eq!(once, merge(&base, "web", &[answer.clone(), answer], OnConflict::Fail));
        }
        Ok(_) => {}
        Err(fault) => assert!((400..500).contains(&fault.status()), "{fault}"),
    }
}

fn depth(element: &Element) -> usize {
    1 + element.children().map(depth).max().unwrap_or(0)
}
