use super::*;
use crate::domain::claws::{CLAWS, HOST};

fn code(bytes: &[u8]) -> &'static str {
    decode(bytes).map_or_else(|fault| fault.code, |_| "ok")
}

#[test]
fn hostile_documents_are_refused_by_name() {
    let deep = format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000));
    let wide = format!("<a {}/>", (0..20_000).map(|i| format!("a{i}=\"1\" ")).collect::<String>());
    let bound = format!("<a {}/>", (0..5_000).map(|i| format!("xmlns:p{i}=\"u\" ")).collect::<String>());
    let many = format!("<a>{}</a>", "<b/>".repeat(NODES));
    let long_text = format!("<a>{}</a>", "x".repeat(TEXT + 1));
    let long_name = format!("<{}/>", "x".repeat(NAME + 1));
    let cases: [(&str, &[u8]); 34] = [
        ("xml-malformed", b""),
        ("xml-malformed", b"<a>"),
        ("xml-malformed", b"<a/><b/>"),
        ("xml-malformed", b"<a/>text"),
        ("xml-malformed", b"<1a/>"),
        ("xml-malformed", b"<a b='<'/>"),
        ("xml-malformed", b"<a>\x01</a>"),
        ("xml-malformed", b"<a>\0</a>"),
        ("xml-malformed", b"<a>&#1;</a>"),
        ("xml-malformed", b"<a>&#0;</a>"),
        ("xml-malformed", b"<a b='1' b='2'/>"),
        ("xml-malformed", b"<a></b>"),
        ("xml-malformed", b"<a>]]></a>"),
        ("xml-malformed", b"<a><!-- a -- b --></a>"),
        ("xml-forbidden", b"<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>"),
        ("xml-forbidden", b"<!DOCTYPE a><a/>"),
        ("xml-forbidden", b"<a>&x;</a>"),
        ("xml-forbidden", b"<a b='&x;'/>"),
        ("xml-forbidden", b"<?php 1?><a/>"),
        ("xml-forbidden", b"<a xmlns:p=''/>"),
        ("xml-forbidden", b"<a xmlns:xmlns='u'/>"),
        ("xml-forbidden", b"<a xmlns:xml='u'/>"),
        ("xml-forbidden", b"<?xml version='1.1'?><a/>"),
        ("xml-encoding", b"<?xml version='1.0' encoding='UTF-16'?><a/>"),
        ("xml-encoding", b"\xff\xfe<\0a\0/\0>\0"),
        ("xml-encoding", b"<a>\xc3\x28</a>"),
        ("undeclared-prefix", b"<p:a/>"),
        ("xml-limit", many.as_bytes()),
        ("xml-limit", long_text.as_bytes()),
        ("xml-limit", long_name.as_bytes()),
        ("xml-limit", bound.as_bytes()),
        ("xml-limit", wide.as_bytes()),
        ("too-large", deep.as_bytes()),
        ("xml-limit", &deep.as_bytes()[..MESSAGE]),
    ];
    for (expected, bytes) in cases {
        assert_eq!(code(bytes), expected, "{}", String::from_utf8_lossy(&bytes[..bytes.len().min(80)]));
    }
}

#[test]
fn limits_hold_at_n_and_not_at_n_plus_one() {
    let nested = |n: usize| format!("{}{}", "<a>".repeat(n), "</a>".repeat(n));
    assert_eq!((code(nested(DEPTH).as_bytes()), code(nested(DEPTH + 1).as_bytes())), ("ok", "xml-limit"));
    let attributes = |n: usize| format!("<a {}/>", (0..n).map(|i| format!("a{i}='' ")).collect::<String>());
    assert_eq!((code(attributes(64).as_bytes()), code(attributes(65).as_bytes())), ("ok", "xml-limit"));
    let bound = |n: usize| format!("<a {}/>", (0..n).map(|i| format!("xmlns:a{i}='u' ")).collect::<String>());
    assert_eq!((code(bound(32).as_bytes()), code(bound(33).as_bytes())), ("ok", "xml-limit"));
    let named = |n: usize| format!("<{}/>", "x".repeat(n));
    assert_eq!((code(named(NAME).as_bytes()), code(named(NAME + 1).as_bytes())), ("ok", "xml-limit"));
    let text = |n: usize| format!("<a>{}</a>", "x".repeat(n));
    assert_eq!((code(text(TEXT).as_bytes()), code(text(TEXT + 1).as_bytes())), ("ok", "xml-limit"));
    let padded = |n: usize| format!("<a/><!--{}-->", "x".repeat(n - 11));
    assert_eq!((code(padded(MESSAGE).as_bytes()), code(padded(MESSAGE + 1).as_bytes())), ("ok", "too-large"));
    // the document node counts
    let many = |n: usize| format!("<a>{}</a>", "<b/>".repeat(n - 2));
    assert_eq!((code(many(NODES).as_bytes()), code(many(NODES + 1).as_bytes())), ("ok", "xml-limit"));
}

#[test]
fn a_byte_order_mark_comments_and_cdata_are_fine() {
    let root = decode(b"\xef\xbb\xbf<?xml version='1.0' encoding='utf-8'?><a>x<!-- c -->y<![CDATA[<z>]]></a>").unwrap();
    assert_eq!(root, Element::new("", "a").text_of("xy<z>"));
}

#[test]
fn one_message_is_one_line_and_reads_back() {
    let text = " a\tb\r\nc\u{85}d\u{2028}e <&>\"' ";
    let element = Element::new(CLAWS, "event").with("t", text).child(Element::new(HOST, "x").text_of(text));
    let written = element.write();
    assert!(!written.contains(['\r', '\n', '\u{85}', '\u{2028}']), "{written}");
    assert!(written.starts_with("<claws:event xmlns:claws=\"urn:openclaws:ns:claws:1\" xmlns:host="), "{written}");
    assert_eq!(decode(written.as_bytes()).unwrap(), element);
}

#[test]
fn prefixes_quotes_and_indentation_do_not_change_the_digest() {
    let a = decode(b"<h:a xmlns:h='urn:x' q='1' p='2'>\n  <h:b>t</h:b>\n</h:a>").unwrap();
    let b = decode(b"<a xmlns=\"urn:x\" p=\"2\" q=\"1\"><!-- c --><b>t</b></a>").unwrap();
    assert_eq!((a.digest(), &a), (b.digest(), &b));
    let c = decode(b"<a xmlns=\"urn:x\" p=\"2\" q=\"1\"><b>t </b></a>").unwrap();
    assert_ne!(a.digest(), c.digest());
}

#[test]
fn places_refer_to_the_text_as_sent() {
    let fault = decode_assuming_prefixes(b"<claws:event a='1'><x:b/></claws:event>").unwrap_err();
    assert_eq!((fault.code, fault.place), ("undeclared-prefix", Some((1, 21))));
    let fault = decode_assuming_prefixes(b"<claws:event\n a='1'><x:b/></claws:event>").unwrap_err();
    assert_eq!((fault.code, fault.place), ("undeclared-prefix", Some((2, 9))));
}

#[test]
fn declarations_of_the_sender_win_over_assumed_ones() {
    let root = decode_assuming_prefixes(b"<claws:event xmlns:claws='urn:other'><host:x/></claws:event>").unwrap();
    assert_eq!((root.ns.as_str(), root.children().next().unwrap().ns.as_str()), ("urn:other", HOST));
}
