//! Text of option values, and readers of option contents.
#![no_main]

#[path = "../bodies/dhcp4.rs"]
mod dhcp4;

libfuzzer_sys::fuzz_target!(|data: &[u8]| dhcp4::value(data));
