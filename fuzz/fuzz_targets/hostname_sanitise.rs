//! Options 12 and 81 as clients may send them.
#![no_main]

#[path = "../bodies/dns.rs"]
mod dns;

libfuzzer_sys::fuzz_target!(|data: &[u8]| dns::hostname(data));
