//! Sessions of hostile DHCPv6 datagrams against the decisions, with state and with no matching subnet.
#![no_main]

#[path = "../bodies/dhcp6.rs"]
#[allow(dead_code)] // two targets share it
mod dhcp6;

libfuzzer_sys::fuzz_target!(|data: &[u8]| dhcp6::session(data));
