//! Datagrams and TCP messages against a snapshot with every kind of node.
#![no_main]

#[path = "../bodies/dns.rs"]
mod dns;

libfuzzer_sys::fuzz_target!(|data: &[u8]| dns::message(data));
