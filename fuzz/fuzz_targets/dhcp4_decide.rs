//! Sessions of hostile datagrams against the decisions, with state and with no matching subnet.
#![no_main]

#[path = "../bodies/dhcp4.rs"]
mod dhcp4;

libfuzzer_sys::fuzz_target!(|data: &[u8]| dhcp4::session(data));
