//! A configuration of dnsmasq, as an administrator may hand it in.
#![no_main]

#[path = "../bodies/import.rs"]
#[allow(dead_code)] // one body a target
mod import;

libfuzzer_sys::fuzz_target!(|data: &[u8]| import::dnsmasq(data));
