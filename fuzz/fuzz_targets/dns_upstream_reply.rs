//! What an upstream, or somebody in its name, may send.
#![no_main]

#[path = "../bodies/dns.rs"]
mod dns;

libfuzzer_sys::fuzz_target!(|data: &[u8]| dns::upstream_reply(data));
