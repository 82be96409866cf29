//! Texts as zone files, and the zones that come of them.
#![no_main]

#[path = "../bodies/dns.rs"]
mod dns;

libfuzzer_sys::fuzz_target!(|data: &[u8]| dns::zone_file(data));
